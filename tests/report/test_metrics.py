"""Long metrics in few points: no extreme is lost, gaps stay gaps, and the size of a page does not follow the run's."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from findna_kit.errors import FindnaError
from findna_kit.report.folders import read_run
from findna_kit.report.metrics import read_series
from findna_kit.report.page import read, render


def write(folder, rows):
    folder.mkdir(exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_short_series_is_kept_whole(tmp_path):
    run = write(tmp_path, [{"step": step, "loss": step / 2, "other": "word", "flag": True} for step in range(5)])
    series = read_series(run, 1)
    assert list(series) == ["loss"], "numbers alone"
    assert series["loss"].pieces() == [[(step, step / 2) for step in range(5)]]
    assert not series["loss"].thinned


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.integers(1, 40))
def test_extremes_are_in_what_is_drawn(tmp_path_factory, values, width):
    run = write(tmp_path_factory.mktemp("run"), [{"step": step, "loss": value} for step, value in enumerate(values)])
    found = read_series(run, width)["loss"]
    (drawn,) = found.pieces()
    assert drawn == sorted(drawn) and len(drawn) <= 2 * (len(values) // width + 1)
    assert set(drawn) <= set(enumerate(values))
    assert {min(values), max(values)} == {min(v for _, v in drawn), max(v for _, v in drawn)} == {found.low[1], found.high[1]}
    assert (found.first, found.last) == ((0, values[0]), (len(values) - 1, values[-1]))
    assert (found.rows, found.total) == (len(values), pytest.approx(sum(values), abs=1e-3))


def test_what_is_not_finite_is_a_gap_and_counted(tmp_path):
    values = [1.0, 2.0, None, None, 3.0]
    found = read_series(write(tmp_path, [{"step": s, "loss": v} for s, v in enumerate(values)]), 1)["loss"]
    assert found.pieces() == [[(0, 1.0), (1, 2.0)], [(4, 3.0)]]
    assert (found.rows, found.not_finite) == (3, 2)


def test_no_file_no_row_and_a_last_line_cut_short(tmp_path):
    assert read_series(tmp_path, 1) == {}
    write(tmp_path, [])
    assert read_series(tmp_path, 1) == {}
    (tmp_path / "metrics.jsonl").write_text('{"step": 3, "loss": 1}\n{"step": 4, "lo')
    assert read_series(tmp_path, 1)["loss"].last == (3, 1)


def test_a_folder_in_its_place_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(FindnaError, match=r"metrics\.jsonl: cannot be read: Is a directory"):
        _ = read_run(tmp_path, "run").last_step


def long_run(folder, count):
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"name": "long", "status": "finished", "steps": count}))
    names = ["loss", "masked/loss", "distill/loss", "held_out/masked/loss", "collapse/teacher/pooled_rankme", "learning_rate"]
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(count):
            value = 77.25 if step == count // 3 else 1 + (step * 7919 % 1000) / 1000
            file.write(json.dumps({"step": step, **dict.fromkeys(names, value)}) + "\n")
    return folder


def test_a_page_of_a_long_run_is_small_and_its_spike_is_there(tmp_path):
    text = render(read([long_run(tmp_path / "long", 30_000)]))
    assert len(text) < 300_000
    assert "77.25 (10,000)" in text, "where it was"
    assert text.count("between 1 and 77.25") == 6
    assert "Of neighbouring rows, the lowest and the highest value are drawn." in text


@pytest.mark.slow
def test_a_million_rows_are_a_small_page(tmp_path):
    run, began = long_run(tmp_path / "long", 1_000_000), time.monotonic()
    text = render(read([run]))
    assert len(text) < 300_000 and "77.25 (333,333)" in text
    assert time.monotonic() - began < 240
