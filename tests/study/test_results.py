"""What a finished study says, in numbers that are known, and how it is written."""

import csv
import io
import json

import numpy as np
import pytest
from scipy import stats

from findna_kit.study.cells import cell_folders
from findna_kit.study.files import StudyResult
from findna_kit.study.results import analyse as analyse_study
from findna_kit.study.results import design_warnings
from findna_kit.study.run import write_result
from findna_kit.study.schema import Study, StudyCell
from findna_kit.study.tables import COLUMNS, as_csv, as_latex, as_markdown, condition_rows, tables
from tests.building import small
from tests.records.documents import protocol, task_result

RECIPE = small("masked_only", "evaluation={tasks: [/data/one, builtin], protocols: [knn]}")[0]
TASKS = {"/data/one": "one", "builtin": "builtin"}
LEVELS = {"rate": {"low": {}, "high": {"optimizer.learning_rate": 0.1}, "higher": {"optimizer.learning_rate": 1}}}


def declared(seeds=8, **keys):
    plain = {"name": "tiny_1", "recipe": "masked_only", "factors": LEVELS, "tasks": list(TASKS), "metric": "knn/mcc"}
    return Study.model_validate_json(json.dumps({**plain, "seeds": seeds, **keys}))


def analyse(study, folders):
    """The result as result.json has it."""
    return analyse_study(study, folders).plain()


def model(found):
    return StudyResult.model_validate(found)


def rows(found):
    return condition_rows(model(found))


def draws(study, seed=0):
    """Scores [seeds, tasks] by condition: the second is better by 0.2, the third by nothing."""
    random = np.random.default_rng(seed)
    shared = random.normal(0.4, 0.05, (len(study.every_seed), 2))
    shifts = dict(zip(study.conditions(), (0, 0.2, 0), strict=False))
    return {name: shared + shift + random.normal(0, 0.01, shared.shape) for name, shift in shifts.items()}


def written(study, scores, folder, tasks=TASKS):
    cells = [StudyCell(condition, seed, RECIPE) for condition in study.conditions() for seed in study.every_seed]
    folders = cell_folders(cells, folder, tasks)
    for one in folders:
        one.run.mkdir(parents=True)
        values = scores[one.cell.condition][study.every_seed.index(one.cell.seed)]
        told = {
            path: task_result({"knn": protocol(float(value), random_init=0.1 * one.cell.seed, kmer=0.7)}, path=path)
            for path, value in zip(tasks, values, strict=True)
        }  # fmt: skip
        (one.run / "evaluation.json").write_text(json.dumps(told))
    return folders


@pytest.fixture
def result(tmp_path):
    study = declared()
    scores = draws(study)
    return analyse(study, written(study, scores, tmp_path)), scores


def test_differences_are_those_of_a_paired_t_test(result):
    found, scores = result
    differences = (scores["rate-high"] - scores["reference"]).mean(1)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    effect = found["conditions"]["rate-high"]["effect"]
    assert (effect["overall"]["low"], effect["overall"]["high"]) == pytest.approx((expected.low, expected.high))
    assert effect["overall"]["value"] == pytest.approx(0.2, abs=0.02)
    assert effect["by_task"].keys() == {"one", "builtin"}
    assert effect["by_task"]["one"]["value"] == pytest.approx(np.mean((scores["rate-high"] - scores["reference"])[:, 0]))
    assert (effect["p"], effect["adjusted"]) == (2 / 2**8, 2 * 2 / 2**8)
    verdicts = [condition.get("effect", {}).get("verdict") for condition in found["conditions"].values()]
    assert verdicts == [None, "better", "no difference shown"]


def test_what_was_declared_and_every_score_are_in_it(result):
    found, scores = result
    assert (found["study"]["metric"], found["seeds"], found["tasks"]) == (
        "knn/mcc", list(range(8)), {"one": "/data/one", "builtin": "builtin"},
    )  # fmt: skip
    first = found["conditions"]["reference"]
    assert first["levels"] == {"rate": "low"}
    assert first["scores"]["builtin"]["each"] == scores["reference"][:, 1].tolist()
    assert first["scores"]["builtin"]["mean"]["value"] == pytest.approx(scores["reference"][:, 1].mean())
    assert {task: one["value"] for task, one in first["controls"]["random_init"].items()} == pytest.approx(
        {"one": 0.35, "builtin": 0.35}
    )
    interval = stats.ttest_1samp(0.1 * np.arange(8), 0).confidence_interval(0.95)
    told = first["controls"]["random_init"]["one"]
    assert (told["value"], told["low"], told["high"]) == pytest.approx((0.35, interval.low, interval.high))
    assert first["controls"]["kmer"]["one"] == {"value": 0.7, "low": None, "high": None}, "the same with every seed"
    assert found["smallest_p"] == pytest.approx(2 * 2 / 2**8)
    assert json.loads(json.dumps(found)) == found


