"""A component in a small recipe that is assembled like a user's, trained, interrupted and resumed."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file

from findna_kit import checkpoint
from findna_kit.metrics.writers import read_rows
from findna_kit.plugins.entry_points import PluginSource
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from findna_kit.testing.checks import abbreviate, identical, relative_difference
from findna_kit.trainer import Observer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.runs import RunLocation
    from findna_kit.testing.checks import Case

NAME = "under_test"
"""Name of the component under test in the recipes below."""
LENGTH, BATCH, CLASS_TOKENS = 48, 8, 2
STEPS, CUT = 5, 3
"""A checkpoint is saved every second step, so a run that is interrupted after step 3 resumes from step 2."""
_SOURCE = PluginSource("conformance", "findna-kit", "under test")
_MASK = {"name": "independent", "fraction": 0.3}
_DISTILL = {"name": "self_distillation", "layers": 1, "hidden": 16, "bottleneck": 8, "prototypes": 12}


def recipe_document(**sections: Any) -> dict[str, Any]:
    """Return a small recipe of built-in components on the built-in genome, with some sections replaced."""
    defaults = {
        "name": "conformance", "seed": 5, "steps": STEPS,
        "data": {"genome": "builtin", "length": LENGTH, "batch_size": BATCH},
        "views": {
            "masked": {"see": ["student"], "mask": _MASK, "augment": [{"name": "reverse_complement"}]},
            "shifted": {"see": ["teacher"], "augment": [{"name": "insertion", "maximum": 6}]},
        },
        "encoder": {"name": "chordmixer", "dim": 12, "hidden": 16, "blocks": 2, "layers": 3},
        "class_tokens": CLASS_TOKENS,
        "losses": {"distill": _DISTILL},
        "teacher_update": {"name": "ema", "momentum": 0.9},
        "optimizer": {"learning_rate": 1e-3},
        # Two micro-batches, of 5 and 3 of the 8 samples, so that a smaller last one is part of the comparison.
        "trainer": {
            "precision": "fp32", "micro_batch": 5, "checkpoint_every": 2, "keep_last": 1, "validate_every": 2,
            "validation_windows": 8, "log_every": 1,
        },
        "evaluation": {"tasks": []},
    }  # fmt: skip
    return {**defaults, **sections}


def component_entry(case: Case) -> dict[str, Any]:
    """Return the component as an entry of a recipe: its name and parameters."""
    return {"name": NAME, **case.resolved}


def read_recipe(case: Case, document: Mapping[str, Any]) -> tuple[Recipe, Components, list[Plugin]]:
    """Read a recipe with the component registered; return it with all components and plugins.

    Raises RecipeError if the recipe is invalid, PluginError if the component cannot be registered.
    """
    components, plugins = load_plugins()
    with components.registering(_SOURCE):
        next(registry for registry in components.registries() if registry.kind == case.kind).add(NAME, case.component)
    # Through a file, so that the recipe takes the same path as a user's.
    with TemporaryDirectory() as folder:
        path = Path(folder) / "conformance.yaml"
        path.write_text(json.dumps(document))
        return load_recipe(path, components, overrides=case.recipe), components, plugins


class _Interruption(Exception):
    """Ends a run as a crash would."""


def _interrupt(step: int, metrics: Mapping[str, float]) -> None:
    if step == CUT:
        raise _Interruption


@contextmanager
def _trained(case: Case, document: Mapping[str, Any]) -> Iterator[tuple[Path, Path]]:
    """Train twice; yield the folders of an uninterrupted run and of one that was interrupted and resumed."""
    from findna_kit.runs import RunLocation, start  # imports scikit-learn: seconds that the other checks do not need

    recipe, components, plugins = read_recipe(case, document)
    with TemporaryDirectory() as folder:
        # The same recipe, seed and device, so the two runs may differ only by the interruption.
        whole, resumed = Path(folder) / "whole", Path(folder) / "resumed"

        def run(location: RunLocation, observer: Observer | None = None) -> None:
            start(recipe, location, components=components, plugins=plugins, device="cpu", observer=observer)

        run(RunLocation(out=whole))
        try:
            run(RunLocation(out=resumed), Observer(report=_interrupt))
        except _Interruption:
            run(RunLocation(resume=resumed))
        yield whole, resumed


def resume_differences(case: Case, document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a message if a run that was interrupted and resumed differs from an uninterrupted one."""
    with _trained(case, document) as (whole, resumed):
        differing = []
        for file in (checkpoint.MODEL, checkpoint.STATE):
            expected, actual = (load_file(checkpoint.path_of(run, STEPS) / file) for run in (whole, resumed))
            differing += [f"{name} is in one of them only" for name in sorted(expected.keys() ^ actual.keys())]
            differing += [
                f"{name} (by {relative_difference(actual[name], expected[name]):.1g}, relative)"
                for name in sorted(expected.keys() & actual.keys())
                if not identical(expected[name], actual[name])
            ]
        # The throughput depends on the machine's load.
        metrics = [
            [{key: value for key, value in row.items() if key != "bases_per_second"} for row in read_rows(run)]
            for run in (whole, resumed)
        ]
        if not differing and metrics[0] != metrics[1]:
            differing.append("rows of metrics.jsonl")
    if differing:
        yield (
            f"training for {STEPS} steps, interrupted after step {CUT} and resumed, differs from {STEPS} uninterrupted steps "
            f"in: {abbreviate(differing)}. Keep all state in buffers (a teacher update: in state_dict), take randomness from "
            "`draw` or torch's dropout only, and the time from the clock"
        )
