"""Scores of labelled tasks during training (`evaluation.every`)."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from findna_kit.evaluation import load_task
from findna_kit.evaluation.online_probe import OnlineProbe
from findna_kit.evaluation.protocol_table import PROTOCOLS
from findna_kit.inference.frozen_model import FrozenModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from findna_kit.distributed import Engine
    from findna_kit.recipe import Recipe
    from findna_kit.trainer import Experiment


def online_probes(recipe: Recipe, experiment: Experiment, engine: Engine) -> Callable[[int], Mapping[str, float]]:
    """Return a function that scores the recipe's tasks at a step, by `evaluation/TASK/PROTOCOL/mcc`.

    At steps where `evaluation.every` asks for no scores it returns nothing. It embeds with a copy of the branch that the
    teacher update exports, so that training's own state is not touched.
    """
    settings = recipe.evaluation
    every, branch = settings.every, experiment.teacher_update.export_branch
    if every is None:
        return lambda step: {}
    cheap = [name for name in settings.protocols if name in PROTOCOLS and PROTOCOLS[name].online]  # without fine-tuning
    tasks = list({task.path: task for task in map(load_task, settings.tasks)}.values())
    # Tasks of the same name, from different folders, are logged under their paths.
    names = Counter(task.name for task in tasks)
    probes = [OnlineProbe(task if names[task.name] == 1 else replace(task, name=task.path), cheap) for task in tasks]
    controls = {name: value for probe in probes for name, value in probe.control().items()}

    def score(step: int) -> Mapping[str, float]:
        if step % every and step != recipe.steps:
            return {}
        network = copy.deepcopy(experiment.teacher if branch == "teacher" else experiment.student)
        model = FrozenModel(network, recipe, branch=branch, step=step, engine=engine)
        return controls | {name: value for probe in probes for name, value in probe(model.embed).items()}

    return score
