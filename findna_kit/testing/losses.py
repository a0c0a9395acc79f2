"""What is asked of a loss."""

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

    from findna_kit.components.views import View
    from findna_kit.testing.checks import Case
    from findna_kit.testing.loss_harness import Captured


def problem(case: Case) -> Iterator[str]:
    """`problem` says in a sentence which views it cannot work on, and those it has nothing against it works on."""
    if isinstance(reasons := find_suitable_views(case), list):
        listed = "\n      ".join(reasons)
        yield (
            "it works on none of the views tried; give check_loss a `recipe=` of --sets with views that suit it:\n      "
            f"{listed}"
        )
        return
    for class_tokens in (CLASS_TOKENS, 0):
        for layout in LAYOUTS:
            recipe = recipe_on_views(case, layout, class_tokens)
            what = f"of {layout}, with class_tokens {class_tokens},"
            try:
                assemble(recipe)
            except RecipeError as error:
                if silent := [one for one in error.problems if not one.message.strip()]:
                    yield (
                        f"{what} `problem` said nothing ({len(silent)} times ''); None means that it can work, else a "
                        "sentence is wanted"
                    )
                continue
            try:
                _, sums, counts = LossHarness(recipe, begun=False).step(BATCH)
            # What a stranger's loss raises here is the finding.
            except Exception as error:  # noqa: BLE001
                yield (
                    f"{what} `problem` said None, and then the step raised {type(error).__name__}: {error}; say it in `problem`"
                )
                continue
            if LABEL not in sums.values or not float(counts[LABEL]) > 0:
                yield f"{what} `problem` said None, and then there was nothing to count; say in `problem` what is missing"


def finite(case: Case) -> Iterator[str]:
    """The sum, its metrics, the count and the gradients are finite, in fp32 and under bf16 autocast."""
    for precision in ("fp32", "bf16"):
        tried = loss_harness(case, Engine(CPU, precision))
        gradients, sums, counts = tried.step(BATCH)
        numbers: dict[str, Tensor] = {**sums.values[LABEL], "count": counts[LABEL], **gradients}
        if wrong := [name for name, number in numbers.items() if not number.isfinite().all()]:
            yield (
                f"in {precision}, {abbreviate(wrong)} of a first step are not finite; take heads' outputs `.float()` before "
                "exponentials and logarithms"
            )
        if not any(gradient.any() for gradient in gradients.values()):
            yield f"in {precision}, every gradient is zero: nothing of the student would learn from it"


def term(case: Case) -> Iterator[str]:
    """`forward` gives a sum that is one number, metrics and carry without gradient, carry by rows; `count` one number."""
    tried = loss_harness(case, begun=False)
    for one in tried.captured():
        made = one.term
        if made.sum.ndim:
            yield f"`Term.sum` has the shape {tuple(made.sum.shape)}; one number is wanted: sum over items"
        for name, value in made.metrics.items():
            if not isinstance(value, Tensor) or value.ndim or value.requires_grad:
                yield f"the metric {name!r} is to be a tensor of one number, a sum over the same items, detached"
        for name, value in made.state_inputs.items():
            if value.requires_grad or not value.ndim or len(value) != len(_view(one).tokens):
                shape = tuple(value.shape)
                yield (
                    f"`carry[{name!r}]` {shape} is to be detached, its first dimension the {len(_view(one).tokens)} rows of "
                    "the batch"
                )
    count = tried.loss.count(*_views(tried, slice(None)))
    if not isinstance(count, Tensor) or count.ndim or count.requires_grad:
        yield f"`count` gave {count!r}; a tensor of one number is wanted"


def _view(captured: Captured) -> View:
    return next(iter(captured.student.values())).view


