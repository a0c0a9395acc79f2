"""A small genome with planted structure: regions of several classes, each with motifs in random background."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from findna_kit.cli import main

if TYPE_CHECKING:
    from pathlib import Path

CLASSES, MOTIFS, MOTIF, STRETCH = 8, 2, 8, 400
"""Number of classes, motifs per class, length of a motif, and length of a region, which exceeds every window here."""
COMPLEMENT = np.array([3, 2, 1, 0])


def write_planted(path: Path, *, bases: int = 200_000, seed: int = 0) -> np.ndarray:
    """Write a FASTA of one contig; return the class of each region of STRETCH bases, in order.

    Most of a region consists of motifs of its class, one per MOTIF + 2 bases, on a random strand, with one base in twenty
    replaced. So two crops of a window share the class, and little else once they are mutated and shifted.
    """
    rng = np.random.default_rng(seed)
    genome = rng.integers(0, 4, bases)
    motifs = rng.integers(0, 4, (CLASSES, MOTIFS, MOTIF))
    classes = rng.integers(0, CLASSES, bases // STRETCH)
    for start in range(0, len(classes) * STRETCH, MOTIF + 2):
        motif = motifs[classes[start // STRETCH], rng.integers(MOTIFS)]
        motif = COMPLEMENT[motif[::-1]] if rng.random() < 0.5 else motif
        at = start + rng.integers(0, 3)
        genome[at : at + MOTIF] = np.where(rng.random(MOTIF) < 0.05, rng.integers(0, 4, MOTIF), motif)
    path.write_bytes(b">planted\n" + np.frombuffer(b"ACGT", dtype=np.uint8)[genome].tobytes() + b"\n")
    return classes


RECIPE = """
name: planted
seed: 7
steps: 150
data: {genome: planted.fa, length: 96, batch_size: 32}
views:
  crop:
    see: [student]
    count: 2
    length: 64
    augment: [{name: reverse_complement, probability: 0.5}, {name: mutation, fraction: 0.05}]
encoder: {name: dilated_conv, dim: 16, hidden: 32, blocks: 2, kernel: 9, largest_dilation: 2}
class_tokens: 0
losses: {}
teacher_update: {name: none}
optimizer: {learning_rate: {cosine: {start: 3.0e-3, end: 0.0, warmup: 0.05}}, weight_decay: 1.0e-3, clip_norm: 0.5}
trainer: {precision: fp32, micro_batch: 32, validation_windows: 128, log_every: 5, validate_every: 50, checkpoint_every: 1000}
evaluation: {tasks: []}
"""
"""A tiny network on two crops of a window; each test adds its losses."""


def train(folder: Path, *choices: str) -> list[dict[str, float]]:
    """Write the genome and the recipe into the folder, train with these `--set`s, and return the rows of metrics.jsonl."""
    write_planted(folder / "planted.fa")
    (folder / "recipe.yaml").write_text(RECIPE)
    sets = [word for choice in choices for word in ("--set", choice)]
    where = ["--out", str(folder / "run"), "--overwrite", "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as left:
        patch.setattr(sys, "argv", ["findna-kit", "run", str(folder / "recipe.yaml"), *where, *sets])
        main()
    assert not left.value.code
    return [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]


def late(rows: list[dict[str, float]], name: str, last: int = 10) -> float:
    """Return the mean of a metric over its last rows, because that of a single batch is noisy."""
    values = [row[name] for row in rows if name in row][-last:]
    return sum(values) / len(values)
