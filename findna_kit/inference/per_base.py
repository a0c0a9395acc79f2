"""The embedding of every base of a sequence, or of every patch for an encoder with a stride."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from findna_kit.errors import FindnaError
from findna_kit.inference.batched_network import check_strand, reverse_complement, window_starts
from findna_kit.model.branch import encode_bases

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from findna_kit.inference.batched_network import BatchedNetwork, Strand


def check_per_base(model: BatchedNetwork, layer: int | None, strand: Strand) -> None:
    """Raise FindnaError for a layer that does not exist, and for both strands of an encoder with a stride."""
    model.check_layer(layer)
    check_strand(strand)
    stride = model.network.encoder.stride
    if strand == "both" and stride > 1:
        raise FindnaError(
            f"strand 'both': this encoder gives one embedding per patch of {stride} bases, and the patches of one strand are "
            "not those of the other; use strand 'forward'"
        )


def row_count(bases: int, stride: int) -> int:
    """Return the number of embeddings of a sequence: one per base, or one per patch of `stride` bases, the last one shorter."""
    return -(-bases // stride)


def embed_bases(
    model: BatchedNetwork, sequences: list[NDArray[np.uint8]], layer: int | None, strand: Strand
) -> list[NDArray[np.float32]]:
    """Return the embeddings [ceil(L / stride), D] of the bases of each sequence, in fp32; class tokens are left out.

    strand `both`: the mean of the embedding of a base and of its complement in the reverse complement. A sequence longer than
    the encoder's `max_length` is cut into windows that overlap by half; a base in two of them gets the mean of both embeddings,
    weighted by its distance to the nearer end of each window. A warning is logged.
    """
    check_per_base(model, layer, strand)
    embeddings = _one_strand(model, sequences, layer)
    if strand == "forward":
        return embeddings
    reverse = _one_strand(model, [reverse_complement(sequence) for sequence in sequences], layer)
    # float32 keeps the result independent of numpy's promotion rules.
    return [(first + second[::-1]) * np.float32(0.5) for first, second in zip(embeddings, reverse, strict=True)]


@torch.inference_mode()
def _one_strand(
    model: BatchedNetwork, sequences: list[NDArray[np.uint8]], layer: int | None
) -> list[NDArray[np.float32]]:  # fmt: skip
    """Embed the sequences as they are."""
    stride, bound = model.network.encoder.stride, model.network.encoder.max_length
    starts = [np.zeros(1, dtype=np.int64)] * len(sequences)
    if bound is not None and model.exceed(sequences):
        # A window has to begin where a patch begins, so that its rows are those of the other windows.
        starts = [np.unique(-(-window_starts(len(sequence), bound) // stride) * stride) for sequence in sequences]
    owner = np.repeat(np.arange(len(sequences)), [len(of_sequence) for of_sequence in starts])
    first = np.concatenate(starts)
    windows = [sequences[number][start : start + bound if bound else None] for number, start in zip(owner, first, strict=True)]
    totals = [np.zeros((row_count(len(sequence), stride), model.dim), dtype=np.float32) for sequence in sequences]
    # Sums and weights of windows are added up as they come, so that not all windows are in memory at once.
    weights = [np.zeros((len(total), 1), dtype=np.float32) for total in totals]
    for batch in model.batches(np.array([len(window) for window in windows], dtype=np.int64)):
        rows = _forward(model, [windows[index] for index in batch], layer)
        for index, of_window in zip(batch, rows, strict=True):
            count, place = row_count(len(windows[index]), stride), first[index] // stride
            weight = _weights(count, alone=len(starts[owner[index]]) == 1)
            totals[owner[index]][place : place + count] += of_window[:count] * weight
            weights[owner[index]][place : place + count] += weight
    return [total / weight for total, weight in zip(totals, weights, strict=True)]


def _weights(count: int, *, alone: bool) -> NDArray[np.float32]:
    """Return the weights [count, 1] of the rows of a window: the distance to its nearer end; 1 if no other window overlaps."""
    place = np.arange(count, dtype=np.float32)[:, None]
    return np.ones_like(place) if alone else np.minimum(place + 1, count - place)


def _forward(model: BatchedNetwork, windows: list[NDArray[np.uint8]], layer: int | None) -> NDArray[np.float32]:
    """Return the embeddings [n, rows of the longest, D] of one batch of windows."""
    view = model.view(windows)
    with model.engine.autocast():
        encoding = model.network.encode(encode_bases(view.tokens), view.valid, layers=() if layer is None else (layer,))
    return np.asarray(encoding.of_layer(layer).float().cpu().numpy())
