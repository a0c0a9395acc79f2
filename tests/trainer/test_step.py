"""One step: exact whatever the micro-batch, pure until it is applied, in the order of the design."""

import math
from dataclasses import replace

import pytest
import torch

from findna_kit.components.interfaces import LossOutput
from findna_kit.errors import NotFinite
from findna_kit.model.branch import apply_heads, read_rows
from findna_kit.schedules import Clock
from findna_kit.trainer.forward import Forward, training_batch
from findna_kit.trainer.optimizers import ScheduledOptimizer
from findna_kit.trainer.step import train_step
from findna_kit.trainer.validation import Validation
from tests.building import experiment_of, small

CLOCK = Clock(6, 10)
ALL_LOSSES = (
    "views.shifted.see=[student, teacher]",
    "losses.contrast={name: info_nce, hidden: 32, output: 16}",
    "losses.distill.hidden=32", "losses.distill.bottleneck=16", "losses.distill.prototypes=24",
)  # fmt: skip


def gradients_of(micro_batch, *overrides, recipe="self_distill", windows=None, clock=CLOCK):
    experiment, data, engine = experiment_of(small(recipe, *overrides)[0])
    optimizer = ScheduledOptimizer(experiment)
    applied = {}
    optimizer.step = lambda clock: (
        applied.update({n: p.grad.clone() for n, p in optimizer.named.items() if p.grad is not None}) or {}
    )
    metrics = train_step(experiment, windows or data, engine, optimizer, clock, {}, micro_batch)
    return applied, metrics, experiment


@pytest.mark.parametrize("kept", ["masked", "distill", "contrast"])
def test_micro_batches_of_4_16_and_64_agree_for_each_loss(kept):
    dropped = [f"losses.{name}=null" for name in ("masked", "distill", "contrast") if name != kept]
    assert_micro_batches_agree(*ALL_LOSSES, *dropped)


@pytest.mark.parametrize(
    "loss",
    [
        "{name: sigreg, hidden: 32, output: 8, slices: 64}",
        "{name: sigreg, hidden: 32, output: 8, slices: 64, reads: class, global_views: [shifted], regularization: 0.5}",
        "{name: visreg, hidden: 32, output: 8, slices: 64}",
    ],
)
def test_micro_batches_of_4_16_and_64_agree_for_losses_of_global_views(loss):
    alone = ("losses.masked=null", "losses.distill=null", f"losses.agree={loss}")
    assert_micro_batches_agree("views.shifted.see=[student, teacher]", *alone)


@pytest.mark.parametrize("reads", ["pooled", "class"])
def test_micro_batches_of_4_16_and_64_agree_for_the_prediction_of_an_embedding(reads):
    alone = ("losses.masked=null", "losses.distill=null", "views.shifted=null", "views.masked.see=[student, teacher]")
    assert_micro_batches_agree(*alone, f"losses.predict={{name: embedding_prediction, hidden: 32, reads: {reads}}}")


