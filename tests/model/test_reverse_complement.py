"""Both strands through any encoder: outputs that agree by construction, whatever the network inside."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from findna_kit import alphabet
from findna_kit.assemble import assemble
from findna_kit.builtin.encoders.chordmixer import ChordMixer
from findna_kit.builtin.encoders.dilated_conv import DilatedConv
from findna_kit.builtin.encoders.patch_transformer import PatchTransformer
from findna_kit.builtin.encoders.transformer import Transformer
from findna_kit.components import View, average_halves, reverse_complement_bases, reverse_valid
from findna_kit.distributed import Engine
from findna_kit.inference.frozen_model import FrozenModel, load
from findna_kit.model.branch import Branch, encode_bases, pooled_width
from findna_kit.model.reverse_complement import RCAverage, RCEquivariant, with_rc
from findna_kit.schedules import Clock
from findna_kit.trainer.optimizers import ScheduledOptimizer
from findna_kit.trainer.step import train_step
from tests.building import experiment_of, sets, small
from tests.installing import findna
from tests.model.test_branch import Local
from tests.windows import OTHER_STRAND, random_windows

ENCODERS = {
    "chordmixer": (ChordMixer, {"dim": 10, "hidden": 12, "blocks": 2}),
    "dilated_conv": (DilatedConv, {"dim": 8, "hidden": 8, "blocks": 2, "kernel": 3}),
    "transformer": (Transformer, {"dim": 8, "hidden": 8, "blocks": 2, "heads": 2}),
    "patches": (PatchTransformer, {"dim": 8, "hidden": 8, "blocks": 2, "heads": 2, "patch": 5, "kernel": 7}),
    "stride 2": (Local, {}),
}
CLASSES, LENGTH = 3, 24


def inner(name):
    torch.manual_seed(0)
    kind, parameters = ENCODERS[name]
    encoder = kind(kind.Config(**parameters), length=LENGTH + CLASSES, class_tokens=CLASSES).eval()
    return encoder, CLASSES if encoder.global_mixing else 0


def other_strand(view):
    """The reverse complement of each row's valid positions, one row at a time."""
    tokens = view.tokens.clone()
    for row, length in enumerate(view.lengths.tolist()):
        tokens[row, :length] = OTHER_STRAND[view.tokens[row, :length].flip(0)]
    return View.of_windows(tokens, valid=view.valid)


def embedded(encoder, view, classes, tokens=None):
    bases = F.pad(encode_bases(view.tokens if tokens is None else tokens), (0, 0, classes, 0))
    with torch.no_grad():
        return encoder(bases, F.pad(view.valid, (classes, 0), value=True), layers=(0,) if encoder.depth > 1 else ())


def reversed_rows(rows, lengths, classes):
    """The first `lengths` rows behind the class rows in reverse order, one sequence at a time."""
    made = rows.clone()
    for row, length in enumerate(lengths.tolist()):
        made[row, classes : classes + length] = rows[row, classes : classes + length].flip(0)
    return made


def swapped(rows):
    return torch.cat(rows.chunk(2, dim=-1)[::-1], dim=-1)


@given(st.integers(0, 999), st.integers(1, 20), st.integers(0, 3))
def test_reverse_valid_reverses_each_row_and_is_its_own_inverse(seed, length, classes):
    view = random_windows(5, length, seed=seed)
    rows = torch.randn(5, classes + length, 3)
    valid = F.pad(view.valid, (classes, 0), value=True)
    once = reverse_valid(rows, valid, classes)
    assert once.equal(reversed_rows(rows, view.lengths, classes))
    assert reverse_valid(once, valid, classes).equal(rows)


