"""`import findna` against the authors' network built from its description; what does not fit is refused, all of it listed."""

import json
import os
import warnings
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import findna_kit
from findna_kit import alphabet, checkpoint
from findna_kit.components.views import View
from findna_kit.errors import CheckpointMismatch, FindnaError, OutputExists
from findna_kit.evaluation import EvaluationRequest
from findna_kit.exchange.import_findna import import_findna
from findna_kit.plugins.loading import load_plugins
from findna_kit.runs import RunLocation, Scoring, evaluate_run, start
from tests.authors import authors, content
from tests.building import small

SMALL = {"dim": 22, "hidden": 16, "blocks": 2}
FC1 = "encoder.SwanDNA_blocks.1.SwanDNA_blocks.3.column_transform.fc1.weight"


def text(length, seed=0, letters="ACGTN"):
    return "".join(np.random.default_rng(seed).choice(list(letters), length))


def imported(file, out, length=1000, class_tokens=10, **place):
    components, plugins = load_plugins()
    return import_findna(
        file, RunLocation(out, **place), length=length, class_tokens=class_tokens, components=components, plugins=plugins
    )


def saved(folder, made, name="released.pt"):
    torch.save(made, folder / name)
    return folder / name


@pytest.fixture(scope="module")
def theirs():
    return {"teacher": authors(1, **SMALL), "student": authors(2, **SMALL)}


@pytest.fixture(scope="module")
def file(theirs, tmp_path_factory):
    return saved(tmp_path_factory.mktemp("file"), content(theirs["teacher"], theirs["student"]))


@pytest.fixture(scope="module")
def run(file, tmp_path_factory):
    return imported(file, tmp_path_factory.mktemp("runs") / "run").folder


@torch.no_grad()
def five_outputs(model, sequence):
    """Theirs from ours: [C + L, 5] in the letters' order a c g n t; the class rows first."""
    view = View.of_windows(torch.from_numpy(alphabet.encode(sequence)[None].astype(np.int64)))
    output = model.network(view, view.tokens, None, wants={"all", "class"})
    rows = torch.cat([output.class_embeddings, output.embeddings], dim=1)[0]
    return model.network.heads["distill"]["logits"](rows)[:, [0, 1, 2, 4, 3]], rows


def agree(found, wanted):
    """To 1e-5 of the largest value."""
    assert float((found - wanted).abs().max() / wanted.abs().max()) < 1e-5


@torch.no_grad()
def compare(model, network, lengths):
    for length in lengths:
        sequence = text(length, seed=length)
        found, rows = five_outputs(model, sequence)
        wanted = network(sequence).roll(10, dims=0)  # their class tokens stand last
        agree(found, wanted)
        agree(model.network.heads["masked"]["classifier"](rows), 10 * wanted[:, [0, 1, 2, 4]])


@pytest.mark.parametrize("branch", ["teacher", "student"])
def test_the_outputs_are_those_of_the_authors_network(run, theirs, branch):
    model = findna_kit.load(run, branch)
    assert model.precision == "fp32"
    compare(model, theirs[branch], [1000, 999, 512, 200, 27, 1])


def test_a_shift_in_the_other_direction_would_be_seen(run, theirs):
    """The ring is turned by the class tokens, not mirrored: reading backwards gives something else."""
    sequence = text(200)
    found, _ = five_outputs(findna_kit.load(run), sequence)
    with torch.no_grad():
        backwards = theirs["teacher"](sequence[::-1]).flip(0)
    assert float((found - backwards).abs().max() / backwards.abs().max()) > 1e-2


def test_the_true_size_at_1010_positions(tmp_path):
    teacher, student = authors(1), authors(2)
    assert sum(parameter.numel() for parameter in teacher.parameters()) == 12_651_873
    made = imported(saved(tmp_path, content(teacher, student)), tmp_path / "run")
    compare(findna_kit.load(made.folder), teacher, [1000, 512, 27])
    compare(findna_kit.load(made.folder, "student"), student, [1000])


def test_every_key_and_every_tensor_is_accounted_for(run, file):
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"
    report = record["imported"]
    given_ = torch.load(file, weights_only=True)
    assert set(report["keys"]) == {f"{branch}.{key}" for branch in ("Teacher", "Student") for key in given_[branch]}
    assert report["epochs_run"] == 29
    model, state, _ = checkpoint.load(run, checkpoint.find_step(run))
    assert set(report["tensors"]) == set(model)
    assert {name for names in report["keys"].values() for name in names} == set(model)
    assert set(report["made_here"]) == set(state) == {"losses.distill.center"}
    told = report["tensors"]["teacher.heads.masked.classifier.weight"]
    assert told == "Teacher.linear.weight, rows a c g t, times 10"


