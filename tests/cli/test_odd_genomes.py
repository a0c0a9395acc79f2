"""Whatever a FASTA is like: `findna-kit genome` reads what stands in it, or says in a sentence what to do, with exit code 2.

Inputs that a user may come with. tests/data/genome/test_fasta.py tests how lines may be arranged, and each message in full.
"""

import gzip
import json
import os
import sys
import time
from pathlib import Path

import pytest

from findna_kit import alphabet
from findna_kit.cli import main
from findna_kit.data.genome import open_store
from tests.building import SMALL, command, sets
from tests.data.genome.conftest import bgzip, random_dna

ONE, TWO = random_dna(700), random_dna(90, seed=1)
LINES = "\n".join(ONE[at : at + 60] for at in range(0, 700, 60))
PLAIN = f">one first\n{LINES}\n>two\n{TWO}\n"
BOTH = {"one": ONE, "two": TWO}

WORKS = {
    "plain": (PLAIN, BOTH),
    "without newline at the end": (PLAIN.rstrip("\n"), BOTH),
    "CRLF": (PLAIN.replace("\n", "\r\n"), BOTH),
    "CRLF, without newline at the end": (PLAIN.rstrip("\n").replace("\n", "\r\n"), BOTH),
    "ragged": (f">one\n{ONE[:13]}\n{ONE[13:500]}\n{ONE[500:501]}\n{ONE[501:]}\n>two\n{TWO}\n", BOTH),
    "blank lines": (PLAIN.replace("\n>two", "\n\n\n>two").replace(LINES[:61], LINES[:61] + "\n"), BOTH),
    "spaces inside lines": (f">one\n{ONE[:10]} {ONE[10:20]}\n{ONE[20:30]} {ONE[30:]}\n>two\n{TWO}\n", BOTH),
    "; comments": (f"; of whom\n{PLAIN.replace('>two', '; of what' + chr(10) + '>two')}", BOTH),
    "lower-case": (PLAIN.replace(LINES, LINES.lower()), BOTH),
    "all N": (f">one\n{'N' * 900}\n", {"one": "N" * 900}),
    "IUPAC-rich": (">one\nRYKMSWBDHVNrykmswbdhvn.-\nACGU\n", {"one": "N" * 24 + "ACGT"}),
    "contigs shorter than a window": (">a\nACGT\n>b\nA\n>c\nGG\n", {"a": "ACGT", "b": "A", "c": "GG"}),
    "a contig without bases": (">a\n>b\nACGT\n", {"a": "", "b": "ACGT"}),
    "names that differ in case": (">chr\nACGT\n>CHR\nTT\n", {"chr": "ACGT", "CHR": "TT"}),
    "tabs in headers": (">one\tof\tmany\nACGT\n", {"one": "ACGT"}),
    "a very long header": (f">one {'x' * 300_000}\nACGT\n", {"one": "ACGT"}),
    "a name in UTF-8": (">größe\nACGT\n", {"größe": "ACGT"}),
    "gzip": (gzip.compress(PLAIN.encode()), BOTH),
    "bgzip": (b"".join(bgzip(PLAIN.encode())), BOTH),
}
REFUSED = {
    "empty": ("", "is empty; a FASTA with at least one sequence is wanted"),
    "only a header": (">one\n", "holds no bases"),
    "a header with no name": (f"{PLAIN}>\nACGT\n", "has a '>' line without a name; give each sequence one"),
    "duplicate names": (f"{PLAIN}>one again\nACGT\n", "gives two sequences one name"),
    "binary": (random_dna(500).encode() + bytes(range(256)), "is a binary file; a FASTA is text"),
    "binary after a header": (b">one\nACGT\n" * 1 + bytes(range(1, 256)) * 9, "save it as plain text"),
    "protein": (">sp|P12345\nMKVLAEFPQILLEPFIQZSTNRGHWY*\n", "looks like protein"),
    "no FASTA": ("@read\nACGT\n+\nIIII\n", "is no FASTA: its first line must be '>name', but is '@read'"),
    "what a server sent instead": ("<!DOCTYPE html><html>404</html>", "is no FASTA"),
    "UTF-8 with a byte-order mark": (b"\xef\xbb\xbf" + PLAIN.encode(), "begins with a byte-order mark; save it"),
    "Windows-1252": (">größe\nACGT\n".encode("cp1252"), "holds bytes that are not UTF-8 text; save it as plain text"),
    "line ends of old": (PLAIN.replace("\n", "\r"), "has lines that end in CR alone; convert it first"),
    "numbered lines": (">one\n1 ACGT\n5 ACGT\n", "is no letter of a sequence; take it out"),
    "truncated gzip": (gzip.compress(PLAIN.encode())[:-40], "is a broken or truncated gzip file"),
    "truncated bgzip": (b"".join(bgzip(PLAIN.encode()))[:-60], "is a broken or truncated gzip file"),
    "bgzip cut off where a block ends": (bgzip(PLAIN.encode())[0], "is bgzip without its last block, so probably truncated"),
    "damaged gzip": (gzip.compress(PLAIN.encode())[:-8] + bytes(8), "is a broken or truncated gzip file"),
}