def assert_micro_batches_agree(*overrides):
    setting = ("data.batch_size=64", *overrides, "optimizer.clip_norm=null")
    whole, whole_metrics, _ = gradients_of(64, *setting)
    for size in (4, 16):
        parts, metrics, _ = gradients_of(size, *setting)
        assert parts.keys() == whole.keys()
        for name in whole:
            torch.testing.assert_close(parts[name], whole[name], rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
        for name, value in whole_metrics.items():
            assert metrics[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


DISTILLATIONS = {
    "pooled, batch norm": ("reads=pooled", "norm=batch"),
    "class tokens, batch norm, predictor": ("norm=batch", "predictor_layers=2"),
    "sinkhorn": ("centering=sinkhorn",),
    "pooled, sinkhorn, batch norm, predictor": ("reads=pooled", "centering=sinkhorn", "norm=batch", "predictor_layers=2"),
    "pooled": ("reads=pooled",),
}


@pytest.mark.parametrize("variant", DISTILLATIONS)
def test_micro_batches_of_4_16_and_64_agree_for_every_self_distillation(variant):
    choices = [f"losses.distill.{choice}" for choice in DISTILLATIONS[variant]]
    setting = ("data.batch_size=64", "losses.masked=null", *choices, "optimizer.clip_norm=null")
    whole, whole_metrics, _ = gradients_of(64, *setting)
    assert {"distill/marginal_entropy_share", "distill/information_share"} <= whole_metrics.keys()
    # A gradient far below the largest is rounding: of a layer before batch normalisation, for one.
    scale = max(float(gradient.abs().max()) for gradient in whole.values())
    for size in (4, 16):
        parts, metrics, _ = gradients_of(size, *setting)
        assert parts.keys() == whole.keys()
        for name in whole:
            torch.testing.assert_close(
                parts[name], whole[name], rtol=1e-4, atol=1e-5 * scale, msg=lambda m, n=name: f"{n}: {m}"
            )
        for name, value in whole_metrics.items():
            assert metrics[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_a_frozen_head_is_seen_by_neither_the_norm_nor_the_optimizer():
    """For the first 3 of 10 steps: its weights stay to the bit, and its moments begin with its first step."""
    prototypes = "student.heads.distill.logits.weight"
    setting = ("optimizer.clip_norm=null", "optimizer.learning_rate=0.01")
    every, free_metrics, _ = gradients_of(8, *setting, clock=Clock(0, 10))
    others, metrics, _ = gradients_of(8, *setting, "losses.distill.freeze_last_layer=0.3", clock=Clock(0, 10))
    assert every.keys() - others.keys() == {prototypes}
    squares = sum(float(gradient.square().sum()) for gradient in others.values())
    assert metrics["gradient_norm"] == pytest.approx(math.sqrt(squares), rel=1e-5)
    assert metrics["gradient_norm"] < free_metrics["gradient_norm"]

    experiment, data, engine = experiment_of(small("self_distill", *setting, "losses.distill.freeze_last_layer=0.3")[0])
    optimizer = ScheduledOptimizer(experiment)
    before = optimizer.named[prototypes].detach().clone()
    for step in range(4):
        assert prototypes not in optimizer.moved
        assert optimizer.named[prototypes].equal(before)
        train_step(experiment, data, engine, optimizer, Clock(step, 10), {}, 8)
    assert not optimizer.named[prototypes].equal(before)
    assert float(optimizer.tensors()[f"optimizer.{prototypes}.step"]) == 1


def test_all_losses_together_agree_with_autograd_on_the_whole_batch():
    setting = ("data.batch_size=16", *ALL_LOSSES, "optimizer.clip_norm=null")
    stepped, _, _ = gradients_of(4, *setting)

    experiment, data, engine = experiment_of(small("self_distill", *setting)[0])
    batch = training_batch(experiment, data, CLOCK.step, engine.local_indices(16))
    total = torch.zeros(())
    for label, weighted in experiment.losses.items():
        loss, sides = weighted.loss, {}
        for which in ("student", "teacher"):
            module = getattr(experiment, which)
            chains = [module.heads[label]] + ([experiment.predictors[label]] if which == "student" else [])
            sides[which] = {}
            for pipeline in experiment.pipelines:
                view = batch.views[pipeline.name]
                sees = getattr(pipeline.plan, which) and (loss.head_input != "masked" or pipeline.plan.masked)
                if not sees or (which == "teacher" and not loss.needs_teacher):
                    continue
                tokens = view.student_tokens if which == "student" else view.tokens
                output = module(view, tokens, batch.noise[pipeline.name], wants={loss.head_input})
                sides[which][pipeline.name] = type(output)(view, heads=apply_heads(read_rows(output, loss.head_input), *chains))
        term = loss(sides["student"], sides["teacher"], CLOCK)
        seen = {w: {p.name: batch.views[p.name] for p in experiment.pipelines if getattr(p.plan, w)} for w in sides}
        total = total + term.sum / loss.count(seen["student"], seen["teacher"])
    names, parameters = zip(*experiment.trainable().items(), strict=True)
    wanted = dict(zip(names, torch.autograd.grad(total, parameters, allow_unused=True), strict=True))
    for name, gradient in stepped.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=2e-4, atol=2e-6, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("coupling", ["sample", "batch"])
@pytest.mark.parametrize("frozen", ["one", "all"])
def test_frozen_parameters_of_heads_get_no_gradient_and_change_none_of_the_others(coupling, frozen):
    setting = ("data.batch_size=8", "losses.distill=null", "optimizer.clip_norm=null")

    def gradients(freezes):
        experiment, data, engine = experiment_of(small("self_distill", *setting)[0])
        loss = experiment.losses["masked"].loss
        loss.__class__ = type("Coupled", (type(loss),), {"coupling": coupling})
        head = list(experiment.student.heads["masked"].parameters())
        for parameter in head[: {"none": 0, "one": 1, "all": len(head)}[freezes]]:
            parameter.requires_grad_(False)
        optimizer, stepped = ScheduledOptimizer(experiment), {}
        optimizer.step = lambda clock: stepped.update({n: p.grad.clone() for n, p in optimizer.named.items()}) or {}
        train_step(experiment, data, engine, optimizer, CLOCK, {}, 4)
        return stepped

    wanted, stepped = gradients("none"), gradients(frozen)
    assert stepped.keys() < wanted.keys()
    for name, gradient in stepped.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-6)


class WithUnknown:
    """Windows in which some rows are mostly N, so that micro-batches count differently."""

    def __init__(self, inner):
        self.training = self
        self.inner = inner

    def draw(self, step, rows):
        view = self.inner.training.draw(step, rows)
        unknown = (rows % 3 == 0)[:, None] & (torch.arange(view.tokens.shape[1]) > 5)
        return type(view).of_windows(view.tokens.where(~unknown, 4))


def test_micro_batches_with_different_counts_are_right():
    setting = ("data.batch_size=12", "losses.distill=null", "optimizer.clip_norm=null")
    data = WithUnknown(experiment_of(small()[0])[1])
    whole, _, _ = gradients_of(12, *setting, windows=data)
    parts, _, _ = gradients_of(5, *setting, windows=data)
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-4, atol=1e-6)


def test_dropout_is_the_same_in_both_passes_that_forward_different_views():
    """The first pass forwards the view that the batch loss reads alone; the second one both views."""
    setting = ("encoder.dropout=0.4", "views.shifted.see=[student, teacher]", "optimizer.clip_norm=null",
               "losses.distill.hidden=32", "losses.distill.bottleneck=16", "losses.distill.prototypes=24")  # fmt: skip
    experiment, data, engine = experiment_of(small("self_distill", *setting)[0])
    experiment.losses["masked"].loss.__class__ = type(
        "Coupled", (type(experiment.losses["masked"].loss),), {"coupling": "batch"}
    )
    seen = {}
    forward = experiment.student.forward

    def spy(view, *args, **kwargs):
        output = forward(view, *args, **kwargs)
        if view.masked_index.shape[1]:
            seen.setdefault(tuple(view.start.tolist()), []).append(output.embeddings.detach().clone())
        return output

    experiment.student.forward = spy
    train_step(experiment, data, engine, ScheduledOptimizer(experiment), CLOCK, {}, 4)
    assert [len(passes) for passes in seen.values()] == [2, 2]
    assert all(torch.equal(*passes) for passes in seen.values())


def test_a_batch_loss_is_given_the_rows_that_it_reads():
    setting = (*ALL_LOSSES, "losses.masked=null", "losses.distill=null")
    experiment, data, engine = experiment_of(small("self_distill", *setting)[0])
    loss = experiment.losses["contrast"].loss
    whole, shapes = loss.forward, {}

    def spy(student, teacher, clock):
        shapes.update({name: tuple(output.rows.shape) for name, output in student.items()})
        return whole(student, teacher, clock)

    loss.forward = spy
    train_step(experiment, data, engine, ScheduledOptimizer(experiment), CLOCK, {}, 4)
    assert shapes == {"masked": (8, 22), "shifted": (8, 22)}


def test_dropout_is_the_same_in_both_passes_of_a_cached_loss():
    setting = ("encoder.dropout=0.3", *ALL_LOSSES, "losses.masked=null", "losses.distill=null", "optimizer.clip_norm=null")
    experiment, data, engine = experiment_of(small("self_distill", *setting)[0])
    seen = []
    forward = experiment.student.forward

    def spy(*args, **kwargs):
        output = forward(*args, **kwargs)
        seen.append(output.pooled.detach().clone())
        return output

    experiment.student.forward = spy
    train_step(experiment, data, engine, ScheduledOptimizer(experiment), CLOCK, {}, 4)
    first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert len(first) == 4
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[2])


