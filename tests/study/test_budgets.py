"""Budgets of operations and of time: steps by condition, kept with the study, refused by condition."""

import json

import pytest
import torch

from findna_kit.errors import FindnaError, NotFinite, OutputExists
from findna_kit.plugins.loading import load_plugins
from findna_kit.profile.flops import count_flops
from findna_kit.profile.throughput import Throughput
from findna_kit.study import budgets
from findna_kit.study.budgets import TimeCost, apply_steps, determine_steps, measure_throughput, record_given_steps
from findna_kit.study.executors.local import ExecutionOptions
from findna_kit.study.files import STEPS
from findna_kit.study.load import build_cells, load_study
from findna_kit.study.schema import Budget
from tests.building import experiment_of, small
from tests.study.writing import CUT, RATES, write_study

COMPONENTS = load_plugins()[0]
CPU = ExecutionOptions(device="cpu")
WIDTHS = "{width: {narrow: {}, wide: {encoder.hidden: 128}, untrained: {losses: {}, steps: 0}}}"


def cells(folder, budget, **keys):
    stated = load_study(str(write_study(folder, **{"factors": WIDTHS, "budget": budget, **keys})))
    return build_cells(stated, COMPONENTS, [], lambda recipe: None)


def given_steps(record):
    return {name: condition.steps for name, condition in record.conditions.items()}


def steps(cells):
    return {cell.condition: cell.recipe.steps for cell in cells}


def quiet(sentence):
    pass


def fast(monkeypatch, step=0.5, measured=None):
    """Every step takes so long, and whoever is measured is kept."""

    def measure(subject, count):
        if measured is not None:
            measured.append((subject.recipe.encoder.config.hidden, torch.get_num_threads()))
        return Throughput((step,) * count, look=1.0, save=0.25, task_look=None, start=60.0)

    monkeypatch.setattr(budgets, "measure", measure)