def _views(tried: LossHarness, part: slice) -> tuple[dict[str, View], dict[str, View]]:
    """The views that each branch sees, some rows of them."""
    batch = training_batch(tried.experiment, tried.data, CLOCK.step, tried.engine.local_indices(BATCH)).rows(part)
    plans = [pipeline.plan for pipeline in tried.experiment.pipelines]
    student = {plan.name: batch.views[plan.name] for plan in plans if plan.student}
    return student, {plan.name: batch.views[plan.name] for plan in plans if plan.teacher and plan.name in batch.views}


def sums(case: Case) -> Iterator[str]:
    """A `sample` loss is a sum over items: over two parts of a batch it comes to that of the whole, and so does its count."""
    tried = loss_harness(case)
    if tried.loss.coupling != "sample":
        return
    (whole,) = tried.captured()
    parts = [
        tried.loss(select_rows(whole.student, part), select_rows(whole.teacher, part), whole.clock)
        for part in (slice(0, 3), slice(3, None))
    ]
    total, together = float(whole.term.sum.detach()), sum(float(part.sum.detach()) for part in parts)
    if abs(together - total) > ROUNDING * max(1e-6, abs(total)):
        yield (
            f"of 8 sequences its sum is {total:.6g}, of the first 3 and the last 5 it is {together:.6g}: no sum over items. Do "
            "not divide by anything that depends on the batch (no mean): the trainer divides by the global `count`"
        )
    for name, value in whole.term.metrics.items():
        split = sum(float(part.metrics[name]) for part in parts)
        if abs(split - float(value)) > ROUNDING * max(1e-6, abs(float(value))):
            yield (
                f"its metric {name!r} of 8 sequences is {float(value):.6g}, of 3 and 5 it is {split:.6g}; a metric is a sum "
                "over the same items"
            )
    counts = [float(tried.loss.count(*_views(tried, part))) for part in (slice(None), slice(0, 3), slice(3, None))]
    if abs(counts[0] - counts[1] - counts[2]) > ROUNDING * counts[0]:
        yield f"`count` of 8 sequences is {counts[0]:g}, of 3 and 5 it is {counts[1]:g} and {counts[2]:g}; they are to add up"


def micro_batches(case: Case) -> Iterator[str]:
    """The gradient and the metrics are the same for every micro-batch, to rounding."""
    tried = loss_harness(case)
    whole, all_sums, counts = tried.step(BATCH)
    for size in (4, 3, 2):
        gradients, part_sums, part_counts = tried.step(size)
        found = differing_gradients(gradients, whole)
        found += [
            f"{name} ({float(part_sums.values[LABEL][name]):.6g} for {float(value):.6g})"
            for name, value in all_sums.values[LABEL].items()
            if not relative_difference(part_sums.values[LABEL][name], value) <= ROUNDING
        ]
        found += [] if identical(part_counts[LABEL], counts[LABEL]) else ["the count"]
        if found:
            yield (
                f"with 8 sequences in micro-batches of {size} in place of one of 8, these differ: {abbreviate(found)}. Sum over "
                "items and let the "
                "trainer divide by `count`; what compares sequences with one another declares coupling = 'batch'"
            )
            return


def pure_forward(case: Case) -> Iterator[str]:
    """`forward` moves no state: no buffer, no attribute, no parameter; called again, it gives the same."""
    tried = loss_harness(case)
    modules = {"": tried.loss, "student": tried.experiment.student, "teacher": tried.experiment.teacher}
    registered = {name: tensor.clone() for name, tensor in tried.loss.state_dict(keep_vars=True).items()}
    first = tried.captured()
    lazily = [name for name, tensor in tried.loss.state_dict(keep_vars=True).items() if not identical(tensor, registered[name])]
    before = {owner: _state(owner, module) for owner, module in modules.items()}
    again = tried.captured(step=CLOCK.step)
    changed = [
        *lazily,
        *(
            f"{owner} {name}".strip()
            for owner, module in modules.items()
            for name in changed_names(before[owner], _state(owner, module))
        ),
    ]
    if changed:
        yield (
            f"`forward` moved {abbreviate(dict.fromkeys(changed))}; a step calls it once for each micro-batch, a look at held-out "
            "windows too. Give what moves "
            "state to `Term.carry`, and move it in `after_step`, once a step"
        )
    elif [float(one.term.sum.detach()) for one in first] != [float(one.term.sum.detach()) for one in again]:
        yield "`forward` called twice on the same views gave two sums: it depends on something other than what it is given"


