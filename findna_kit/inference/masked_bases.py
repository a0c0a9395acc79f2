"""The probabilities of the bases at masked positions, from the loss of a run that predicts nucleotides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from findna_kit import alphabet
from findna_kit.components.views import View
from findna_kit.errors import FindnaError
from findna_kit.inference.batched_network import MAX_BATCH_BASES, check_strand, reverse_complement
from findna_kit.model.branch import apply_heads, read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from findna_kit.inference.batched_network import BatchedNetwork, Strand


@torch.inference_mode()
def base_log_probabilities(
    model: BatchedNetwork, sequences: Sequence[str], positions: NDArray[np.int64]
) -> NDArray[np.float32]:  # fmt: skip
    """Return the log-probabilities [n, 4] at one masked position of each sequence: see `FrozenModel`."""
    model.nucleotide_head()
    tokens = [alphabet.encode(sequence) for sequence in sequences]
    lengths = np.array([len(sequence) for sequence in tokens], dtype=np.int64)
    if len(positions) != len(tokens) or np.any((positions < 0) | (positions >= lengths)):
        raise FindnaError("positions must give one position inside each sequence")
    if len(tokens):
        model.check_length(int(lengths.max()))
    log_probabilities = np.zeros((len(tokens), 4), dtype=np.float32)
    for batch in model.batches(lengths):
        view = model.view([tokens[index] for index in batch])
        index = torch.from_numpy(positions[batch]).to(view.tokens.device)[:, None]
        log_probabilities[batch] = _of_masked(model, view, index, torch.ones_like(index, dtype=torch.bool))[:, 0]
    return log_probabilities


def masked_logits(
    model: BatchedNetwork, tokens: NDArray[np.uint8], spacing: int | None, strand: Strand
) -> NDArray[np.float32]:  # fmt: skip
    """Return the log-probabilities [L, 4] of A C G T at every position, each masked once; every row adds up to 1 as exp.

    spacing: None masks one position at a time, in L copies of the sequence. With s, copy i of s copies has the positions i,
    i + s, i + 2 s ... masked: faster, and each prediction then lacks 1 of s bases of its context. strand `both`: the mean of
    the log-probabilities on both strands, as in `findna-kit variants`; such rows do not add up to exactly 1.

    Raises FindnaError if the run has no loss that predicts nucleotides, or the sequence is longer than `max_length`.
    """
    check_strand(strand)
    if spacing is not None and spacing < 1:
        raise FindnaError(f"spacing {spacing}: must be at least 1, or None to mask one position at a time")
    model.nucleotide_head()
    model.check_length(len(tokens))
    logs = _one_strand(model, tokens, spacing)
    if strand == "forward":
        return logs
    # The columns A C G T in reverse order are those of the complements, T G C A.
    return (logs + _one_strand(model, reverse_complement(tokens), spacing)[::-1, ::-1]) * np.float32(0.5)


@torch.inference_mode()
def _one_strand(model: BatchedNetwork, tokens: NDArray[np.uint8], spacing: int | None) -> NDArray[np.float32]:
    """Mask every position of one strand once; return the log-probabilities [L, 4]."""
    length, device = len(tokens), model.engine.device
    copies = length if spacing is None else min(spacing, length)
    slots = -(-length // copies)
    # Copy i has the positions i + copies * j masked, for each slot j; the last slot may be beyond the end and is then unused.
    index = torch.arange(copies, device=device)[:, None] + copies * torch.arange(slots, device=device)
    used, index = index < length, index.clamp(max=length - 1)
    sequence = torch.from_numpy(tokens).to(device)
    logs = np.empty((copies, slots, 4), dtype=np.float32)
    # Each position needs a copy of the whole sequence; all copies at once may exceed the memory.
    size = max(1, MAX_BATCH_BASES // (length + model.network.class_tokens))
    for start in range(0, copies, size):
        part = slice(start, min(start + size, copies))
        view = View.of_windows(sequence.expand(part.stop - part.start, length))
        logs[part] = _of_masked(model, view, index[part], used[part])
    # Copy i and slot j are position i + copies * j: slots have to be the outer axis.
    return logs.swapaxes(0, 1).reshape(-1, 4)[:length]


def _of_masked(model: BatchedNetwork, view: View, index: Tensor, used: Tensor) -> NDArray[np.float32]:
    """Return the log-probabilities [B, M, 4] at the masked positions `index` [B, M]; slots that are not `used` mask nothing."""
    label, head = model.nucleotide_head()
    # Only these positions are masked, whatever the masking of the training was.
    view = view.with_mask(index, used.float(), torch.full_like(index, alphabet.MASK))
    with model.engine.autocast():
        output = model.network(view, view.student_tokens, None, wants={"masked"})
        logits = apply_heads(read_rows(output, "masked"), model.network.heads[label])[head]
    return np.asarray(logits.float().log_softmax(-1).cpu().numpy())
