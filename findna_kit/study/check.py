"""Checking a study without running it, as `ablate` does before its first cell."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit.recipe.yaml_nodes import dump
from findna_kit.study.budgets import recipes_by_condition
from findna_kit.study.load import build_cells, condition_overrides, load_study, task_names
from findna_kit.study.results import design_warnings
from findna_kit.study.search import Searcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.study.schema import Study


@dataclass(frozen=True)
class CheckedStudy:
    """A valid study, and the recipe of each condition with the first seed. The first condition is the reference."""

    study: Study
    recipes: dict[str, Recipe]

    @property
    def warnings(self) -> list[str]:
        """Return what the design can show with its number of seeds, one sentence each."""
        return design_warnings(self.study)

    def summary(self) -> str:
        """Return a line with the conditions, the number of cells, the tasks and the metric."""
        study, seeds = self.study, len(self.study.every_seed)
        conditions = f"{len(self.recipes)} conditions ({', '.join(self.recipes)})"
        cells = f"{conditions} x {seeds} seed{'' if seeds == 1 else 's'} = {len(self.recipes) * seeds} cells"
        return f"{study.name}: valid; {cells}; {study.metric} of {', '.join(study.tasks)}"

    def dump(self) -> str:
        """Return the study as YAML, with every default filled in, and a comment with steps and overrides of each condition."""
        lines = []
        for condition, recipe in self.recipes.items():
            # As options, so that a reader can run one condition alone and see what it does.
            overrides = "".join(f" --set {shlex.quote(text)}" for text in condition_overrides(self.study, condition))
            lines.append(f"# {condition}: {recipe.steps} steps;{overrides or ' the recipe as it is'}\n")
        return dump(self.study.model_dump(mode="json")) + "".join(lines)


def check_study(
    source: str, *, components: Components, plugins: Sequence[Plugin], check: Callable[[Recipe], object]
) -> CheckedStudy:
    """Return the study in a file, or a shipped study, after `check` has validated the recipe of each condition.

    Raises FindnaError with every problem and its line.
    """
    loaded, failed = load_study(source), [plugin for plugin in plugins if plugin.failure]
    study = loaded.study
    if study.search is not None:
        # With values from the middle of the search space. Nothing is written, so the folder is only a name.
        folder = Path("studies") / study.name
        cells = Searcher(loaded, folder, components, failed, check, _ignore, study.search).validated_cells()
    else:
        cells = build_cells(loaded, components, failed, check)
    task_names(study.tasks)  # refuses a task that is listed twice
    return CheckedStudy(study, recipes_by_condition(cells))


def _ignore(_: str) -> None:
    """Take a sentence about the progress of a search, of which a check has none."""