def test_heads_of_two_losses_have_different_dropout_masks():
    setting = ("losses.distill=null", "losses.again={name: masked_nucleotides}")

    def masks():
        experiment, data, engine = experiment_of(small("self_distill", *setting)[0])
        zeros = {}
        for label in experiment.losses:
            dropout = experiment.student.heads[label]["dropout"] = torch.nn.Dropout(0.5)
            dropout.register_forward_hook(lambda _, args, output, label=label: zeros.setdefault(label, []).append(output == 0))
        train_step(experiment, data, engine, ScheduledOptimizer(experiment), CLOCK, {}, 4)
        return zeros

    zeros, again = masks(), masks()
    assert [len(of_loss) for of_loss in zeros.values()] == [2, 2], "micro-batches"
    every = [*zeros["masked"], *zeros["again"]]
    assert not any(torch.equal(one, other) for i, one in enumerate(every) for other in every[:i])
    for label, of_loss in zeros.items():
        assert all(torch.equal(*pair) for pair in zip(of_loss, again[label], strict=True)), "they follow from seed and step"


@pytest.mark.parametrize("term", ["loss", "gradient"])
def test_a_step_that_is_not_finite_names_itself_and_applies_nothing(term):
    experiment, data, engine = experiment_of(small()[0])
    loss = experiment.losses["masked"].loss
    whole = type(loss).forward

    class Explodes(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * math.inf

    def broken(student, teacher, clock):
        made = whole(loss, student, teacher, clock)
        return LossOutput(made.sum * math.nan if term == "loss" else Explodes.apply(made.sum), made.metrics)

    loss.forward = broken
    before = {name: tensor.clone() for name, tensor in {**experiment.model_tensors(), **experiment.loss_tensors()}.items()}
    with pytest.raises(NotFinite, match=r"step 7: losses\.masked is nan" if term == "loss" else r"step 7: the gradient's norm"):
        train_step(experiment, data, engine, ScheduledOptimizer(experiment), CLOCK, {}, 8)
    after = {**experiment.model_tensors(), **experiment.loss_tensors()}
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_state_moves_in_the_order_optimizer_teacher_after_step():
    experiment, data, engine = experiment_of(small()[0])
    order = []
    optimizer = ScheduledOptimizer(experiment)
    step, rule = optimizer.step, experiment.teacher_update
    optimizer.step = lambda clock: order.append("optimizer") or step(clock)
    spied = type(
        "Spied", (type(rule),), {"__call__": lambda self, *a: order.append("teacher") or type(rule).__call__(rule, *a)}
    )
    object.__setattr__(experiment, "teacher_update", spied(rule.config))
    for label, weighted in experiment.losses.items():
        weighted.loss.after_step = lambda state_inputs, clock, label=label: order.append(label)
    train_step(experiment, data, engine, optimizer, CLOCK, {}, 4)
    assert order == ["optimizer", "teacher", "masked", "distill"]


def test_the_centre_moves_by_the_whole_batch_whatever_the_micro_batch():
    centres = [gradients_of(size, "data.batch_size=8")[2].losses["distill"].loss.center for size in (2, 8)]
    torch.testing.assert_close(centres[0], centres[1], rtol=1e-5, atol=1e-7)
    assert centres[0].abs().sum() > 0


def test_the_teacher_never_gets_a_gradient():
    _, _, experiment = gradients_of(8)
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in experiment.teacher.parameters())


