"""From a recipe to the parts that it names, built and connected; no data yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from findna_kit import rng
from findna_kit.components.heads import batch_norms
from findna_kit.components.interfaces import ViewPlan
from findna_kit.components.strands import embedding_width
from findna_kit.data.view_pipeline import ViewPipeline
from findna_kit.errors import Problem, RecipeError
from findna_kit.model.branch import Branch
from findna_kit.model.reverse_complement import on_strands, with_rc
from findna_kit.trainer import Experiment, WeightedLoss

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.components.interfaces import Encoder, Loss
    from findna_kit.recipe import Recipe

Heads = dict[str, nn.Module]


def assemble(recipe: Recipe, device: str = "cpu", *, taught: bool = True) -> Experiment:
    """Builds every part; the initial weights are a function of the seed. Device `meta` builds without memory.

    taught: False where only the student is wanted, which then stands for its teacher: a rule may need another run for that.
    Raises RecipeError with every pair of parts that do not go together.
    """
    pipelines = _pipelines(recipe)
    with rng.torch_seed(recipe.seed, "weights", device=torch.device("cpu")), torch.device(device):
        choice = recipe.encoder
        made: Encoder = choice.component(
            choice.config, length=recipe.data.length + recipe.class_tokens, class_tokens=recipe.class_tokens
        )
        if choice.rc not in (None, "none") and made.strand != "none":  # an instance may say otherwise than its class
            why = f"{choice.name} is strand-{made.strand} by itself; leave rc out"
            raise RecipeError([Problem("recipe", "encoder.rc", why)])
        encoder = with_rc(made, choice.rc or "none", recipe.class_tokens)
        losses: dict[str, Loss] = {
            label: loss.component(loss.config, dim=embedding_width(encoder), class_tokens=recipe.class_tokens)
            for label, loss in recipe.losses.items()
        }
        _refuse_misfits(recipe, encoder, losses, [pipeline.plan for pipeline in pipelines])
        heads = {label: _heads(loss, encoder) for label, loss in losses.items()}
        _refuse_heads(losses, encoder, heads)
        student = Branch(encoder, recipe.class_tokens, {label: twins for label, (twins, _) in heads.items()})
        predictors = nn.ModuleDict({label: nn.ModuleDict(own) for label, (_, own) in heads.items()})
        rule = recipe.teacher_update.component(recipe.teacher_update.config)
        teacher = rule.initial(student) if taught else student
        _refuse_teacher(recipe, student, teacher, losses)
    return Experiment(
        seed=recipe.seed, steps=recipe.steps, length=recipe.data.length, batch_size=recipe.data.batch_size,
        pipelines=pipelines, student=student, teacher=teacher, predictors=predictors,
        losses={label: WeightedLoss(loss, recipe.losses[label].weight) for label, loss in losses.items()},
        teacher_update=rule, optimizer=recipe.optimizer, trainer=recipe.trainer,
    )  # fmt: skip


def _heads(loss: Loss, encoder: Encoder) -> tuple[Heads, Heads]:
    """The twin heads and the student's own; those that read single nucleotides of an equivariant encoder, on both strands."""
    twins, own = loss.twin_heads(), loss.student_heads()
    if encoder.strand != "equivariant" or loss.head_input not in ("masked", "all"):
        return twins, own
    return (on_strands(twins, loss.nucleotide_head), own) if twins else (twins, on_strands(own, None))


def _pipelines(recipe: Recipe) -> tuple[ViewPipeline, ...]:
    return tuple(
        ViewPipeline(
            ViewPlan(name, student="student" in view.see, teacher="teacher" in view.see, masked=view.mask is not None),
            tuple((part.name, part.component(part.config)) for part in view.augment),
            None if view.mask is None else (view.mask.name, view.mask.component(view.mask.config)),
            view.length,
        )
        for label, view in recipe.views.items()
        for name in _names(label, view.count)
    )


def _names(label: str, count: int) -> list[str]:
    """A view's label, or, where several are made alike, `label.1`, `label.2`, ...: no label has a dot."""
    return [label] if count == 1 else [f"{label}.{number}" for number in range(1, count + 1)]


def _refuse_misfits(recipe: Recipe, encoder: Encoder, losses: Mapping[str, Loss], views: list[ViewPlan]) -> None:
    problems = [
        Problem("recipe", f"views.{label}.mask", "hides bases from the student, which does not see this view; leave it out")
        for label, view in recipe.views.items()
        if view.mask is not None and "student" not in view.see
    ]
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in encoder.modules()):
        problems.append(Problem("recipe", "encoder", f"{recipe.encoder.name} has {_BATCH_NORM}"))
    if batch_norms([encoder]):
        why = "findna_kit.components.BatchNorm inside, which is for heads: a row would depend on its neighbours"
        problems.append(Problem("recipe", "encoder", f"{recipe.encoder.name} has {why}"))
    if encoder.max_length is not None and encoder.max_length < recipe.data.length:
        why = f"{recipe.encoder.name} takes at most {encoder.max_length} nucleotides (got {recipe.data.length})"
        problems.append(Problem("recipe", "data.length", why))
    for label, loss in losses.items():
        reason = _misfit(label, loss, encoder) or loss.check_views(views)
        if reason is not None:
            problems.append(Problem("recipe", f"losses.{label}", reason))
    if problems:
        raise RecipeError(problems)


