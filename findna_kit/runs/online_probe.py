"""Cheap looks at labelled tasks while a run goes on: what the trainer calls, and knows nothing of."""

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


def online_probe_of(recipe: Recipe, experiment: Experiment, engine: Engine) -> Callable[[int], Mapping[str, float]]:
    """Of a step: what `evaluation.every` asks for then, by `evaluation/TASK/PROTOCOL/mcc`; nothing at other steps.

    A copy of the branch that the rule serves is looked at, so that training's own state is not touched.
    """
    settings = recipe.evaluation
    every, served = settings.every, experiment.teacher_update.export_branch
    if every is None:
        return lambda step: {}
    cheap = [name for name in settings.protocols if name in PROTOCOLS and PROTOCOLS[name].online]
    tasks = list({task.path: task for task in map(load_task, settings.tasks)}.values())
    names = Counter(task.name for task in tasks)  # of tasks in folders of one name the path says which
    looks = [OnlineProbe(task if names[task.name] == 1 else replace(task, name=task.path), cheap) for task in tasks]
    controls = {name: value for look in looks for name, value in look.control().items()}

    def look_at(step: int) -> Mapping[str, float]:
        if step % every and step != recipe.steps:
            return {}
        network = copy.deepcopy(experiment.teacher if served == "teacher" else experiment.student)
        model = FrozenModel(network, recipe, branch=served, step=step, engine=engine)
        found = controls | {name: value for look in looks for name, value in look(model.embed).items()}
        return found

    return look_at
