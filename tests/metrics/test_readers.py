"""metrics.jsonl from its end."""

import json

import pytest

from findna_kit.errors import FindnaError
from findna_kit.metrics.readers import newest_rows

ROWS = [{"step": step, "loss": 1.0, **({"held/loss": float(step)} if step % 3 == 0 else {})} for step in range(8)]


def written(folder, rows, end=""):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + end)
    return folder


def test_the_newest_comes_first_and_a_line_cut_short_is_left_out(tmp_path):
    assert list(newest_rows(written(tmp_path, ROWS, '{"step": 8, "lo'))) == ROWS[::-1]
    assert list(newest_rows(written(tmp_path, [], '{"step": 8}'))) == []
    assert list(newest_rows(written(tmp_path, []))) == []
    assert list(newest_rows(tmp_path / "nowhere")) == []


def test_only_rows_with_a_metric(tmp_path):
    written(tmp_path, ROWS)
    assert [row["step"] for row in newest_rows(tmp_path, "held/loss")] == [6, 3, 0]
    assert [row["step"] for row in newest_rows(tmp_path, "loss")] == [7, 6, 5, 4, 3, 2, 1, 0], "not part of another's name"
    assert list(newest_rows(tmp_path, "os")) == []


def test_older_rows_are_not_read(tmp_path):
    """A damaged row raises when it is reached, and not before."""
    written(tmp_path, [{"loss": 1.0}, *ROWS])
    assert next(newest_rows(tmp_path)) == ROWS[-1]
    with pytest.raises(FindnaError, match=r"metrics.jsonl: has a row that is not the metrics of a step"):
        list(newest_rows(tmp_path))
    (tmp_path / "metrics.jsonl").write_text("half a line\n")
    with pytest.raises(FindnaError, match="restore the file from a copy"):
        list(newest_rows(tmp_path))
