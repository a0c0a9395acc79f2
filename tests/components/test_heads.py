"""Building blocks of heads: the MLP projector, prototypes, and batch normalisation of the global batch."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from findna_kit.builtin.losses.info_nce import InfoNCE
from findna_kit.components.heads import BatchNorm, Projector, Prototypes, batch_norms
from findna_kit.schedules import Clock
from findna_kit.trainer.optimizers import ScheduledOptimizer
from findna_kit.trainer.step import train_step
from tests.building import experiment_of, small


def test_a_projector_has_the_stated_number_of_layers():
    for layers in (1, 2, 4):
        head = Projector(6, 10, 3, layers)
        sizes = [(m.in_features, m.out_features) for m in head if isinstance(m, nn.Linear)]
        assert sizes == ([(6, 3)] if layers == 1 else [(6, 10), *[(10, 10)] * (layers - 2), (10, 3)])
        assert not isinstance(head[-1], nn.GELU)


def test_a_projector_may_normalise_between_its_layers():
    kinds = [type(module) for module in Projector(6, 10, 3, 3, norm="batch")]
    assert kinds == [nn.Linear, BatchNorm, nn.ReLU, nn.Linear, BatchNorm, nn.ReLU, nn.Linear]


def test_a_layer_before_a_norm_has_no_bias():
    """It would be taken out by the norm, and moved by the rounding of its gradient."""
    assert [m.bias is None for m in Projector(6, 10, 3, 3, norm="batch") if isinstance(m, nn.Linear)] == [True, True, False]
    assert [m.bias is None for m in Projector(6, 10, 3, 3) if isinstance(m, nn.Linear)] == [False] * 3


def test_prototypes_are_cosines():
    head, x = Prototypes(5, 7), torch.randn(3, 5)
    expected = torch.cosine_similarity(x[:, None], head.weight[None], dim=-1)
    torch.testing.assert_close(head(x), expected)
    torch.testing.assert_close(head(9 * x), expected)


def pair(features=5):
    """Ours and torch's, of the same weights."""
    torch.manual_seed(0)
    mine, theirs = BatchNorm(features), nn.BatchNorm1d(features)
    for norm in (mine, theirs):
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(0.5, 2, features))
            norm.bias.copy_(torch.linspace(-1, 1, features))
    return mine, theirs


@pytest.mark.parametrize("shape", [(8,), (4, 6), (2, 3, 4)])
def test_it_normalises_as_torch_does(shape):
    mine, theirs = pair()
    x = 3 * torch.randn(*shape, 5) + 2
    torch.testing.assert_close(mine(x), theirs(x.flatten(0, -2)).view_as(x))
    mine.after_step()
    torch.testing.assert_close(mine.running_mean, theirs.running_mean)
    torch.testing.assert_close(mine.running_var, theirs.running_var)
    torch.testing.assert_close(mine.eval()(x), theirs.eval()(x.flatten(0, -2)).view_as(x))


def test_only_after_step_updates_the_running_statistics():
    mine, _ = pair()
    first, second = torch.randn(6, 5), torch.randn(6, 5) + 4
    for x in (first, second):
        mine(x)
        assert mine.running_mean.eq(0).all() and mine.running_var.eq(1).all()
    mine.after_step()
    torch.testing.assert_close(mine.running_mean, 0.1 * (first.mean(0) + second.mean(0)) / 2)
    torch.testing.assert_close(mine.running_var, 0.9 + 0.1 * (first.var(0) + second.var(0)) / 2)
    before = mine.running_mean.clone()
    mine.after_step()
    assert mine.running_mean.equal(before)


def test_statistics_recorded_outside_a_step_are_discarded():
    mine, _ = pair()
    mine(torch.randn(6, 5) + 9)
    mine.before_step()
    mine.after_step()
    assert mine.running_mean.eq(0).all()


def test_it_looks_without_touching():
    mine, _ = pair()
    mine.eval()
    mine(torch.randn(6, 5))
    mine.train()
    mine.after_step()
    assert mine.running_mean.eq(0).all()


class Normed(InfoNCE):
    """InfoNCE with batch normalisation in its head."""

    def twin_heads(self):
        return {"projector": Projector(self.dim, 16, 8, 2, norm="batch")}


