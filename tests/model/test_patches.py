"""Masked bases predicted from patches: the head, the rows it reads, both strands, training, and a frozen model."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from findna_kit import alphabet
from findna_kit.assemble import assemble
from findna_kit.components import BranchOutput
from findna_kit.distributed import Engine
from findna_kit.inference.frozen_model import FrozenModel
from findna_kit.model.branch import encode_bases, read_rows
from findna_kit.model.patches import PatchHead, masked_patches
from findna_kit.model.reverse_complement import ComplementTiedHead
from findna_kit.schedules import Clock
from findna_kit.trainer.forward import Forward, training_batch
from findna_kit.trainer.optimizers import ScheduledOptimizer
from findna_kit.trainer.step import train_step
from findna_kit.trainer.validation import Validation
from tests.building import experiment_of, small
from tests.windows import random_windows, view_of

PATCHED = "encoder={{name: patch_transformer, patch: {}, dim: 16, hidden: 32, blocks: 1, heads: 2}}"


def masked_at(view, index):
    index = torch.tensor(index)
    return view.with_mask(index, torch.ones(index.shape), torch.full_like(index, alphabet.MASK))


def test_a_masked_base_reads_the_embedding_of_its_patch_and_its_offset():
    view, embeddings = masked_at(view_of("ACGTACGTAC", "ACGTACGGGG"), [[0, 5, 9], [2, 4, 3]]), torch.randn(2, 3, 6)
    rows = masked_patches(embeddings, view, 4, equivariant=False)
    assert rows.shape == (2, 3, 6 + 4)
    for row, slot, patch, offset in ((0, 0, 0, 0), (0, 1, 1, 1), (0, 2, 2, 1), (1, 0, 0, 2), (1, 1, 1, 0), (1, 2, 0, 3)):
        assert rows[row, slot, :6].equal(embeddings[row, patch])
        assert rows[row, slot, 6:].tolist() == [float(place == offset) for place in range(4)]
    assert masked_patches(embeddings.bfloat16(), view, 4, equivariant=False).dtype == torch.bfloat16
    assert read_rows(BranchOutput(view, embeddings, masked_patches=rows), "masked") is rows


def test_the_head_gives_the_logits_of_the_base_at_the_offset():
    every, rows = nn.Linear(6, 3 * 4), torch.randn(5, 7, 6)
    offset = torch.randint(0, 3, (5, 7))
    logits = PatchHead(every, 3)(torch.cat([rows, F.one_hot(offset, 3).float()], -1))
    expected = every(rows).view(5, 7, 3, 4).gather(2, offset[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("length", [12, 10, 9])
def test_of_both_strands_each_half_has_the_patch_and_the_offset_of_its_own_strand(length):
    """The second half of an equivariant encoder is the first half of the other strand in reverse order, with its patches."""
    window = random_windows(1, length, padded=False)
    count = -(-length // 4)
    forward, reverse = torch.randn(1, count, 6), torch.randn(1, count, 6)  # each strand in its own order
    embeddings = torch.cat([forward, reverse.flip(1)], -1)
    for position in range(length):
        rows = masked_patches(embeddings, masked_at(window, [[position]]), 4, equivariant=True)
        one, other = rows.chunk(2, -1)
        mirrored = masked_at(window, [[length - 1 - position]])
        assert one.equal(masked_patches(forward, masked_at(window, [[position]]), 4, equivariant=False))
        assert other.equal(masked_patches(reverse, mirrored, 4, equivariant=False))
    head = ComplementTiedHead(PatchHead(nn.Linear(6, 16), 4))
    swapped = torch.cat([other, one], -1)
    torch.testing.assert_close(head(swapped), head(rows).flip(-1))


def test_slots_beyond_the_end_of_a_sequence_are_harmless():
    view = masked_at(view_of("ACGTACGTAC", "A"), [[9, 0], [9, 4]])
    assert masked_patches(torch.randn(2, 3, 6), view, 4, equivariant=True).isfinite().all()


@pytest.mark.parametrize("rc", ["none", "equivariant"])
def test_a_branch_gives_the_loss_the_logits_of_its_masked_bases(rc):
    experiment, data, engine = experiment_of(small("masked_only", PATCHED.format(5), f"encoder.rc={rc}")[0])
    batch = training_batch(experiment, data, 0, torch.arange(4))
    forward = Forward(experiment, engine)
    outputs = forward.run_branch("student", batch, ["masked"], dropout=(Clock(0, 1), 0))
    (name,) = outputs
    view, head = batch.views[name], experiment.student.heads["masked"]["classifier"]
    logits = head(forward.head_inputs("masked", outputs)[name])
    assert logits.shape == (*view.masked_index.shape, 4)
    if rc == "none":
        bases = encode_bases(view.student_tokens, batch.noise[name])
        patches = experiment.student.encode(bases, view.valid).rows
        every = head.head(patches).view(4, -1, 4)  # all bases of all patches, in their order
        expected = every.gather(1, view.masked_index[..., None].expand(-1, -1, 4))
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rc", ["none", "equivariant"])
def test_micro_batches_give_the_same_step(rc):
    steps = []
    for size in (8, 3):
        experiment, data, engine = experiment_of(small("self_distill", PATCHED.format(6), f"encoder.rc={rc}")[0])
        metrics = train_step(experiment, data, engine, ScheduledOptimizer(experiment), Clock(0, 10), {}, size)
        steps.append((metrics, dict(experiment.student.named_parameters())))
    (one, weights), (other, theirs) = steps
    assert one["masked/bits_per_base"] == pytest.approx(other["masked/bits_per_base"], rel=1e-5)
    assert one["distill/loss"] == pytest.approx(other["distill/loss"], rel=1e-5)
    for name, value in weights.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-5)


def test_the_masked_loss_learns_and_is_validated_beside_two_views():
    recipe, _, _ = small("self_distill", PATCHED.format(2), "data.batch_size=32", "optimizer.learning_rate=1.0e-2")
    experiment, data, engine = experiment_of(recipe)
    optimizer = ScheduledOptimizer(experiment)
    rows = [train_step(experiment, data, engine, optimizer, Clock(step, 60), {}, 32) for step in range(60)]
    bits = [row["masked/bits_per_base"] for row in rows]
    assert sum(bits[:5]) / 5 > 1.99
    assert sum(bits[-15:]) / 15 < 1.97
    found = Validation(experiment, data, engine, 16).run(Clock(60, 60))
    assert {"held_out/masked/loss", "held_out/distill/loss"} <= found.keys(), sorted(found)
    assert found["held_out/masked/bits_per_base"] < 2


def test_a_frozen_model_predicts_the_base_at_its_offset():
    recipe, _, _ = small("self_distill", PATCHED.format(5))
    student = assemble(recipe).student.eval()
    model = FrozenModel(student, recipe, branch="student", step=0, engine=Engine(torch.device("cpu"), "fp32"))
    sequences, positions = ["ACGTTGCAACGTAGC", "GGATCCA"], np.array([8, 6])
    found = model.base_log_probabilities(sequences, positions)
    for row, (sequence, position) in enumerate(zip(sequences, positions, strict=True)):
        tokens = torch.from_numpy(alphabet.encode(sequence).astype(np.int64))[None]
        tokens[0, position] = alphabet.MASK
        patches = student.encode(encode_bases(tokens), torch.ones(1, len(sequence)).bool()).rows
        logits = student.heads["masked"]["classifier"].head(patches[0, position // 5]).view(5, 4)[position % 5]
        np.testing.assert_allclose(found[row], logits.log_softmax(-1).detach().numpy(), rtol=1e-4, atol=1e-5)