def test_probabilities_are_the_odds_of_their_sigmoids(run, theirs):
    """What variants are scored by: log p(a) - log p(b) is the difference of their log odds, at outputs divided by 0.1."""
    sequence, position = text(300, letters="ACGT"), 120
    found = findna_kit.load(run).base_log_probabilities([sequence], np.array([position]))[0]
    network = theirs["teacher"]
    with torch.no_grad():
        one_hot = torch.zeros(310, 5)
        one_hot[range(300), ["acgnt".index(letter) for letter in sequence.lower()]] = 1
        one_hot[position] = 0  # a masked base
        share = torch.sigmoid(network.linear(network.encoder(network.embedding(one_hot[None])))[0, position] / 0.1)
    odds = torch.log(share / (1 - share))[[0, 1, 2, 4]].numpy()
    np.testing.assert_allclose(found[:, None] - found, odds[:, None] - odds, rtol=1e-3, atol=1e-4)


def test_it_is_evaluated_beside_a_random_initialisation(run, tmp_path):
    assert checkpoint.steps_saved(run) == [0, 46_860]
    first, last = findna_kit.load(run, step=0), findna_kit.load(run)
    assert not np.allclose(first.embed(["ACGTACGT"]), last.embed(["ACGTACGT"]), rtol=0.1)
    for number, part in enumerate(("train", "dev", "test")):
        rows = [f"{text(60, 100 * number + row, 'AAAC' if row % 2 else 'GGGT')},{row % 2}" for row in range(30)]
        (tmp_path / f"{part}.csv").write_text("\n".join(["sequence,label", *rows, ""]))
    (result,) = evaluate_run(run, [str(tmp_path)], Scoring(EvaluationRequest(("knn",)), device="cpu"))
    assert result.protocols["knn"].contenders().keys() >= {"encoder", "random_init"}


def test_pretraining_goes_on_from_it(run, tmp_path):
    recipe, components, plugins = small(
        "self_distill", "steps=2", "class_tokens=10", "encoder={name: chordmixer, dim: 22, hidden: 16, blocks: 2, layers: 10}",
        "losses.distill={name: self_distillation, head: five_way}", f"init_from={{run: {run}, parts: [encoder, heads]}}",
    )  # fmt: skip
    start(recipe, RunLocation(tmp_path / "run"), components=components, plugins=plugins, device="cpu")
    begun, source = (checkpoint.load_model(folder, step) for folder, step in ((tmp_path / "run", 0), (run, 46_860)))
    for name in source:
        assert begun[name].equal(source[name.replace("student.", "teacher.")]), name
    assert checkpoint.find_step(tmp_path / "run") == 2


def of(theirs, change=lambda made: None, epochs=29):
    made = content(theirs["teacher"], theirs["student"], epochs)
    for branch in ("Teacher", "Student"):
        made[branch] = dict(made[branch])
    change(made)
    return made


def test_all_that_does_not_fit_is_listed_at_once(theirs, tmp_path):
    def change(made):
        del made["Teacher"]["embedding.bias"]
        made["Student"]["linear.scale"] = torch.ones(5)
        made["Teacher"][FC1] = torch.zeros(16, 30)
        made["Student"]["linear.bias"] = "five"
        made["Student"]["linear.weight"] = torch.full((5, 22), torch.nan)
        made["Teacher"]["embedding.weight"] = torch.zeros(22, 5, dtype=torch.long)
        made["optimizer"] = {}

    with pytest.raises(CheckpointMismatch) as refused:
        imported(saved(tmp_path, of(theirs, change)), tmp_path / "run")
    assert str(refused.value).split("\n  ") == [
        f"{tmp_path}/released.pt: is not the checkpoint released by the authors of FinDNA:",
        "unexpected: optimizer",
        "missing: Teacher.embedding.bias",
        "unexpected: Student.linear.scale",
        "Teacher.embedding.weight: must be floating-point [22, 5] (got int64[22, 5])",
        f"Teacher.{FC1}: must be floating-point [16, 22] (got float32[16, 30])",
        "Student.linear.weight: has values that are not finite",
        "Student.linear.bias: must be a tensor (got str)",
    ]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda made: made.pop("Student"), "missing: Student"),
    (lambda made: made.update(Teacher=[1]), r"Teacher: must be a state dict, tensors by name \(got list\)"),
    (lambda made: made.update(EPOCHS_RUN="many"), r"EPOCHS_RUN: must be a whole number \(got str\)"),
    (lambda made: made.update(Teacher={"a": torch.ones(1)}, Student={}), "missing: the layers of the mixer"),
    (lambda made: made["Teacher"].pop(FC1), f"missing: Teacher.{FC1}"),
    (lambda made: made["Teacher"].update({FC1: torch.zeros(16, 22).to_sparse()}), "is not a dense tensor"),
])  # fmt: skip
def test_each_that_does_not_fit(theirs, tmp_path, change, sentence):
    with pytest.raises(CheckpointMismatch, match=sentence):
        imported(saved(tmp_path, of(theirs, change)), tmp_path / "run")


