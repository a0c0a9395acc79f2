"""AdamW on the clock."""

import pytest
import torch

from findna_kit.checkpoint import fill
from findna_kit.schedules import Clock, Constant, Linear
from findna_kit.trainer.optimizers import ScheduledOptimizer
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
