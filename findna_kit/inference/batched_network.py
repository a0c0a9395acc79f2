"""A network with its recipe and device, and the batches of sequences that it is run on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch

from findna_kit import alphabet
from findna_kit.components.views import View
from findna_kit.data.sequences import LETTERS_EXPECTED, find_wrong_letter
from findna_kit.errors import FindnaError
from findna_kit.model.branch import pooled_width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from findna_kit.distributed import Engine
    from findna_kit.model.branch import Branch, Pooling
    from findna_kit.recipe import Recipe

Strand = Literal["forward", "both"]
BranchName = Literal["student", "teacher"]
STRANDS: tuple[str, ...] = get_args(Strand)

MAX_BATCH_BASES = 16 * 1024
"""Largest number of nucleotides in one forward pass: it bounds memory and keeps the activations close to a CPU's cache."""

log = logging.getLogger(__name__)


class BatchedNetwork:
    """A branch of a run without gradients and dropout, and the batches that its functions share."""

    def __init__(self, network: Branch, recipe: Recipe, *, branch: BranchName, step: int, engine: Engine) -> None:
        self.network, self.recipe, self.branch, self.step = network.eval().requires_grad_(False), recipe, branch, step
        self._engine = engine
        self.network.to(engine.device)

    @property
    def engine(self) -> Engine:
        """Return the device and precision that the model computes with."""
        return self._engine

    @property
    def precision(self) -> str:
        """Return the precision of the matrix products, `bf16` or `fp32`."""
        return self._engine.precision

    @property
    def dim(self) -> int:
        """Return the length D of an embedding."""
        return self.network.width

    @property
    def predicts_bases(self) -> bool:
        """Return whether a loss of the run predicts nucleotides, so that masked bases have probabilities."""
        return self._nucleotide_head() is not None

    def nucleotide_head(self) -> tuple[str, str]:
        """Return the label of the loss that predicts nucleotides and the name of its head. Raises FindnaError if none does."""
        found = self._nucleotide_head()
        if found is None:
            raise FindnaError("this run has no loss that predicts nucleotides, so it has no probabilities of bases")
        return found

    def _nucleotide_head(self) -> tuple[str, str] | None:
        """Return label and head of the loss that predicts nucleotides, or None."""
        for label, loss in self.recipe.losses.items():
            # A teacher of another architecture than the student may have no such head.
            if loss.component.nucleotide_head is not None and label in self.network.heads:
                return label, loss.component.nucleotide_head
        return None

    def batches(self, lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield the indices of sequences to run together: of similar length, so that little is padded, and of bounded size."""
        # Longest first: if memory does not suffice, that shows in the first batch.
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            size = max(1, MAX_BATCH_BASES // (lengths[order[start]] + self.network.class_tokens))
            yield order[start : start + size]
            start += size

    def windows(self, sequences: list[NDArray[np.uint8]]) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
        """Split sequences into windows that fit the encoder; return them with the index of the sequence of each."""
        bound = self.network.encoder.max_length
        if bound is None or not self.exceed(sequences):
            return sequences, np.arange(len(sequences))
        windows, owner = [], []
        for number, sequence in enumerate(sequences):
            starts = window_starts(len(sequence), bound)
            windows += [sequence[start : start + bound] for start in starts]
            owner += [number] * len(starts)
        return windows, np.array(owner)

    def exceed(self, sequences: list[NDArray[np.uint8]]) -> bool:
        """Return whether some sequences are longer than the encoder's `max_length`, and log that windows are averaged."""
        bound = self.network.encoder.max_length
        longer = 0 if bound is None else sum(len(sequence) > bound for sequence in sequences)
        if longer:
            log.warning(
                "%d of %d sequences are longer than the encoder's %d: windows are averaged", longer, len(sequences), bound
            )
        return longer > 0

    def view(self, sequences: list[NDArray[np.uint8]]) -> View:
        """Return a batch of sequences, padded to the longest, on the model's device."""
        longest = max(map(len, sequences))
        valid = np.arange(longest) < np.array([len(sequence) for sequence in sequences])[:, None]
        tokens = np.full(valid.shape, alphabet.N, dtype=np.int64)
        tokens[valid] = np.concatenate(sequences)
        return View.of_windows(torch.from_numpy(tokens), valid=torch.from_numpy(valid)).to(self._engine.device)

    def embed_tokens(self, tokens: list[NDArray[np.uint8]], pooling: Pooling, layer: int | None) -> NDArray[np.float32]:
        """Return the embeddings [n, D] of encoded sequences, batched by length."""
        windows, owner = self.windows(tokens)
        lengths = np.array([len(window) for window in windows], dtype=np.int64)
        embeddings = np.zeros((len(windows), pooled_width(pooling, self.dim)), dtype=np.float32)
        for batch in self.batches(lengths):
            embeddings[batch] = self._forward([windows[index] for index in batch], pooling, layer)
        return _average(embeddings, owner, lengths, len(tokens))

    def _forward(self, windows: list[NDArray[np.uint8]], pooling: Pooling, layer: int | None) -> NDArray[np.float32]:
        """Run one batch of windows through the network."""
        with self._engine.autocast():
            embeddings = self.network.embed(self.view(windows), pooling, layer)
        return np.asarray(embeddings.cpu().numpy())

    def check_layer(self, layer: int | None) -> None:
        """Raise FindnaError for a hidden layer that does not exist."""
        depth = self.network.encoder.depth
        if layer is not None and not 0 <= layer < depth:
            raise FindnaError(f"layer {layer}: the encoder has the hidden layers 0 to {depth - 1}")

    def check_length(self, length: int) -> None:
        """Raise FindnaError if a sequence is too long for a function that needs it in one pass."""
        bound = self.network.encoder.max_length
        if bound is not None and length > bound:
            raise FindnaError(f"the encoder takes at most {bound} nucleotides, not {length}; give it shorter sequences")


def window_starts(length: int, bound: int) -> NDArray[np.int64]:
    """Return the starts of the windows of `bound` bases, overlapping by half, that cover a sequence of `length` bases."""
    excess = max(length - bound, 0)
    count = -(-2 * excess // bound) + 1
    # An odd count has a window in the middle, which cannot start at half a base.
    count += count % 2 * excess % 2
    left = np.arange(count) * excess // max(count - 1, 1)
    # Starts are symmetric, so that the reverse complement is cut into the same windows.
    return np.where(np.arange(count) < count // 2, left, excess - left[::-1])


def one_sequence(sequence: str) -> NDArray[np.uint8]:
    """Return the tokens of one sequence. Raises FindnaError for anything but a string of nucleotide letters."""
    if not isinstance(sequence, str):
        raise FindnaError(f"this function takes one sequence as a string, not {type(sequence).__name__}; call it for each")
    if not sequence:
        raise FindnaError("the sequence is empty")
    wrong = find_wrong_letter([sequence])
    if wrong is not None:
        position = wrong[1]
        raise FindnaError(f"{sequence[position]!r} at position {position} is not a nucleotide letter: {LETTERS_EXPECTED}")
    return alphabet.encode(sequence)


def check_strand(strand: str) -> None:
    """Raise FindnaError unless `strand` is one of the values that every function of sequences takes."""
    if strand not in STRANDS:
        raise FindnaError(f"strand {strand!r}: must be {' or '.join(STRANDS)}")


def reverse_complement(tokens: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the tokens of the other strand."""
    return alphabet.COMPLEMENT[tokens[::-1]]


def _average(
    embeddings: NDArray[np.float32], owner: NDArray[np.int64], lengths: NDArray[np.int64], count: int
) -> NDArray[np.float32]:
    """Average the windows' embeddings [windows, D] by sequence, weighted by their lengths; return [count, D]."""
    if len(embeddings) == count:  # one window per sequence
        return embeddings
    total = np.zeros((count, embeddings.shape[1]), dtype=np.float64)
    # Not `total[owner] += ...`: a sequence occurs in `owner` once for each window, and only one of them would be added.
    np.add.at(total, owner, embeddings * lengths[:, None])
    weight = np.bincount(owner, weights=lengths, minlength=count)
    return (total / weight[:, None]).astype(np.float32)
