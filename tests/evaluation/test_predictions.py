"""The whole evaluation: which cells there are, what is in a result, when the test is read, what is refused, and the table."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from findna_kit.errors import FindnaError, TaskError
from findna_kit.evaluation import (
    Contender,
    Evaluation,
    EvaluationRequest,
    Prediction,
    PredictionCache,
    Task,
    TaskSplit,
    load_task,
    result_tables,
    summarise,
)
from findna_kit.evaluation.base_features import kmer_features
from findna_kit.evaluation.protocol_table import PROTOCOLS
from findna_kit.evaluation.request import PredictionSpec
from findna_kit.evaluation.result_tables import header, protocol_name, score_text
from findna_kit.evaluation.scores import SCORES, accuracy, confusion
from findna_kit.records.evaluation_json import ScoreInterval, TaskScores

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "tasks"
WHO = ["encoder", "random_init", "kmer", "majority"]


def good(sequences):
    return kmer_features(sequences, 2)


def poor(sequences):
    """Of the length alone, which says nothing about the class."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.float32)
    return np.stack([np.cos(lengths * turn) for turn in (0.3, 1.1, 2.3)], axis=1)


def contenders(encoder=good, untrained=poor, tune=None):
    """The encoder, and networks that differ by their number."""

    def one(who, number):
        embed = encoder if who == "encoder" else lambda sequences: untrained(sequences) * np.float32(1 + number)
        return Contender(
            lambda rows: {"forward": embed(rows)},
            {"network": who, "number": number},
            tune or tuned(who),
            {"network": who, "tuned": number},
        )

    return one


def tuned(who):
    """In place of a network's fine-tuning: the right class for the encoder with a chance that the seed decides."""

    def tune(task, seed, folder):
        right = np.eye(len(task.classes), dtype=np.float32)[task.splits["test"].labels]
        wrong = np.random.default_rng(seed).random(len(right)) < (0.1 if who == "encoder" else 0.4)
        right[wrong] = right[wrong][:, ::-1]
        return Prediction(right, {"epoch": 3})

    return tune


def make_task(seed=0, rows=(150, 60, 120)):
    """Two classes of the same composition: in one, every C follows an A."""
    rng = np.random.default_rng(seed)
    parts = {}
    for part, count in zip(("train", "validation", "test"), rows, strict=True):
        labels = np.concatenate([[0, 1], rng.integers(2, size=count - 2)])
        units = [["AC", "G", "T"], ["CA", "G", "T"]]
        sequences = ["T" + "".join(rng.choice(units[label], size=rng.integers(6, 20))) for label in labels]
        parts[part] = TaskSplit(sequences, labels)
    return Task("toy", "/data/toy", parts, ("first", "second"), ("a note",))


def run(task, folder, asked=None, networks=None, *, seed=7, say=lambda sentence: None, without=()):
    evaluation = Evaluation(task, networks or contenders(), asked or EvaluationRequest(), seed=seed)
    return summarise(task, evaluation.predictions(PredictionCache(folder), say), seed=seed, without=without).to_json()


def table_rows(result):
    return result_tables.table_rows(TaskScores.model_validate(result))


@pytest.fixture(scope="module")
def task():
    return make_task()


@pytest.fixture(scope="module")
def result(task, tmp_path_factory):
    return run(task, tmp_path_factory.mktemp("cells"))


def test_a_result_is_ready_for_json(result):
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_result_says_what_was_scored(result):
    assert (result["task"], result["path"], result["metric"]) == ("toy", "/data/toy", "mcc")
    assert result["digest"] == make_task().digest != make_task(seed=1).digest
    assert result["sizes"] == {"train": 150, "validation": 60, "test": 120}
    assert result["scored"] == 120
    assert result["classes"] == ["first", "second"]
    assert result["notes"] == ["a note"]
    assert result["fitted_on"] == "train"
    assert result["seed"] == 7
    assert result["interval"]["level"] == 0.95
    assert result["areas"] == "auroc and auprc are of the class second"


