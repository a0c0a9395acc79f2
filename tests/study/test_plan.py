"""What a study would cost and could show."""

import pytest

from findna_kit.errors import FindnaError
from findna_kit.plugins.loading import load_plugins
from findna_kit.profile.throughput import Throughput
from findna_kit.study import plan as planning
from findna_kit.study.executors.local import ExecutionOptions, cell_threads
from findna_kit.study.plan import flops_rows, plan_study, rows
from tests.study.writing import CUT, write_study

COMPONENTS, PLUGINS = load_plugins()
LEVELS = "{width: {narrow: {}, wide: {encoder.hidden: 128}, untrained: {losses: {}, steps: 0}}}"
PACE = Throughput((0.5, 0.5, 0.7), look=1.0, save=0.25, task_look=None, start=60.0)


def planned(folder, jobs=1, **keys):
    study = write_study(folder, **{"factors": LEVELS, "budget": "{steps: 4}", **keys})
    return plan_study(
        str(study), ExecutionOptions(jobs, "cpu"), 2, components=COMPONENTS, plugins=PLUGINS, check=lambda recipe: None,
        log=lambda sentence: None,
    )  # fmt: skip


@pytest.fixture
def paced(monkeypatch):
    monkeypatch.setattr(planning, "measure_throughput", lambda subjects, *others: dict.fromkeys(subjects, PACE))


def test_each_condition_is_measured_and_the_rest_follows(tmp_path, paced):
    found = planned(tmp_path, jobs=2, seeds=2)
    cell = 60 + 4 * 0.5 + 2 * 1.0 + 3 * 0.25
    assert list(found["conditions"]) == ["reference", "width-wide", "width-untrained"]
    wide, none = found["conditions"]["width-wide"], found["conditions"]["width-untrained"]
    assert wide["cell_seconds"] == cell
    assert wide["steps"] == 4
    assert wide["parameters"]["trained"] > found["conditions"]["reference"]["parameters"]["trained"]
    assert wide["flops"]["base"] > 3 * found["conditions"]["reference"]["flops"]["base"]
    assert (none["steps"], none["cell_seconds"], none["measured"]) == (0, 0.0, None)
    assert (found["cells"], found["seeds"], found["hours_of"]) == (6, 2, "core")
    (threads,) = {cell_threads(ExecutionOptions(2, "cpu"), recipe) for recipe in [load_recipe_of()]}
    assert found["hours"] == pytest.approx(threads * 4 * cell / 3600)
    assert found["wall_seconds"] == pytest.approx(2 * cell), "four cells that train, two at a time"
    assert planned(tmp_path, seeds=2)["wall_seconds"] == pytest.approx(4 * cell)


def load_recipe_of():
    from tests.building import small

    return small("masked_only")[0]


@pytest.mark.parametrize(("seeds", "least", "warned"), [(5, 0.125, True), (6, 0.0625, False), (8, 0.015625, False)])
def test_the_smallest_p_is_printed_and_few_seeds_are_warned_of(tmp_path, paced, seeds, least, warned):
    found = planned(tmp_path, seeds=seeds)
    assert found["smallest_p"] == least
    said = "\n".join(found["sentences"])
    assert f"3 conditions, {seeds} seeds: the smallest adjusted p that a single condition can reach is {least:.2g}" in said
    assert ("with fewer than 6 seeds, no difference can reach 0.05, however large it is" in said) == warned


def test_steps_are_those_of_the_budget(tmp_path, paced):
    flops = planned(tmp_path)["conditions"]["reference"]["flops"]["step"]
    found = planned(tmp_path, budget=f"{{flops: {3.5 * flops}}}")
    assert {name: one["steps"] for name, one in found["conditions"].items()} == {
        "reference": 3, "width-wide": 0, "width-untrained": 0,
    }  # fmt: skip
    assert "width-wide: the budget is smaller than one step" in found["sentences"]
    found = planned(tmp_path, budget="{seconds: 30}")
    assert {name: one["steps"] for name, one in found["conditions"].items()} == {
        "reference": 33, "width-wide": 33, "width-untrained": 0,
    }  # fmt: skip
    assert "budget: seconds 30 for each cell" in found["sentences"]
    assert any(sentence.startswith("ablate measures again") for sentence in found["sentences"])