def test_rows_have_the_controls_last(result):
    head, first, second, third, *controls = rows(result[0])
    assert head == [
        "condition",
        "seeds",
        "steps",
        "one",
        "builtin",
        "difference of knn/mcc",
        "p",
        "adjusted p",
        "Hedges' g",
        "verdict",
    ]
    assert (first[0], first[1], first[-1]) == ("reference", "8", "reference")
    effect = result[0]["conditions"]["rate-high"]["effect"]
    value, low, high = (effect["overall"][key] for key in ("value", "low", "high"))
    assert second[5:] == [f"{value:+.3f} [{low:+.3f}, {high:+.3f}]", "0.00781", "0.0156", f"{effect['size']:+.2f}", "better"]
    assert third[-1] == "no difference shown"
    assert [(row[0], row[3], row[-1]) for row in controls] == [
        ("random initialisation", "0.350", "control"), ("k-mer logistic regression", "0.700", "control"),
    ]  # fmt: skip
    assert {len(row) for row in rows(result[0])} == {10}


@pytest.mark.parametrize(("seeds", "warned"), [
    (1, [
        "3 conditions, 1 seed: the smallest adjusted p that a single condition can reach is 1",
        "with fewer than 6 seeds, no difference can reach 0.05",
    ]),
    (5, [
        "3 conditions, 5 seeds: the smallest adjusted p that a single condition can reach is 0.12",
        "with fewer than 6 seeds, no difference can reach 0.05",
    ]),
    (6, ["3 conditions, 6 seeds: the smallest adjusted p that a single condition can reach is 0.062", "with 2 comparisons"]),
    (7, ["3 conditions, 7 seeds: the smallest adjusted p that a single condition can reach is 0.031"]),
])  # fmt: skip
def test_what_so_many_seeds_cannot_say_is_said_before(seeds, warned):
    said = design_warnings(declared(seeds))
    assert [sentence.startswith(begin) for sentence, begin in zip(said, warned, strict=True)] == [True] * len(warned)


@pytest.mark.parametrize(("seeds", "verdict"), [(2, "not enough seeds to say"), (6, "not enough seeds to say"), (7, "better")])
def test_few_seeds_give_no_verdict(seeds, verdict, tmp_path):
    study = declared(seeds)
    found = analyse(study, written(study, draws(study), tmp_path))
    assert found["conditions"]["rate-high"]["effect"]["verdict"] == verdict
    assert rows(found)[2][-1] == verdict


def test_one_seed_has_no_interval(tmp_path):
    study = declared(1)
    found = analyse(study, written(study, draws(study), tmp_path))
    assert found["conditions"]["reference"]["scores"]["one"]["mean"]["low"] is None
    told = rows(found)[2]
    assert "[" not in told[5]
    assert told[6:] == ["1", "1", "", "not enough seeds to say"]


def test_the_correction_is_the_declared_one(tmp_path):
    study = declared(6, correction="benjamini_hochberg")
    scores = draws(study)
    scores["rate-higher"] = scores["reference"] + 0.3
    found = analyse(study, written(study, scores, tmp_path))["conditions"]
    assert [found[name]["effect"]["adjusted"] for name in ("rate-high", "rate-higher")] == [2 / 64, 2 / 64]


def read_csv(found):
    return list(csv.DictReader(io.StringIO(as_csv(model(found)))))


def numbers(row):
    return [float(row[name]) for name in ("difference", "low", "high", "p", "adjusted", "hedges_g")]


def test_csv_has_every_number_as_it_is(result):
    found, scores = result
    first, *_ = table = read_csv(found)
    assert list(first) == list(COLUMNS)
    assert [(row["kind"], row["name"], row["task"]) for row in table] == [
        (kind, name, task)
        for kind, name in (
            *(("condition", name) for name in found["conditions"]),
            ("control", "random initialisation"), ("control", "k-mer logistic regression"),
        )
        for task in ("", "one", "builtin")
    ]  # fmt: skip
    rows = {(row["name"], row["task"]): row for row in table}
    effect = found["conditions"]["rate-high"]["effect"]
    whole, alone = rows["rate-high", ""], rows["rate-high", "builtin"]
    assert numbers(whole) == [*effect["overall"].values(), effect["p"], effect["adjusted"], effect["size"]], "not rounded"
    assert (whole["verdict"], whole["seeds"], whole["steps"]) == ("better", "8", str(RECIPE.steps))
    assert [float(alone[name]) for name in ("difference", "low", "high")] == [*effect["by_task"]["builtin"].values()]
    assert {alone[name] for name in ("p", "adjusted", "hedges_g", "verdict")} == {""}, "the study is judged over all tasks"
    assert float(rows["reference", "one"]["mean"]) == pytest.approx(scores["reference"][:, 0].mean(), rel=1e-15)
    assert float(rows["reference", ""]["mean"]) == pytest.approx(scores["reference"].mean(), rel=1e-15)
    assert {rows["reference", ""][name] for name in ("difference", "low", "p", "verdict")} == {""}
    assert (rows["k-mer logistic regression", ""]["mean"], rows["k-mer logistic regression", ""]["steps"]) == ("0.7", "")