def test_of_another_networks_checkpoint_the_first_differences_are_listed(tmp_path):
    other = {f"layer.{number}.weight": torch.ones(2) for number in range(100)}
    with pytest.raises(CheckpointMismatch) as refused:
        imported(saved(tmp_path, other), tmp_path / "run")
    told = str(refused.value).split("\n  ")
    assert told[1:3] == ["missing: Teacher", "missing: Student"]
    assert told[3] == "unexpected: layer.0.weight"
    assert told[-1] == "... and 78 more"


def test_a_width_that_makes_no_equal_groups_is_refused(tmp_path):
    with pytest.raises(CheckpointMismatch, match="24 channels cannot be split into 11 equal groups"):
        imported(saved(tmp_path, content(authors(1, dim=24, hidden=4, blocks=1), authors(1, dim=24, hidden=4, blocks=1))), None)


@pytest.mark.parametrize(("length", "class_tokens"), [(1000, 30), (200, 10)])
def test_a_length_with_another_number_of_layers_is_refused(file, tmp_path, length, class_tokens):
    first, last = 513 - class_tokens, 1024 - class_tokens
    with pytest.raises(FindnaError, match=f"has 10 layers in a block(.*)give the --length .* {first} to {last}"):
        imported(file, tmp_path / "run", length=length, class_tokens=class_tokens)


def test_what_does_no_harm_is_taken_and_said(theirs, tmp_path):
    def change(made):
        del made["EPOCHS_RUN"]
        made["Teacher"] = {f"module.{key}": tensor.half() for key, tensor in made["Teacher"].items()}

    made = imported(saved(tmp_path, of(theirs, change)), tmp_path / "run")
    assert made.report["remarks"] == [
        "Teacher: the prefix 'module.' of every key, from DataParallel, is removed",
        "EPOCHS_RUN is not in the file: the training time is unknown",
        "84 tensors are float16, taken as float32",
    ]
    assert made.report["epochs_run"] is None
    assert "Teacher.linear.bias" in made.report["keys"]
    compare(findna_kit.load(made.folder), deepcopy(theirs["teacher"]).half().float(), [64])


class Code:
    def __reduce__(self):
        return os.mkdir, ("it-was-run",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(theirs, tmp_path, monkeypatch, zipped):
    monkeypatch.chdir(tmp_path)
    made = of(theirs, lambda made: made.update(EPOCHS_RUN=Code()))
    torch.save(made, "code.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointMismatch, match=r"code\.pt: contains code \(\w+\.mkdir\).*nothing in it was run"):
        imported(tmp_path / "code.pt", tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["code.pt"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"PK\x03\x04", b"hello "]))
def test_what_is_no_checkpoint_is_a_sentence(tmp_path, rest, start_):
    path = tmp_path / "noise.pt"
    path.write_bytes(start_ + rest)
    with pytest.raises(CheckpointMismatch, match=r"nothing in it was run|not a dict of"):
        imported(path, tmp_path / "run")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, 2000), st.integers(0, 255), st.booleans())
def test_a_damaged_file_is_a_sentence_or_none(file, tmp_path, place, byte, cut):
    """A flipped byte may hit a number, which nobody can see; whatever else it hits is a sentence."""
    path, whole = tmp_path / "damaged.pt", bytearray(file.read_bytes())
    whole[place] = byte
    path.write_bytes(whole[: len(whole) // 2] if cut else whole)
    try:
        imported(path, tmp_path / "run", overwrite=True)
    except FindnaError:
        return
    assert not cut


def test_no_file_a_folder_and_a_dict_of_nothing(tmp_path):
    with pytest.raises(CheckpointMismatch, match=r"absent\.pt: cannot be read: No such file"):
        imported(tmp_path / "absent.pt", tmp_path / "run")
    with pytest.raises(CheckpointMismatch, match="cannot be read: Is a directory"):
        imported(tmp_path, tmp_path / "run")
    with pytest.raises(CheckpointMismatch, match="missing: the layers of the mixer"):
        imported(saved(tmp_path, {"Teacher": {}, "Student": {}}), tmp_path / "run")
    with pytest.raises(CheckpointMismatch, match="contains list, not a dict of Teacher, Student and EPOCHS_RUN"):
        imported(saved(tmp_path, [1]), tmp_path / "run")


def test_a_run_that_is_there_is_replaced_only_when_told(run, file, tmp_path):
    out = tmp_path / "run"
    imported(file, out)
    (out / "evaluation.json").write_text("{}")
    with pytest.raises(OutputExists, match="already exists"):
        imported(file, out)
    with pytest.raises(CheckpointMismatch):
        imported(saved(tmp_path, {}), out, overwrite=True)
    assert (out / "evaluation.json").exists(), "a file that is refused replaces nothing"
    imported(file, out, overwrite=True)
    assert not (out / "evaluation.json").exists()


def test_nothing_is_warned_of(file, tmp_path):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        imported(file, tmp_path / "run")
    assert said == []
