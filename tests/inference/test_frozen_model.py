"""`findna_kit.load` and the one embedding function."""

import json
import logging

import numpy as np
import pytest
import torch

import findna_kit
from findna_kit import alphabet
from findna_kit.checkpoint import path_of
from findna_kit.components.views import View
from findna_kit.errors import CheckpointMismatch, FindnaError
from findna_kit.inference.frozen_model import untrained
from findna_kit.runs import RunLocation, start
from tests.building import small

RNG = np.random.default_rng(0)


class Frame(dict):
    """The interface of a pandas DataFrame that the kit uses: column names, and columns by name."""

    @property
    def columns(self):
        return list(self)


def sequence(length):
    return "".join(RNG.choice(list("ACGT"), length))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe, components, plugins = small("self_distill", "steps=3", "optimizer.learning_rate=0.01")
    folder = tmp_path_factory.mktemp("runs") / "run"
    start(recipe, RunLocation(folder), components=components, plugins=plugins, device="cpu")
    return folder


@pytest.fixture(scope="module")
def transformer_run(tmp_path_factory):
    recipe, components, plugins = small(
        "self_distill", "steps=0", "encoder={name: transformer, dim: 16, hidden: 16, blocks: 1, heads: 2}"
    )
    folder = tmp_path_factory.mktemp("runs") / "transformer"
    start(recipe, RunLocation(folder), components=components, plugins=plugins, device="cpu")
    return folder


@pytest.mark.parametrize("pooling", ["mean", "class"])
def test_length_order_and_padding_change_no_embedding(run, pooling):
    model = findna_kit.load(run)
    sequences = [sequence(length) for length in (1, 7, 64, 64, 65, 300, 700)]
    together = model.embed(sequences, pooling)
    assert together.shape == (7, 22)
    assert together.dtype == np.float32
    for index, alone in enumerate(sequences):
        np.testing.assert_allclose(model.embed([alone], pooling)[0], together[index], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.embed(sequences[::-1], pooling)[::-1], together, rtol=1e-4, atol=1e-6)


def test_lower_case_and_unknown_letters_are_accepted(run):
    model = findna_kit.load(run)
    upper, lower, odd, unknown = model.embed(["ACGTACGTNN", "acgtacgtnn", "ACGTACGTRY", "NNNN"])
    assert np.array_equal(upper, lower)
    assert np.array_equal(upper, odd)
    assert np.isfinite(unknown).all()


def test_the_mean_is_over_the_nucleotides(run):
    model = findna_kit.load(run)
    view = View.of_windows(torch.tensor([[0, 1, 2, 3, 3, 1]]))
    with torch.inference_mode():
        output = model.network(view, view.tokens, None, wants={"all", "class"})
    np.testing.assert_allclose(model.embed(["ACGTTC"])[0], output.embeddings[0].mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.embed(["ACGTTC"], "class")[0], output.class_embeddings[0].mean(0), rtol=1e-5, atol=1e-6)


def test_either_branch_and_any_saved_step(run):
    teacher, student, first = findna_kit.load(run), findna_kit.load(run, "student"), findna_kit.load(run, step=0)
    assert (teacher.branch, teacher.step, student.branch, first.step) == ("teacher", 3, "student", 0)
    embeddings = [model.embed(["ACGTACGTAA"]) for model in (teacher, student, first)]
    assert not np.allclose(embeddings[0], embeddings[1], atol=1e-6)
    assert not np.allclose(embeddings[0], embeddings[2], atol=1e-6)
    assert not any(parameter.requires_grad for parameter in teacher.network.parameters())
    with pytest.raises(FindnaError, match="has no checkpoint of step 2; saved: 0, 3"):
        findna_kit.load(run, step=2)