FACTORS = {**LEVELS, "width": {"narrow": {}, "wide": {"encoder.hidden": 64}}}


@pytest.fixture
def crossed(tmp_path):
    """Of a factorial study, by rate and width; the whole of what wide and high bring adds up."""
    study, random = declared(factors=FACTORS, design="factorial"), np.random.default_rng(1)
    added = {"rate-high": 0.2, "width-wide": -0.1}
    scores = {
        name: 0.4 + sum(added.get(part, 0) for part in name.split("+")) + random.normal(0, 0.01, (8, 2))
        for name in study.conditions()
    }
    return analyse(study, written(study, scores, tmp_path)), scores


def test_main_effects_are_over_all_levels_of_the_other_factors(crossed):
    found, scores = crossed
    assert json.loads(json.dumps(found)) == found
    mains = {(one["factor"], one["level"]): one for one in found["main_effects"]["levels"]}
    assert [(*name, one["minus"]) for name, one in mains.items()] == [
        ("rate", "high", "low"), ("rate", "higher", "low"), ("width", "wide", "narrow"),
    ]  # fmt: skip
    high = (scores["rate-high"] + scores["rate-high+width-wide"]) / 2 - (scores["reference"] + scores["width-wide"]) / 2
    expected = stats.ttest_1samp(high.mean(1), 0).confidence_interval(0.95)
    effect = mains["rate", "high"]["effect"]
    assert list(effect["overall"].values()) == pytest.approx([high.mean(), *expected])
    assert effect["by_task"]["one"]["value"] == pytest.approx(high[:, 0].mean())
    wide = [scores[name] for name in ("width-wide", "rate-high+width-wide", "rate-higher+width-wide")]
    narrow = [scores[name] for name in ("reference", "rate-high", "rate-higher")]
    assert mains["width", "wide"]["effect"]["overall"]["value"] == pytest.approx(np.mean(wide) - np.mean(narrow))
    assert [one["effect"]["verdict"] for one in mains.values()] == ["better", "no difference shown", "worse"]
    assert (effect["p"], effect["adjusted"]) == (2 / 2**8, 3 * 2 / 2**8), "of three, not of five conditions"
    assert (found["main_effects"]["smallest_p"], found["smallest_p"]) == (3 * 2 / 2**8, 5 * 2 / 2**8)


def test_main_effects_are_in_every_table(crossed):
    found, _ = crossed
    conditions, mains = tables(model(found))
    assert conditions == rows(found)
    assert mains[0] == ["main effect", "difference of knn/mcc", "p", "adjusted p", "Hedges' g", "verdict"]
    assert [row[0] for row in mains[1:]] == ["rate: high minus low", "rate: higher minus low", "width: wide minus narrow"]
    assert (mains[1][1][:6], mains[1][3], mains[1][-1]) == ("+0.199", "0.0234", "better")
    assert "| rate: high minus low | +0.199 [" in as_markdown(model(found))
    assert as_latex(model(found)).count(r"\begin{tabular}{lrrrrl}") == 1
    assert r"rate: high minus low & +0.199 [" in as_latex(model(found))
    for text in (as_markdown(model(found)), as_latex(model(found))):
        assert (
            "A main effect is a level minus the first level of its factor" in text
            and "(smallest p that can be reached: 0.023)" in text
        )
    table = {(row["name"], row["task"]): row for row in read_csv(found) if row["kind"] == "main effect"}
    (effect,) = [one["effect"] for one in found["main_effects"]["levels"] if one["level"] == "wide"]
    assert numbers(table["width: wide minus narrow", ""])[:3] == [*effect["overall"].values()]
    assert float(table["width: wide minus narrow", "one"]["difference"]) == effect["by_task"]["one"]["value"]
    assert len(table) == 9