def test_every_row_has_its_choice_and_its_intervals(result):
    assert list(result["protocols"]) == ["knn", "probe"]
    for block in result["protocols"].values():
        assert list(block) == [*WHO, "encoder_minus"]
        for row in (block[who] for who in WHO):
            assert list(row) == ["chosen", "seeds", *SCORES]
            assert row["seeds"] == len(row["chosen"]) == 1
            for name in SCORES:
                assert row[name]["low"] <= row[name]["value"] <= row[name]["high"]
    assert set(result["protocols"]["knn"]["encoder"]["chosen"][0]) == {"neighbours", "validation_mcc"}
    assert set(result["protocols"]["probe"]["encoder"]["chosen"][0]) == {"C", "validation_mcc", "converged"}
    assert set(result["protocols"]["knn"]["kmer"]["chosen"][0]) == {
        "k", "strands", "longest_k", "C", "validation_mcc", "converged",
    }  # fmt: skip


def test_differences_are_of_the_encoder_to_each_control(result):
    for block in result["protocols"].values():
        assert list(block["encoder_minus"]) == WHO[1:]
        for who, difference in block["encoder_minus"].items():
            for name in SCORES:
                assert difference[name]["value"] == pytest.approx(block["encoder"][name]["value"] - block[who][name]["value"])
                assert difference[name]["verdict"] in ("above", "below", "not distinguishable")


def test_a_good_encoder_is_above_and_a_poor_one_below(task, result, tmp_path):
    above = result["protocols"]["probe"]["encoder_minus"]
    assert above["random_init"]["mcc"]["verdict"] == above["majority"]["mcc"]["verdict"] == "above"
    assert above["random_init"]["auroc"]["verdict"] == "above"
    probe = EvaluationRequest(("probe",))
    turned = run(task, tmp_path / "turned", probe, contenders(poor, good))["protocols"]["probe"]["encoder_minus"]
    assert turned["random_init"]["mcc"]["verdict"] == turned["kmer"]["mcc"]["verdict"] == "below"
    same = run(task, tmp_path / "same", probe, contenders(good, good))["protocols"]["probe"]["encoder_minus"]
    assert same["random_init"]["mcc"]["verdict"] == "not distinguishable"


def test_majority_knows_nothing(task, result):
    majority = result["protocols"]["probe"]["majority"]
    assert majority["mcc"] == {"value": 0, "low": 0, "high": 0}
    assert majority["auroc"]["value"] == 0.5
    truth = task.splits["test"].labels
    assert majority["auprc"]["value"] == pytest.approx(truth.mean())
    label = task.classes.index(majority["chosen"][0]["class"])
    assert majority["accuracy"]["value"] == float(accuracy(confusion(truth, np.full_like(truth, label), 2)))


def test_the_same_input_gives_the_same_digits(task, result, tmp_path):
    assert run(task, tmp_path) == result


def test_a_seed_moves_the_intervals_and_nothing_else(task, result, tmp_path):
    other = run(task, tmp_path, seed=8)
    for name in ("knn", "probe"):
        one, two = other["protocols"][name]["random_init"], result["protocols"][name]["random_init"]
        assert one["chosen"] == two["chosen"]
        assert one["accuracy"]["value"] == two["accuracy"]["value"]
        assert one["accuracy"] != two["accuracy"]


def test_what_is_random_is_repeated_and_what_is_not_is_not():
    asked = EvaluationRequest(("knn", "few_shot", "finetune"), seeds=3, shuffled_labels=True)
    repeats = {}
    for cell in asked.predictions(one_hot=False):
        repeats.setdefault((cell.protocol, cell.contender), []).append(cell.number)
    counts = {key: len(numbers) for key, numbers in repeats.items()}
    fixed = {"random_init": 3, "shuffled_labels": 3, "majority": 1}
    few = {**fixed, "encoder": 3, "kmer": 3}
    expected = {"knn": {**fixed, "encoder": 1, "kmer": 1}, "finetune": {**fixed, "encoder": 3, "kmer": 1}}
    expected |= dict.fromkeys(("few_shot_1", "few_shot_5", "few_shot_10"), few)
    assert counts == {(protocol, who): n for protocol, row in expected.items() for who, n in row.items()}


