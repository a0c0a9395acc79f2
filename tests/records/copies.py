"""Folders of runs for tests: one real run, scored, copied and changed."""

import json
import shutil

from findna_kit.runs import RunLocation, start
from tests.building import small
from tests.runs.test_evaluate import score, write_task


def real_run(folder, *overrides):
    """A run of 6 steps, scored by k-NN on the task beside it."""
    recipe, components, plugins = small("masked_only", "steps=6", *overrides)
    run = start(recipe, RunLocation(out=folder / "run"), components=components, plugins=plugins, device="cpu").folder
    score(run, [write_task(folder / "task")])
    return run


def copied(run, to, rows=None, evaluation=None, **record):
    """A copy; `record`: what its run.json says otherwise (None: not at all). rows: put in place of its metrics."""
    shutil.copytree(run, to)
    told = json.loads((to / "run.json").read_text()) | record
    (to / "run.json").write_text(json.dumps({key: value for key, value in told.items() if value is not None}))
    if rows is not None:
        (to / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if evaluation is not None:
        (to / "evaluation.json").write_text(evaluation)
    return to


def look(step, **metrics):
    """A row of a look at the held-out windows."""
    return {
        "step": step,
        "collapse/student/pooled_rankme": 2.0,
        **{f"held_out/{name}/loss": one for name, one in metrics.items()},
    }
