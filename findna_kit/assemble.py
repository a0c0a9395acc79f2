"""From a recipe to the parts that it names, built and connected; no data yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from findna_kit import seeds
from findna_kit.errors import Problem, RecipeError
from findna_kit.interfaces import ViewPlan
from findna_kit.network import Branch
from findna_kit.pipeline import ViewPipeline
from findna_kit.trainer import Experiment, WeightedLoss

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.interfaces import Encoder, Loss
    from findna_kit.recipe import Recipe


def assemble(recipe: Recipe, device: str = "cpu") -> Experiment:
    """Builds every part; the initial weights are a function of the seed. Device `meta` builds without memory.

    Raises RecipeError with every pair of parts that do not go together.
    """
    pipelines = _pipelines(recipe)
    with seeds.torch_seed(recipe.seed, "weights", device=torch.device("cpu")), torch.device(device):
        choice = recipe.encoder
        encoder: Encoder = choice.component(
            choice.config, length=recipe.data.length + recipe.class_tokens, class_tokens=recipe.class_tokens
        )
        losses: dict[str, Loss] = {
            label: loss.component(loss.config, dim=encoder.dim, class_tokens=recipe.class_tokens)
            for label, loss in recipe.losses.items()
        }
        _refuse_misfits(recipe, encoder, losses, [pipeline.plan for pipeline in pipelines])
        student = Branch(encoder, recipe.class_tokens, {label: loss.twin_heads() for label, loss in losses.items()})
        predictors = nn.ModuleDict({label: nn.ModuleDict(loss.student_heads()) for label, loss in losses.items()})
        rule = recipe.teacher_update.component(recipe.teacher_update.config)
        teacher = rule.initial(student)
    return Experiment(
        seed=recipe.seed, steps=recipe.steps, length=recipe.data.length, batch_size=recipe.data.batch_size,
        pipelines=pipelines, student=student, teacher=teacher, predictors=predictors,
        losses={label: WeightedLoss(loss, recipe.losses[label].weight) for label, loss in losses.items()},
        teacher_update=rule, optimizer=recipe.optimizer, trainer=recipe.trainer,
    )  # fmt: skip


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
    if encoder.strand == "equivariant":
        problems.append(Problem("recipe", "encoder", "is strand-equivariant, which comes with a later release"))
    for label, loss in losses.items():
        reason = _misfit(label, loss, encoder) or loss.problem(views)
        if reason is not None:
            problems.append(Problem("recipe", f"losses.{label}", reason))
    if problems:
        raise RecipeError(problems)


def _misfit(label: str, loss: Loss, encoder: Encoder) -> str | None:
    """Why a loss and an encoder do not go together, whatever the views."""
    if hasattr(nn.ModuleDict, label):
        return "torch keeps this label for itself; take another"
    if list(loss.parameters()):
        return f"{type(loss).__name__} has parameters of its own, which nobody would train; what is trained belongs into a head"
    if loss.coupling == "batch" and loss.layers(encoder.depth):
        return "couples the batch, and hidden layers are not kept for that"
    if loss.reads in ("masked", "all") and encoder.stride != 1:
        return f"reads single nucleotides, and {type(encoder).__name__} gives one embedding for {encoder.stride} of them"
    if loss.reads in ("masked", "all") and encoder.strand == "invariant":
        return f"asks for the bases of one strand, and {type(encoder).__name__} cannot tell the strands apart"
    return None