def test_flops_give_each_condition_the_steps_that_they_pay_for(tmp_path):
    own = {hidden: small("masked_only", f"encoder.hidden={hidden}")[0] for hidden in (32, 128)}
    cost = {}
    for hidden, recipe in own.items():
        experiment, windows, engine = experiment_of(recipe)
        cost[hidden] = count_flops(experiment, windows, engine, 8).step
    assert cost[128] > 3 * cost[32]
    of_study, said = cells(tmp_path, f"{{flops: {20.5 * cost[128]}}}"), []
    given = determine_steps(Budget(flops=20.5 * cost[128]), of_study, tmp_path, CPU, said.append)
    expected = {"reference": int(20.5 * cost[128] // cost[32]), "width-wide": 20, "width-untrained": 0}
    assert given_steps(given) == steps(apply_steps(given, of_study)) == expected
    assert given.conditions["width-wide"].flops_per_step == cost[128]
    assert said == ["flops: counting the operations of one step of every condition"]
    assert not (tmp_path / STEPS).exists(), "nothing is written before the study is declared"
    untouched = [cell.recipe for cell in of_study]
    for before, after in zip(untouched, apply_steps(given, of_study), strict=True):
        assert before.model_copy(update={"steps": after.recipe.steps}) == after.recipe, "nothing but the steps"


def test_tokens_are_kept_as_the_steps_that_they_give(tmp_path):
    lengths = "{length: {usual: {}, half: {data.length: 32}, untrained: {losses: {}, steps: 0}}}"
    of_study = cells(tmp_path, "{tokens: 1100}", factors=lengths)
    record_given_steps(Budget(tokens=1100), of_study).write(tmp_path / STEPS)
    kept = json.loads((tmp_path / STEPS).read_text())
    assert kept["budget"] == {"tokens": 1100}
    wanted = {"reference": 1100 // (8 * 64), "length-half": 1100 // (8 * 32), "length-untrained": 0}
    assert {name: one["steps"] for name, one in kept["conditions"].items()} == wanted == steps(of_study)


def test_seconds_pay_for_steps_looks_and_checkpoints(tmp_path, monkeypatch):
    measured = []
    fast(monkeypatch, measured=measured)
    said = []
    given = determine_steps(Budget(seconds=30), cells(tmp_path, "{seconds: 30}"), tmp_path, CPU, said.append)
    # 35 steps: 17.5 s, 10 looks (0, 4, ..., 32, 35), 13 checkpoints (0, 3, ..., 33, 35): 30.75 s; 34 have the same: 30.25 s.
    assert given_steps(given) == {"reference": 33, "width-wide": 33, "width-untrained": 0}
    assert [hidden for hidden, _ in measured] == [32, 128, 128, 32, 32, 128], "in turns, every other time backwards"
    assert given.conditions["reference"].step_seconds == 0.5
    assert said[0] == "seconds: measuring every condition on this machine; the result is kept and not measured again"
    assert said[1] == "reference: measuring 5 steps, round 1 of 3"


def test_time_of_so_many_steps(tmp_path):
    time = TimeCost(small("masked_only")[0], Throughput((0.5,), look=1.0, save=0.25, task_look=None, start=60.0), 1)
    for seconds in (5, 11.25, 30, 1000):
        most = time.affordable_steps(Budget(seconds=seconds))
        assert time.seconds(most) <= seconds < time.seconds(most + 1)
    assert time.affordable_steps(Budget(seconds=0.1)) == 0


def test_it_is_measured_with_the_threads_that_a_cell_will_have(tmp_path, monkeypatch):
    measured, before = [], torch.get_num_threads()
    fast(monkeypatch, measured=measured)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    for stated, jobs, threads in ((None, 1, 6), (None, 2, 3), (None, 12, 1), ("4", 2, 4)):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if stated:
            monkeypatch.setenv("OMP_NUM_THREADS", stated)
        measured.clear()
        given = determine_steps(
            Budget(seconds=30), cells(tmp_path, "{seconds: 30}"), tmp_path, ExecutionOptions(jobs, "cpu"), quiet
        )
        assert {seen for _, seen in measured} == {threads}
        assert given.conditions["reference"].threads == threads
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("budget", ["{flops: 1.0e+9}", "{seconds: 30}"])
def test_what_is_kept_is_taken_whatever_the_machine(tmp_path, monkeypatch, budget):
    fast(monkeypatch)
    of_study = cells(tmp_path, budget)
    stated = load_study(str(tmp_path / "study.yaml")).study.budget
    given = determine_steps(stated, of_study, tmp_path, CPU, quiet)
    given.write(tmp_path / STEPS)
    monkeypatch.setattr(budgets, "prepare_workloads", None)
    said = []
    again = determine_steps(stated, of_study, tmp_path, CPU, said.append)
    assert (again, again.plain(), said) == (given, json.loads((tmp_path / STEPS).read_text()), [])


def test_steps_of_another_recipe_are_not_taken(tmp_path, monkeypatch):
    fast(monkeypatch)
    budget = Budget(seconds=30)
    determine_steps(budget, cells(tmp_path, "{seconds: 30}"), tmp_path, CPU, quiet).write(tmp_path / STEPS)
    changed = WIDTHS.replace("128", "64")
    with pytest.raises(OutputExists, match=r"steps\.json: has the steps of other recipes \(width-wide\); take another --out"):
        determine_steps(budget, cells(tmp_path, "{seconds: 30}", factors=changed), tmp_path, CPU, quiet)


def test_a_budget_too_small_for_one_step_is_refused_by_condition(tmp_path, monkeypatch):
    with pytest.raises(FindnaError) as error:
        determine_steps(Budget(flops=1e8), cells(tmp_path, "{flops: 1.0e+8}"), tmp_path, CPU, quiet)
    (first, second) = str(error.value).splitlines()
    assert first == "the condition width-wide:"
    assert second.startswith("a step takes 1.2")
    assert second.endswith("e+08 floating-point operations, more than the budget's 1e+08 flops")
    fast(monkeypatch, step=4.0)
    with pytest.raises(FindnaError) as error:
        determine_steps(Budget(seconds=5), cells(tmp_path, "{seconds: 5}"), tmp_path, CPU, quiet)
    took = "one step with its validation and checkpoints takes 6.5 s, more than the budget's 5 seconds"
    assert str(error.value).splitlines() == ["the condition reference:", took, "the condition width-wide:", took]


def flops_of_a_step(folder, recipe, processes, rows):
    """Of so many processes, each with so many rows in a pass."""
    overrides = CUT.replace("trainer.micro_batch: 8", f"trainer.micro_batch: {rows}, trainer.devices: {processes}")
    of_study = cells(folder, "{flops: 1.0e+9}", recipe=recipe, overrides=overrides, factors=RATES)
    return determine_steps(Budget(flops=1e9), of_study, folder, CPU, quiet).conditions["reference"].flops_per_step


@pytest.mark.parametrize("recipe", ["masked_only", "info_nce"])
def test_operations_of_several_processes_are_those_of_their_whole_batch(tmp_path, recipe):
    whole = flops_of_a_step(tmp_path, recipe, processes=1, rows=8)
    assert flops_of_a_step(tmp_path, recipe, processes=2, rows=8) == whole
    assert flops_of_a_step(tmp_path, recipe, processes=2, rows=4) == whole, "each process takes its half in one pass"
    cut = flops_of_a_step(tmp_path, recipe, processes=1, rows=4)
    assert flops_of_a_step(tmp_path, recipe, processes=2, rows=2) == cut
    assert (cut > 1.2 * whole) == (recipe == "info_nce"), "a loss that compares the whole batch needs a second pass then"


def test_what_cannot_be_measured_is_named(tmp_path):
    several = CUT[:-1] + ", trainer.devices: 2}"
    with pytest.raises(FindnaError) as error:
        determine_steps(Budget(seconds=5), cells(tmp_path, "{seconds: 5}", overrides=several), tmp_path, CPU, quiet)
    assert str(error.value).splitlines()[:2] == [
        "the condition reference:", "plan measures one process: leave trainer.devices and trainer.nodes at 1",
    ]  # fmt: skip


def test_a_condition_whose_steps_are_not_finite_is_named(tmp_path):
    mad = "{rate: {low: {}, mad: {optimizer.learning_rate: 1.0e+30}}}"
    with pytest.raises(NotFinite, match="the condition rate-mad: step"):
        determine_steps(Budget(seconds=500), cells(tmp_path, "{seconds: 500}", factors=mad), tmp_path, CPU, quiet)


def test_uncounted_operations_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(budgets, "flops_of", lambda subject: {"uncounted": ["mine.scan"], "step": 10})
    said = []
    determine_steps(Budget(flops=100), cells(tmp_path, "{flops: 100}"), tmp_path, CPU, said.append)
    assert "reference: not counted (torch has no formula): mine.scan" in said
    monkeypatch.setattr(budgets, "flops_of", lambda subject: {"uncounted": ["mine.scan"], "step": 0})
    with pytest.raises(FindnaError, match="no operation of its step can be counted; use seconds, or steps"):
        determine_steps(Budget(flops=100), cells(tmp_path, "{flops: 100}"), tmp_path, CPU, said.append)


def test_a_real_measurement_of_several_rounds(tmp_path):
    subjects = budgets.prepare_workloads(budgets.recipes_by_condition(cells(tmp_path, "{seconds: 5}")), CPU)
    assert list(subjects) == ["reference", "width-wide"]
    measured = measure_throughput(subjects, CPU, 2, 3, quiet)
    assert {name: len(pace.steps) for name, pace in measured.items()} == {"reference": 6, "width-wide": 6}
