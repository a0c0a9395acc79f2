"""Progress in a log: throughput in bases per second, and the estimated time that remains."""

import pytest

from findna_kit.api import progress
from findna_kit.api.progress import LogClock, TrainingProgress, counting_bar, reading_bar


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_training_logs_losses_throughput_and_eta(clock, capsys):
    metrics = {"loss": 2.0, "masked/loss": 1.25, "held_out/masked/loss": 9.0, "bases_per_second": 12_345.6}
    with TrainingProgress(100) as training:
        for step in range(1, 101):
            training(step, metrics if step % 10 == 0 else {})
            clock[0] += 6
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "step 10 of 100: loss 2.0000 (masked 1.2500), 12,346 bases/s"
    assert lines[1] == "step 20 of 100: loss 2.0000 (masked 1.2500), 12,346 bases/s, ETA 0:08:00"
    assert lines[-1] == "step 100 of 100: loss 2.0000 (masked 1.2500), 12,346 bases/s"
    assert len(lines) == 10


def test_the_log_has_every_training_loss_and_no_validation_loss():
    metrics = {
        "loss": 3.0,
        "held_out_2/loss": 1.0,
        "masked/loss": 2.0,
        "masked/accuracy": 0.5,
        "held_out/masked/loss": 9.0,
        "held_out_plain/masked/loss/student": 9.0,
    }
    assert progress.losses_text(metrics) == "loss 3.0000 (held_out_2 1.0000, masked 2.0000)"


def test_lines_are_ten_seconds_apart(clock, capsys):
    with counting_bar("embedding", 1000, "sequences") as count:
        for done in range(0, 1001, 10):
            count(done)
            clock[0] += 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "embedding: 0 of 1,000 sequences"
    assert lines[1] == "embedding: 100 of 1,000 sequences, ETA 0:01:30"
    assert lines[-1] == "embedding: 1,000 of 1,000 sequences"
    assert len(lines) == 11


def test_reading_a_genome_logs_its_first_and_last_call(clock, capsys):
    with reading_bar() as report:
        for done in (0, 500, 1000):
            report(done, 1000)
    assert capsys.readouterr().err.splitlines() == [
        "reading the genome: 0 of 1,000 bases", "reading the genome: 1,000 of 1,000 bases",
    ]  # fmt: skip


def test_a_resumed_run_is_as_fast_as_since_it_was_resumed(clock):
    log = LogClock(100)
    log.due(90)
    clock[0] += 10
    assert log.eta(95) == ", ETA 0:00:10"
    assert log.eta(90) == log.eta(100) == ""
