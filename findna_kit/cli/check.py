"""The command `check`: validate a recipe without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.cli.console import print_line
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Overrides, RecipeArgument, Without

if TYPE_CHECKING:
    from findna_kit.api import preparation
else:
    preparation = LazyModule("findna_kit.api.preparation")


def check(recipe: RecipeArgument, overrides: Overrides = None, without: Without = None) -> None:
    """Validate a recipe, assemble it without allocating memory, and check its files and tasks.

    The genome must exist, but it is not read.
    """
    # The checks that `run` makes before its first step, without what needs the content of the genome.
    loaded, _, _ = preparation.load(recipe, overrides or [], without or [])
    experiment = preparation.dry_assemble(loaded)
    encoder = sum(parameter.numel() for parameter in experiment.student.encoder.parameters())
    trained = sum(parameter.numel() for parameter in experiment.trainable().values())
    print_line(f"{loaded.name}: valid; {encoder:,} parameters in the encoder, {trained:,} trainable in all")