def test_every_protocol_with_seeds_and_shuffled_labels(task, tmp_path):
    result = run(task, tmp_path, EvaluationRequest(("probe", "few_shot", "finetune"), seeds=3, shuffled_labels=True))
    assert list(result["protocols"]) == ["probe", "few_shot_1", "few_shot_5", "few_shot_10", "finetune"]
    tuning = result["protocols"]["finetune"]
    assert (tuning["encoder"]["seeds"], tuning["random_init"]["seeds"], tuning["kmer"]["seeds"]) == (3, 3, 1)
    assert tuning["encoder"]["mcc"]["deviation"] > 0
    assert tuning["encoder_minus"]["random_init"]["mcc"]["verdict"] == "above"
    assert tuning["kmer"] == result["protocols"]["probe"]["kmer"]
    shuffled = result["protocols"]["probe"]["shuffled_labels"]["mcc"]
    assert abs(shuffled["value"]) < 0.3 < result["protocols"]["probe"]["encoder"]["mcc"]["value"]
    assert result["protocols"]["few_shot_10"]["encoder"]["chosen"][0]["rows"] == 20
    assert len({json.dumps(block["kmer"]) for name, block in result["protocols"].items() if "shot" in name}) == 3


def test_each_part_is_embedded_once_and_test_last(task, tmp_path):
    calls = []

    def recording(function):
        def embed(sequences):
            calls.append(next(part for part, table in task.splits.items() if table.sequences == list(sequences)))
            return function(sequences)

        return embed

    run(task, tmp_path, networks=contenders(recording(good), poor))
    assert calls == ["train", "validation", "test"]


def test_a_second_call_computes_nothing_and_a_deleted_cell_comes_back_to_the_digit(task, result, tmp_path):
    first = run(task, tmp_path)

    def fails(sequences):
        raise AssertionError("nothing is to be embedded")

    assert run(task, tmp_path, networks=contenders(fails, fails)) == first == result
    files = sorted(tmp_path.glob("*.json"))
    assert len(files) == 6  # knn and probe of two networks, kmer, majority
    for path in files:
        path.unlink()
        said = []
        assert run(task, tmp_path, say=said.append) == result
        assert len(said) >= 1
        assert path.is_file()


def test_more_seeds_make_what_is_missing_alone(task, tmp_path):
    run(task, tmp_path, EvaluationRequest(("probe",), seeds=2))
    said = []
    run(task, tmp_path, EvaluationRequest(("probe",), seeds=4), say=said.append)
    assert said == ["toy: probe, random_init, repeat 3", "toy: probe, random_init, repeat 4"]


def test_labels_of_the_test_choose_nothing(task, result, tmp_path):
    parts = {**task.splits, "test": TaskSplit(task.splits["test"].sequences, 1 - task.splits["test"].labels)}
    turned = run(replace(task, splits=parts), tmp_path)
    for name, block in result["protocols"].items():
        for who in WHO:
            assert turned["protocols"][name][who]["chosen"] == block[who]["chosen"]
    mcc = [one["protocols"]["probe"]["kmer"]["mcc"]["value"] for one in (turned, result)]
    assert mcc[0] == pytest.approx(-mcc[1])


def test_rows_that_leaked_are_left_out_without_anything_being_fitted_anew(task, result, tmp_path):
    run(task, tmp_path)
    without = list(range(0, 120, 3))

    def fails(sequences):
        raise AssertionError("nothing is to be embedded")

    cut = run(task, tmp_path, networks=contenders(fails, fails), without=without)
    assert cut["scored"] == 80
    kept = np.setdiff1d(np.arange(120), without)
    majority = task.classes.index(cut["protocols"]["knn"]["majority"]["chosen"][0]["class"])
    expected = (task.splits["test"].labels[kept] == majority).mean()
    assert cut["protocols"]["knn"]["majority"]["accuracy"]["value"] == pytest.approx(expected)
    with pytest.raises(FindnaError, match="without the 120 leaked test samples, samples of 0 classes are left"):
        run(task, tmp_path, without=range(120))


def test_a_protocol_named_twice_is_run_once():
    assert EvaluationRequest(("knn", "knn", "few_shot", "few_shot")).names == (
        "knn",
        "few_shot_1",
        "few_shot_5",
        "few_shot_10",
    )


