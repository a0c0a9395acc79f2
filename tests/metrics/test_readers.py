"""metrics.jsonl from its end."""

import json

import pytest

from findna_kit.errors import FindnaError
from findna_kit.metrics.readers import newest_rows
from findna_kit.metrics.writers import read_rows
from findna_kit.report.metrics import read_series

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


DAMAGED = [
    "half a line",
    "3",
    "[]",
    "{}",
    '{"step": "one"}',
    '{"step": 1.5}',
    '{"step": -1}',
    '{"loss": 1}',
    "\xff\x00",
    "[" * 9999,
]


@pytest.mark.parametrize("damaged", DAMAGED)
@pytest.mark.parametrize("read", [lambda run: list(newest_rows(run)), read_rows, lambda run: read_series(run, 1)])
def test_every_reader_names_the_file_and_the_line_of_a_damaged_row(tmp_path, read, damaged):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 0}\n\n' + damaged.encode("latin-1") + b'\n{"step": 3}\n')
    with pytest.raises(FindnaError, match=rf"^{path}: line 3 is not a row of metrics; restore the file from a copy, or remove"):
        read(tmp_path)


@pytest.mark.parametrize(
    "text", ["{0}\n\n{1}\n", "\n{0}\n{1}\n\n", "{0}\n  \n{1}\n", "\n\n{0}\n\n\n{1}\n\n\n", "{0}\r\n{1}\r\n"]
)
def test_every_reader_skips_blank_lines(tmp_path, text):
    rows = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]
    (tmp_path / "metrics.jsonl").write_bytes(text.format(*map(json.dumps, rows)).encode())
    assert read_rows(tmp_path) == rows
    assert list(newest_rows(tmp_path)) == rows[::-1]
    assert list(newest_rows(tmp_path, "loss")) == rows[::-1]
    assert read_series(tmp_path, 1)["loss"].pieces() == [[(1, 0.5), (2, 0.25)]]


def test_a_file_of_blank_lines_has_no_rows(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("\n \n\n")
    assert read_rows(tmp_path) == list(newest_rows(tmp_path)) == []


def test_older_rows_are_not_read(tmp_path):
    """A damaged row raises when it is reached, and not before."""
    written(tmp_path, [{"loss": 1.0}, *ROWS])
    assert next(newest_rows(tmp_path)) == ROWS[-1]
    with pytest.raises(FindnaError, match=r"metrics.jsonl: line 1 is not a row of metrics"):
        list(newest_rows(tmp_path))
    (tmp_path / "metrics.jsonl").write_text("half a line\n")
    with pytest.raises(FindnaError, match="restore the file from a copy"):
        list(newest_rows(tmp_path))
