"""The network that is trained from scratch: padding, places in a sequence, and what it learns."""

import numpy as np
import torch

from findna_kit import rng
from findna_kit.evaluation.cnn import SETTINGS, TaskCnn, train_cnn
from findna_kit.evaluation.finetuning.batching import EncodedSequences
from findna_kit.evaluation.tasks import Task, TaskSplit
from findna_kit.model.branch import Branch
from findna_kit.plugins.loading import load_plugins
from tests.evaluation.finetuning.cases import CPU, ENGINE, letters

ADAMW = load_plugins()[0].optimizers["adamw"]


def branch(**sizes):
    with rng.torch_seed(0, "test", device=CPU):
        return Branch(TaskCnn(TaskCnn.Config(**sizes), length=0, class_tokens=0), 0, {})


def embedded(network, sequences):
    with torch.no_grad():
        view = EncodedSequences(sequences, CPU).view(torch.arange(len(sequences)))
        return network.embed(view, "mean")


def test_padding_changes_no_embedding():
    generator = np.random.default_rng(0)
    sequences = [letters(generator, length) for length in (40, 17, 5, 64)]
    network = branch(channels=8)
    together = embedded(network, sequences)
    for sequence, row in zip(sequences, together, strict=True):
        torch.testing.assert_close(embedded(network, [sequence])[0], row, rtol=1e-4, atol=1e-6)


def test_each_segment_is_the_mean_of_its_own_part():
    network = branch(channels=4, segments=4, blocks=0, motif=1)  # without neighbours: an embedding is that of its base
    one = embedded(network, ["AACCGGTT"]).view(4, 4)  # [segment, channel]
    for segment, base in enumerate("ACGT"):
        torch.testing.assert_close(one[segment], embedded(network, [base * 8]).view(4, 4)[segment])
    assert network.width == 16


def planted_by_place(seed=0, rows=(160, 64, 64)):
    """Both classes have the same motif: one in the first half, the other in the second."""
    generator, parts = np.random.default_rng(seed), {}
    for part, count in zip(("train", "validation", "test"), rows, strict=True):
        labels, sequences = np.arange(count) % 2, []
        for label in labels:
            at, text = int(generator.integers(20)) + 30 * label, letters(generator, 60)
            sequences.append(text[:at] + "TATAACTA" + text[at + 8 :])
        parts[part] = TaskSplit(sequences, labels.astype(np.int64))
    return Task("places", "places", parts, ("first", "second"), ())


def trained(task, folder, seed=0):
    return train_cnn(ENGINE, task, optimizer=ADAMW, strand="forward", seed=seed, folder=folder, log=lambda line: None)


def test_it_learns_where_a_motif_is_and_a_seed_decides_the_digits(tmp_path):
    task = planted_by_place()
    one, again, other = (trained(task, tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert (one.scores.argmax(1) == task.splits["test"].labels).mean() > 0.85
    assert np.array_equal(one.scores, again.scores)
    assert not np.array_equal(one.scores, other.scores)
    assert one.chosen["settings"] == SETTINGS.model_dump()