def stepped(micro_batch, steps=3):
    """Tensors after a few steps of a recipe whose contrast has a normalised head."""
    recipe, _, _ = small(
        "info_nce", "losses.contrast={name: info_nce, hidden: 16, output: 8}", f"trainer.micro_batch={micro_batch}",
        "views.masked.mask=null",
        "losses.masked=null", "teacher_update={name: ema}",
    )  # fmt: skip
    recipe = recipe.model_copy(update={"losses": {"contrast": replace(recipe.losses["contrast"], component=Normed)}})
    experiment, data, engine = experiment_of(recipe)
    optimizer = ScheduledOptimizer(experiment)
    for step in range(steps):
        train_step(experiment, data, engine, optimizer, Clock(step, 10), {}, micro_batch)
    return experiment


def test_the_trainer_updates_it_once_per_step_for_any_micro_batch():
    (whole,), (cut,), (further,) = stepped(8, steps=1).norms, stepped(3, steps=1).norms, stepped(3, steps=2).norms
    assert not whole.running_mean.eq(0).all()
    torch.testing.assert_close(whole.running_mean, cut.running_mean, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(whole.running_var, cut.running_var, rtol=1e-5, atol=1e-7)
    assert not further.running_mean.allclose(cut.running_mean)


def test_the_teachers_copy_of_a_loss_that_does_not_read_it_uses_the_students_statistics():
    experiment = stepped(8)
    (norm,) = batch_norms([experiment.teacher.heads])
    assert not norm.training
    assert not norm.running_mean.eq(0).all()


DISTILL = ("losses.masked=null", "losses.distill.reads=pooled", "losses.distill.norm=batch")


def distilled(*overrides, steps=1, micro_batch=8):
    """An experiment after steps of self-distillation with a normalised head, and the inputs that the teacher's norm got."""
    recipe, _, _ = small("self_distill", *DISTILL, *overrides)
    experiment, data, engine = experiment_of(recipe)
    (norm,) = batch_norms([experiment.teacher.heads])
    inputs = []
    # With copies of scale and shift, which move after the step.
    norm.register_forward_hook(lambda m, given, out: inputs.append((given[0], m.weight.clone(), m.bias.clone(), out)))
    optimizer = ScheduledOptimizer(experiment)
    for step in range(steps):
        train_step(experiment, data, engine, optimizer, Clock(step, 10), {}, micro_batch)
    return experiment, norm, inputs


@pytest.mark.parametrize("buffers", ["copy", "average"])
def test_a_teacher_that_is_read_normalises_with_the_batch_and_keeps_its_own_statistics(buffers):
    """Whatever the rule does to buffers: statistics of averaged weights are no average of the student's."""
    _, norm, inputs = distilled(f"teacher_update={{name: ema, momentum: 0.5, buffers: {buffers}}}", steps=3)
    assert norm.training
    assert len(inputs) == 3, "one view of the teacher, in each step once for the whole batch"
    mean, variance = torch.zeros(32), torch.ones(32)
    for x, scale, shift, out in inputs:
        assert len(x) == 8
        expected = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt() * scale + shift
        torch.testing.assert_close(out, expected)
        mean, variance = 0.9 * mean + 0.1 * x.mean(0), 0.9 * variance + 0.1 * x.var(0)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)


def test_a_frozen_teacher_uses_running_statistics():
    _, norm, inputs = distilled("teacher_update={name: frozen}", steps=2)
    assert not norm.training
    assert norm.running_mean.eq(0).all() and norm.running_var.eq(1).all()
    for x, _, _, out in inputs:
        torch.testing.assert_close(out, x / (1 + 1e-5) ** 0.5)


def test_validation_uses_the_teachers_running_statistics_and_changes_none():
    experiment, norm, _ = distilled(steps=2)
    before = norm.statistics()
    experiment.eval()
    x = torch.randn(4, 32)
    torch.testing.assert_close(norm(x), (x - before[0]) / (before[1] + 1e-5).sqrt() * norm.weight + norm.bias)
    experiment.train()
    assert norm.training and not experiment.teacher.encoder.training
    assert all(mine.equal(theirs) for mine, theirs in zip(norm.statistics(), before, strict=True))


def test_the_teachers_statistics_are_the_same_for_any_micro_batch():
    (_, whole, _), (_, cut, _) = distilled(), distilled(micro_batch=3)
    torch.testing.assert_close(whole.running_mean, cut.running_mean, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(whole.running_var, cut.running_var, rtol=1e-5, atol=1e-7)