_BATCH_NORM = "batch normalisation of torch's inside: a row would depend on its neighbours, and a forward move state"


def _refuse_heads(losses: Mapping[str, Loss], encoder: Encoder, heads: Mapping[str, tuple[Heads, Heads]]) -> None:
    """RecipeError for heads that do not go with their loss or the encoder."""
    wrong = {label: _wrong_heads(losses[label], encoder, twins, own) for label, (twins, own) in heads.items()}
    problems = [Problem("recipe", f"losses.{label}", reason) for label, reason in wrong.items() if reason is not None]
    if problems:
        raise RecipeError(problems)


def _wrong_heads(loss: Loss, encoder: Encoder, twins: Heads, own: Heads) -> str | None:
    modules = [*twins.values(), *own.values()]
    inside = [module for head in modules for module in head.modules()]
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in inside):
        return f"a head has {_BATCH_NORM}; findna_kit.components.BatchNorm is the one to use"
    if loss.coupling == "sample" and batch_norms(modules):
        return "a head normalises over the batch, which the loss does not couple; its author must say coupling = 'batch'"
    if encoder.strand != "equivariant" or loss.head_input not in ("masked", "all"):
        return None
    if not modules:
        return "reads single nucleotides without a head, and of an equivariant encoder only a head can join the strands"
    if loss.nucleotide_head not in (None, next(iter(twins), None)):
        return f"its head {loss.nucleotide_head!r} follows another one, and complements can be tied in the first one only"
    return None


def _refuse_teacher(recipe: Recipe, student: Branch, teacher: Branch, losses: Mapping[str, Loss]) -> None:
    """RecipeError where the rule's teacher, which may be of another architecture, cannot give what is asked of it."""
    problems = []
    bound, length = teacher.encoder.max_length, recipe.data.length
    if bound is not None and bound < length and bound != student.encoder.max_length:
        why = f"the teacher of {recipe.teacher_update.name} takes at most {bound} nucleotides, and data.length is {length}"
        problems.append(Problem("recipe", "teacher_update", why))
    for label, loss in losses.items():
        reason = _untaught(label, loss, student, teacher) if loss.needs_teacher else None
        if reason is not None:
            problems.append(Problem("recipe", f"losses.{label}", reason))
    if problems:
        raise RecipeError(problems)


def _untaught(label: str, loss: Loss, student: Branch, teacher: Branch) -> str | None:
    """Why a loss that reads the teacher cannot read this one."""
    if len(student.heads[label]) and label not in teacher.heads:  # type: ignore[arg-type]
        known = ", ".join(teacher.heads) or "none"
        return (
            "reads what its heads make of the teacher, and the teacher that the rule gives has no such heads (it has those of: "
            f"{known}); take a loss without twin heads, or a teacher that was trained with this one under the same label"
        )
    if loss.head_input == "class" and teacher.class_tokens != student.class_tokens:
        return f"reads class tokens, of which the teacher has {teacher.class_tokens} and the student {student.class_tokens}"
    twins: Heads = dict(teacher.heads[label].items()) if label in teacher.heads else {}  # type: ignore[operator]
    reason = _misfit(label, loss, teacher.encoder) or _wrong_heads(loss, teacher.encoder, twins, {})
    return None if reason is None else f"reads the teacher too, and of its encoder: {reason}"


def _misfit(label: str, loss: Loss, encoder: Encoder) -> str | None:
    """Why a loss and an encoder do not go together, whatever the views."""
    if hasattr(nn.ModuleDict, label):
        return "torch keeps this label for itself; take another"
    if list(loss.parameters()):
        return f"{type(loss).__name__} has parameters of its own, which nobody would train; what is trained belongs into a head"
    if loss.coupling not in ("sample", "batch"):
        return f"{type(loss).__name__}.coupling must be sample or batch (got {loss.coupling!r})"
    if loss.layers(encoder.depth) and loss.coupling == "batch":  # it may refuse the depth itself
        return "couples the batch, and hidden layers are not kept for that"
    if loss.head_input in ("masked", "all") and encoder.stride != 1:
        return f"reads single nucleotides, and {type(encoder).__name__} gives one embedding for {encoder.stride} of them"
    if loss.head_input in ("masked", "all") and encoder.strand == "invariant":
        return "asks for the bases of one strand, and the encoder cannot tell the strands apart; rc: equivariant could"
    return None
