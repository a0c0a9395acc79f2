"""The command `check`: validate a recipe or a study without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.cli.console import log, print_line
from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Overrides, RecipeOrStudyArgument, Without, refuse_overrides_of_study

if TYPE_CHECKING:
    from findna_kit.api import preparation
    from findna_kit.study import load as study_files
else:
    preparation, study_files = LazyModule("findna_kit.api.preparation"), LazyModule("findna_kit.study.load")


def check(recipe: RecipeOrStudyArgument, overrides: Overrides = None, without: Without = None) -> None:
    """Validate a recipe, or every condition of a study: assemble it without allocating memory, check its files and tasks.

    The genome must exist, but it is not read.
    """
    if study_files.is_study(recipe):
        refuse_overrides_of_study(overrides)
        study = preparation.load_study(recipe, without or [])
        # To stderr, so that stdout holds the summary alone.
        for sentence in study.warnings:
            log(sentence)
        print_line(study.summary())
        return
    # The checks that `run` makes before its first step, without what needs the content of the genome.
    loaded, _, _ = preparation.load(recipe, overrides or [], without or [])
    experiment = preparation.dry_assemble(loaded)
    encoder = sum(parameter.numel() for parameter in experiment.student.encoder.parameters())
    trained = sum(parameter.numel() for parameter in experiment.trainable().values())
    print_line(f"{loaded.name}: valid; {encoder:,} parameters in the encoder, {trained:,} trainable in all")
