"""Files with one embedding per base: all formats, patches, resuming, and what is refused."""

import csv

import numpy as np
import pytest

import findna_kit
from findna_kit.errors import FindnaError, Interrupted
from findna_kit.inference.embedding import EmbedOptions, Output, Sequences, blocks, prepare
from findna_kit.trainer import Observer
from tests.inference.embedding.conftest import dna, made, written
from tests.installing import findna

LENGTHS = (30, 1, 64, 200, 7)
TEXTS = [dna(length, length) for length in LENGTHS]
OPTIONS = EmbedOptions(device="cpu", per_base=True)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rows = "".join(f"{text},{number}\n" for number, text in enumerate(TEXTS))
    return written(tmp_path_factory.mktemp("input") / "some.csv", f"sequence,label\n{rows}")


def go(run, table, out, *, resume=False, observer=None, options=OPTIONS):
    observer = observer or Observer()
    job = prepare(run, Sequences(table), Output(out, resume=resume), options, observer)
    job.write(observer)
    return job.description


@pytest.fixture(scope="module")
def expected(run):
    model = findna_kit.load(run, device="cpu")
    return [model.embed_bases(text) for text in TEXTS]


def near(first, second):
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def places(path):
    with path.open() as file:
        return [(row["label"], int(row["first"]), int(row["count"])) for row in csv.DictReader(file, delimiter="\t")]


def test_the_ids_locate_the_embeddings_of_a_sequence(run, table, expected, tmp_path):
    description = go(run, table, tmp_path / "out.npy")
    assert (description["pooling"], description["bases_per_embedding"]) == ("none", 1)
    assert (description["rows"], description["embeddings"]) == (5, sum(LENGTHS))
    array = np.load(tmp_path / "out.npy", mmap_mode="r")
    assert (array.shape, array.dtype) == ((sum(LENGTHS), 22), np.float32)
    for (label, first, count), of_bases in zip(places(tmp_path / "out.npy.ids.tsv"), expected, strict=True):
        assert count == LENGTHS[int(label)]
        near(array[first : first + count], of_bases)


def test_a_patch_has_one_row(table, tmp_path):
    patches = "encoder={name: patch_transformer, dim: 16, hidden: 16, blocks: 1, heads: 2, patch: 8}"
    run = made(tmp_path / "run", "transformer", patches)
    code, printed, said = findna("embed", run, table, "--out", tmp_path / "out.npy", "--per-base", "--device", "cpu")
    assert code == 0, said
    assert printed == (
        f"{tmp_path / 'out.npy'}: 39 embeddings of 16 numbers, one per patch of 8 bases of 5 sequences, from the teacher at "
        "step 3\n"
    )
    assert [count for _, _, count in places(tmp_path / "out.npy.ids.tsv")] == [4, 1, 8, 25, 1]
    model = findna_kit.load(run, device="cpu")
    near(np.load(tmp_path / "out.npy")[13:38], model.embed_bases(TEXTS[3]))


def test_parquet_has_a_row_per_sequence(run, table, expected, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    go(run, table, tmp_path / "out.parquet")
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["label"], row["first"], row["count"]) for row in rows[:2]] == [("0", 0, 30), ("1", 30, 1)]
    for row, of_bases in zip(rows, expected, strict=True):
        near(np.array(row["embedding"]), of_bases)


def test_zarr_has_the_places_in_arrays(run, table, expected, tmp_path):
    zarr = pytest.importorskip("zarr")
    go(run, table, tmp_path / "out.zarr")
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    near(group["embeddings"][:], np.concatenate(expected))
    assert (group["first"][:].tolist(), group["count"][:].tolist()) == ([0, 30, 31, 95, 295], list(LENGTHS))


def test_resumed_it_is_equal_byte_for_byte(run, table, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "PER_BASE", 64)  # several blocks
    go(run, table, tmp_path / "whole.npy")

    def interrupt(done, metrics):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="2 of 5 rows are saved"):
        go(run, table, tmp_path / "out.npy", observer=Observer(report=interrupt))
    go(run, table, tmp_path / "out.npy", resume=True)
    for suffix in ("", ".ids.tsv"):
        assert (tmp_path / f"out.npy{suffix}").read_bytes() == (tmp_path / f"whole.npy{suffix}").read_bytes()
    with pytest.raises(FindnaError, match=r"other results(.|\n)*pooling: none there, mean now"):
        go(run, table, tmp_path / "out.npy", resume=True, options=EmbedOptions(device="cpu"))


def test_what_does_not_fit_is_refused(run, table, tmp_path, monkeypatch):
    with pytest.raises(FindnaError, match="--pooling class makes one embedding of a sequence, --per-base one of each base"):
        EmbedOptions("class", per_base=True)
    taken = written(tmp_path / "taken.csv", "sequence,first\nACGT,1\n")
    with pytest.raises(FindnaError, match="the column 'first' has a name that --per-base needs"):
        go(run, taken, tmp_path / "out.npy")
    monkeypatch.setattr(blocks, "BASES", 100)
    with pytest.raises(FindnaError, match=r"the longest sequence has 200 bases(.|\n)*--window N"):
        go(run, table, tmp_path / "out.npy")
    for option, path in (("--picture", "x.png"), ("--projector", "x")):
        code, _, said = findna("embed", run, table, "--out", tmp_path / "out.npy", "--per-base", option, tmp_path / path)
        assert (code, f"{option} draws one point for a sequence, --per-base makes" in " ".join(said.split())) == (2, True), said
    code, _, said = findna("embed", run, table, "--out", tmp_path / "out.npy", "--per-base", "--pooling", "class")
    assert (code, "--pooling class makes one embedding of a sequence, --per-base one of each base" in said) == (2, True), said
    assert not (tmp_path / "out.npy").exists()