def test_an_unknown_protocol_is_refused():
    with pytest.raises(
        FindnaError, match=r"^unknown protocol 'prob'; did you mean 'probe'\?; available: knn, probe, few_shot,"
    ):
        EvaluationRequest(("knn", "prob"))


def test_no_repeat_is_refused():
    with pytest.raises(FindnaError, match="seeds=0: must be 1 or more"):
        EvaluationRequest(("few_shot",), seeds=0)


def test_a_control_of_several_protocols_is_one_prediction(task, tmp_path):
    evaluation, said = Evaluation(task, contenders(), EvaluationRequest(("knn", "probe")), seed=7), []
    for _ in ("made", "read"):
        found = evaluation.predictions(PredictionCache(tmp_path), said.append)
        for who in ("kmer", "majority"):
            assert found[PredictionSpec("knn", who, 0)] is found[PredictionSpec("probe", who, 0)]
    assert sum("kmer" in sentence for sentence in said) == 1


def test_what_the_cache_version_stands_for():
    """A change of one of these must raise CACHE_VERSION or a revision; otherwise old predictions stay in use."""
    from findna_kit.evaluation import controls, predictions, protocols
    from findna_kit.evaluation.finetuning import tuning

    assert predictions.CACHE_VERSION == 1
    assert (protocols.NEIGHBOURS, protocols.TEMPERATURE) == ((50, 20, 10, 5, 1), 0.07)
    assert protocols.INVERSE_PENALTIES == (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)
    assert (protocols.MAX_ITERATIONS, protocols.SHOT_PENALTY, tuning.CLIP_NORM) == (2000, 1.0, 1.0)
    assert (controls.KMER_LENGTHS, controls.FEW_SHOT_K) == ((1, 2, 3, 4, 5, 6, 7), 4)
    assert (1e-6, 1e-5, *protocols.INVERSE_PENALTIES) == controls.KMER_PENALTIES
    assert controls.REVISION == 2
    assert {name: protocol.revision for name, protocol in PROTOCOLS.items() if protocol.revision > 1} == {
        "knn": 2, "finetune": 2,
    }  # fmt: skip


def test_the_digest_of_a_task_is_taken_once():
    """Every cell's name asks for it, and of a large task it costs a second."""
    task = make_task()
    assert task.digest is task.digest
    assert replace(task, classes=("other", "second")).digest != task.digest


def test_another_way_of_making_predictions_makes_them_anew(task, tmp_path, monkeypatch):
    run(task, tmp_path)
    monkeypatch.setattr("findna_kit.evaluation.predictions.CACHE_VERSION", 2)
    said = []
    run(task, tmp_path, say=said.append)
    assert len(said) == 6


def test_a_test_part_of_one_class_cannot_be_scored(task, tmp_path):
    alone = TaskSplit(task.splits["test"].sequences[:3], np.zeros(3, dtype=np.int64))
    with pytest.raises(TaskError, match="/data/toy: the test split has only the class 'first', and no score is defined"):
        run(replace(task, splits={**task.splits, "test": alone}), tmp_path)


def test_fine_tuning_that_gives_no_numbers_is_refused_and_not_kept(task, tmp_path):
    def tune(task, seed, folder):
        return Prediction(np.full((len(task.splits["test"].labels), 2), np.nan, dtype=np.float32), {"epoch": 1})

    with pytest.raises(FindnaError, match="encoder: fine-tuned on toy, its predictions on the test split are not finite"):
        run(task, tmp_path, EvaluationRequest(("finetune",)), contenders(tune=tune))
    assert not [path for path in tmp_path.glob("*.json") if "finetune" in path.read_text()]


def test_no_protocol_is_refused():
    with pytest.raises(FindnaError, match="no protocol was given; available: knn, probe"):
        EvaluationRequest(())


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_embeddings_that_are_not_finite_are_refused(task, part, tmp_path):
    def broken(sequences):
        rows = poor(sequences)
        if list(sequences) == task.splits[part].sequences:
            rows[-1, 0] = np.nan
        return rows

    with pytest.raises(FindnaError, match="random_init: embeddings of the task toy are not finite"):
        run(task, tmp_path, networks=contenders(good, broken))