def _state(owner: str, module: torch.nn.Module) -> dict[str, Any]:
    """Of the loss everything; of the branches what is registered: a head may keep what it has seen until `after_step`."""
    return snapshot(module) if not owner else {name: one.detach().clone() for name, one in module.state_dict().items()}


def student_only(case: Case) -> Iterator[str]:
    """The gradient reaches the student's outputs alone, never the teacher's; neither is changed in place."""
    tried = loss_harness(case)
    reached = False
    for one in tried.captured():
        leaves: list[tuple[Tensor, Tensor]] = []
        student, theirs = detached_leaves(one.student, []), detached_leaves(one.teacher, leaves)
        mine: list[tuple[Tensor, Tensor]] = []
        student = detached_leaves(one.student, mine)
        made = tried.loss(student, theirs, one.clock)
        if not made.sum.requires_grad:
            yield "`Term.sum` has no gradient: the student would learn nothing from it; do not detach what the student made"
            return
        made.sum.backward()
        reached |= any(leaf.grad is not None and bool(leaf.grad.any()) for leaf, _ in mine)
        if any(leaf.grad is not None and bool(leaf.grad.any()) for leaf, _ in leaves):
            yield "a gradient reaches the teacher's outputs; take targets `.detach()`ed, whoever made them"
        if any(not identical(leaf.detach(), kept) for leaf, kept in (*mine, *leaves)):
            yield "it changed an output of a branch in place; other losses are given the same tensors: make new ones"
    if not reached:
        yield "no gradient reaches the student's outputs"


def after_step(case: Case) -> Iterator[str]:
    """All that `after_step` moves is in buffers that are saved."""
    tried = loss_harness(case)
    before = snapshot(tried.loss)
    tried.train(2, first=CLOCK.step)
    after = snapshot(tried.loss)
    saved = tried.loss.state_dict()
    if lost := [name for name in changed_names(before, after) if name not in saved]:
        yield (
            f"two steps moved {abbreviate(lost)}, which no checkpoint holds: a resumed run would begin anew with it. Make it a "
            "buffer "
            "(register_buffer, persistent), numbers and counters too"
        )
    if odd := [name for name, tensor in saved.items() if not tensor.isfinite().all()]:
        yield f"after four steps {abbreviate(odd)} is not finite"


def own_heads(case: Case) -> Iterator[str]:
    """Heads are made anew by every call and kept by nobody; what is trained lies in them."""
    loss = loss_harness(case).loss
    if own := [name for name, _ in loss.named_parameters()]:
        yield f"keeps parameters of its own ({abbreviate(own)}), which nobody would train; return them as heads"
    for method in ("twin_heads", "student_heads"):
        one, two = getattr(loss, method)(), getattr(loss, method)()
        if shared := [name for name in one if one[name] is two[name]]:
            yield f"`{method}` gave the same {abbreviate(shared)} twice; build the modules in it"
    if both := sorted(loss.twin_heads().keys() & loss.student_heads().keys()):
        yield f"the head {abbreviate(both)} is both a twin and the student's own; a loss finds outputs by name: give each its own"


def resume(case: Case) -> Iterator[str]:
    """A run that is cut off and resumed equals one that was not, bit for bit."""
    found = find_suitable_views(case)
    if not isinstance(found, list):
        yield from resume_differences(case, recipe_document(views=LAYOUTS[found[0]], losses={LABEL: component_entry(case)}))


LOSS = make_checks(
    problem, finite, term, sums, micro_batches, processes, pure_forward, student_only, after_step, own_heads, resume,
    once=("processes",),
)  # fmt: skip
