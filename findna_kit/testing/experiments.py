"""A component in a small recipe: assembled as anybody's, trained, cut off and resumed."""

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
"""What the component is called in the recipes below."""
LENGTH, BATCH, CLASS_TOKENS = 48, 8, 2
STEPS, CUT = 5, 3
"""A checkpoint is saved every second step: a run that is cut after the third goes on from the second."""
_OWNER = PluginSource("conformance", "findna-kit", "under test")
_MASK = {"name": "independent", "fraction": 0.3}
_DISTILL = {"name": "self_distillation", "layers": 1, "hidden": 16, "bottleneck": 8, "prototypes": 12}


def recipe_document(**parts: Any) -> dict[str, Any]:
    """A small recipe of built-ins on the built-in genome, with some of its sections replaced."""
    whole = {
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
        "trainer": {
            "precision": "fp32", "micro_batch": 5, "checkpoint_every": 2, "keep_last": 1, "validate_every": 2,
            "validation_windows": 8, "log_every": 1,
        },
        "evaluation": {"tasks": []},
    }  # fmt: skip
    return {**whole, **parts}


def component_entry(case: Case) -> dict[str, Any]:
    """The component as a recipe states it."""
    return {"name": NAME, **case.stated}


def read(case: Case, stated: Mapping[str, Any]) -> tuple[Recipe, Components, list[Plugin]]:
    """The recipe, read as anybody's, and what it was chosen from. Raises RecipeError, PluginError."""
    components, plugins = load_plugins()
    with components.registering(_OWNER):
        next(registry for registry in components.registries() if registry.kind == case.kind).add(NAME, case.component)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "conformance.yaml"
        path.write_text(json.dumps(stated))
        return load_recipe(path, components, overrides=case.recipe), components, plugins


class _Cut(Exception):
    """Ends a run as a crash would."""


def _cut(step: int, metrics: Mapping[str, float]) -> None:
    if step == CUT:
        raise _Cut


@contextmanager
def _trained(case: Case, stated: Mapping[str, Any]) -> Iterator[tuple[Path, Path]]:
    """The folders of a run that was left alone, and of one that was cut and resumed."""
    from findna_kit.runs import RunLocation, start  # with scikit-learn: seconds that the other checks do not need

    recipe, components, plugins = read(case, stated)
    with TemporaryDirectory() as folder:
        whole, cut = Path(folder) / "whole", Path(folder) / "cut"

        def go(place: RunLocation, observer: Observer | None = None) -> None:
            start(recipe, place, components=components, plugins=plugins, device="cpu", observer=observer)

        go(RunLocation(out=whole))
        try:
            go(RunLocation(out=cut), Observer(report=_cut))
        except _Cut:
            go(RunLocation(resume=cut))
        yield whole, cut


def resume_differences(case: Case, stated: Mapping[str, Any]) -> Iterator[str]:
    """What differs between a run and the same run, cut and resumed: nothing, if it is to be trusted."""
    with _trained(case, stated) as (whole, cut):
        differs = []
        for part in (checkpoint.MODEL, checkpoint.STATE):
            one, other = (load_file(checkpoint.path_of(run, STEPS) / part) for run in (whole, cut))
            differs += [f"{name} is in one of them only" for name in sorted(one.keys() ^ other.keys())]
            differs += [
                f"{name} (by {relative_difference(other[name], one[name]):.1g} of its size)"
                for name in sorted(one.keys() & other.keys())
                if not identical(one[name], other[name])
            ]
        rows = [[{k: v for k, v in row.items() if k != "bases_per_second"} for row in read_rows(run)] for run in (whole, cut)]
        if not differs and rows[0] != rows[1]:
            differs.append("rows of metrics.jsonl")
    if differs:
        yield (
            f"{STEPS} steps of training were cut after step {CUT} and resumed, and do not equal {STEPS} steps in one go, bit "
            "for "
            f"bit: {abbreviate(differs)} differ. Keep all that moves in buffers (a rule: in state_dict), take randomness from `draw` "
            "or torch's dropout only, and the time from the clock"
        )
