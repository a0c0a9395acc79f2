"""Building an experiment from a recipe: its components, connected and checked against each other; no data yet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from findna_kit import rng
from findna_kit.components.heads import batch_norms
from findna_kit.components.interfaces import ViewPlan
from findna_kit.components.strands import embedding_width
from findna_kit.data.crops import CropShare
from findna_kit.data.view_pipeline import ViewPipeline
from findna_kit.errors import Problem, RecipeError
from findna_kit.model.branch import Branch
from findna_kit.model.patches import PatchHead
from findna_kit.model.reverse_complement import on_strands, with_rc
from findna_kit.trainer import Experiment, WeightedLoss

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.components.interfaces import Encoder, Loss
    from findna_kit.recipe import Recipe

Heads = dict[str, nn.Module]


def assemble(recipe: Recipe, device: str = "cpu", *, with_teacher: bool = True) -> Experiment:
    """Build every component of a recipe; the initial weights are a function of the seed.

    device: `meta` builds without allocating memory. with_teacher: False to use the student in the place of the teacher, which
    is cheaper and does not need the run that some teacher updates load.
    Raises RecipeError with every pair of components that do not fit together.
    """
    pipelines = _pipelines(recipe)
    # Weights are drawn in the order of construction. The encoder comes first, so that recipes that differ only in their losses
    # begin with the same encoder.
    with rng.torch_seed(recipe.seed, "weights", device=torch.device("cpu")), torch.device(device):
        choice = recipe.encoder
        built: Encoder = choice.component(
            choice.config, length=recipe.data.length + recipe.class_tokens, class_tokens=recipe.class_tokens
        )
        if choice.rc != "none" and built.strand != "none":  # an instance may differ from its class
            why = f"{choice.name} is strand-{built.strand} by itself; leave rc out"
            raise RecipeError([Problem("recipe", "encoder.rc", why)])
        encoder = with_rc(built, choice.rc, recipe.class_tokens)
        losses: dict[str, Loss] = {
            label: loss.component(loss.config, dim=embedding_width(encoder), class_tokens=recipe.class_tokens)
            for label, loss in recipe.losses.items()
        }
        _check_components(recipe, encoder, losses, [pipeline.plan for pipeline in pipelines])
        heads = {label: _heads(loss, encoder) for label, loss in losses.items()}
        _check_heads(losses, encoder, heads)
        student = Branch(encoder, recipe.class_tokens, {label: twins for label, (twins, _) in heads.items()})
        predictors = nn.ModuleDict({label: nn.ModuleDict(chain) for label, (_, chain) in heads.items()})
        rule = recipe.teacher_update.component(recipe.teacher_update.config)
        # Inside the seeded block, because a rule may build a teacher of another architecture, which draws its own weights.
        teacher = rule.initial(student) if with_teacher else student
        _check_teacher(recipe, student, teacher, losses)
    return Experiment(
        seed=recipe.seed, steps=recipe.steps, length=recipe.data.length, batch_size=recipe.data.batch_size,
        pipelines=_on_stride(pipelines, encoder.stride), student=student, teacher=teacher, predictors=predictors,
        losses={label: WeightedLoss(loss, recipe.losses[label].weight) for label, loss in losses.items()},
        teacher_update=rule, optimizer=recipe.optimizer.component(recipe.optimizer.config),
        clip_norm=recipe.optimizer.clip_norm, trainer=recipe.trainer,
    )  # fmt: skip


def _heads(loss: Loss, encoder: Encoder) -> tuple[Heads, Heads]:
    """Return the twin heads and the student heads of a loss, adapted if they read nucleotides of a patch or of both strands."""
    twins, predictors = loss.twin_heads(), loss.student_heads()
    patches = loss.patch_head(encoder.stride) if loss.head_input == "masked" and encoder.stride > 1 else None
    if patches is not None and loss.nucleotide_head is not None:
        # A dict keeps the place of a key that is replaced, and so the order of the chain.
        twins = {**twins, loss.nucleotide_head: PatchHead(patches, encoder.stride)}
    if encoder.strand != "equivariant" or loss.head_input not in ("masked", "all"):
        return twins, predictors
    # Only the first head of the chain reads embeddings with two halves.
    return (on_strands(twins, loss.nucleotide_head), predictors) if twins else (twins, on_strands(predictors, None))


def _pipelines(recipe: Recipe) -> tuple[ViewPipeline, ...]:
    """Build the pipeline of every view; a view with `count: n` gives n pipelines that differ in their random numbers."""
    return tuple(
        ViewPipeline(
            ViewPlan(name, student="student" in view.see, teacher="teacher" in view.see, masked=view.mask is not None),
            tuple((spec.name, spec.component(spec.config)) for spec in view.augment),
            None if view.mask is None else (view.mask.name, view.mask.component(view.mask.config)),
            _crop(label, view.length),
        )
        for label, view in recipe.views.items()
        for name in _names(label, view.count)
    )


def _crop(label: str, length: int | tuple[float, ...] | None) -> int | CropShare | None:
    """Return the crop that a recipe's `length` describes."""
    if not isinstance(length, tuple):
        return length
    smallest, largest = length
    return CropShare(label, smallest, largest)


