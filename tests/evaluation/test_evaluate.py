"""The whole evaluation: what is in a result, when the test is read, what is refused, and the table."""

import json
from pathlib import Path

import numpy as np
import pytest

from findna_kit.errors import FindnaError
from findna_kit.evaluation import Table, Task, evaluate, load_task, table_rows
from findna_kit.evaluation.controls import kmer_features
from findna_kit.evaluation.scores import SCORES, accuracy, confusion
from findna_kit.evaluation.table import HEADER, score_text

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "tasks"


def good(sequences):
    return kmer_features(sequences, 2)


def poor(sequences):
    """Of the length alone, which says nothing about the class."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.float32)
    return np.stack([np.cos(lengths * turn) for turn in (0.3, 1.1, 2.3)], axis=1)


EMBED = {"encoder": good, "random_init": poor}


def make_task(seed=0, rows=(150, 60, 120)):
    """Two classes of the same composition: in one, every C follows an A."""
    rng = np.random.default_rng(seed)
    parts = {}
    for part, count in zip(("train", "validation", "test"), rows, strict=True):
        labels = np.concatenate([[0, 1], rng.integers(2, size=count - 2)])
        units = [["AC", "G", "T"], ["CA", "G", "T"]]
        sequences = ["T" + "".join(rng.choice(units[label], size=rng.integers(6, 20))) for label in labels]
        parts[part] = Table(sequences, labels)
    return Task("toy", "/data/toy", parts, ("first", "second"), ("a note",))


@pytest.fixture(scope="module")
def task():
    return make_task()


@pytest.fixture(scope="module")
def result(task):
    return evaluate(task, EMBED, ["knn", "probe"], seed=7)


def test_a_result_is_ready_for_json(result):
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_result_says_what_was_scored(result):
    assert (result["task"], result["path"]) == ("toy", "/data/toy")
    assert result["digest"] == make_task().digest != make_task(seed=1).digest
    assert result["sizes"] == {"train": 150, "validation": 60, "test": 120}
    assert result["classes"] == ["first", "second"]
    assert result["notes"] == ["a note"]
    assert result["fitted_on"] == "train"
    assert result["seed"] == 7
    assert result["interval"]["level"] == 0.95


def test_every_row_has_its_choice_and_its_intervals(result):
    assert list(result["protocols"]) == ["knn", "probe"]
    assert list(result["controls"]) == ["kmer", "majority"]
    rows = [block[who] for block in result["protocols"].values() for who in ("encoder", "random_init")]
    for row in [*rows, *result["controls"].values()]:
        assert list(row) == ["chosen", *SCORES, "seeds"]
        assert row["seeds"] == 1
        for name in SCORES:
            assert row[name]["low"] <= row[name]["value"] <= row[name]["high"]
    assert set(result["protocols"]["knn"]["encoder"]["chosen"]) == {"neighbours", "validation_mcc"}
    assert set(result["protocols"]["probe"]["encoder"]["chosen"]) == {"C", "validation_mcc", "converged"}
    assert set(result["controls"]["kmer"]["chosen"]) == {"k", "C", "validation_mcc", "converged"}


def test_differences_are_of_the_encoder_to_each_control(result):
    for block in result["protocols"].values():
        assert list(block["encoder_minus"]) == ["random_init", "kmer", "majority"]
        others = {"random_init": block["random_init"], **result["controls"]}
        for who, difference in block["encoder_minus"].items():
            for name in SCORES:
                value = block["encoder"][name]["value"] - others[who][name]["value"]
                assert difference[name]["value"] == pytest.approx(value)
                assert difference[name]["verdict"] in ("above", "below", "not distinguishable")


def test_a_good_encoder_is_above_and_a_poor_one_below(task, result):
    assert result["protocols"]["probe"]["encoder_minus"]["random_init"]["mcc"]["verdict"] == "above"
    assert result["protocols"]["probe"]["encoder_minus"]["majority"]["mcc"]["verdict"] == "above"
    turned = evaluate(task, {"encoder": poor, "random_init": good}, ["probe"], seed=7)
    assert turned["protocols"]["probe"]["encoder_minus"]["random_init"]["mcc"]["verdict"] == "below"
    assert turned["protocols"]["probe"]["encoder_minus"]["kmer"]["mcc"]["verdict"] == "below"
    same = evaluate(task, {"encoder": good, "random_init": good}, ["probe"], seed=7)
    assert same["protocols"]["probe"]["encoder_minus"]["random_init"]["mcc"]["verdict"] == "not distinguishable"


def test_majority_has_no_correlation(task, result):
    majority = result["controls"]["majority"]
    assert majority["mcc"] == {"value": 0, "low": 0, "high": 0}
    truth = task.parts["test"].labels
    label = task.classes.index(majority["chosen"]["class"])
    assert majority["accuracy"]["value"] == float(accuracy(confusion(truth, np.full_like(truth, label), 2)))


def test_the_same_input_gives_the_same_digits(task, result):
    assert evaluate(task, EMBED, ["knn", "probe"], seed=7) == result


def test_a_seed_moves_the_intervals_and_nothing_else(task, result):
    other = evaluate(task, EMBED, ["knn", "probe"], seed=8)
    assert other["protocols"]["probe"]["random_init"] != result["protocols"]["probe"]["random_init"]
    for name in ("knn", "probe"):
        assert other["protocols"][name]["encoder"]["chosen"] == result["protocols"][name]["encoder"]["chosen"]
        assert other["protocols"][name]["encoder"]["mcc"]["value"] == result["protocols"][name]["encoder"]["mcc"]["value"]


def test_each_part_is_embedded_once_and_test_last(task):
    calls = []

    def recording(who, function):
        def embed(sequences):
            calls.append((who, next(part for part, table in task.parts.items() if table.sequences == list(sequences))))
            return function(sequences)

        return embed

    evaluate(task, {who: recording(who, function) for who, function in EMBED.items()}, ["knn", "probe"], seed=0)
    assert calls == [(who, part) for who in EMBED for part in ("train", "validation", "test")]


def test_labels_of_the_test_choose_nothing(task, result):
    parts = {**task.parts, "test": Table(task.parts["test"].sequences, 1 - task.parts["test"].labels)}
    turned = evaluate(Task(task.name, task.path, parts, task.classes, task.notes), EMBED, ["knn", "probe"], seed=7)
    for name, block in result["protocols"].items():
        for who in EMBED:
            assert turned["protocols"][name][who]["chosen"] == block[who]["chosen"]
    assert turned["controls"]["kmer"]["chosen"] == result["controls"]["kmer"]["chosen"]
    assert turned["controls"]["kmer"]["mcc"]["value"] == pytest.approx(-result["controls"]["kmer"]["mcc"]["value"])


def test_a_protocol_named_twice_is_run_once(task):
    assert list(evaluate(task, EMBED, ["knn", "knn"], seed=0)["protocols"]) == ["knn"]


def test_an_unknown_protocol_is_refused(task):
    with pytest.raises(FindnaError, match=r"^there is no protocol 'prob'; did you mean 'probe'\?; there are knn, probe$"):
        evaluate(task, EMBED, ["knn", "prob"], seed=0)


def test_no_protocol_is_refused(task):
    with pytest.raises(FindnaError, match="no protocol was named; there are knn, probe"):
        evaluate(task, EMBED, [], seed=0)


@pytest.mark.parametrize("embed", [{"encoder": good}, {**EMBED, "other": good}])
def test_the_encoder_never_stands_without_its_initial_self(task, embed):
    with pytest.raises(ValueError, match=r"\['encoder', 'random_init'\] are needed"):
        evaluate(task, embed, ["knn"], seed=0)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_embeddings_that_are_not_finite_are_refused(task, part):
    def broken(sequences):
        rows = good(sequences)
        if list(sequences) == task.parts[part].sequences:
            rows[-1, 0] = np.nan
        return rows

    with pytest.raises(FindnaError, match="random_init: embeddings of the task toy are not finite"):
        evaluate(task, {"encoder": good, "random_init": broken}, ["knn"], seed=0)


@pytest.mark.parametrize("broken", [lambda s: good(s)[1:], lambda s: good(s)[:, 0]])
def test_embeddings_of_a_wrong_shape_are_refused(task, broken):
    with pytest.raises(ValueError, match=r"encoder gave an array \(.*\) for 150 sequences"):
        evaluate(task, {"encoder": broken, "random_init": poor}, ["knn"], seed=0)


@pytest.mark.parametrize("name", ["UCI_splice", "UCI_promoters"])
def test_a_real_task_runs_whole(name):
    if not (REAL / name).is_dir():
        pytest.skip(f"the real task {name} is not beside this checkout")
    result = evaluate(load_task(str(REAL / name)), {"encoder": good, "random_init": poor}, ["knn", "probe"], seed=0)
    json.dumps(result, allow_nan=False)
    assert len(table_rows(result)) == 9


def test_the_table_has_every_control_under_every_protocol(result):
    header, *rows = table_rows(result)
    assert header == HEADER
    assert [row[0] for row in rows] == ["k-NN"] * 4 + ["linear probe"] * 4
    names = ["encoder", "random initialisation", "k-mer logistic regression", "majority class"]
    assert [row[1] for row in rows] == names * 2
    assert {len(row) for row in rows} == {len(HEADER)}
    assert rows[0][-1] == ""
    encoder, control = result["protocols"]["probe"]["encoder"], result["protocols"]["probe"]["encoder_minus"]["majority"]
    assert rows[4][4] == "{value:.3f} [{low:.3f}, {high:.3f}]".format(**encoder["mcc"])
    assert rows[7][-1] == "above ({value:+.3f} [{low:+.3f}, {high:+.3f}])".format(**control["mcc"])
    assert rows[0][2] == f"neighbours={result['protocols']['knn']['encoder']['chosen']['neighbours']}"
    assert rows[3][2] == f"class={result['controls']['majority']['chosen']['class']}"


def test_the_table_says_what_did_not_converge(result):
    changed = json.loads(json.dumps(result))
    changed["protocols"]["probe"]["encoder"]["chosen"] = {"C": 0.01, "validation_mcc": 0.5, "converged": False}
    assert table_rows(changed)[5][2] == "C=0.01 (not converged)"


def test_the_table_comes_from_what_was_saved(result):
    assert table_rows(json.loads(json.dumps(result))) == table_rows(result)


def test_three_digits_and_no_negative_zero():
    interval = {"value": 0.61249, "low": -0.0001, "high": 1.0}
    assert score_text(interval) == "0.612 [0.000, 1.000]"
    assert score_text(interval, sign="+") == "+0.612 [+0.000, +1.000]"
