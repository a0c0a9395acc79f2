"""Rows are kept a whole block at a time, whenever a kill comes, and nobody else's folder is touched."""

import json

import numpy as np
import pytest

from findna_kit.errors import FindnaError, OutputExists
from findna_kit.inference.embedding import partial_output
from findna_kit.records.run_folder import exclusive_lock

TOLD = {
    "run": "/somewhere", "weights": "abc", "layer": None, "rows": 6, "dim": 3, "columns": ["id", "start"],
    "input": {"path": "/x.fa", "digest": "d1"}, "made_with": {"torch": "2"},
}  # fmt: skip
EMBEDDINGS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
IDS = [(f"row {number}", str(number)) for number in range(6)]


def claim(out, *, resume=False, overwrite=False, **changed):
    return partial_output.acquire(out, {**TOLD, **changed}, resume=resume, overwrite=overwrite)


def append(rows, *blocks):
    for low, high in blocks:
        rows.append(IDS[low:high], EMBEDDINGS[low:high])


def content(folder):
    return [(folder / name).read_bytes() for name in (partial_output.EMBEDDINGS, partial_output.IDS, partial_output.STATE)]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.npy"


@pytest.fixture
def whole(tmp_path):
    with claim(tmp_path / "whole.npy") as rows:
        append(rows, (0, 2), (2, 4), (4, 6))
    return content(rows.folder)


def test_a_whole_part_is_an_array_and_its_ids(out):
    with claim(out) as rows:
        append(rows, (0, 2), (2, 6))
        assert np.array_equal(np.load(rows.embeddings), EMBEDDINGS)
        assert rows.ids.read_text().splitlines() == ["id\tstart", *("\t".join(cells) for cells in IDS)]
        assert partial_output.read_state(out)["rows"] == rows.rows == 6


@pytest.mark.parametrize("torn", [0, 1, 17, 1000])
def test_what_a_kill_left_of_a_block_goes(out, whole, torn):
    """The kill came after both files had grown by some of a block, and before the state told of it."""
    with claim(out) as rows:
        append(rows, (0, 2), (2, 4))
        for path in (rows.embeddings, rows.ids):
            with path.open("ab") as file:
                file.write(b"\x01" * torn)
    with claim(out, resume=True) as rows:
        assert rows.rows == 4
        append(rows, (4, 6))
    assert content(rows.folder) == whole


def test_the_run_may_lie_elsewhere_and_the_input_too(out):
    with claim(out) as rows:
        append(rows, (0, 2))
    with claim(out, resume=True, run="/moved", made_with={}, input={"path": "/y.fa", "digest": "d1"}) as rows:
        assert rows.rows == 2


def test_other_embeddings_are_refused_with_what_differs(out):
    with claim(out) as rows:
        append(rows, (0, 2))
    before = content(rows.folder)
    with (
        pytest.raises(FindnaError, match="contains other results; --resume needs the same") as refused,
        claim(out, resume=True, layer=2, input={"path": "/x.fa", "digest": "d2"}),
    ):
        pass
    assert str(refused.value).splitlines()[1:] == ["  layer: None there, 2 now", "  input.digest: d1 there, d2 now"]
    assert content(rows.folder) == before


def test_a_leftover_is_gone_on_with_or_begun_anew_when_it_is_said(out):
    with claim(out) as rows:
        append(rows, (0, 2))
    with (
        pytest.raises(OutputExists, match="contains 2 of 6 rows of an interrupted call; continue with --resume, or start"),
        claim(out),
    ):
        pass
    with claim(out, overwrite=True, layer=1) as rows:
        assert rows.rows == 0
    assert json.loads((rows.folder / partial_output.STATE).read_text())["description"]["layer"] == 1


def test_resume_begins_where_there_is_nothing(out):
    with claim(out, resume=True) as rows:
        assert rows.rows == 0


def test_one_process_at_a_time(out):
    folder = partial_output.partial_folder(out)
    folder.mkdir()
    with exclusive_lock(folder), pytest.raises(FindnaError, match="in use by another process"), claim(out):
        pass


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_not_touched(out, overwrite):
    folder = partial_output.partial_folder(out)
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with (
        pytest.raises(OutputExists, match=r"contains thesis\.txt, which this command did not write"),
        claim(out, overwrite=overwrite),
    ):
        pass
    assert sorted(path.name for path in folder.iterdir() if path.name != ".lock") == ["thesis.txt"]


def test_what_a_killed_call_left_is_no_something_else(out):
    folder = partial_output.partial_folder(out)
    folder.mkdir()
    for name in ("made.parquet", ".state.json.123", "embeddings.npy"):
        (folder / name).write_text("half")
    with claim(out) as rows:
        append(rows, (0, 6))
        assert np.array_equal(np.load(rows.embeddings), EMBEDDINGS)


def test_what_the_disk_refuses_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(FindnaError, match=r"cannot be written \(Not a directory\); complete blocks are kept there"),
        claim(tmp_path / "file" / "out.npy"),
    ):
        pass
