"""Fine-tuned models: kept, loaded in another process, and refused where they are used wrongly."""

import json

import numpy as np
import pytest

import findna_kit
from findna_kit.errors import CheckpointMismatch, FindnaError, OutputExists
from findna_kit.evaluation import load_task
from findna_kit.finetuned import FinetunedModel
from findna_kit.inference.embedding import blocks
from findna_kit.records.evaluation_json import read_evaluation
from findna_kit.runs import finetune_run
from tests.building import ROOT, command
from tests.finetuned.conftest import scoring
from tests.installing import findna
from tests.pages import blocks as blocks_of


@pytest.fixture(scope="module")
def model(kept):
    return findna_kit.load(kept.model, device="cpu")


def scored(kept):
    """The log-probabilities of the test split that were scored, of each seed."""
    cells = read_evaluation(kept.run, "")[str(kept.task)].cells["finetune"]
    stored = [json.loads((kept.run / "evaluation" / f"{key}.json").read_text()) for key in cells]
    own = [key for key, entry in zip(cells, stored, strict=True) if entry["cell"]["who"] == "encoder"]
    return [np.load(kept.run / "evaluation" / f"{key}.npy") for key in own]


def kept_number(kept):
    record = kept.made.record
    return [seed.seed for seed in record.seeds].index(record.seed)


def test_predictions_equal_to_the_last_bit_those_that_were_scored(kept, model):
    predictions = model.predict(load_task(str(kept.task)).splits["test"].sequences)
    assert predictions.classes == model.classes == ("gc", "none", "tata")
    assert np.array_equal(predictions.scores, scored(kept)[kept_number(kept)])
    assert np.array_equal(predictions.probabilities, np.exp(predictions.scores))
    assert predictions.labels == [model.classes[number] for number in predictions.scores.argmax(1)]
    assert len(predictions) == 45


