"""`findna-kit embed`: sequences of a file, embedded in blocks by a run's frozen model; pictures of what came out."""

from findna_kit.inference.embedding.embed import Embedding, EmbedOptions, Output, Sequences, prepare
from findna_kit.inference.embedding.inputs import Cut, cut_of
from findna_kit.inference.embedding.plot import Picture, draw, sample, write_projector

__all__ = [
    "Cut",
    "EmbedOptions",
    "Embedding",
    "Output",
    "Picture",
    "Sequences",
    "cut_of",
    "draw",
    "prepare",
    "sample",
    "write_projector",
]
