"""Steps, looks and saves of a run: as many as it takes, and the seconds that follow."""

import json
import time

import pytest

from findna_kit.metrics.writers import read_rows
from findna_kit.profile import throughput
from findna_kit.profile.throughput import WARM_UP, Throughput, combine, measure
from findna_kit.profile.workload import prepare_workload
from findna_kit.runs import RunLocation, start
from tests.building import small
from tests.runs.test_evaluate import write_task

PACE = Throughput((1.0, 2.0, 6.0), look=10.0, save=100.0, task_look=1000.0, start=0.5)


@pytest.mark.parametrize("steps", [1, 4, 6])
def test_looks_and_checkpoints_are_as_many_as_the_run_takes(tmp_path, steps):
    write_task(tmp_path / "task")
    evaluation = f"evaluation={{tasks: [{tmp_path / 'task'}], protocols: [knn], every: 2}}"
    recipe, components, plugins = small("masked_only", f"steps={steps}", "trainer.keep_last=99", evaluation)
    start(recipe, RunLocation(tmp_path / "run"), components=components, plugins=plugins, device="cpu")
    rows = read_rows(tmp_path / "run")
    found = PACE.finish(recipe, steps)
    assert found["looks"] == sum("held_out/masked/loss" in row for row in rows)
    assert found["task_looks"] == sum(any(name.startswith("evaluation/") for name in row) for row in rows)
    assert found["checkpoints"] == len(list((tmp_path / "run" / "checkpoints").iterdir()))
    expected = 0.5 + 2.0 * steps + 10 * found["looks"] + 100 * found["checkpoints"] + 1000 * found["task_looks"]
    assert found["seconds"] == expected


def test_without_task_looks_there_are_none():
    recipe = small("masked_only")[0]
    assert PACE.finish(recipe, 4)["task_looks"] == 0


def test_the_steps_measured_come_after_the_warm_up(monkeypatch):
    clocks = []
    real = throughput.train_step

    def counting(*arguments):
        clocks.append(arguments[4])
        return real(*arguments)

    monkeypatch.setattr(throughput, "train_step", counting)
    found = measure(prepare_workload(small("self_distill", "steps=4")[0], "cpu"), 3)
    assert [clock.step for clock in clocks] == [0, 1, 2, 3, 0], "more steps than the run has begin again"
    assert (len(clocks), len(found.steps)) == (WARM_UP + 3, 3)
    assert min(*found.steps, found.look, found.save) > 0
    assert found.start >= 0
    assert found.task_look is None


def test_a_look_at_tasks_is_measured_where_the_run_takes_one(tmp_path):
    write_task(tmp_path / "task")
    evaluation = f"evaluation={{tasks: [{tmp_path / 'task'}], protocols: [knn], every: 2}}"
    assert measure(prepare_workload(small("masked_only", evaluation)[0], "cpu"), 1).task_look > 0


def test_several_measurements_are_joined():
    other = Throughput((8.0, 9.0), look=20.0, save=300.0, task_look=None, start=1.5)
    found = combine([PACE, other])
    assert found == Throughput((1.0, 2.0, 6.0, 8.0, 9.0), look=15.0, save=200.0, task_look=1000.0, start=1.0)
    assert found.step == 6.0
    plain = found.plain(12)
    assert plain["step_seconds"] == {"median": 6.0, "lowest": 1.0, "highest": 9.0}
    assert (plain["steps"], plain["bases_per_second"]) == (5, 2.0)
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.slow
@pytest.mark.parametrize("name", ["self_distill", "masked_only", "info_nce"])
def test_a_run_takes_the_time_that_was_planned_within_a_factor_of_two(tmp_path, name, monkeypatch):
    """In seconds of the processor: by the clock two runs of one recipe differ by more, where others use the machine."""
    from findna_kit.profile.plan import plan

    monkeypatch.setattr(time, "perf_counter", time.process_time)
    recipe, components, plugins = small_steps(name)
    planned = plan(recipe, device="cpu")["finish"]["seconds"]
    start(recipe, RunLocation(tmp_path / "run"), components=components, plugins=plugins, device="cpu")
    taken = json.loads((tmp_path / "run" / "run.json").read_text())["timings"]["training_seconds"]
    assert taken / 2 < planned < 2 * taken


def small_steps(name):
    """A shipped recipe as it is, but for its number of steps."""
    from findna_kit.plugins.loading import load_plugins
    from findna_kit.recipe import load_recipe

    components, plugins = load_plugins()
    overrides = ["steps=30", "evaluation.tasks=[]", "trainer.validate_every=15"]
    return load_recipe(name, components, overrides=overrides), components, plugins
