"""Conformance checks of losses. Each function is one check; its docstring is the requirement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from findna_kit.assemble import assemble
from findna_kit.distributed import Engine
from findna_kit.errors import RecipeError
from findna_kit.testing.checks import CPU, abbreviate, identical, make_checks, relative_difference
from findna_kit.testing.experiments import BATCH, CLASS_TOKENS, component_entry, recipe_document, resume_differences
from findna_kit.testing.loss_harness import (
    CLOCK,
    LABEL,
    LAYOUTS,
    LossHarness,
    changed_names,
    find_suitable_views,
    loss_harness,
    recipe_on_views,
    snapshot,
)
from findna_kit.testing.loss_inputs import ROUNDING, detached_leaves, differing_gradients, select_rows
from findna_kit.testing.processes import processes
from findna_kit.trainer.forward import training_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.components.interfaces import Loss
    from findna_kit.components.views import View
    from findna_kit.testing.checks import Case
    from findna_kit.testing.loss_harness import CapturedCall


def check_views(case: Case) -> Iterator[str]:
    """Require that `check_views` describes in a sentence why the loss cannot use some views; on all others the loss works."""
    if isinstance(objections := find_suitable_views(case), list):
        listed = "\n      ".join(objections)
        yield (
            "the loss accepts none of the views of this check; call check_loss with `recipe=` and --set overrides that give "
            f"suitable views:\n      {listed}"
        )
        return
    # Without class tokens too: a loss over them must object.
    for class_tokens in (CLASS_TOKENS, 0):
        for layout in LAYOUTS:
            recipe = recipe_on_views(case, layout, class_tokens)
            situation = f"with {layout}, and class_tokens {class_tokens},"
            try:
                assemble(recipe)
            except RecipeError as error:
                if empty := [problem for problem in error.problems if not problem.message.strip()]:
                    yield (
                        f"{situation} `check_views` returned an empty message ({len(empty)} times ''); return None if the loss "
                        "can use the views, else a sentence"
                    )
                continue
            try:
                _, sums, counts = LossHarness(recipe, warm=False).step(BATCH)
            # Third-party code may raise anything; here it is the finding.
            except Exception as error:  # noqa: BLE001
                yield (
                    f"{situation} `check_views` returned None, and the step raised {type(error).__name__}: {error}; describe "
                    "the problem in `check_views`"
                )
                continue
            if LABEL not in sums.values or not float(counts[LABEL]) > 0:
                yield (
                    f"{situation} `check_views` returned None, and the count was 0; describe in `check_views` what is missing"
                )


def finite(case: Case) -> Iterator[str]:
    """Require that the sum, the metrics, the count and the gradients are finite, in fp32 and under bf16 autocast."""
    # bf16 has 8 bits of mantissa; exponentials and logarithms of its values overflow or lose digits first.
    for precision in ("fp32", "bf16"):
        harness = loss_harness(case, Engine(CPU, precision))
        gradients, sums, counts = harness.step(BATCH)
        numbers: dict[str, Tensor] = {**sums.values[LABEL], "count": counts[LABEL], **gradients}
        if wrong := [name for name, number in numbers.items() if not number.isfinite().all()]:
            yield (
                f"in {precision}, {abbreviate(wrong)} of the first step is not finite; convert the outputs of heads with "
                "`.float()` before exponentials and logarithms"
            )
        if not any(gradient.any() for gradient in gradients.values()):
            yield f"in {precision}, every gradient is zero: the student would not learn from this loss"


def output(case: Case) -> Iterator[str]:
    """Require that `forward` returns a scalar sum, and detached metrics and state inputs; `count` returns a scalar."""
    harness = loss_harness(case, warm=False)
    for call in harness.captured_calls():
        result = call.output
        if result.sum.ndim:
            yield f"`LossOutput.sum` has the shape {tuple(result.sum.shape)}; expected a scalar: sum over items"
        for name, value in result.metrics.items():
            if not isinstance(value, Tensor) or value.ndim or value.requires_grad:
                yield f"the metric {name!r} must be a scalar tensor, a detached sum over the same items"
        samples = len(_first_view(call).tokens)
        for name, value in result.state_inputs.items():
            if value.requires_grad or not value.ndim or len(value) != samples:
                yield (
                    f"`state_inputs[{name!r}]` {tuple(value.shape)} must be detached, and its first dimension must be the "
                    f"{samples} samples of the batch"
                )
    count = harness.loss.count(*_views(harness, slice(None)))
    if not isinstance(count, Tensor) or count.ndim or count.requires_grad:
        yield f"`count` returned {count!r}; expected a scalar tensor"


def _first_view(call: CapturedCall) -> View:
    return next(iter(call.student.values())).view


def _views(harness: LossHarness, part: slice) -> tuple[dict[str, View], dict[str, View]]:
    """Return the views of each branch, for some samples of the batch."""
    indices = harness.engine.local_indices(BATCH)
    batch = training_batch(harness.experiment, harness.data, CLOCK.step, indices).rows(part)
    plans = [pipeline.plan for pipeline in harness.experiment.pipelines]
    student = {plan.name: batch.views[plan.name] for plan in plans if plan.student}
    return student, {plan.name: batch.views[plan.name] for plan in plans if plan.teacher and plan.name in batch.views}


def sums(case: Case) -> Iterator[str]:
    """Require that for a `sample` loss, the sums, metrics and counts of two parts of a batch add up to those of the whole."""
    harness = loss_harness(case)
    # A batch-coupled loss is not additive over parts of a batch; the check `processes` covers it.
    if harness.loss.coupling != "sample":
        return
    (whole,) = harness.captured_calls()
    parts = [
        harness.loss(select_rows(whole.student, part), select_rows(whole.teacher, part), whole.clock)
        for part in (slice(0, 3), slice(3, None))
    ]
    # Parts of unequal size: a mean over samples would pass with equal ones.
    total, added = float(whole.output.sum.detach()), sum(float(part.sum.detach()) for part in parts)
    if abs(added - total) > ROUNDING * max(1e-6, abs(total)):
        yield (
            f"for 8 sequences the sum is {total:.6g}, for the first 3 plus the last 5 it is {added:.6g}: not a sum over items. "
            "Divide by nothing that depends on the batch (no mean): the trainer divides by the global `count`"
        )
    for name, value in whole.output.metrics.items():
        split = sum(float(part.metrics[name]) for part in parts)
        if abs(split - float(value)) > ROUNDING * max(1e-6, abs(float(value))):
            yield (
                f"the metric {name!r} is {float(value):.6g} for 8 sequences and {split:.6g} for 3 plus 5; a metric must be a "
                "sum over the same items"
            )
    counts = [float(harness.loss.count(*_views(harness, part))) for part in (slice(None), slice(0, 3), slice(3, None))]
    # Counts are added over processes and micro-batches, like sums.
    if abs(counts[0] - counts[1] - counts[2]) > ROUNDING * counts[0]:
        yield f"`count` is {counts[0]:g} for 8 sequences, and {counts[1]:g} and {counts[2]:g} for 3 and 5; these must add up"


def micro_batches(case: Case) -> Iterator[str]:
    """Require that the gradient and the metrics are the same for every size of the micro-batch, to rounding."""
    harness = loss_harness(case)
    expected, expected_sums, expected_counts = harness.step(BATCH)
    # Sizes that divide the batch of 8, and one that leaves a smaller rest.
    for size in (4, 3, 2):
        gradients, sums, counts = harness.step(size)
        differing = differing_gradients(gradients, expected)
        differing += [
            f"{name} ({float(sums.values[LABEL][name]):.6g} instead of {float(value):.6g})"
            for name, value in expected_sums.values[LABEL].items()
            if not relative_difference(sums.values[LABEL][name], value) <= ROUNDING
        ]
        differing += [] if identical(counts[LABEL], expected_counts[LABEL]) else ["the count"]
        if differing:
            yield (
                f"with micro-batches of {size} instead of 8, these differ: {abbreviate(differing)}. Sum over items and let the "
                "trainer divide by `count`; a loss that compares sequences with each other declares coupling = 'batch'"
            )
            return


def pure_forward(case: Case) -> Iterator[str]:
    """Require that `forward` changes no buffer, attribute or parameter; a second call gives the same sum."""
    harness = loss_harness(case)
    modules = {"": harness.loss, "student": harness.experiment.student, "teacher": harness.experiment.teacher}
    registered = {name: tensor.clone() for name, tensor in harness.loss.state_dict(keep_vars=True).items()}
    first = harness.captured_calls()
    # Buffers are compared before the first call, attributes after it: a cache that the first call fills is allowed.
    buffers = [
        name for name, tensor in harness.loss.state_dict(keep_vars=True).items() if not identical(tensor, registered[name])
    ]
    before = {owner: _state(owner, module) for owner, module in modules.items()}
    second = harness.captured_calls(step=CLOCK.step)
    changed = [
        *buffers,
        *(
            f"{owner} {name}".strip()
            for owner, module in modules.items()
            for name in changed_names(before[owner], _state(owner, module))
        ),
    ]
    if changed:
        yield (
            f"`forward` changed {abbreviate(dict.fromkeys(changed))}; it is called once for each micro-batch, and for "
            "validation. Return what changes state in `LossOutput.state_inputs`, and change the state in `after_step`, once "
            "per step"
        )
    # Equal inputs must give equal sums, or a resumed run would differ.
    elif [float(call.output.sum.detach()) for call in first] != [float(call.output.sum.detach()) for call in second]:
        yield "two calls of `forward` on the same views gave different sums: the loss depends on more than its arguments"


def _state(owner: str, module: torch.nn.Module) -> dict[str, Any]:
    """Return all attributes of the loss, and the registered tensors of a branch.

    The heads of a branch may record batch statistics in attributes until `after_step`.
    """
    if not owner:
        return snapshot(module)
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def student_only(case: Case) -> Iterator[str]:
    """Require that the gradient reaches the student's outputs and not the teacher's; no output is changed in place."""
    harness = loss_harness(case)
    reached = False
    for call in harness.captured_calls():
        student_leaves: list[tuple[Tensor, Tensor]] = []
        teacher_leaves: list[tuple[Tensor, Tensor]] = []
        # Cut off from the encoders, so that a gradient can be attributed to an output.
        student, teacher = detached_leaves(call.student, student_leaves), detached_leaves(call.teacher, teacher_leaves)
        result = harness.loss(student, teacher, call.clock)
        if not result.sum.requires_grad:
            yield "`LossOutput.sum` has no gradient: the student would not learn from it; do not detach the student's outputs"
            return
        result.sum.backward()
        reached |= any(leaf.grad is not None and bool(leaf.grad.any()) for leaf, _ in student_leaves)
        if any(leaf.grad is not None and bool(leaf.grad.any()) for leaf, _ in teacher_leaves):
            yield "a gradient reaches the teacher's outputs; use targets with `.detach()`"
        if any(not identical(leaf.detach(), copy) for leaf, copy in (*student_leaves, *teacher_leaves)):
            yield "an output of a branch was changed in place; other losses use the same tensors: create new ones"
    if not reached:
        yield "no gradient reaches the student's outputs"


def after_step(case: Case) -> Iterator[str]:
    """Require that all state that `after_step` changes is in persistent buffers."""
    harness = loss_harness(case)
    before = snapshot(harness.loss)
    # Every attribute is compared, not only buffers: state outside of buffers is what this check is for.
    harness.train(2, first=CLOCK.step)
    after = snapshot(harness.loss)
    saved = harness.loss.state_dict()
    if lost := [name for name in changed_names(before, after) if name not in saved]:
        yield (
            f"two steps changed {abbreviate(lost)}, which is not in the checkpoint: a resumed run would start without it. "
            "Make it a buffer (register_buffer, persistent), including numbers and counters"
        )
    if wrong := [name for name, tensor in saved.items() if not tensor.isfinite().all()]:
        yield f"after four steps {abbreviate(wrong)} is not finite"


def heads(case: Case) -> Iterator[str]:
    """Require that every call creates new heads; all trainable parameters are in heads."""
    loss = loss_harness(case).loss
    if parameters := [name for name, _ in loss.named_parameters()]:
        yield f"the loss has parameters ({abbreviate(parameters)}) that would not be trained; return them in heads"
    # Teacher and student need separate modules, so a method that returns a stored module would share weights.
    for method in ("twin_heads", "student_heads"):
        first, second = getattr(loss, method)(), getattr(loss, method)()
        if shared := [name for name in first if first[name] is second[name]]:
            yield f"two calls of `{method}` returned the same {abbreviate(shared)}; create the modules in the method"
    if both := sorted(loss.twin_heads().keys() & loss.student_heads().keys()):
        yield f"{abbreviate(both)} is the name of a twin and of a student head; outputs are found by name: use different names"
    yield from _patch_head_problems(loss)


def _patch_head_problems(loss: Loss, stride: int = 3) -> Iterator[str]:
    """Yield a message if the head for patches does not give four logits for each base of a patch."""
    head, expected = loss.patch_head(stride), (2, 4 * stride)
    made = expected if head is None else tuple(head(torch.zeros(2, loss.dim)).shape)
    if head is not None and (loss.nucleotide_head is None or made != expected):
        yield (
            f"`patch_head({stride})` maps (2, {loss.dim}) to {made}, and `nucleotide_head` is {loss.nucleotide_head!r}; "
            f"expected {expected}, four logits for each of {stride} bases, and the name of the twin head that it replaces"
        )


def resume(case: Case) -> Iterator[str]:
    """Require that a run that is interrupted and resumed equals an uninterrupted one, bit for bit."""
    suitable = find_suitable_views(case)
    if not isinstance(suitable, list):
        document = recipe_document(views=LAYOUTS[suitable[0]], losses={LABEL: component_entry(case)})
        yield from resume_differences(case, document)


LOSS = make_checks(
    check_views, finite, output, sums, micro_batches, processes, pure_forward, student_only, after_step, heads, resume,
    once=("processes",),
)  # fmt: skip