def test_a_fresh_process_predicts_a_file_with_the_same_bits(kept, tmp_path):
    out = tmp_path / "out.tsv"
    done = command("predict", kept.model, kept.task / "test.csv", "--out", out, "--device", "cpu", env={"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}: 45 predictions of motifs\n"
    header, *rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert header == ["label", "predicted", "p_gc", "p_none", "p_tata"]
    expected = np.exp(scored(kept)[kept_number(kept)])
    assert np.array_equal(np.array([row[2:] for row in rows], dtype=np.float32), expected)
    assert [row[1] for row in rows] == [header[2:][number][2:] for number in expected.argmax(1)]


def test_the_best_seed_by_validation_is_kept(kept):
    record, (result,) = kept.made.record, read_evaluation(kept.model, "").values()
    validation = [chosen["validation_mcc"] for chosen in result.protocols["finetune"].encoder.chosen]
    assert [seed.validation for seed in record.seeds] == validation
    assert record.seed == record.seeds[int(np.argmax(validation))].seed
    assert len({seed.seed for seed in record.seeds}) == 2
    assert record.chosen == result.protocols["finetune"].encoder.chosen[int(np.argmax(validation))]
    assert result == read_evaluation(kept.run, "")[str(kept.task)]
    assert result.protocols["finetune"].random_init.seeds == 2


def test_the_record_has_the_confusion_matrix_and_the_calibration(kept):
    encoder = kept.made.result.protocols["finetune"].encoder
    truth = load_task(str(kept.task)).splits["test"].labels
    counts = np.array(encoder.confusion)
    assert counts.sum(1).tolist() == (2 * np.bincount(truth)).tolist(), "two seeds"
    assert np.isclose(np.trace(counts) / counts.sum(), encoder.accuracy.value)
    confidence = np.concatenate([np.exp(scores).max(1) for scores in scored(kept)]).mean()
    bins = encoder.calibration.bins
    assert sum(one.samples for one in bins) == 90
    assert np.isclose(sum(one.samples * one.confidence for one in bins) / 90, confidence)
    assert kept.made.result.protocols["finetune"].kmer.confusion is None


def test_the_folder_has_one_record_and_only_safe_files(kept):
    assert sorted(path.name for path in kept.model.iterdir()) == [
        "evaluation.json", "finetuned.json", "model.safetensors", "recipe.yaml",
    ]  # fmt: skip
    assert not list((kept.run / "evaluation").glob("*.safetensors")), "the networks of other seeds are removed"


def test_a_second_call_refuses_and_then_trains_the_encoder_alone(kept, model_copy):
    with pytest.raises(OutputExists, match="already exists; use another --out, or --overwrite to replace it"):
        finetune_run(kept.run, str(kept.task), model_copy, scoring(seeds=2))
    before, said = (model_copy / "model.safetensors").read_bytes(), []
    finetune_run(kept.run, str(kept.task), model_copy, scoring(seeds=2), overwrite=True, say=said.append)
    assert not [line for line in said if "random_init" in line or "kmer" in line]
    assert (model_copy / "model.safetensors").read_bytes() == before, "the same call gives the same bits"


def test_another_folder_is_not_replaced(kept, tmp_path, model_copy):
    (tmp_path / "mine").mkdir()
    with pytest.raises(OutputExists, match="is not a fine-tuned model; use another --out"):
        finetune_run(kept.run, str(kept.task), tmp_path / "mine", scoring(), overwrite=True)
    (model_copy / "notes.txt").write_text("mine")
    with pytest.raises(OutputExists, match=r"contains notes\.txt, which finetune did not write"):
        finetune_run(kept.run, str(kept.task), model_copy, scoring(), overwrite=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("ACGT", r"a list of sequences is needed, not one string"), ([], "there are no sequences: the list is empty"),
        (["ACGT", None], r"sequence 1 is missing \(None or NaN\), not a string"),
        (["ACGT", ""], "sequence 1 is empty"), (["AC!GT"], "sequence 0: '!' at position 2 is not a nucleotide letter"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_sequences_is_refused(model, given, message):
    with pytest.raises(FindnaError, match=message):
        model.predict(given)


def test_wrong_use_is_refused_by_name(kept, model):
    run = findna_kit.load(kept.run, device="cpu")
    assert isinstance(model, FinetunedModel)
    assert not isinstance(run, FinetunedModel)
    with pytest.raises(FindnaError, match="is a fine-tuned model, which predicts: use predict"):
        model.embed(["ACGT"])
    with pytest.raises(FindnaError, match="embeds, and does not predict: fine-tune it with `findna-kit finetune"):
        run.predict(["ACGT"])
    with pytest.raises(FindnaError, match=r"branch='student': .* is a fine-tuned model, which has one network"):
        findna_kit.load(kept.model, "student")
    with pytest.raises(FindnaError, match=r"step=3: .* leave step out"):
        findna_kit.load(kept.model, step=3)


@pytest.mark.parametrize("verb", ["embed", "evaluate", "predict"])
def test_commands_name_the_folder_that_they_need(kept, tmp_path, verb):
    source = kept.task / "test.csv"
    given = {
        "embed": ("embed", kept.model, source, "--out", tmp_path / "x.npy"),
        "evaluate": ("evaluate", kept.model, kept.task),
        "predict": ("predict", kept.run, source, "--out", tmp_path / "x.tsv"),
    }[verb]
    code, _, said = findna(*given)
    assert code == 2
    expected = (
        "is not a fine-tuned model (it has no finetuned.json)" if verb == "predict" else "is a fine-tuned model, not a run"
    )
    assert expected in said


def test_damaged_weights_and_records_are_refused(model_copy):
    weights = model_copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointMismatch, match=r"model\.safetensors: is damaged, or not the file that finetuned\.json"):
        findna_kit.load(model_copy, device="cpu")
    (model_copy / "finetuned.json").write_text("{}")
    with pytest.raises(FindnaError, match=r"finetuned\.json: unexpected content .*fine-tune again"):
        findna_kit.load(model_copy, device="cpu")


def test_blocks_are_those_of_a_file(kept, model, monkeypatch):
    sequences = load_task(str(kept.task)).splits["test"].sequences
    monkeypatch.setattr(blocks, "ROWS", 10)
    parts = [model.predict(sequences[start : start + 10]).scores for start in range(0, 45, 10)]
    assert np.array_equal(model.predict(sequences).scores, np.concatenate(parts))


def test_settings_are_those_given(kept):
    settings = kept.made.record.settings
    assert (settings["epochs"], settings["batch_size"], settings["patience"]) == (2, 16, None)


def test_the_python_of_the_page_runs(kept, tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "coding").symlink_to(kept.model)
    monkeypatch.chdir(tmp_path)
    ((_, example),) = blocks_of((ROOT / "docs" / "fine-tune.md").read_text(), "python")
    names = {}
    exec(example, names)
    assert names["predictions"].probabilities.shape == (2, 3)
    assert len(names["predictions"].labels) == 2
