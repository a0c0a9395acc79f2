"""Validation on the held-out windows."""

import math

import numpy as np
import pytest
import torch

from findna_kit.schedules import Clock
from findna_kit.trainer.validation import Validation
from tests.building import experiment_of, small


def validated(*overrides, micro_batch=16):
    experiment, data, engine = experiment_of(small("self_distill", *overrides)[0])
    return Validation(experiment, data, engine, micro_batch).run(Clock(0, 4)), experiment


def test_validation_changes_no_state_and_is_reproducible():
    experiment, data, engine = experiment_of(small()[0])
    tensors = {**experiment.model_tensors(), **experiment.loss_tensors()}
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    validation = Validation(experiment, data, engine, 16)
    assert validation.run(Clock(0, 4)) == validation.run(Clock(0, 4))
    assert all(torch.equal(before[name], tensor) for name, tensor in tensors.items())
    assert experiment.student.training


def test_micro_batches_change_nothing_but_rounding():
    extra = ("views.shifted.see=[student, teacher]", "losses.contrast={name: info_nce, hidden: 32, output: 16}")
    whole, _ = validated(*extra, micro_batch=16)
    parts, _ = validated(*extra, micro_batch=3)
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert parts[name] == pytest.approx(value, rel=2e-3, abs=1e-4), name


def test_a_batch_coupled_loss_is_taken_over_chunks_of_the_global_batch():
    extra = (
        "views.shifted.see=[student, teacher]",
        "losses.contrast={name: info_nce, hidden: 32, output: 16, temperature: 1000}",
    )
    metrics, _ = validated(*extra, "data.batch_size=8")
    assert metrics["held_out/contrast/loss"] == pytest.approx(math.log(8), rel=1e-3)


def test_scored_bases_are_hidden_from_the_network():
    """A network that repeats what it sees must score as a guess: every scored position is shown as MASK."""
    experiment, data, engine = experiment_of(small()[0])
    validation = Validation(experiment, data, engine, 16)
    view = validation.plain.views["masked"]
    assert (view.student_tokens.gather(1, view.masked_index)[view.masked_weight > 0] == 5).all()
    assert torch.equal(view.origin, torch.arange(64).expand(16, 64)), "no augmentation"


def test_both_branches_predict_bases_and_start_equal():
    metrics, _ = validated()
    for name in ("accuracy", "bits_per_base"):
        assert metrics[f"held_out_plain/masked/{name}/student"] == metrics[f"held_out_plain/masked/{name}/teacher"]
    assert 0.1 < metrics["held_out_plain/masked/accuracy/student"] < 0.5
    assert metrics["held_out/masked/loss"] / math.log(2) == pytest.approx(metrics["held_out/masked/bits_per_base"], rel=1e-5)


def test_collapse_signals_fire_on_a_collapsed_branch():
    healthy, _ = validated()
    experiment, data, engine = experiment_of(small()[0])
    for parameter in experiment.teacher.encoder.parameters():
        parameter.zero_()
    experiment.teacher.encoder.embed.bias.fill_(1.0)
    collapsed = Validation(experiment, data, engine, 16).run(Clock(0, 4))
    for what in ("pooled", "class"):
        assert collapsed[f"collapse/teacher/{what}_deviation"] < 1e-3 < healthy[f"collapse/teacher/{what}_deviation"]
        assert collapsed[f"collapse/teacher/{what}_rankme"] < 1.01 < healthy[f"collapse/teacher/{what}_rankme"]
    assert collapsed["collapse/student/pooled_deviation"] == healthy["collapse/student/pooled_deviation"]


def test_the_uniform_teacher_shows():
    experiment, data, engine = experiment_of(small()[0])
    experiment.teacher.heads["distill"]["projector"][-1].weight.data.zero_()
    metrics = Validation(experiment, data, engine, 16).run(Clock(0, 4))
    experiment.losses["distill"].loss.center.add_(0)
    logits = np.array([metrics["held_out/distill/teacher_entropy_share"]])
    constant = Validation(experiment, data, engine, 16)
    with torch.no_grad():
        output = constant.forward.loss_output(
            "distill", constant.forward.run_branch("student", constant.batch, ["distill"]),
            constant.forward.run_branch("teacher", constant.batch, ["distill"]), Clock(0, 4),
        )  # fmt: skip
        experiment.losses["distill"].loss.center.copy_(output.state_inputs["logits"].mean(0))
    assert constant.run(Clock(0, 4))["held_out/distill/teacher_entropy_share"] == pytest.approx(1.0, abs=1e-4)
    assert logits[0] <= 1.0