def test_beyond_its_length_windows_are_averaged_and_it_is_said(transformer_run, caplog):
    model = findna_kit.load(transformer_run)
    short, long = sequence(40), sequence(128)
    with caplog.at_level(logging.WARNING):
        averaged = model.embed([short, long])
    assert "1 of 2 sequences are longer than the encoder's 64" in caplog.text
    windows = model.embed([long[:64], long[32:96], long[64:]])
    np.testing.assert_allclose(averaged[1], windows.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(averaged[0], model.embed([short])[0], rtol=1e-4, atol=1e-6)


BAD_ARGUMENTS = [
    ((["ACGT"], "max"), {}, r"pooling 'max': must be mean, mean_std or class"),
    ((["ACGT"],), {"strand": "reverse"}, r"strand 'reverse': must be forward or both"),
    ((["ACGT"],), {"layer": 99}, r"layer 99: the encoder has the hidden layers 0 to"),
    ((["AC", "ACGT!"],), {}, r"sequence 1: '!' at position 4 is not a nucleotide letter"),
    ((["MKTAYE"],), {}, r"sequence 0: 'E' at position 5"),
    ((["ACGT", "AC\u011c"],), {}, r"sequence 1: '\u011c' at position 2"),
    (([None],), {}, r"sequence 0 is missing \(None or NaN\), not a string"),
    ((["ACGT", float("nan")],), {}, r"sequence 1 is missing \(None or NaN\)"),
    (([b"ACGT"],), {}, r"sequence 0 is bytes .*, not a string"),
    (([5],), {}, r"sequence 0 is int '5', not a string"),
    (([],), {}, r"there are no sequences: the list is empty"),
    ((["ACGT", ""],), {}, r"sequence 1 is empty"),
    (("ACGT",), {}, r"not one string: write \[sequence\]"),
    ((7,), {}, r"sequences must be a list of strings, .* \(got int\)"),
]


@pytest.mark.parametrize(("arguments", "options", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_refused_by_name(run, arguments, options, message):
    with pytest.raises(FindnaError, match=message) as refused:
        findna_kit.load(run).embed(*arguments, **options)
    assert refused.value.exit_code == 2


def test_tables_in_memory_are_read_by_their_column(run):
    model = findna_kit.load(run)
    expected = model.embed(["ACGT", "GG-TT"])
    assert np.array_equal(model.embed(("ACGT", "GGNTT")), expected)
    assert np.array_equal(model.embed(Frame({"label": [0, 1], "Seq": ["ACGT", "GGNTT"]})), expected)
    assert np.array_equal(model.embed(text for text in ("ACGT", "GGNTT")), expected)


def test_an_unknown_branch_is_refused(run):
    with pytest.raises(FindnaError, match="branch 'techer': must be student or teacher"):
        findna_kit.load(run, "techer")


def test_the_precision_is_the_runs_own(run, tmp_path):
    assert findna_kit.load(run).precision == "fp32"
    record = json.loads((run / "run.json").read_text())
    record["resolved"]["precision"] = "bf16"
    (tmp_path / "run.json").write_text(json.dumps(record))
    (tmp_path / "recipe.yaml").write_text((run / "recipe.yaml").read_text().replace("precision: fp32", "precision: auto"))
    (tmp_path / "checkpoints").symlink_to(run / "checkpoints")
    assert findna_kit.load(tmp_path).precision == "bf16"


def test_class_pooling_needs_class_tokens(tmp_path):
    recipe, components, plugins = small("masked_only", "steps=0", "class_tokens=0")
    start(recipe, RunLocation(tmp_path / "run"), components=components, plugins=plugins)
    with pytest.raises(FindnaError, match="the recipe has no class tokens"):
        findna_kit.load(tmp_path / "run").embed(["ACGT"], "class")


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(FindnaError, match="is not a run folder"):
        findna_kit.load(tmp_path)


def test_a_checkpoint_that_does_not_fit_is_refused(run, tmp_path):
    recipe = (run / "recipe.yaml").read_text()
    (tmp_path / "run").mkdir()
    for step in (0, 3):
        path_of(tmp_path / "run", step).mkdir(parents=True)
        for file in path_of(run, step).iterdir():
            (path_of(tmp_path / "run", step) / file.name).write_bytes(file.read_bytes())
    (tmp_path / "run" / "recipe.yaml").write_text(recipe.replace("hidden: 32\n  blocks", "hidden: 48\n  blocks"))
    with pytest.raises(CheckpointMismatch, match=r"the teacher does not fit(.|\n)*float32\[32, 22\] in the checkpoint"):
        findna_kit.load(tmp_path / "run")


def test_a_run_whose_package_is_gone_names_it(run, tmp_path):
    moved = tmp_path / "run"
    moved.mkdir()
    (moved / "recipe.yaml").write_text((run / "recipe.yaml").read_text())
    record = json.loads((run / "run.json").read_text())
    record["components"]["loss"]["vanished"] = "findna-kit-strange 0.3"
    (moved / "run.json").write_text(json.dumps(record))
    (moved / "checkpoints").symlink_to(run / "checkpoints")
    with pytest.raises(FindnaError, match=r"loss 'vanished' of findna-kit-strange 0\.3\npip install findna-kit-strange "):
        findna_kit.load(moved)


def test_public_names_are_few_and_sorted():
    names = ["FinetunedModel", "FrozenModel", "Predictions", "Run", "StudyFrames", "ablate", "hookimpl", "load", "load_recipe"]
    assert findna_kit.__all__ == sorted(findna_kit.__all__) == [*names, "register", "run"]
    assert all(getattr(findna_kit, name) is not None for name in findna_kit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        findna_kit.nothing  # noqa: B018


def turned(text):
    return text[::-1].translate(str.maketrans("ACGTN", "TGCAN"))


def test_both_strands_are_averaged(run):
    model = findna_kit.load(run)
    sequences = [sequence(length) for length in (5, 64, 130)]
    both = model.embed(sequences, strand="both")
    mean = (model.embed(sequences) + model.embed([turned(text) for text in sequences])) / 2
    np.testing.assert_allclose(both, mean, rtol=1e-6)
    np.testing.assert_allclose(model.embed([turned(text) for text in sequences], strand="both"), both, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("which", ["run", "transformer_run"])
def test_the_last_hidden_layer_is_pooled_like_what_comes_after_it(which, request):
    """ChordMixer ends with its last block; the transformer with a norm after it."""
    model = findna_kit.load(request.getfixturevalue(which))
    sequences = [sequence(length) for length in (3, 64, 90)]
    hidden = model.embed(sequences[:2], layer=model.network.encoder.depth - 1)
    assert hidden.shape == (2, model.dim)
    if which == "run":
        np.testing.assert_allclose(hidden, model.embed(sequences[:2]), rtol=1e-5, atol=1e-7)
    else:
        assert not np.allclose(hidden, model.embed(sequences[:2]), rtol=1e-2)
    alone = model.embed(sequences[:1], layer=0)
    np.testing.assert_allclose(model.embed(sequences, layer=0)[:1], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("given", "sentence"), [
    ({"layer": 1}, "layer 1: the encoder has the hidden layers 0 to 0"),
    ({"layer": -1}, "layer -1: the encoder has"),
    ({"layer": 0, "pooling": "class"}, "'class' needs the output of the encoder, not a hidden layer"),
])  # fmt: skip
def test_layers_that_are_refused(run, given, sentence):
    with pytest.raises(FindnaError, match=sentence):
        findna_kit.load(run).embed(["ACGT"], **given)


def test_a_model_is_asked_for_a_base_as_in_training(run):
    model = findna_kit.load(run)
    sequences, positions = [sequence(length) for length in (30, 64, 7)], np.array([0, 40, 6])
    found = model.base_log_probabilities(sequences, positions)
    assert found.shape == (3, 4)
    np.testing.assert_allclose(np.exp(found).sum(1), 1, rtol=1e-5)
    for number, (text, position) in enumerate(zip(sequences, positions, strict=True)):
        view = View.of_windows(torch.from_numpy(alphabet.encode(text)[None].astype(np.int64)))
        shown = view.with_mask(torch.tensor([[position]]), torch.ones(1, 1), torch.tensor([[alphabet.MASK]]))
        output = model.network(shown, shown.student_tokens, None, wants={"masked"})
        logits = model.network.heads["masked"]["classifier"](output.embeddings[0, position])
        np.testing.assert_allclose(found[number], logits.log_softmax(-1).detach().numpy(), rtol=1e-4, atol=1e-5)
        other = text[:position] + ("A" if text[position] != "A" else "C") + text[position + 1 :]
        np.testing.assert_allclose(model.base_log_probabilities([other], positions[[number]])[0], found[number], rtol=1e-5)


def test_what_cannot_be_asked_for_bases_is_a_sentence(run, transformer_run, tmp_path):
    model = findna_kit.load(run)
    for position in (-1, 4):
        with pytest.raises(FindnaError, match="positions must give one position inside each sequence"):
            model.base_log_probabilities(["ACGT"], np.array([position]))
    with pytest.raises(FindnaError, match="the encoder takes at most"):
        findna_kit.load(transformer_run).base_log_probabilities(["A" * 5000], np.array([3]))
    recipe, components, plugins = small("distill_only", "steps=0")
    start(recipe, RunLocation(tmp_path / "run"), components=components, plugins=plugins, device="cpu")
    with pytest.raises(FindnaError, match="has no loss that predicts nucleotides"):
        findna_kit.load(tmp_path / "run").base_log_probabilities(["ACGT"], np.array([0]))


def test_the_control_that_learned_nothing_forgets_what_an_encoder_brings(run, monkeypatch):
    """The built-ins bring nothing; one that reads weights of its own must not pass for untrained."""
    model = findna_kit.load(run, device="cpu")
    plain = untrained(model, 0).embed(["ACGTACGTTT"])

    def reset_parameters(encoder):
        with torch.no_grad():
            encoder.embed.weight.copy_(torch.randn_like(encoder.embed.weight))

    monkeypatch.setattr(type(model.network.encoder), "reset_parameters", reset_parameters)
    first, again, other = (untrained(model, number).embed(["ACGTACGTTT"]) for number in (0, 0, 1))
    assert (first == again).all()
    assert not (first == plain).all()
    assert not (first == other).all()