@pytest.mark.parametrize("broken", [lambda s: good(s)[1:], lambda s: good(s)[:, 0]])
def test_embeddings_of_a_wrong_shape_are_refused(task, broken, tmp_path):
    with pytest.raises(ValueError, match=r"encoder returned an array \(.*\) for 150 sequences"):
        run(task, tmp_path, networks=contenders(broken, poor))


@pytest.mark.parametrize("name", ["UCI_splice", "UCI_promoters"])
def test_a_real_task_runs_whole(name, tmp_path):
    if not (REAL / name).is_dir():
        pytest.skip(f"the real task {name} is not beside this checkout")
    result = run(load_task(str(REAL / name)), tmp_path, seed=0)
    json.dumps(result, allow_nan=False)
    assert len(table_rows(result)) == 11  # one-hot bases too: all sequences have one length


def test_the_table_has_every_control_under_every_protocol(result):
    head, *rows = table_rows(result)
    assert head == header("mcc")
    assert head[4:] == ["MCC", "accuracy", "macro-F1", "AUROC", "AUPRC", "encoder's MCC is"]
    assert [row[0] for row in rows] == ["k-NN"] * 4 + ["linear probe"] * 4
    names = ["encoder", "random initialisation", "k-mer logistic regression", "majority class"]
    assert [row[1] for row in rows] == names * 2
    assert {len(row) for row in rows} == {len(head)}
    assert rows[0][-1] == ""
    encoder, control = result["protocols"]["probe"]["encoder"], result["protocols"]["probe"]["encoder_minus"]["majority"]
    assert rows[4][4] == "{value:.3f} [{low:.3f}, {high:.3f}]".format(**encoder["mcc"])
    assert rows[7][-1] == "above ({value:+.3f} [{low:+.3f}, {high:+.3f}])".format(**control["mcc"])
    assert rows[0][3] == f"neighbours={result['protocols']['knn']['encoder']['chosen'][0]['neighbours']}"
    assert rows[3][3] == f"class={result['protocols']['knn']['majority']['chosen'][0]['class']}"


def test_the_table_begins_with_the_tasks_own_score(task, tmp_path):
    rows = table_rows(run(replace(task, metric="auroc"), tmp_path))
    assert rows[0][4:] == ["AUROC", "accuracy", "MCC", "macro-F1", "AUPRC", "encoder's AUROC is"]


def test_the_table_says_what_did_not_converge_and_all_that_was_chosen(result):
    changed = json.loads(json.dumps(result))
    row = changed["protocols"]["probe"]["encoder"]
    row["chosen"] = [{"C": 0.01, "converged": False}, {"C": 0.1, "converged": True}]
    row["mcc"]["deviation"] = 0.0123
    told = table_rows(changed)[5]
    assert told[3] == "C=0.01/0.1 (not converged)"
    assert told[4].endswith("sd 0.012")


def test_the_table_comes_from_what_was_saved(result):
    assert table_rows(json.loads(json.dumps(result))) == table_rows(result)


def test_names_of_protocols():
    assert [protocol_name(name) for name in ("knn", "few_shot_5", "finetune")] == ["k-NN", "5-shot", "fine-tuning"]


def test_three_digits_and_no_negative_zero():
    interval = ScoreInterval(value=0.61249, low=-0.0001, high=1.0)
    assert score_text(interval) == "0.612 [0.000, 1.000]"
    assert score_text(interval, sign="+") == "+0.612 [+0.000, +1.000]"


def test_a_cell_knows_its_network():
    assert PredictionSpec("probe", "kmer", 0).network is None
    assert PredictionSpec("probe", "shuffled_labels", 2).network == ("encoder", 0)
    assert PredictionSpec("finetune", "random_init", 2).network == ("random_init", 2)


def one_length(task):
    parts = {name: TaskSplit([s[:7] for s in split.sequences], split.labels) for name, split in task.splits.items()}
    return replace(task, splits=parts)