@given(st.integers(0, 999))
def test_reverse_complemented_bases_are_those_of_the_other_strand(seed):
    view = random_windows(4, 16, seed=seed)
    assert reverse_complement_bases(encode_bases(view.tokens), view.valid, 0).equal(encode_bases(other_strand(view).tokens))
    masked = view.tokens.masked_fill(torch.rand(4, 16) < 0.3, alphabet.MASK).where(view.valid, view.tokens)
    turned_mask = reverse_complement_bases(encode_bases(masked), view.valid, 0)
    assert turned_mask.sum(-1).equal(reversed_rows(encode_bases(masked), view.lengths, 0).sum(-1)), "MASK rows stay zero"


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("rc", ["average", "equivariant"])
def test_the_other_strand_gives_the_same_in_reverse_order(name, rc):
    encoder, classes = inner(name)
    wrapped = with_rc(encoder, rc, CLASSES)
    assert isinstance(wrapped, RCAverage if rc == "average" else RCEquivariant)
    assert wrapped.strand == ("invariant" if rc == "average" else "equivariant")
    assert wrapped.dim == encoder.dim * (1 if rc == "average" else 2)
    view = random_windows(6, LENGTH, seed=1, shortest=4)
    lengths = -(-view.lengths // encoder.stride)
    (one, hidden), (other, other_hidden) = (embedded(wrapped, v, classes) for v in (view, other_strand(view)))
    assert one.shape == (6, classes + -(-LENGTH // encoder.stride), wrapped.dim)
    for mine, theirs in [(one, other), *((hidden[layer], other_hidden[layer]) for layer in hidden)]:
        expected = reversed_rows(mine, lengths, classes)
        expected = swapped(expected) if rc == "equivariant" else expected
        for row, length in enumerate(lengths.tolist()):
            torch.testing.assert_close(theirs[row, : classes + length], expected[row, : classes + length], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_without_a_wrapper_the_strands_differ(name):
    encoder, classes = inner(name)
    assert with_rc(encoder, "none", CLASSES) is encoder
    view = random_windows(6, LENGTH, seed=1, padded=False)
    one, other = (embedded(encoder, v, classes)[0] for v in (view, other_strand(view)))
    assert not one[:, classes:].flip(1).allclose(other[:, classes:], atol=1e-3)


@pytest.mark.parametrize("name", ENCODERS)
def test_both_strands_of_an_average_are_the_encoders_own(name):
    """Against the formula, one strand at a time."""
    encoder, classes = inner(name)
    view = random_windows(3, LENGTH, seed=2, padded=False)
    forward, reverse = (embedded(encoder, v, classes)[0] for v in (view, other_strand(view)))
    rows = torch.full((3,), -(-LENGTH // encoder.stride))
    expected = (forward + reversed_rows(reverse, rows, classes)) / 2
    torch.testing.assert_close(embedded(with_rc(encoder, "average", CLASSES), view, classes)[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_branch_averages_the_halves_of_all_pooled_outputs(name):
    encoder, _ = inner(name)
    branch = Branch(with_rc(encoder, "equivariant", CLASSES), CLASSES, {}).eval()
    view = random_windows(6, LENGTH, seed=3, shortest=4)
    with torch.no_grad():
        one, other = (branch(v, v.tokens, None, wants={"pooled", "class"}) for v in (view, other_strand(view)))
    assert branch.width == encoder.dim
    assert one.pooled.shape == (6, encoder.dim)
    assert one.class_embeddings.shape == (6, CLASSES, encoder.dim)
    torch.testing.assert_close(one.pooled, other.pooled, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(one.class_embeddings, other.class_embeddings, rtol=1e-5, atol=1e-5)


def test_average_halves_is_the_mean_of_the_halves():
    assert average_halves(torch.tensor([[1.0, 2.0, 3.0, 8.0]])).tolist() == [[2.0, 5.0]]


def frozen(*overrides):
    recipe, _, _ = small("self_distill", *overrides)
    student = assemble(recipe).student
    return FrozenModel(student, recipe, branch="student", step=0, engine=Engine(torch.device("cpu"), "fp32"))


SEQUENCES = ["ACGTNNACGTTGCATTTACG" * 2, "ACGTTTGC"]
REVERSED = [s[::-1].translate(str.maketrans("ACGT", "TGCA")) for s in SEQUENCES]


@pytest.mark.parametrize("overrides", [
    ("encoder.rc=equivariant",),
    ("encoder.rc=average", "losses.masked=null"),
    ("encoder={name: dilated_conv, rc: equivariant, dim: 8, hidden: 8, blocks: 2}",),
])  # fmt: skip
@pytest.mark.parametrize("pooling", ["mean", "mean_std", "class"])
def test_embeddings_of_the_strands_agree(overrides, pooling):
    model = frozen(*overrides)
    one, other = model.embed(SEQUENCES, pooling), model.embed(REVERSED, pooling)
    assert one.shape == (2, pooled_width(pooling, model.dim))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    if pooling == "mean":
        one, other = model.embed(SEQUENCES, layer=0), model.embed(REVERSED, layer=0)
        assert one.shape == (2, model.dim)
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rc", ["average", "equivariant"])
def test_embeddings_of_the_strands_agree_beyond_the_encoders_length(rc):
    transformer = f"encoder={{name: transformer, rc: {rc}, dim: 8, hidden: 8, blocks: 1, heads: 2}}"
    model = frozen(transformer, "losses.masked=null")
    bound = model.network.encoder.max_length
    letters = np.random.default_rng(0).choice(list("ACGT"), 5 * bound)
    sequences = ["".join(letters[:length]) for length in range(bound - 1, 5 * bound, 7)]
    other = model.embed([alphabet.reverse_complement(sequence) for sequence in sequences])
    np.testing.assert_allclose(model.embed(sequences), other, rtol=1e-5, atol=1e-6)


def test_masked_logits_of_the_strands_agree_after_complementing():
    model = frozen("encoder.rc=equivariant")
    positions = np.array([3, 5])
    lengths = np.array([len(s) for s in SEQUENCES])
    one = model.base_log_probabilities(SEQUENCES, positions)
    other = model.base_log_probabilities(REVERSED, lengths - 1 - positions)
    np.testing.assert_allclose(one, other[:, ::-1], rtol=1e-5, atol=1e-6)
    plain = frozen()
    apart = (
        plain.base_log_probabilities(SEQUENCES, positions)
        - plain.base_log_probabilities(REVERSED, lengths - 1 - positions)[:, ::-1]
    )
    assert np.abs(apart).max() > 1e-3


def test_the_masked_loss_learns_under_equivariant():
    recipe, _, _ = small("masked_only", "encoder.rc=equivariant", "data.batch_size=32", "optimizer.learning_rate=1.0e-2")
    experiment, data, engine = experiment_of(recipe)
    optimizer = ScheduledOptimizer(experiment)
    bits = [
        train_step(experiment, data, engine, optimizer, Clock(step, 60), {}, 32)["masked/bits_per_base"] for step in range(60)
    ]
    assert sum(bits[:5]) / 5 > 1.99  # 2.02 when this was written
    assert sum(bits[-15:]) / 15 < 1.92  # 1.87


def test_a_run_is_trained_and_loaded(tmp_path):
    wanted = sets("steps=2", "data.length=64", "data.batch_size=4", "evaluation.tasks=[]", "trainer.validation_windows=8")
    code, _, err = findna("run", "self_distill", "--out", tmp_path / "run", *wanted, "--set", "encoder.rc=equivariant")
    assert code == 0, err
    assert "  rc: equivariant\n" in (tmp_path / "run" / "recipe.yaml").read_text()
    model = load(tmp_path / "run", device="cpu")
    np.testing.assert_allclose(model.embed(SEQUENCES), model.embed(REVERSED), rtol=2e-2, atol=1e-2)  # it may be bf16
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


def test_a_token_loss_on_an_average_is_refused_by_check():
    code, _, err = findna("check", "masked_only", "--set", "encoder.rc=average")
    assert code == 2
    assert "losses.masked: predicts the bases of one strand, but the encoder cannot tell the strands apart" in err


def test_an_encoder_that_has_a_strand_of_its_own_takes_no_rc(monkeypatch):
    monkeypatch.setattr(ChordMixer, "strand", "invariant")
    code, _, err = findna("check", "distill_only", "--set", "encoder.rc=average")
    assert code == 2
    assert "encoder.rc: chordmixer is strand-invariant by itself; leave rc out" in err
