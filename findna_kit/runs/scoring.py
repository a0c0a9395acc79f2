"""The options of an evaluation: protocols, and how sequences are embedded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from findna_kit.errors import FindnaError
from findna_kit.evaluation import EvaluationRequest

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from findna_kit.inference.frozen_model import BranchName, Pooling, Strand
    from findna_kit.recipe import Recipe


@dataclass(frozen=True)
class Scoring:
    """The options with which a run is scored.

    strand: with `auto`, k-NN and the linear probe take the forward strand or both, whichever scores higher on the validation
    split; the others take the forward strand. finetune: `K=V` settings of fine-tuning. data: the folder with the data of
    shipped tasks. sequence_column, label_column: of tasks that are tables.

    Raises FindnaError for options that the requested protocols would ignore.
    """

    asked: EvaluationRequest = field(default_factory=EvaluationRequest)
    pooling: Pooling = "mean_std"
    layer: int | None = None
    strand: Strand | Literal["auto"] = "auto"
    branch: BranchName | None = None
    step: int | None = None
    finetune: tuple[str, ...] = ()
    drop_leaked: bool = False
    data: Path | None = None
    device: str = "auto"
    without: Collection[str] = ()
    sequence_column: str | None = None
    label_column: str | None = None

    @property
    def strands(self) -> tuple[Strand, ...]:
        """Return the choices of strands that a protocol has, the simplest first."""
        return ("forward", "both") if self.strand == "auto" else (self.strand,)

    def __post_init__(self) -> None:
        """Refuse a layer with fine-tuning, and settings of fine-tuning without it."""
        tuned = "finetune" in self.asked.protocols
        if tuned and self.layer is not None:
            # The result records one layer for all protocols, and fine-tuning would not have used it.
            raise FindnaError(
                f"layer {self.layer} applies to frozen embeddings; fine-tuning uses the first blocks of an encoder with "
                "--finetune blocks=N: request it in a separate call, without a layer"
            )
        if self.finetune and not tuned:
            raise FindnaError(f"{self.finetune[0]!r} is a setting of fine-tuning, which is not requested: add finetune")


def recipe_scoring(recipe: Recipe, device: str, without: Collection[str]) -> Scoring:
    """Return how a recipe asks for its own run to be scored, with the plugins that it was trained with."""
    settings = recipe.evaluation
    return Scoring(EvaluationRequest(tuple(settings.protocols), settings.seeds), device=device, without=tuple(without))
