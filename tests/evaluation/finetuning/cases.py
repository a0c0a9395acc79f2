"""Tiny networks and planted tasks; as a program, one fine-tuning that a test may kill."""

import sys
from pathlib import Path

import numpy as np
import torch

from findna_kit import rng
from findna_kit.assemble import assemble
from findna_kit.distributed import Engine
from findna_kit.evaluation.finetuning import FinetuneSettings, finetune
from findna_kit.evaluation.tasks import Task, TaskSplit
from findna_kit.plugins.loading import load_plugins
from tests.building import small

CPU = torch.device("cpu")
ENGINE = Engine(CPU, "fp32")
CONV = "encoder={name: dilated_conv, dim: 16, hidden: 16, blocks: 2, kernel: 5, largest_dilation: 2}"
MIXER = "encoder={name: chordmixer, dim: 16, hidden: 16, blocks: 2}"
MOTIFS = ("", "TATAAC", "GCCTGG")


def network(*overrides):
    """A branch with the weights that its recipe's seed draws."""
    return assemble(small("self_distill", *(overrides or (CONV,)))[0]).student


def letters(generator, length):
    return "".join(generator.choice(list("ACGT"), size=length))


def planted(classes=2, rows=(96, 48, 64), *, lengths=(24, 40), seed=0, noise=False):
    """Class k has a motif of its own at a random place, class 0 has none; with `noise`, labels are drawn apart from it."""
    generator = np.random.default_rng(seed)
    parts = {}
    for part, count in zip(("train", "validation", "test"), rows, strict=True):
        labels = np.arange(count) % classes
        sequences = []
        for label in labels:
            background, motif = letters(generator, int(generator.integers(*lengths))), MOTIFS[label]
            at = int(generator.integers(len(background)))
            sequences.append(background[:at] + motif * 2 + background[at:])
        parts[part] = TaskSplit(sequences, generator.permutation(labels) if noise else labels.astype(np.int64))
    return Task("planted", "planted", parts, tuple(map(str, range(classes))), ())


def tune(
    where, folder, task, *,
    engine=ENGINE, pooling="mean", strand="forward", seed=3, log=lambda line: None, sources=None, **changes,
):  # fmt: skip
    """Fine-tuning with settings that suit these sizes."""
    settings = FinetuneSettings(**{"batch_size": 8, "epochs": 2, "learning_rate": 5e-3, **changes})
    optimizer = load_plugins()[0].optimizers[settings.optimizer]
    return finetune(
        where, engine, task, settings, pooling=pooling, strand=strand, seed=seed, folder=folder, log=log, sources=sources,
        optimizer=optimizer,
    )  # fmt: skip


def with_dropout(folder, log):
    """What is killed and resumed: every kind of randomness is in it."""
    mixer = network("encoder={name: chordmixer, dim: 16, hidden: 16, blocks: 2, dropout: 0.1}")
    return tune(mixer, folder, planted(), strand="both", epochs=8, dropout=0.2, patience=None, log=log)


def truth_score(task, tuned):
    """Share of the test that is right."""
    return float((tuned.scores.argmax(1) == task.splits["test"].labels).mean())


def shaken(branch, *key):
    """Other weights of the same network."""
    with torch.no_grad(), rng.torch_seed(*key, device=CPU):
        for parameter in branch.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return branch


if __name__ == "__main__":
    with_dropout(Path(sys.argv[1]), lambda line: print(line, flush=True))