def test_other_designs_have_no_main_effects(result, tmp_path):
    assert "main_effects" not in result[0] and len(tables(model(result[0]))) == 1
    for keys in ({"design": "factorial"}, {"factors": FACTORS}, {"factors": FACTORS, "design": "leave_one_out"}):
        study = declared(2, **keys)
        random = np.random.default_rng(0)
        scores = {name: random.random((2, 2)) for name in study.conditions()}
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        assert "main_effects" not in analyse(study, written(study, scores, folder))
    assert not any("main effects" in sentence for sentence in design_warnings(study))


def test_a_condition_that_failed_is_named_and_the_others_are_compared(tmp_path):
    study, reason = declared(factors=FACTORS, design="factorial"), "1 cell failed, seed 3 because: exit code 3: too hot"
    random = np.random.default_rng(1)
    scores = {name: random.random((8, 2)) for name in study.conditions()}
    folders = written(study, scores, tmp_path)
    (folders[11].run / "evaluation.json").unlink()  # of the second condition, which is not read
    second, *others = list(study.conditions())[1:]
    found = analyse_study(study, folders, None, {second: reason}).plain()
    assert found["failed"] == {second: reason}
    assert list(found["conditions"]) == ["reference", *others]
    assert "main_effects" not in found, "they need every combination"
    assert found["smallest_p"] == 4 * 2 / 2**8, "the correction is over the four comparisons that are left"
    assert [row for row in rows(found) if row[-1] == "failed"] == [[second, "8", *[""] * 7, "failed"]]
    (failed,) = [row for row in read_csv(found) if row["verdict"] == "failed"]
    assert (failed["kind"], failed["name"], failed["task"], failed["mean"]) == ("condition", second, "", "")
    assert f"{second} is not compared: {reason}." in as_markdown(model(found))
    whole = analyse(study, written(study, scores, tmp_path / "whole"))
    assert "failed" not in whole
    (one, *_), (other, *_) = (StudyResult.model_validate(each).effects.values() for each in (whole, found))
    assert one != other


def test_what_main_effects_can_reach_is_said_before():
    said = design_warnings(declared(7, factors=FACTORS, design="factorial"))
    assert said[1] == "3 main effects: the smallest adjusted p that a single one can reach is 0.047"


def test_markdown_is_a_table_with_how_to_read_it(tmp_path):
    study = declared()
    tasks = {"/data/one": "a|b", "builtin": "builtin"}
    text = as_markdown(analyse_study(study, written(study, draws(study), tmp_path, tasks)))
    head, line, *body, empty, legend = text.splitlines()
    assert head.startswith("| condition | seeds | steps | a\\|b | builtin |")
    assert line == "| " + " | ".join(["---"] * 10) + " |"
    assert (len(body), empty) == (5, "")
    assert {row.replace("\\|", "").count("|") for row in [head, *body]} == {11}
    assert legend.startswith("tiny_1: mean knn/mcc over 8 seeds; differences are paired by seed and averaged over tasks")
    assert "adjusted by holm (smallest p that can be reached: 0.016)" in legend


def test_latex_is_a_booktabs_table_whose_words_are_escaped(tmp_path):
    study = declared()
    tasks = {"/data/one": "50%_of{a}\\b", "builtin": "~^#$&<>"}
    text = as_latex(analyse_study(study, written(study, draws(study), tmp_path, tasks)))
    legend, begin, top, head, middle, *body, bottom, end = text.splitlines()
    assert (begin, top, middle) == (r"\begin{tabular}{lrrrrrrrrl}", r"\toprule", r"\midrule")
    assert (bottom, end) == (r"\bottomrule", r"\end{tabular}")
    assert legend.startswith("% tiny_1: mean knn/mcc")
    words = head.removesuffix(r" \\").split(" & ")
    assert words[3] == r"50\%\_of\{a\}\textbackslash{}b"
    assert words[4] == r"\textasciitilde{}\textasciicircum{}\#\$\&\textless{}\textgreater{}"
    assert len(body) == 5
    assert all(row.endswith(r" \\") and row.replace(r"\&", "").count(" & ") == 9 for row in body)


def test_the_files_hold_what_is_printed(result, tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    write_result(folder, model(result[0]))
    assert {path.name for path in folder.iterdir()} == {"result.json", "result.csv", "result.md", "result.tex"}
    assert json.loads((folder / "result.json").read_text()) == result[0]
    assert (folder / "result.md").read_text() == as_markdown(model(result[0]))
    assert (folder / "result.tex").read_text() == as_latex(model(result[0]))
    assert (folder / "result.csv").read_text() == as_csv(model(result[0]))
