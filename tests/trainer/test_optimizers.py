"""Optimizers on the clock: groups, learning rates, decay, and the state of a checkpoint."""

import pytest
import torch

from findna_kit.checkpoint import fill
from findna_kit.errors import CheckpointMismatch
from findna_kit.schedules import Clock, Constant, Linear
from findna_kit.trainer.optimizers import ScheduledOptimizer, state_bytes
from tests.building import experiment_of, small


def stepped(*overrides, rates=None):
    experiment, _, _ = experiment_of(small("self_distill", *overrides)[0])
    if rates:
        experiment.losses["distill"].loss.head_learning_rates = lambda: rates
    optimizer = ScheduledOptimizer(experiment)
    before = {name: parameter.detach().clone() for name, parameter in optimizer.named.items()}
    for parameter in optimizer.parameters:
        parameter.grad = torch.zeros_like(parameter)
    logged = optimizer.step(Clock(1, 2))
    moved = {name: not torch.equal(before[name], parameter) for name, parameter in optimizer.named.items()}
    return moved, logged, optimizer


def test_matrices_decay_and_vectors_do_not():
    moved, _, optimizer = stepped("optimizer.weight_decay=0.1", "optimizer.learning_rate=0.1")
    for name, parameter in optimizer.named.items():
        assert moved[name] == (parameter.ndim > 1), name


def test_the_learning_rate_follows_the_clock():
    _, logged, _ = stepped("optimizer.learning_rate={linear: {start: 0.4, end: 0.2}}")
    assert logged["learning_rate"] == pytest.approx(0.3)


def test_a_head_may_have_a_learning_rate_of_its_own():
    frozen = {"logits": Linear(start=0.0, end=0.0)}
    moved, _, _ = stepped("optimizer.weight_decay=0.1", "optimizer.learning_rate=0.1", rates=frozen)
    assert not moved["student.heads.distill.logits.weight"]
    assert moved["student.heads.distill.projector.0.weight"]


def test_the_rate_of_a_predictor_is_found_too():
    experiment, _, _ = experiment_of(small()[0])
    experiment.predictors["distill"]["predictor"] = torch.nn.Linear(3, 3)
    experiment.losses["distill"].loss.head_learning_rates = lambda: {"predictor": Constant(value=0.0)}
    optimizer = ScheduledOptimizer(experiment)
    before = experiment.predictors["distill"]["predictor"].weight.detach().clone()
    for parameter in optimizer.parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step(Clock(1, 2))
    assert torch.equal(before, experiment.predictors["distill"]["predictor"].weight)


def test_state_goes_out_and_comes_back():
    _, _, optimizer = stepped()
    kept = {name: tensor.clone() for name, tensor in optimizer.tensors().items()}
    fresh = ScheduledOptimizer(experiment_of(small()[0])[0])
    assert fresh.tensors() == {}
    fill("the optimizer", fresh.empty(optimizer.moved), kept)
    assert kept.keys() == fresh.tensors().keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in fresh.tensors().items())


RULES = ["adamw", "lion", "muon", "sgd", "{name: sgd, momentum: 0}"]


def trained(rule):
    """A small experiment after one step on gradients of a fixed sequence, and its optimizer."""
    experiment, _, _ = experiment_of(small("self_distill", f"optimizer={rule}")[0])
    optimizer = ScheduledOptimizer(experiment)
    numbers = torch.Generator().manual_seed(0)
    for parameter in optimizer.parameters[:-1]:
        parameter.grad = torch.randn(parameter.shape, generator=numbers)
    optimizer.step(Clock(1, 2))
    return experiment, optimizer


@pytest.mark.parametrize("rule", RULES)
def test_the_memory_is_counted_as_what_a_step_creates(rule):
    experiment, optimizer = trained(rule)
    last = optimizer.parameters[-1]
    counted = state_bytes(experiment)
    created = sum(tensor.numel() * tensor.element_size() for tensor in optimizer.tensors().values() if tensor.ndim)
    per_weight = {"adamw": 8, "lion": 4, "sgd": 4, "{name: sgd, momentum: 0}": 0}.get(
        rule, 8
    )  # of Muon, the last one is a head's
    assert counted == created + per_weight * last.numel()


@pytest.mark.parametrize("rule", RULES)
def test_state_is_named_by_parameter_and_only_what_moved_has_some(rule):
    _, optimizer = trained(rule)
    names = [*optimizer.named]
    assert optimizer.moved == ([] if "momentum: 0" in rule else names[:-1])
    assert {name.removeprefix("optimizer.").rpartition(".")[0] for name in optimizer.tensors()} == set(optimizer.moved)
    before = {name: tensor.clone() for name, tensor in optimizer.tensors().items()}
    assert optimizer.moved == ([] if "momentum: 0" in rule else names[:-1]), "reading has created none"
    assert all(torch.equal(before[name], tensor) for name, tensor in optimizer.tensors().items())


def test_adamws_state_has_the_names_of_version_0_1():
    _, optimizer = trained("adamw")
    assert {name.rpartition(".")[2] for name in optimizer.tensors()} == {"step", "exp_avg", "exp_avg_sq"}


def test_groups_tell_matrices_kernels_vectors_and_heads_apart():
    experiment, _, _ = experiment_of(small("self_distill")[0])
    optimizer = ScheduledOptimizer(experiment)
    names = {parameter: name for name, parameter in optimizer.named.items()}
    for group in optimizer.groups:
        for parameter in group.parameters:
            assert parameter.ndim == group.dimensions
            assert names[parameter].startswith(("student.heads.", "heads.")) == group.head
    assert sorted(names.values()) == sorted(names[one] for group in optimizer.groups for one in group.parameters)


def test_a_state_of_a_parameter_that_is_not_there_is_refused():
    _, optimizer = trained("lion")
    with pytest.raises(CheckpointMismatch, match=r"the optimizer has no parameter called student\.elsewhere"):
        optimizer.empty(["student.elsewhere"])