@pytest.fixture
def say(monkeypatch, capsys):
    """What the command says on stdout, or with another code than 0 on stderr; anything else that it raises is a defect."""

    def say(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["findna-kit", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        assert (left.value.code or 0) == code, err
        return out if code == 0 else err

    return say


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Each test has a cache of its own."""
    monkeypatch.setenv("FINDNA_KIT_CACHE", str(tmp_path / "cache"))

    def write(content, name="genome.fa"):
        (tmp_path / "data").mkdir(exist_ok=True)
        path = tmp_path / "data" / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def bases(path):
    store = open_store(path)
    return {contig.name: alphabet.decode(store.tokens(at, 0, contig.length)) for at, contig in enumerate(store.contigs)}


@pytest.mark.parametrize("kind", WORKS)
def test_works(kind, write, say):
    content, wanted = WORKS[kind]
    report = json.loads(say("genome", write(content), "--length", 5, "--json"))
    assert {contig["name"]: contig["length"] for contig in report["contigs"]} == {n: len(s) for n, s in wanted.items()}
    assert report["total"]["unknown"] == sum(sequence.count("N") for sequence in wanted.values())
    assert report["windows"]["inside_contigs"] == sum(max(0, len(sequence) - 4) for sequence in wanted.values())
    assert bases(write(content)) == wanted
    if kind == "lower-case":
        assert [contig["soft_masked"] for contig in report["contigs"]] == [1.0, 0.0]
    if kind == "IUPAC-rich":
        assert report["other_letters"] == {**dict.fromkeys("RYKMSWBDHV", 2), "-": 1, ".": 1, "U": 1}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind, write, say, tmp_path):
    content, sentence = REFUSED[kind]
    path = write(content)
    said = say("genome", path, code=2)
    assert str(path) in said
    assert sentence in said
    said = say("run", "masked_only", *sets(*SMALL, f"data.genome={path}"), "--out", tmp_path / "run", "--device", "cpu", code=2)
    assert sentence in said
    assert not (tmp_path / "run").exists()


def test_what_is_no_file(tmp_path, say):
    assert "there is no file" in say("genome", tmp_path / "none.fa", code=2)
    assert "is a folder; give the FASTA file in it" in say("genome", tmp_path, code=2)
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file; write the sequence into a file first" in say("genome", tmp_path / "pipe", code=2)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (f">one\n{'N' * 9000}\n", "more than 0.1 of each is N; raise data.max_unknown, or take another genome"),
        (
            ">a\nACGT\n>b\nACGTACGT\n",
            "is less than one window of 64; set a larger data.validation, such as {share: 0.2}, or a smaller data.length",
        ),
        (
            "".join(f">c{number}\n{random_dna(60, number)}\n" for number in range(99)),
            "it cannot be cut into two blocks of 256; ",
        ),
    ],
)
def test_a_genome_without_a_window_is_refused_before_a_run(content, sentence, write, say, tmp_path):
    path = write(content)
    said = say("run", "masked_only", *sets(*SMALL, f"data.genome={path}"), "--out", tmp_path / "run", "--device", "cpu", code=2)
    assert sentence in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["plain", "gzip"])
def test_a_run_on_a_genome_in_a_read_only_folder(kind, write, tmp_path):
    """Nothing is written beside the FASTA, which is also what shows it to root, whom permissions do not stop."""
    odd = f">one\n{random_dna(9000).lower()}RYKM\n" + "".join(f">short{n}\nACGT\n" for n in range(9))
    path = write(gzip.compress(odd.encode()) if kind == "gzip" else odd.rstrip("\n").replace("\n", "\r\n"))
    path.chmod(0o444)
    path.parent.chmod(0o555)
    choices = sets(*SMALL, "steps=1", f"data.genome={path}")
    done = command("run", "masked_only", *choices, "--out", tmp_path / "run", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert [part.name for part in path.parent.iterdir()] == ["genome.fa"]
    path.parent.chmod(0o755)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="where nobody can write, root included, is known on Linux only")
def test_a_cache_that_nobody_can_write(write, say, monkeypatch):
    path = write(PLAIN)
    monkeypatch.setenv("FINDNA_KIT_CACHE", "/proc/findna-kit")
    assert "set FINDNA_KIT_CACHE to a folder with free space" in say("genome", path, code=2)


@pytest.mark.parametrize("way", ["longer", "of the same size and time"])
def test_changed_since_it_was_indexed(way, write, say):
    path = write(PLAIN)
    os.utime(path, (time.time() - 60,) * 2)  # long ago, so that its digest is remembered
    before, state = json.loads(say("genome", path, "--json")), path.stat()
    flipped = ONE.translate(str.maketrans("AT", "CG"))
    text = f">one first\n{flipped}\n"
    write(text if way == "longer" else text + ";" * (state.st_size - len(text)))
    if way != "longer":
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    after = json.loads(say("genome", path, "--json"))
    assert after["digest"] != before["digest"]
    assert (after["total"]["length"], after["total"]["gc"]) == (700, 1.0)
    assert bases(path) == {"one": flipped}


def test_a_hundred_thousand_contigs(write, say):
    sequence = random_dna(100_400)
    wanted = {f"contig_{at}": sequence[at : at + 1 + at % 400] for at in range(100_000)}
    path = write("".join(f">{name}\n{bases}\n" for name, bases in wanted.items()))
    report = json.loads(say("genome", path, "--length", 100, "--json"))
    assert report["total"]["length"] == sum(map(len, wanted.values()))
    assert report["windows"]["inside_contigs"] == sum(max(0, len(sequence) - 99) for sequence in wanted.values())
    assert bases(path) == wanted