def _on_stride(pipelines: tuple[ViewPipeline, ...], stride: int) -> tuple[ViewPipeline, ...]:
    """Return the pipelines with shares rounded to the encoder's stride, which is known only when the encoder is built."""
    return tuple(
        replace(one, crop=replace(one.crop, stride=stride)) if isinstance(one.crop, CropShare) else one for one in pipelines
    )


def _names(label: str, count: int) -> list[str]:
    """Return a view's label, or `label.1`, `label.2`, ... for `count` views. Labels themselves contain no dot."""
    return [label] if count == 1 else [f"{label}.{number}" for number in range(1, count + 1)]


def _check_components(recipe: Recipe, encoder: Encoder, losses: Mapping[str, Loss], views: list[ViewPlan]) -> None:
    """Raise RecipeError with every view, encoder and loss that do not fit together."""
    # All problems are collected, so that the user sees them at once.
    problems = [
        Problem("recipe", f"views.{label}.mask", "hides bases from the student, which does not see this view; leave it out")
        for label, view in recipe.views.items()
        if view.mask is not None and "student" not in view.see
    ]
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in encoder.modules()):
        problems.append(Problem("recipe", "encoder", f"{recipe.encoder.name} has {_BATCH_NORM}"))
    if batch_norms([encoder]):
        why = "a findna_kit.components.BatchNorm, which is for heads: a sample would depend on the others of its batch"
        problems.append(Problem("recipe", "encoder", f"{recipe.encoder.name} has {why}"))
    if encoder.max_length is not None and encoder.max_length < recipe.data.length:
        why = f"{recipe.encoder.name} takes at most {encoder.max_length} nucleotides (got {recipe.data.length})"
        problems.append(Problem("recipe", "data.length", why))
    for label, loss in losses.items():
        reason = _loss_problem(label, loss, encoder) or _view_problem(loss, views)
        if reason is not None:
            problems.append(Problem("recipe", f"losses.{label}", reason))
    if problems:
        raise RecipeError(problems)


def _view_problem(loss: Loss, views: list[ViewPlan]) -> str | None:
    """Return why a loss cannot be used with the views, with a list of them, as a sentence; None if it can."""
    reason = loss.check_views(views)
    return reason and f"{reason}; change `views`, which are now: {', '.join(map(_described, views))}"


def _described(view: ViewPlan) -> str:
    """Return a view's name, the branches that see it, and whether it is masked."""
    branches = " and ".join(name for name, sees in (("student", view.student), ("teacher", view.teacher)) if sees)
    return f"{view.name} (seen by {branches}{', with a mask' if view.masked else ''})"


_BATCH_NORM = "batch normalisation of torch: a sample would depend on its micro-batch, and a forward pass would change state"


def _check_heads(losses: Mapping[str, Loss], encoder: Encoder, heads: Mapping[str, tuple[Heads, Heads]]) -> None:
    """Raise RecipeError for heads that do not fit their loss or the encoder."""
    reasons = {label: _head_problem(losses[label], encoder, *chains) for label, chains in heads.items()}
    problems = [Problem("recipe", f"losses.{label}", reason) for label, reason in reasons.items() if reason is not None]
    if problems:
        raise RecipeError(problems)


