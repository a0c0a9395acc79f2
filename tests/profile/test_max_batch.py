"""The largest batch that fits: by counting tensors of small passes, and by trying where memory runs out."""

import math
from dataclasses import replace

import pytest
import torch

from findna_kit.profile import max_batch
from findna_kit.profile.max_batch import SHARE, SIZES, available_memory, largest_batch, max_rows, peak_tensor_bytes
from findna_kit.profile.workload import prepare_workload
from tests.building import small


@pytest.fixture(scope="module")
def subject():
    return prepare_workload(small("self_distill")[0], "cpu")


def test_what_tensors_hold_is_counted_while_they_live():
    held = max_batch._TensorMemory()
    with held:
        kept = torch.ones(1000).exp()
        seen = kept.view(10, 100)
        assert held.now == 4000, "the ones are gone, and a view holds nothing of its own"
        again = kept + seen.flatten()
        del kept, again
        assert held.now == 4000, "the view keeps it"
        del seen
    assert (held.now, held.peak) == (0, 8000)


def test_the_prediction_is_what_a_larger_pass_holds(subject):
    experiment = subject.experiment()
    needs = [peak_tensor_bytes(subject, experiment, rows, rows) for rows in SIZES]
    held = peak_tensor_bytes(subject, experiment, 64, 64)
    assert max_rows(held, needs) == pytest.approx(64, abs=1), "small tensors of steps of their own are not quite a line"
    assert all(parameter.grad is None for parameter in experiment.trainable().values())


def test_rows_within_a_line_and_a_parabola():
    line = [100 + 7 * rows for rows in SIZES]
    assert [max_rows(memory, line) for memory in (99, 106, 107, 807)] == [0, 0, 1, 101]
    bent = [100 + 7 * rows + 3 * rows**2 for rows in SIZES]
    for rows in (1, 50, 1000):
        assert max_rows(100 + 7 * rows + 3 * rows**2 + 0.5, bent) == rows


def test_on_a_cpu_it_is_predicted_from_available_memory(subject, monkeypatch):
    monkeypatch.setattr(max_batch, "available_memory", lambda: 10**9)
    found = largest_batch(subject)
    assert found["how"] == "predicted from passes of 4, 8, 16 samples"
    assert (found["available"], found["share"]) == (10**9, SHARE)
    assert found["rows"] * found["bytes_per_row"] <= SHARE * 10**9 < (1.1 * found["rows"] + 1) * found["bytes_per_row"]
    monkeypatch.setattr(max_batch, "available_memory", lambda: 10)
    assert largest_batch(subject)["rows"] == 0
    monkeypatch.setattr(max_batch, "available_memory", lambda: None)
    assert largest_batch(subject) == {"unknown": "the operating system does not report how much memory is available"}


def test_what_compares_all_rows_is_said_to_need_more():
    found = largest_batch(prepare_workload(small("info_nce")[0], "cpu"))
    assert "a loss that compares all pairs of samples may need more memory" in found["how"]


def test_on_a_gpu_it_is_tried(subject, monkeypatch):
    class Cuda:
        type = "cuda"

    def run_pass(subject, experiment, rows, at_once):
        if rows > 100:
            raise torch.OutOfMemoryError("full")

    class Engine:
        device = Cuda()

    monkeypatch.setattr(max_batch, "_run_pass", run_pass)
    monkeypatch.setattr(type(subject), "experiment", lambda self: None)
    found = largest_batch(replace(subject, engine=Engine()))
    assert found == {"rows": 64, "how": "tried: twice as many do not fit"}


def test_available_memory_is_the_least_that_anybody_allows(monkeypatch):
    assert available_memory() > 0
    monkeypatch.setattr(max_batch, "_machine_memory", lambda: 10)
    assert available_memory() == 10
    monkeypatch.setattr(max_batch, "_machine_memory", lambda: None)
    monkeypatch.setattr(max_batch, "_cgroup_memory", lambda files: None)
    assert available_memory() is None


def test_a_container_s_limit(tmp_path):
    limit, held = tmp_path / "max", tmp_path / "current"
    held.write_text("300\n")
    for stated, left in (("1000\n", 700), ("200\n", 0), ("max\n", None)):
        limit.write_text(stated)
        assert max_batch._cgroup_memory((str(limit), str(held))) == left
    assert max_batch._cgroup_memory((str(tmp_path / "absent"), str(held))) is None


def test_the_parabola_is_never_flatter_than_a_line():
    # Allocations in steps may bend it down: then the last slope counts.
    bent = [100, 200, 290]
    assert max_rows(290 + 10 * (290 - 200) / 8, bent) == 26
    assert math.isfinite(max_rows(10**12, bent))
