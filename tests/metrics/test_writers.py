"""metrics.jsonl and TensorBoard."""

import json
import time

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from findna_kit.metrics.writers import MetricsWriter, read_rows


def write(run, step, rows):
    writer = MetricsWriter(run, step)
    for row in rows:
        writer.write(row)
    writer.sync()
    writer.close()


def test_rows_come_back(tmp_path):
    rows = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25, "a/b": 1.0}]
    write(tmp_path, 0, rows)
    assert read_rows(tmp_path) == rows
    assert read_rows(tmp_path / "nowhere") == []


def test_rows_after_the_checkpoint_are_dropped(tmp_path):
    write(tmp_path, 0, [{"step": step, "loss": 1.0} for step in (1, 2, 3)])
    write(tmp_path, 2, [{"step": 3, "loss": 2.0}])
    assert [(row["step"], row["loss"]) for row in read_rows(tmp_path)] == [(1, 1.0), (2, 1.0), (3, 2.0)]


def test_values_that_are_not_finite_are_null(tmp_path):
    write(tmp_path, 0, [{"step": 1, "loss": float("nan"), "other": float("inf")}])
    assert read_rows(tmp_path) == [{"step": 1, "loss": None, "other": None}]
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path):
    write(tmp_path, 0, [{"step": 1, "loss": 1.0}])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 2, "loss": 1.0})[:9])
    assert [row["step"] for row in read_rows(tmp_path)] == [1]
    write(tmp_path, 1, [{"step": 2, "loss": 3.0}])
    assert [row["step"] for row in read_rows(tmp_path)] == [1, 2]


def test_tensorboard_shows_the_same_numbers_after_a_resume_too(tmp_path):
    write(tmp_path, 0, [{"step": step, "loss": float(step)} for step in (1, 2, 3)])
    time.sleep(1.1)  # TensorBoard reads files in the order of their names, which have the second they were begun in
    write(tmp_path, 1, [{"step": 2, "loss": 20.0}])
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(event.step, event.value) for event in board.Scalars("loss")] == [(1, 1.0), (2, 20.0)]
