"""Which run is best, and what may say so."""

import json

import pytest

from findna_kit.errors import FindnaError
from findna_kit.evaluation.protocol_table import OPTIONS
from findna_kit.evaluation.scores import SCORES
from findna_kit.records.selection import HIGHER, choose, criterion
from tests.records.copies import copied, look

LOSS = criterion("held_out/masked/loss")


@pytest.mark.parametrize(("metric", "higher"), [
    ("held_out/masked/loss", False), ("held_out_plain/masked/bits_per_base/teacher", False),
    ("held_out_plain/masked/accuracy/student", True), ("evaluation/coding/probe/mcc", True),
    ("coding/finetune/validation_accuracy", True),
])  # fmt: skip
def test_the_better_end_is_known_by_the_last_word(metric, higher):
    assert criterion(metric).maximise is higher
    assert criterion(metric, higher).maximise is higher
    with pytest.raises(FindnaError, match=f"{'higher' if higher else 'lower'} is better; leave "):
        criterion(metric, not higher)


def test_or_is_asked_for():
    with pytest.raises(FindnaError, match="whether higher or lower is better is not known; give maximise or minimise"):
        criterion("collapse/teacher/pooled_rankme")
    assert criterion("collapse/teacher/pooled_rankme", True).words == "collapse/teacher/pooled_rankme (higher is better)"


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("protocol", ["knn", "probe", "finetune", "few_shot_5"])
def test_a_test_score_chooses_nothing(protocol, score):
    for metric in (f"{protocol}/{score}", f"coding/{protocol}/{score}", f"/my/task/{protocol}/{score}"):
        with pytest.raises(
            FindnaError, match="is a score on the test split; selecting on the test set makes its score optimistic"
        ):
            criterion(metric)


def test_the_words_are_those_of_evaluation():
    assert set(HIGHER) == set(SCORES)
    assert {"knn", "probe", "finetune", "few_shot"} == set(OPTIONS)


@pytest.mark.parametrize(("metric", "sentence"), [
    ("masked/loss", "is a training metric, or unknown; runs are chosen on validation data"),
    ("loss", "is a training metric, or unknown"),
    ("baseline/markov_5/bits_per_base", "is the score of a baseline, the same for every run"),
    ("evaluation/coding/knn/mcc/kmer", "is the score of a baseline, the same for every run"),
])  # fmt: skip
def test_neither_does_what_was_trained_on_or_counts(metric, sentence):
    with pytest.raises(FindnaError, match=sentence):
        criterion(metric)


def test_the_newest_number_of_every_finished_run(run, tmp_path):
    for name, rows, record in (
        ("a", [look(0, masked=0.1), look(6, masked=1.3)], {}),
        ("b", [look(0, masked=1.4), look(6, masked=1.2), {"step": 7, "loss": 0.1}], {}),
        ("c", [look(6, masked=1.2)], {}),
        ("d", [look(6, masked=0.2)], {"status": "running"}),
        ("e", [look(6, masked=None)], {}),
        ("f", [look(6, other=0.2)], {}),
    ):
        copied(run, tmp_path / name, rows, **record)
    (copied(run, tmp_path / "g") / "run.json").write_text("")
    choice = choose(tmp_path, LOSS)
    assert [(entry.run.name, value) for entry, value in choice.ranked] == [("b", 1.2), ("c", 1.2), ("a", 1.3)]
    assert choice.left_out == {"killed": 1, "without a value of it": 2, "broken": 1}
    assert choice.held_outs == 1


def test_more_of_it_may_be_better(run, tmp_path):
    for name, value in (("a", 2.0), ("b", 3.0)):
        copied(run, tmp_path / name, [{**look(6), "collapse/teacher/pooled_rankme": value}])
    best = choose(tmp_path, criterion("collapse/teacher/pooled_rankme", True)).ranked[0]
    assert (best[0].run.name, best[1]) == ("b", 3.0)


def test_other_held_out_parts_are_counted(run, tmp_path):
    genome = json.loads((run / "run.json").read_text())["genomes"][0]
    copied(run, tmp_path / "a")
    copied(run, tmp_path / "b", genomes=[{**genome, "parts": "others"}])
    assert choose(tmp_path, LOSS).held_outs == 2


def test_by_the_rows_that_settings_were_chosen_on(run, tmp_path):
    text = (run / "evaluation.json").read_text()
    (result,) = json.loads(text).values()
    chosen = result["protocols"]["knn"]["encoder"]["chosen"][0]
    copied(run, tmp_path / "a")
    copied(
        run, tmp_path / "b", evaluation=text.replace(f'"validation_mcc": {chosen["validation_mcc"]}', '"validation_mcc": 0.25')
    )
    by = criterion("task/knn/validation_mcc")
    assert [(entry.run.name, value) for entry, value in choose(tmp_path, by).ranked] == [
        ("a", chosen["validation_mcc"]),
        ("b", 0.25),
    ]
    assert choose(tmp_path, criterion(f"{result['path']}/knn/validation_mcc")).ranked[0][0].run.name == "a", "by its path"
    with pytest.raises(FindnaError, match=r"no finished run has a value of task/probe/validation_mcc \(2 without a value"):
        choose(tmp_path, criterion("task/probe/validation_mcc"))


def test_a_name_that_no_run_has(run, tmp_path):
    with pytest.raises(FindnaError, match=r"has a value of held_out/masked/loss \(there are no runs\)"):
        choose(tmp_path, LOSS)
    copied(run, tmp_path / "a")
    near = r"held_out/maskd/loss; did you mean 'held_out/masked/loss'\? \(1 without a value of it\)"
    with pytest.raises(FindnaError, match=near):
        choose(tmp_path, criterion("held_out/maskd/loss"))
