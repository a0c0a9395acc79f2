"""Wrappers that make encoders and heads respect the reverse complement: the recipe's `rc: average | equivariant`."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from findna_kit.components.interfaces import ComponentConfig, Encoder
from findna_kit.components.strands import average_halves, reverse_complement_bases, reverse_valid

if TYPE_CHECKING:
    from collections.abc import Sequence

RC = Literal["none", "average", "equivariant"]
"""The values of the recipe key `encoder.rc`."""


class _BothStrands(Encoder):
    """An encoder that runs another one on each sequence and on its reverse complement, as one batch of 2 B sequences."""

    Config = ComponentConfig

    def __init__(self, encoder: Encoder, class_tokens: int) -> None:
        nn.Module.__init__(self)  # not Encoder.__init__, which takes the parameters of a component
        self.encoder = encoder
        self.class_rows = class_tokens if encoder.global_mixing else 0
        self.dim, self.depth, self.stride = encoder.dim, encoder.depth, encoder.stride
        self.max_length, self.global_mixing = encoder.max_length, encoder.global_mixing

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Encode both strands and combine their embeddings, the reverse strand's in the order of the forward strand."""
        both = torch.cat([bases, reverse_complement_bases(bases, valid, self.class_rows)])
        embeddings, hidden = self.encoder(both, torch.cat([valid, valid]), layers=layers)
        # With a stride there is one embedding per `stride` positions; it is valid where the first of them is.
        valid = torch.cat([valid[:, : self.class_rows], valid[:, self.class_rows :: self.stride]], dim=1)
        return self._both(embeddings, valid), {layer: self._both(states, valid) for layer, states in hidden.items()}

    def attention(self, bases: Tensor, valid: Tensor, *, layer: int) -> Tensor | None:
        """Return the wrapped encoder's attention on the forward strand: each strand has its own."""
        return self.encoder.attention(bases, valid, layer=layer)

    def reset_parameters(self) -> None:
        """Re-initialise the wrapped encoder."""
        self.encoder.reset_parameters()

    def _both(self, values: Tensor, valid: Tensor) -> Tensor:
        """Split the batch into strands and combine them. values: [2 B, R, D]; valid: [B, R]."""
        forward, reverse = values.chunk(2)
        return self._combine(forward, reverse_valid(reverse, valid, self.class_rows))

    @abstractmethod
    def _combine(self, forward: Tensor, reverse: Tensor) -> Tensor:
        """Combine the embeddings of both strands [B, R, D], both in the order of the forward strand."""


class RCAverage(_BothStrands):
    """The mean of both strands' embeddings. Pooled, they are equal for a sequence and its reverse complement."""

    strand = "invariant"

    def _combine(self, forward: Tensor, reverse: Tensor) -> Tensor:
        return (forward + reverse) / 2


class RCEquivariant(_BothStrands):
    """Both strands' embeddings, concatenated. The reverse complement gives the same rows in reverse order, halves swapped."""

    strand = "equivariant"

    def __init__(self, encoder: Encoder, class_tokens: int) -> None:
        super().__init__(encoder, class_tokens)
        self.dim = 2 * encoder.dim

    def _combine(self, forward: Tensor, reverse: Tensor) -> Tensor:
        return torch.cat([forward, reverse], dim=-1)


def with_rc(encoder: Encoder, rc: RC, class_tokens: int) -> Encoder:
    """Wrap the encoder as the recipe's `rc` asks; return it unchanged for `none`."""
    wrappers: dict[str, type[_BothStrands]] = {"average": RCAverage, "equivariant": RCEquivariant}
    return wrappers[rc](encoder, class_tokens) if rc in wrappers else encoder


class StrandMeanHead(nn.Module):
    """A head for nucleotide embeddings of an equivariant encoder, applied to the mean of their two halves."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, embeddings: Tensor) -> Tensor:
        """Apply the head to the mean of the halves of `embeddings` [..., 2 D]."""
        output: Tensor = self.head(average_halves(embeddings))
        return output


class ComplementTiedHead(nn.Module):
    """A head of logits over A C G T with complements tied: embeddings with swapped halves give the complement's logits."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map `embeddings` [..., 2 D] to logits [..., 4]: those of the first half plus the second half's, complemented."""
        first, second = embeddings.chunk(2, dim=-1)
        # In the order A C G T the complement of base t is 3 - t, so complementing logits is a flip.
        logits: Tensor = self.head(first) + self.head(second).flip(-1)
        return logits


def on_strands(heads: dict[str, nn.Module], tied: str | None) -> dict[str, nn.Module]:
    """Adapt a chain of heads of width D to embeddings of width 2 D by wrapping its first head.

    tied: the name of the head that gives logits over A C G T, if there is one; it must be the first.
    """
    wrapped = dict(heads)
    # Heads form a chain: only the first one reads embeddings. A slice, because the chain of a loss may be empty.
    for name, head in list(heads.items())[:1]:
        wrapped[name] = ComplementTiedHead(head) if name == tied else StrandMeanHead(head)
    return wrapped
