from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from platformdirs import user_cache_dir

from findna_kit import alphabet
from findna_kit.data.genome import cache_folder, fasta, open_store
from findna_kit.errors import GenomeError

from .conftest import random_dna


def age(path, seconds=60.0):
    """As if the file had been written long ago: a digest is not remembered for one that changed a moment ago."""
    os.utime(path, (time.time() - seconds,) * 2)


def test_cache_folder(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("FINDNA_KIT_CACHE", "")
    assert cache_folder() == Path(user_cache_dir("findna-kit"))
    monkeypatch.setenv("FINDNA_KIT_CACHE", "~/somewhere")
    assert cache_folder() == Path.home() / "somewhere"


def test_the_map_is_one_read_only_byte_a_base(write):
    path = write(">one\nACGTN\nacgtn\n")
    store = open_store(path)
    assert store.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert store.codes.tolist() == [0, 1, 2, 3, 4, 8, 9, 10, 11, 12]
    assert store.path.stat().st_size == 10
    with pytest.raises(ValueError, match="read-only"):
        store.codes[0] = 1


def test_built_once_and_known_by_content(write, cache):
    first = write(">one\nACGT\n", "first.fa")
    reports = []
    store = open_store(first, report=lambda *numbers: reports.append(numbers))
    again = open_store(write(">one\nACGT\n", "second.fa"), report=lambda *numbers: reports.append(numbers))
    assert reports == [(4, 4)]
    assert again.path == store.path
    assert again.source.name == "second.fa"
    assert len(list(cache.rglob("*.tokens"))) == 1


def test_a_changed_file_is_a_new_store(write):
    path = write(">one\nACGT\n")
    age(path)
    old = open_store(path)
    write(">one\nTTTT\n")
    new = open_store(path)
    assert alphabet.decode(new.tokens(0, 0, 4)) == "TTTT"
    assert new.digest != old.digest
    assert alphabet.decode(old.tokens(0, 0, 4)) == "ACGT"


def test_an_unchanged_file_is_not_hashed_again(write, cache):
    other = open_store(write(">one\nTTTT\n", "other.fa"))
    path = write(">one\nACGT\n")
    age(path)
    own = open_store(path)
    memory = next(cache.rglob("digests.json"))
    memory.write_text(memory.read_text().replace(own.digest, other.digest))  # what only a memory that is asked can tell
    assert open_store(path).digest == other.digest
    path.touch()
    assert open_store(path).digest == own.digest


@pytest.mark.parametrize("way", ["in place", "renamed over it"])
def test_new_bytes_of_the_old_size_and_time_are_noticed(write, way):
    path = write(">one\nACGT\n")
    age(path)
    old, state = open_store(path), path.stat()
    if way == "in place":
        with path.open("r+b") as file:
            file.write(b">one\nTTTT\n")
    else:
        write(">one\nTTTT\n", "new.fa").replace(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    new = open_store(path)
    assert new.digest != old.digest
    assert alphabet.decode(new.tokens(0, 0, 4)) == "TTTT"


def test_a_file_written_a_moment_ago_is_hashed_again(write, cache):
    open_store(write(">one\nACGT\n"))
    assert not list(cache.rglob("digests.json"))


@pytest.mark.parametrize("rubbish", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_broken_memory_of_digests_only_costs_time(write, cache, rubbish):
    path = write(">one\nACGT\n")
    age(path)
    store = open_store(path)
    memory = next(cache.rglob("digests.json"))
    memory.write_bytes(rubbish)
    assert open_store(path).digest == store.digest
    assert list(json.loads(memory.read_bytes()).values()) == [store.digest]


@pytest.mark.parametrize("damage", ["shorter", "longer", "no map", "no JSON", "other JSON"])
def test_a_damaged_store_is_rebuilt_with_a_warning(write, caplog, damage):
    path = write(">one\nACGT\n")
    store = open_store(path)
    description = store.path.with_suffix(".json")
    if damage in ("shorter", "longer"):
        store.path.write_bytes(b"\0" * (3 if damage == "shorter" else 5))
    elif damage == "no map":
        store.path.unlink()
    else:
        description.write_text("{" if damage == "no JSON" else '{"contigs": 3}')
    with caplog.at_level(logging.WARNING):
        again = open_store(path)
    assert [record.message for record in caplog.records] == [
        f"the token store of {path} in {store.path.parent} is damaged; it is built again"
    ]
    assert alphabet.decode(again.tokens(0, 0, 4)) == "ACGT"


def test_a_store_that_was_killed_before_its_description_is_absent(write, cache, caplog):
    path = write(">one\nACGT\n")
    store = open_store(path)
    store.path.with_suffix(".json").rename(store.path.with_suffix(".json.part"))
    store.path.write_bytes(b"\0\0\0\0")
    assert alphabet.decode(open_store(path).tokens(0, 0, 4)) == "ACGT"
    assert not [*cache.rglob("*.part"), *caplog.records]


def test_a_build_that_fails_leaves_nothing(write, cache):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_store(write(">one\nACGT\n"), report=stop)
    assert not [path for path in cache.rglob("*") if path.suffix in (".tokens", ".json", ".building")]


def test_a_file_that_changes_while_it_is_read(write):
    path = write(">one\nACGT\n")
    with pytest.raises(GenomeError, match="changed while it was read; try again when it is complete"):
        open_store(path, report=lambda done, total: write(">one\nACGTACGT\n"))


def test_a_cache_that_cannot_be_written(write, monkeypatch, tmp_path):
    path = write(">one\nACGT\n")
    (tmp_path / "occupied").write_text("a file")
    monkeypatch.setenv("FINDNA_KIT_CACHE", str(tmp_path / "occupied"))
    with pytest.raises(
        GenomeError, match=r"the token store of .* cannot be written to .*; set FINDNA_KIT_CACHE to a folder with free space"
    ):
        open_store(path)


def test_a_store_is_read_from_a_read_only_cache(write, cache, caplog):
    """As from a cache that is shared read-only; a folder in a lock's place stops root too, whom permissions do not."""
    path = write(">one\nACGT\n")
    built = open_store(path)
    age(path)  # so that its digest would be remembered
    (built.path.parent / "digests.lock").mkdir()
    with caplog.at_level(logging.INFO):
        assert alphabet.decode(open_store(path).tokens(0, 0, 4)) == "ACGT"
    assert [record.message.partition(":")[0] for record in caplog.records] == [f"could not save the digest of {path}"]


BUILD = """
import sys, time
from pathlib import Path
from findna_kit.data.genome import open_store
source, mark, go, chunk_seconds = sys.argv[1:]
reports = []
def report(done, total):
    reports.append(done)
    Path(mark).write_text("building")
    time.sleep(float(chunk_seconds))
Path(mark).write_text("ready")
while not Path(go).exists():
    time.sleep(0.005)
store = open_store(Path(source), report=report)
print(len(reports), store.digest, int(store.codes.sum()))
"""


class Builders:
    """Two processes that wait for `go` and then open one store; `marks` are what each has said."""

    def __init__(self, source, folder, *, chunk_seconds):
        self.go, self.marks = folder / "go", [folder / "mark-0", folder / "mark-1"]
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-c", BUILD, source, mark, self.go, str(chunk_seconds)], stdout=subprocess.PIPE, text=True
            )
            for mark in self.marks
        ]
        self.wait_for(lambda said: said == ["ready", "ready"])
        self.go.touch()

    def wait_for(self, condition):
        until = time.monotonic() + 60
        while not condition(said := [mark.read_text() if mark.exists() else "" for mark in self.marks]):
            assert all(process.poll() is None for process in self.processes)
            assert time.monotonic() < until
            time.sleep(0.005)
        return said


def two_chunks():
    return ">one\n" + "\n".join(random_dna(1000, seed) for seed in range(2 * fasta._CHUNK // 1000)) + "\n"


def test_two_processes_build_one_store_once(write, tmp_path):
    builders = Builders(write(two_chunks()), tmp_path, chunk_seconds=0.02)
    answers = [process.communicate(timeout=60)[0].split() for process in builders.processes]
    assert [process.returncode for process in builders.processes] == [0, 0]
    assert sorted(int(count) > 0 for count, *_ in answers) == [False, True]
    assert answers[0][1:] == answers[1][1:]


def test_a_waiting_process_takes_over_a_killed_build(write, cache, tmp_path, caplog):
    """kill -9 between two chunks: the other process, which waited for the lock, builds all of it; nothing is left over."""
    builders = Builders(write(two_chunks()), tmp_path, chunk_seconds=0.5)
    said = builders.wait_for(lambda said: "building" in said)
    killed, waits = (builders.processes[said.index(word)] for word in ("building", "ready"))
    (left,) = cache.rglob("*.building")
    assert (left / "tokens").exists()
    killed.kill()
    killed.communicate()
    count, digest, total = waits.communicate(timeout=60)[0].split()
    assert (waits.returncode, int(count) > 0) == (0, True)
    again = open_store(tmp_path / "genome.fa", report=lambda done, total: pytest.fail("it is built"))
    assert (again.digest, int(again.codes.sum())) == (digest, int(total))
    kept = {path.name for path in again.path.parent.iterdir() if path.suffix != ".lock"}
    assert kept - {"digests.json"} == {f"{digest}.tokens", f"{digest}.json"}
    assert not caplog.records


def test_tokens_at_single_positions_are_n_outside_the_contig(write):
    store = open_store(write(">one\nACGtn\n>two\ngg\n"))
    contig, position = np.repeat([0, 1], 9), np.tile(np.arange(-2, 7), 2)
    assert store.tokens_at(contig, position).tolist() == [4, 4, 0, 1, 2, 3, 4, 4, 4, 4, 4, 2, 2, 4, 4, 4, 4, 4]


def test_index_by_name(make):
    store = make({"chr1": "ACGT", "chr2": "AC"})
    assert store.index("chr2") == 1
    with pytest.raises(GenomeError, match=r"has no contig 'chr3'; did you mean 'chr[12]'\?"):
        store.index("chr3")


def test_windows(make):
    sequences = {"a": random_dna(100), "b": random_dna(50, 1).lower()}
    store = make(sequences)
    tokens, soft = store.windows(np.array([0, 1, 0]), np.array([90, 0, 3]), 10)
    assert tokens.dtype == np.uint8
    assert [alphabet.decode(row) for row in tokens] == [sequences["a"][90:], sequences["b"][:10].upper(), sequences["a"][3:13]]
    assert soft.all(1).tolist() == [False, True, False]
    assert store.tokens(1, 5, 5).shape == (0,)


@pytest.mark.parametrize(
    ("contig", "start", "length", "message"),
    [
        (0, 91, 10, "window 91-101 is not inside 'a', which has 100 bases"),
        (0, -1, 10, "window -1-9 is not inside 'a'"),
        (1, 0, 51, "window 0-51 is not inside 'b'"),
        (2, 0, 1, "a contig below 2"),
        (-1, 0, 1, "a contig below 2"),
        (0, 0, -1, "a length of at least 0"),
    ],
)
def test_windows_never_leave_their_contig(make, contig, start, length, message):
    store = make({"a": random_dna(100), "b": random_dna(50)})
    with pytest.raises(IndexError, match=message):
        store.windows(np.array([0, contig]), np.array([0, start]), length)


def test_unknown_runs_cross_chunks(make, monkeypatch):
    monkeypatch.setattr("findna_kit.data.genome.token_store._CHUNK", 7)
    store = make({"a": "ACNNNNACGTNNNNNNNNNNNNNNNNACGN", "b": "NNAC"})
    start, end = store.unknown
    assert list(zip(start.tolist(), end.tolist(), strict=True)) == [(2, 6), (10, 26), (29, 32)]


def _sum_of_tokens(store, starts):
    return [int(store.tokens(0, start, start + 50).sum()) for start in starts]


def test_a_pickle_carries_the_path_and_not_the_bases(make):
    store = make({"a": random_dna(100_000)})
    wanted = _sum_of_tokens(store, range(0, 1000, 50))
    pickled = pickle.dumps(store)
    assert len(pickled) < 1000
    assert _sum_of_tokens(pickle.loads(pickled), range(0, 1000, 50)) == wanted


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork beside threads: it is what is tried
def test_forked_processes_read_the_same(make):
    store = make({"a": random_dna(100_000)})
    starts = np.random.default_rng(0).integers(0, 99_000, 3000).tolist()
    wanted = _sum_of_tokens(store, starts)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        answers = pool.starmap(_sum_of_tokens, [(store, starts)] * 6)
    assert answers == [wanted] * 6