def test_one_hot_bases_are_a_control_where_all_sequences_have_one_length(task, tmp_path):
    assert "one_hot" not in run(task, tmp_path / "several")["protocols"]["probe"]
    result = run(one_length(task), tmp_path / "one", EvaluationRequest(("knn", "probe", "few_shot"), seeds=2))
    assert list(result["protocols"]["probe"]) == ["encoder", "random_init", "kmer", "one_hot", "majority", "encoder_minus"]
    assert result["protocols"]["probe"]["one_hot"] == result["protocols"]["knn"]["one_hot"]
    assert result["protocols"]["few_shot_5"]["one_hot"]["seeds"] == 2
    assert result["protocols"]["few_shot_5"]["one_hot"]["chosen"][0]["rows"] == 10
    assert "one_hot" in result["protocols"]["probe"]["encoder_minus"]
    assert "one-hot regression" in [row[1] for row in table_rows(result)]


def test_a_network_from_scratch_is_a_control_where_it_is_asked_for(task, tmp_path):
    asked = EvaluationRequest(("knn", "probe", "few_shot", "finetune"), seeds=2, cnn=True)
    said = []
    result = run(task, tmp_path, asked, say=said.append)
    blocks = result["protocols"]
    assert {name for name, block in blocks.items() if "cnn" in block} == {"knn", "probe", "finetune"}
    assert blocks["knn"]["cnn"] == blocks["finetune"]["cnn"]
    assert blocks["probe"]["cnn"]["seeds"] == 2
    assert sum("cnn" in line for line in said) == 2, "one training for each seed serves every protocol"
    assert "CNN from scratch" in [row[1] for row in table_rows(result)]


def test_the_chosen_words_are_printed(result):
    chosen = result["protocols"]["knn"]["kmer"]["chosen"][0]
    text = result_tables.kmers_text(TaskScores.model_validate(result))
    assert text == f"k-mers chosen on the validation split: k={chosen['k']}, {chosen['strands']} strands, C={chosen['C']}"
    old = json.loads(json.dumps(result))
    for block in old["protocols"].values():
        block["kmer"]["chosen"] = [{"k": 4, "C": 0.1, "validation_mcc": 0.5, "converged": True}]  # as version 0.1 wrote it
    assert result_tables.kmers_text(TaskScores.model_validate(old)) == ""


def test_predictions_of_corrected_protocols_have_names_that_version_0_1_did_not_use(task):
    evaluation = Evaluation(task, contenders(), EvaluationRequest(("knn", "probe", "few_shot", "finetune")), seed=7)
    revised = {(spec.protocol, spec.contender) for spec in evaluation.specs if "revision" in evaluation.identity(spec)}
    networks = {(protocol, who) for protocol in ("knn", "finetune") for who in ("encoder", "random_init")}
    assert revised == networks | {(protocol, "kmer") for protocol in ("knn", "probe", "finetune")}


@pytest.mark.parametrize("better", ["forward", "both"])
def test_the_validation_split_chooses_the_strands(better, tmp_path):
    embedded = []

    def embed(sequences):
        embedded.append(len(sequences))
        return {strand: (good if strand == better else poor)(sequences) for strand in ("forward", "both")}

    task, asked = make_task(), EvaluationRequest(("knn", "probe", "few_shot"))
    networks = lambda who, number: Contender(embed, {"network": who, "number": number}, tuned(who), {})  # noqa: E731
    blocks = run(task, tmp_path, asked, networks)["protocols"]
    alone = run(task, tmp_path / "alone", asked, contenders())["protocols"]
    for name in ("knn", "probe"):
        assert blocks[name]["encoder"]["chosen"] == [{**alone[name]["encoder"]["chosen"][0], "strand": better}]
        assert blocks[name]["encoder"]["mcc"] == alone[name]["encoder"]["mcc"]
    # Nothing is chosen on the validation split for a few shots.
    forward = alone if better == "forward" else run(task, tmp_path / "poor", asked, contenders(poor))["protocols"]
    assert blocks["few_shot_5"]["encoder"] == forward["few_shot_5"]["encoder"]
    assert embedded[-1] == len(task.splits["test"].labels), "the test split is embedded last"


def test_of_equal_strands_the_forward_one_is_taken(tmp_path):
    networks = lambda who, number: Contender(  # noqa: E731
        lambda rows: dict.fromkeys(("forward", "both"), good(rows)), {"network": who, "number": number}, tuned(who), {}
    )
    (chosen,) = run(make_task(), tmp_path, EvaluationRequest(("probe",)), networks)["protocols"]["probe"]["encoder"]["chosen"]
    assert chosen["strand"] == "forward"