def test_as_rows(tmp_path, paced):
    found = planned(tmp_path, seeds=1)
    head, reference, _, none = rows(found)
    assert head == [
        "condition", "parameters", "memory, MiB", "max. batch", "time/step", "steps/s", "steps", "time/cell",
        "core-hours, 1 seed",
    ]  # fmt: skip
    plan = found["conditions"]["reference"]
    assert reference[:4] == [
        "reference", f"{plan['parameters']['trained']:,}", f"{plan['memory']['peak'] / 2**20:,.1f}",
        f"{plan['largest_batch']['rows']:,}",
    ]  # fmt: skip
    assert reference[4:8] == ["0.5 s", "2", "4", "0:01:05"]
    assert (none[0], none[2:]) == ("width-untrained", ["", "", "", "", "0", "not trained", ""])


def test_flops_of_a_base_by_component(tmp_path, paced):
    losses = "{loss: {masked: {}, weighed: {losses.more: {name: masked_nucleotides, weight: 2}}, none: {losses: {}, steps: 0}}}"
    found = planned(tmp_path, seeds=1, factors=losses)
    head, reference, weighed = flops_rows(found)
    assert head == [
        "FLOPs per base",
        "encoder, forward",
        "encoder, backward",
        "teacher",
        "losses.masked",
        "losses.more",
        "total",
    ]
    by_base = found["conditions"]["reference"]["flops"]["base_by_component"]
    assert reference == ["reference", *(f"{number:,.0f}" for number in by_base.values()), "", reference[-1]]
    assert weighed[0] == "loss-weighed" and weighed[5] == weighed[4] != "0"
    assert reference[-1] == f"{sum(by_base.values()):,.0f}"


def test_what_has_no_formula_is_said_of_each_condition(tmp_path, paced, monkeypatch):
    counted = planning.flops_of
    monkeypatch.setattr(planning, "flops_of", lambda subject: {**counted(subject), "uncounted": ["mine.scan"]})
    said = planned(tmp_path, seeds=1)["sentences"]
    assert "width-wide: not counted (torch has no formula): mine.scan" in said
    assert not any(sentence.startswith("width-untrained: not counted") for sentence in said)


def test_memory_is_of_the_recipe_s_batch_in_its_passes(tmp_path, paced):
    """One of several conditions that one process measures: counted, so whatever was held before does not matter."""
    memory = {name: one["memory"] for name, one in planned(tmp_path)["conditions"].items()}
    reference, wide = memory["reference"], memory["width-wide"]
    assert reference["peak"] == reference["weights"] + reference["optimizer"] + reference["step"]
    assert reference["step"] > reference["gradients"] > 0
    assert wide["weights"] > 2 * reference["weights"] and wide["step"] > reference["step"]
    assert memory["width-untrained"] is None
    again = planned(tmp_path, overrides=CUT.replace("micro_batch: 8", "micro_batch: 2"))["conditions"]["reference"]["memory"]
    assert again["weights"] == reference["weights"] and again["step"] < 0.7 * reference["step"], "fewer rows at once"
    larger = planned(tmp_path, overrides=CUT.replace("data.batch_size: 8", "data.batch_size: 32").replace("micro_batch: 8",
                     "micro_batch: 32"))["conditions"]["reference"]["memory"]  # fmt: skip
    assert larger["step"] > 2 * reference["step"]


def test_what_ablate_would_refuse_is_refused(tmp_path):
    with pytest.raises(FindnaError, match="the condition reference:\nplan measures one process"):
        planned(tmp_path, overrides=CUT[:-1] + ", trainer.devices: 2}")


def test_really(tmp_path):
    found = planned(tmp_path, seeds=1)
    assert all(one["cell_seconds"] > 0 for one in found["conditions"].values() if one["measured"])
    assert found["conditions"]["reference"]["measured"]["steps"] == 2
    room = {name: one["largest_batch"] for name, one in found["conditions"].items()}
    assert room["width-wide"]["bytes_per_row"] > 1.5 * room["reference"]["bytes_per_row"] and room["width-untrained"] is None