def _head_problem(loss: Loss, encoder: Encoder, twins: Heads, predictors: Heads) -> str | None:
    """Return why the heads of a loss cannot be used, as a sentence; None if they can."""
    modules = [*twins.values(), *predictors.values()]
    inside = [module for head in modules for module in head.modules()]
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in inside):
        return f"a head has {_BATCH_NORM}; use findna_kit.components.BatchNorm"
    if loss.coupling == "sample" and batch_norms(modules):
        return "a head normalises over the batch, which the loss does not couple; its author must set coupling = 'batch'"
    patched = loss.head_input == "masked" and encoder.stride > 1
    if patched and not any(isinstance(module, PatchHead) for module in inside):
        return _reads_single(encoder)
    joined = encoder.strand == "equivariant" and loss.head_input in ("masked", "all")
    if joined and not modules:
        return "reads single nucleotides without a head, but the two strands of an equivariant encoder are joined by a head"
    if (patched or joined) and loss.nucleotide_head not in (None, next(iter(twins), None)):
        what = "have tied complements" if joined else "read patches"
        return f"its head {loss.nucleotide_head!r} follows another one, but only the first head can {what}"
    return None


def _reads_single(encoder: Encoder) -> str:
    """Return the reason why a loss over single nucleotides cannot use an encoder with a stride."""
    return f"reads single nucleotides, but {type(encoder).__name__} gives one embedding for {encoder.stride} of them"


def _check_teacher(recipe: Recipe, student: Branch, teacher: Branch, losses: Mapping[str, Loss]) -> None:
    """Raise RecipeError if the teacher, which may have another architecture, does not fit the losses or the window length."""
    problems = []
    bound, length = teacher.encoder.max_length, recipe.data.length
    # The student's own bound has been checked; a teacher that is a copy would repeat the message.
    if bound is not None and bound < length and bound != student.encoder.max_length:
        why = f"the teacher of {recipe.teacher_update.name} takes at most {bound} nucleotides, but data.length is {length}"
        problems.append(Problem("recipe", "teacher_update", why))
    for label, loss in losses.items():
        reason = _teacher_problem(label, loss, student, teacher) if loss.needs_teacher else None
        if reason is not None:
            problems.append(Problem("recipe", f"losses.{label}", reason))
    if problems:
        raise RecipeError(problems)


def _teacher_problem(label: str, loss: Loss, student: Branch, teacher: Branch) -> str | None:
    """Return why a loss that reads the teacher cannot use this one, as a sentence; None if it can."""
    # The chain of a loss without twin heads is empty, and a teacher may lack it.
    if len(student.heads[label]) and label not in teacher.heads:  # type: ignore[arg-type]
        known = ", ".join(teacher.heads) or "none"
        return (
            "reads the teacher through its heads, but the teacher has no heads for this label (it has heads for: "
            f"{known}); use a loss without twin heads, or a teacher that was trained with this loss under the same label"
        )
    if loss.head_input == "class" and teacher.class_tokens != student.class_tokens:
        return f"reads class tokens, but the teacher has {teacher.class_tokens} and the student {student.class_tokens}"
    twins: Heads = dict(teacher.heads[label].items()) if label in teacher.heads else {}  # type: ignore[operator]
    reason = _loss_problem(label, loss, teacher.encoder) or _head_problem(loss, teacher.encoder, twins, {})
    return None if reason is None else f"also reads the teacher, and does not fit its encoder: {reason}"


def _loss_problem(label: str, loss: Loss, encoder: Encoder) -> str | None:
    """Return why a loss cannot be used with an encoder, whatever the views, as a sentence; None if it can."""
    # Heads are kept in a ModuleDict under the loss's label, where torch refuses the names of its methods.
    if hasattr(nn.ModuleDict, label):
        return "torch reserves this label; choose another"
    if list(loss.parameters()):
        return f"{type(loss).__name__} has parameters outside its heads, which would not be trained; move them into a head"
    if loss.coupling not in ("sample", "batch"):
        return f"{type(loss).__name__}.coupling must be sample or batch (got {loss.coupling!r})"
    if loss.layers(encoder.depth) and loss.coupling == "batch":  # may itself raise for a layer beyond the depth
        return "couples the batch, but hidden layers are not available to such a loss"
    # A loss that reads masked positions may have a head for patches, which is checked when it is built.
    if loss.head_input == "all" and encoder.stride != 1:
        return _reads_single(encoder)
    if loss.head_input in ("masked", "all") and encoder.strand == "invariant":
        return "predicts the bases of one strand, but the encoder cannot tell the strands apart; use rc: equivariant"
    return None
