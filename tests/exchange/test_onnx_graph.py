"""The ONNX graph gives what torch gives, at lengths and paddings that it was not traced at; what cannot be written says so."""

import json
import warnings

import numpy as np
import pytest
import torch

import findna_kit
from findna_kit import alphabet
from findna_kit.components.interfaces import ComponentConfig, Encoder
from findna_kit.errors import FindnaError
from findna_kit.exchange.export import export_run
from findna_kit.exchange.onnx_graph import write_onnx
from findna_kit.model.branch import encode_bases
from findna_kit.runs import RunLocation, start
from tests.building import small

REASON = "the extra onnx is not installed"
onnx = pytest.importorskip("onnx", reason=REASON)
pytest.importorskip("onnxscript", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)
ENCODERS = {
    "chordmixer": "encoder={name: chordmixer, dim: 22, hidden: 32, blocks: 2}",
    "dilated_conv": "encoder={name: dilated_conv, dim: 16, hidden: 16, blocks: 3, kernel: 5, largest_dilation: 4}",
    "patch_transformer": "encoder={name: patch_transformer, dim: 16, hidden: 16, blocks: 2, heads: 2, patch: 5, kernel: 8}",
    "chordmixer with a norm": "encoder={name: chordmixer, dim: 22, blocks: 2, norm: layer, learned_class_tokens: true}",
    "transformer": "encoder={name: transformer, dim: 16, hidden: 16, blocks: 2, heads: 2}",
}


def made(folder, *overrides, recipe="self_distill"):
    recipe, components, plugins = small(recipe, "steps=2", "data.length=96", *overrides)
    start(recipe, RunLocation(folder), components=components, plugins=plugins, device="cpu")
    return folder


@pytest.fixture(scope="module", params=ENCODERS)
def pair(request, tmp_path_factory):
    """The frozen model and the session of its graph."""
    folder = tmp_path_factory.mktemp(request.param)
    export_run(made(folder / "run", ENCODERS[request.param]), folder / "graph", form="onnx")
    session = onnxruntime.InferenceSession(str(folder / "graph" / "model.onnx"), providers=["CPUExecutionProvider"])
    return findna_kit.load(folder / "run", device="cpu"), session, folder


def batch(sequences):
    """bases and valid, padded at the end with N."""
    longest = max(map(len, sequences))
    tokens = np.full((len(sequences), longest), alphabet.N, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = alphabet.encode(sequence)
    valid = np.arange(longest) < np.array([len(sequence) for sequence in sequences])[:, None]
    return {"bases": encode_bases(torch.from_numpy(tokens)).numpy(), "valid": valid}


def texts(*lengths):
    random = np.random.default_rng(sum(lengths))
    return ["".join(random.choice(list("ACGTN"), length)) for length in lengths]


@pytest.mark.parametrize("lengths", [
    (40, 39, 38), (96,), (96, 96), (17, 17, 17, 17), (1,), (2, 1), (95, 3, 60, 60, 1), (33, 33),
])  # fmt: skip
def test_it_gives_what_torch_gives(pair, lengths):
    model, session, _ = pair
    sequences = texts(*lengths)
    found = dict(zip((output.name for output in session.get_outputs()), session.run(None, batch(sequences)), strict=True))
    assert set(found) == {"mean", "class"}
    for pooling, rows in found.items():
        wanted = model.embed(sequences, pooling)
        np.testing.assert_allclose(rows, wanted, rtol=1e-4, atol=1e-5 * float(np.abs(wanted).max()))


def test_a_length_beyond_what_it_was_trained_on(pair):
    """Where the encoder has no bound, the graph has none."""
    model, session, _ = pair
    if model.network.encoder.max_length is not None:
        pytest.skip("the encoder has a bound")
    sequences = texts(700, 300)
    wanted = model.embed(sequences)
    np.testing.assert_allclose(
        session.run(["mean"], batch(sequences))[0], wanted, rtol=1e-4, atol=1e-5 * float(np.abs(wanted).max())
    )


def test_batch_and_length_are_open(pair):
    _, session, _ = pair
    shapes = {one.name: one.shape for one in (*session.get_inputs(), *session.get_outputs())}
    for name, fixed in (("bases", {2: 5}), ("valid", {}), ("mean", {1: shapes["mean"][1]}), ("class", {1: shapes["mean"][1]})):
        assert {at: size for at, size in enumerate(shapes[name]) if isinstance(size, int)} == fixed, shapes


def test_its_folder_tells_what_goes_in(pair):
    model, _, folder = pair
    onnx.checker.check_model(str(folder / "graph" / "model.onnx"))
    assert sorted(path.name for path in (folder / "graph").iterdir()) == [
        "README.md", "config.json", "model.onnx", "recipe.yaml", "run.json",
    ]  # fmt: skip
    config = json.loads((folder / "graph" / "config.json").read_text())
    assert set(config["inputs"]) == {"bases", "valid"}
    assert config["outputs"] == {"mean": f"float32 [batch, {model.dim}]", "class": f"float32 [batch, {model.dim}]"}
    assert config["largest_relative_difference"] < 1e-4
    assert "`model.onnx` takes `bases`" in (folder / "graph" / "README.md").read_text()


def test_without_class_tokens_there_is_no_output_for_them(tmp_path):
    run = made(tmp_path / "run", ENCODERS["dilated_conv"], "class_tokens=0", recipe="masked_only")
    export_run(run, tmp_path / "graph", form="onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "graph" / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["mean"]


def test_the_exporter_is_silent(tmp_path, capfd, recwarn):
    run = made(tmp_path / "run", ENCODERS["chordmixer"])
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        export_run(run, tmp_path / "graph", form="onnx")
    assert capfd.readouterr() == ("", "")
    assert list(recwarn) == []


class ByHand(Encoder):
    """Looks at the numbers themselves: no graph can hold that."""

    class Config(ComponentConfig):
        """None."""

    dim, depth, max_length = 4, 1, None

    def __init__(self, config, *, length, class_tokens):
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.embed = torch.nn.Linear(5, 4)

    def forward(self, bases, valid, *, layers=()):
        return self.embed(bases) * float(np.sort(bases.numpy().ravel())[-1]), {}


class Forgetful(ByHand):
    """Counts its calls: the graph holds the first count for ever."""

    calls = 0

    def forward(self, bases, valid, *, layers=()):
        Forgetful.calls += 1
        return self.embed(bases) * Forgetful.calls, {}


@pytest.mark.parametrize(("encoder", "sentence"), [
    (ByHand, "encoder 'chordmixer' cannot be exported to ONNX with a dynamic length; use --format huggingface"),
    (Forgetful, "encoder 'chordmixer': its ONNX graph differs from torch"),
])  # fmt: skip
def test_an_encoder_that_cannot_be_written_says_so(tmp_path, encoder, sentence, capfd):
    model = findna_kit.load(made(tmp_path / "run", recipe="masked_only"), device="cpu")
    model.network.encoder = encoder(encoder.Config(), length=96, class_tokens=2).eval()
    with pytest.raises(FindnaError) as refused:
        write_onnx(model, tmp_path / "model.onnx")
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().err == ""
