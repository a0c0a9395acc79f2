"""`findna-kit embed`: the sequences of a file embedded block by block with a frozen model, and plots of the embeddings."""

from findna_kit.inference.embedding.embed import EmbeddingJob, EmbedOptions, Sequences, prepare
from findna_kit.inference.embedding.inputs import Tiling, tiling
from findna_kit.inference.embedding.job import Output
from findna_kit.inference.embedding.plot import EmbeddingPlot, draw, sample, write_projector

__all__ = [
    "EmbedOptions",
    "EmbeddingJob",
    "EmbeddingPlot",
    "Output",
    "Sequences",
    "Tiling",
    "draw",
    "prepare",
    "sample",
    "tiling",
    "write_projector",
]
