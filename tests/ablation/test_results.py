"""What a finished study says, in numbers that are known, and how it is written."""

import csv
import io
import json

import numpy as np
import pytest
from scipy import stats

from findna_kit.ablation.cells import folders_of
from findna_kit.ablation.results import analyse, as_csv, as_latex, as_markdown, rows, warnings_of
from findna_kit.ablation.run import write_tables
from findna_kit.ablation.study import Cell, Study
from tests.building import small

RECIPE = small("masked_only", "evaluation={tasks: [/data/one, builtin], protocols: [knn]}")[0]
TASKS = {"/data/one": "one", "builtin": "builtin"}
LEVELS = {"rate": {"low": {}, "high": {"optimizer.learning_rate": 0.1}, "higher": {"optimizer.learning_rate": 1}}}


def declared(seeds=8, **keys):
    plain = {"name": "tiny_1", "recipe": "masked_only", "factors": LEVELS, "tasks": list(TASKS), "metric": "knn/mcc"}
    return Study.model_validate_json(json.dumps({**plain, "seeds": seeds, **keys}))


def draws(study, seed=0):
    """Scores [seeds, tasks] by condition: the second is better by 0.2, the third by nothing."""
    random = np.random.default_rng(seed)
    shared = random.normal(0.4, 0.05, (len(study.every_seed), 2))
    shifts = dict(zip(study.conditions(), (0, 0.2, 0), strict=False))
    return {name: shared + shift + random.normal(0, 0.01, shared.shape) for name, shift in shifts.items()}


def written(study, scores, folder, tasks=TASKS):
    cells = [Cell(condition, seed, RECIPE) for condition in study.conditions() for seed in study.every_seed]
    folders = folders_of(cells, folder, tasks)
    for one in folders:
        one.run.mkdir(parents=True)
        values = scores[one.cell.condition][study.every_seed.index(one.cell.seed)]
        told = {
            path: {"protocols": {"knn": {
                "encoder": {"mcc": {"value": float(value)}}, "kmer": {"mcc": {"value": 0.7}},
                "random_init": {"mcc": {"value": 0.1 * one.cell.seed}}, "encoder_minus": {},
            }}}
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
    assert first["controls"]["random_init"] == {"one": pytest.approx(0.35), "builtin": pytest.approx(0.35)}
    interval = stats.ttest_1samp(0.1 * np.arange(8), 0).confidence_interval(0.95)
    told = first["control_intervals"]["random_init"]["one"]
    assert (told["value"], told["low"], told["high"]) == pytest.approx((0.35, interval.low, interval.high))
    assert first["control_intervals"]["kmer"]["one"] == {
        "value": pytest.approx(0.7),
        "low": pytest.approx(0.7),
        "high": pytest.approx(0.7),
    }
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
        "adjusted",
        "Hedges' g",
        "verdict",
    ]
    assert (first[0], first[1], first[-1]) == ("reference", "8", "the others are compared with this one")
    effect = result[0]["conditions"]["rate-high"]["effect"]
    value, low, high = (effect["overall"][key] for key in ("value", "low", "high"))
    assert second[5:] == [f"{value:+.3f} [{low:+.3f}, {high:+.3f}]", "0.00781", "0.0156", f"{effect['size']:+.2f}", "better"]
    assert third[-1] == "no difference shown"
    assert [(row[0], row[3], row[-1]) for row in controls] == [
        ("k-mer logistic regression", "0.700", "a control"), ("random initialisation", "0.350", "a control"),
    ]  # fmt: skip
    assert {len(row) for row in rows(result[0])} == {10}


@pytest.mark.parametrize(("seeds", "warned"), [
    (1, ["3 conditions, 1 seed: the smallest adjusted p that a condition alone can reach is 1", "below 6 seeds"]),
    (5, ["3 conditions, 5 seeds: the smallest adjusted p that a condition alone can reach is 0.12", "below 6 seeds"]),
    (6, ["3 conditions, 6 seeds: the smallest adjusted p that a condition alone can reach is 0.062", "with 2 comparisons"]),
    (7, ["3 conditions, 7 seeds: the smallest adjusted p that a condition alone can reach is 0.031"]),
])  # fmt: skip
def test_what_so_many_seeds_cannot_say_is_said_before(seeds, warned):
    said = warnings_of(declared(seeds))
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


def test_csv_is_the_rows(result):
    assert list(csv.reader(io.StringIO(as_csv(result[0])))) == rows(result[0])


def test_markdown_is_a_table_with_how_to_read_it(tmp_path):
    study = declared()
    tasks = {"/data/one": "a|b", "builtin": "builtin"}
    text = as_markdown(analyse(study, written(study, draws(study), tmp_path, tasks)))
    head, line, *body, empty, legend = text.splitlines()
    assert head.startswith("| condition | seeds | steps | a\\|b | builtin |")
    assert line == "| " + " | ".join(["---"] * 10) + " |"
    assert (len(body), empty) == (5, "")
    assert {row.replace("\\|", "").count("|") for row in [head, *body]} == {11}
    assert legend.startswith("tiny_1: mean knn/mcc over 8 seeds; differences are paired by seed and averaged over tasks")
    assert "adjusted by holm (smallest that can be reached: 0.016)" in legend


def test_latex_is_a_booktabs_table_whose_words_are_escaped(tmp_path):
    study = declared()
    tasks = {"/data/one": "50%_of{a}\\b", "builtin": "~^#$&<>"}
    text = as_latex(analyse(study, written(study, draws(study), tmp_path, tasks)))
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
    write_tables(folder, result[0])
    assert {path.name for path in folder.iterdir()} == {"result.json", "result.csv", "result.md", "result.tex"}
    assert json.loads((folder / "result.json").read_text()) == result[0]
    assert (folder / "result.md").read_text() == as_markdown(result[0])
    assert (folder / "result.tex").read_text() == as_latex(result[0])
    assert (folder / "result.csv").read_text() == as_csv(result[0])