@pytest.mark.parametrize("coupling", ["sample", "batch"])
def test_a_loss_without_twin_heads_reads_a_teacher_that_lacks_even_an_empty_chain(coupling):
    recipe, _, _ = small("self_distill", "losses.masked=null", "views.masked.augment=[]", "views.shifted.augment=[]")
    chosen = recipe.losses["distill"]

    def apart(self, student, teacher, clock):
        one, other = student["masked"], teacher["shifted"]
        assert (one.heads, other.heads) == ({}, {})
        return LossOutput((one.rows.float() - other.rows.float()).square().sum())

    declared = {
        "coupling": coupling, "twin_heads": lambda self: {}, "forward": apart,
        "after_step": lambda self, state_inputs, clock: None, "derived_metrics": lambda self, means: {},
    }  # fmt: skip
    bare = type("Bare", (chosen.component,), declared)
    experiment, data, engine = experiment_of(recipe.model_copy(update={"losses": {"distill": replace(chosen, component=bare)}}))
    experiment.teacher.heads = torch.nn.ModuleDict()
    metrics = train_step(experiment, data, engine, ScheduledOptimizer(experiment), CLOCK, {}, 4)
    assert metrics["distill/loss"] > 0, "the student's bases are masked, the teacher's are not"
    assert "held_out/distill/loss" in Validation(experiment, data, engine, 4).run(CLOCK)


