"""Benchmarks of the data pipeline: windows of a genome, and views of them."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.recipes import SIZES, experiment_of, recipe_of
from benchmarks.reference.views import student_view, teacher_view
from benchmarks.reference.windows import Reader, masked
from benchmarks.report import AS_WRITTEN, IMPROVED, Row
from benchmarks.turns import ratios
from findna_kit.data.genome import builtin_genome
from findna_kit.data.genomes import open_genomes
from findna_kit.model.branch import encode_bases
from findna_kit.trainer.forward import make_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from benchmarks.reference.windows import Place
    from findna_kit.components.views import View

WINDOWS_BAR, VIEWS_BAR, VIEWS_BATCH = 100.0, 10.0, 1024
"""The limit of the two views applies at this batch size; with fewer windows the overhead of calls dominates."""
FRACTION, DEVIATION, MOST = 0.3, 0.2, 20
"""Settings of the recipe's views: masked share, standard deviation of noise, most bases that an augmentation moves."""


@contextmanager
def plain_fasta() -> Iterator[Path]:
    """Yield the built-in genome, decompressed, as pyfaidx needs it."""
    with tempfile.TemporaryDirectory() as folder:
        fasta = Path(folder) / "genome.fa"
        with gzip.open(builtin_genome()) as packed, fasta.open("wb") as out:
            shutil.copyfileobj(packed, out)
        yield fasta


def places_of(windows: View, names: list[str]) -> list[Place]:
    """Return the (contig, start) of each window, which the reference takes as input."""
    return [(names[contig], start) for contig, start in zip(windows.contig.tolist(), windows.start.tolist(), strict=True)]


def window_rows(batch: int, rounds: int) -> list[Row]:
    """Measure windows of 1000 bases: in each side's own representation (tokens or one-hot), one-hot, and masked.

    The kit also samples their positions, which the reference is given.
    """
    recipe = recipe_of(SIZES["paper"], batch)
    data = open_genomes(recipe.data, recipe.seed)
    training, rows = data.windows.training, torch.arange(batch)
    pipeline = next(p for p in experiment_of(SIZES["paper"], batch, "views.masked.augment=[]").pipelines if p.plan.masked)
    places = places_of(training.draw(0, rows), [contig.name for contig in data.genomes[0].store.contigs])
    numbers = np.random.default_rng(0)

    def student() -> View:
        return pipeline.view(training.draw(0, rows), seed=0, step=0, rows=rows)

    with plain_fasta() as fasta, closing(Reader(fasta, SIZES["paper"].length)) as reader:
        both = (lambda: reader.windows(places), lambda: reader.looked_up(places))
        hidden = [lambda read=read: [masked(window, FRACTION, numbers) for window in read()] for read in both]
        measured = {
            "as each side holds them": (WINDOWS_BAR, ratios(lambda: training.draw(0, rows), *both, rounds=rounds)),
            "one-hot": (None, ratios(lambda: encode_bases(training.draw(0, rows).tokens), *both, rounds=rounds)),
            "one-hot and masked": (None, ratios(lambda: encode_bases(student().student_tokens), *hidden, rounds=rounds)),
        }
    return [
        Row(f"windows, {what}, batch {batch}", dict(zip((AS_WRITTEN, IMPROVED), found, strict=True)), bar)
        for what, (bar, found) in measured.items()
    ]


def view_rows(batch: int, rounds: int) -> list[Row]:
    """Measure the recipe's two views of 1000 bases, one-hot: from loaded windows, and from the genome."""
    recipe = recipe_of(SIZES["paper"], batch)
    experiment, data = experiment_of(SIZES["paper"], batch), open_genomes(recipe.data, recipe.seed)
    training, rows = data.windows.training, torch.arange(batch)
    loaded = training.draw(0, rows)
    sequences = encode_bases(loaded.tokens)
    places = places_of(loaded, [contig.name for contig in data.genomes[0].store.contigs])

    def ours(windows: View) -> None:
        made = make_batch(experiment, windows, step=0, rows=rows)
        for pipeline in experiment.pipelines:
            view = made.views[pipeline.name]
            encode_bases(view.student_tokens if pipeline.plan.student else view.tokens, made.noise[pipeline.name])

    def reference(windows: Tensor) -> None:
        student_view(windows, FRACTION, DEVIATION)
        teacher_view(windows, MOST)

    bar = VIEWS_BAR if batch >= VIEWS_BATCH else None
    [views] = ratios(lambda: ours(loaded), lambda: reference(sequences), rounds=rounds)
    with plain_fasta() as fasta, closing(Reader(fasta, SIZES["paper"].length)) as reader:
        whole = ratios(
            lambda: ours(training.draw(0, rows)),
            lambda: reference(torch.from_numpy(reader.windows(places))),
            lambda: reference(torch.from_numpy(reader.looked_up(places))), rounds=rounds,
        )  # fmt: skip
    return [
        Row(f"two views of loaded windows, batch {batch}", {AS_WRITTEN: views}),
        Row(f"genome to two views, batch {batch}", dict(zip((AS_WRITTEN, IMPROVED), whole, strict=True)), bar),
    ]
