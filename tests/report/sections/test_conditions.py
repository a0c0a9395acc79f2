"""A study's scores beside their controls, each with its interval over seeds."""

import json
import shutil

import numpy as np
import pytest
from scipy import stats

from findna_kit.evaluation.result_tables import FEATURE_NAMES, score_text
from findna_kit.records.evaluation_json import ScoreInterval
from findna_kit.report.folders import read_folder
from findna_kit.report.page import read, render
from findna_kit.report.sections.conditions import conditions_section
from tests.report.reading import Page


@pytest.fixture
def copy(wide, tmp_path):
    return shutil.copytree(wide, tmp_path / "study")


def rewrite(folder, change):
    result = json.loads((folder / "result.json").read_text())
    change(result)
    (folder / "result.json").write_text(json.dumps(result))


def blocks(folder, kind):
    return [one for one in conditions_section("part", read_folder(folder, "study")).blocks if one.kind == kind]


def by_name(folder):
    (table,) = blocks(folder, "table")
    return table, {row[0]: [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row[1:]] for row in table.rows}


def student(values):
    found = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    return score_text(ScoreInterval(value=np.mean(values), low=found.low, high=found.high))


def test_each_condition_has_its_mean_and_interval_on_each_task(wide):
    result = json.loads((wide / "result.json").read_text())
    table, rows = by_name(wide)
    assert table.head == ["condition", *result["tasks"]] and len(result["tasks"]) == 4
    assert table.caption == "knn/mcc: mean over 8 seeds"
    for name, condition in result["conditions"].items():
        assert rows[name] == [student(condition["scores"][task]["each"]) for task in result["tasks"]]
    assert "95% interval of the mean (Student's t, over seeds)" in blocks(wide, "note")[0].text


def test_the_controls_stand_below_with_theirs(wide):
    tasks = json.loads((wide / "result.json").read_text())["tasks"]
    conditions, rows = by_name(wide)[0].rows[:4], by_name(wide)[1]
    assert [row[0] for row in conditions] == ["reference", "objective-masked", "objective-distillation", "objective-none"]
    assert list(rows)[4:] == [f"control: {FEATURE_NAMES[who]}" for who in ("random_init", "kmer", "majority")]
    seeds = [json.loads((wide / f"cells/reference/seed-{seed}/run/evaluation.json").read_text()) for seed in range(8)]
    untrained = [[own[path]["protocols"]["knn"]["random_init"]["mcc"]["value"] for own in seeds] for path in tasks.values()]
    assert rows["control: random initialisation"] == [student(values) for values in untrained]
    assert rows["control: majority class"] == ["0.000"] * 4, "the same with every seed: no interval over seeds"
    assert "A control without brackets is the same for every seed" in blocks(wide, "note")[1].text


def test_a_control_that_differs_between_conditions_is_told_of_each(copy):
    """Another backbone has another initial network."""

    def other(result):
        result["conditions"]["objective-none"]["controls"]["random_init"]["H3"]["high"] = 0.9

    rewrite(copy, other)
    names = list(by_name(copy)[1])[4:]
    untrained = [name for name in names if "random" in name]
    assert untrained == [f"control: random initialisation, {one}" for one in list(by_name(copy)[1])[:4]]
    assert names[-1] == "control: majority class"


def test_one_seed_has_no_interval(copy):
    def alone(result):
        result["seeds"] = [5]
        for condition in result["conditions"].values():
            for own in (condition["scores"], *condition["controls"].values()):
                for told in own.values():
                    told.get("mean", told).update(low=None, high=None)

    rewrite(copy, alone)
    table, rows = by_name(copy)
    assert table.caption == "knn/mcc of seed 5" and "A single seed has no interval" in blocks(copy, "note")[0].text
    assert all(len(cell) == 5 for row in rows.values() for cell in row), "numbers alone"


def test_an_unfinished_study_has_none_and_says_where_those_of_a_cell_are(copy):
    (copy / "result.json").unlink()
    assert not blocks(copy, "table")
    (note,) = blocks(copy, "note")
    assert note.command == f"findna-kit report {copy}/cells/CONDITION/seed-N/run"


def test_the_page_has_the_table(wide):
    page = Page(render(read([wide])))
    assert "knn/mcc: mean over 8 seeds" in page.words("caption")
    assert page.words("h3")[1:3] == ["Effects", "Scores"], "what came out, before how it went"