def test_nothing_is_computed_that_no_loss_asks_for():
    experiment, data, engine = experiment_of(small("masked_only")[0])
    experiment.teacher.forward = lambda *a, **k: pytest.fail("no loss reads the teacher")
    batch = training_batch(experiment, data, 0, engine.local_indices(8))
    assert list(batch.views) == ["masked"]
    train_step(experiment, data, engine, ScheduledOptimizer(experiment), CLOCK, {}, 8)


def test_the_step_is_a_pure_function_of_seed_and_step():
    first, _, _ = gradients_of(4)
    again, _, _ = gradients_of(4)
    other, _, _ = gradients_of(4, "seed=8")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["student.encoder.embed.weight"], other["student.encoder.embed.weight"])


def test_crops_of_a_share_give_the_same_gradients_whatever_the_micro_batch():
    """The length is drawn for the step, and not for what a micro-batch happens to hold."""
    shares = ("views.masked.length=[0.5, 0.9]", "views.shifted.length=[0.4, 0.9]")
    whole, metrics, _ = gradients_of(8, *shares)
    for micro_batch in (1, 3):
        parts, same, _ = gradients_of(micro_batch, *shares)
        assert same == pytest.approx(metrics, rel=1e-5, abs=1e-6)
        for name, gradient in whole.items():
            torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_multi_crop_pairs_every_teachers_view_with_every_other_of_the_students():
    """DINO's multi-crop: 2 whole views for both branches and 3 crops give 2 * (2 + 3) - 2 pairs, whatever the micro-batch."""
    crops = (
        "views.masked.see=[student, teacher]", "views.masked.count=2", "views.shifted.see=[student]",
        "views.shifted.length=24", "views.shifted.count=3",
    )  # fmt: skip
    experiment, data, engine = experiment_of(small("self_distill", *crops)[0])
    batch = training_batch(experiment, data, 0, engine.local_indices(8))
    counts = Forward(experiment, engine).counts(batch, experiment.losses)
    assert int(counts["distill"]) == 8 * 8 * 2, "pairs, sequences, class tokens"
    assert int(counts["masked"]) == 2 * 8 * round(0.3 * 64)
    whole, metrics, _ = gradients_of(8, *crops)
    for micro_batch in (1, 3):
        parts, same, _ = gradients_of(micro_batch, *crops)
        assert same == pytest.approx(metrics, rel=1e-5, abs=1e-6)
        for name, gradient in whole.items():
            torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
