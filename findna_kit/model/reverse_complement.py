"""Both strands through any encoder: the wrappers that a recipe's `rc` chooses, and what equivariant outputs are joined by."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from findna_kit import alphabet
from findna_kit.components.interfaces import ComponentConfig, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

RC = Literal["none", "average", "equivariant"]
_PAIRED_CHANNELS = [3, 2, 1, 0, alphabet.N]
"""Where each of A C G T N finds its complement."""


def reverse_valid(rows: Tensor, valid: Tensor, classes: int) -> Tensor:
    """The valid rows behind the first `classes` in reverse order; class rows and padding stay. rows [B, R, D], valid [B, R]."""
    at = torch.arange(rows.shape[1], device=rows.device)[None]
    last = valid.sum(1, keepdim=True) - 1  # class rows are valid, and padding stands last
    source = (last + classes - at).where((at >= classes) & (at <= last), at)
    return rows.gather(1, source[..., None].expand(-1, -1, rows.shape[2]))


def reverse_complement_bases(bases: Tensor, valid: Tensor, classes: int) -> Tensor:
    """The other strand of `bases` [B, R, 5]: nucleotide rows reversed, channels complemented; MASK rows stay zero."""
    return reverse_valid(bases, valid, classes)[..., _PAIRED_CHANNELS]


def average_halves(halves: Tensor) -> Tensor:
    """The mean of the two halves of the last dimension: what both strands agree on."""
    first, second = halves.chunk(2, dim=-1)
    return (first + second) / 2


def embedding_width(encoder: Encoder) -> int:
    """Of what losses and users are given: the halves of an equivariant encoder are joined."""
    return encoder.dim // 2 if encoder.strand == "equivariant" else encoder.dim


class _BothStrands(Encoder):
    """An encoder that reads each sequence and its reverse complement, as two rows of one batch."""

    Config = ComponentConfig

    def __init__(self, encoder: Encoder, class_tokens: int) -> None:
        nn.Module.__init__(self)
        self.encoder = encoder
        self.classes = class_tokens if encoder.global_mixing else 0
        self.dim, self.depth, self.stride = encoder.dim, encoder.depth, encoder.stride
        self.max_length, self.global_mixing = encoder.max_length, encoder.global_mixing

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """What is made of both strands' embeddings, the second strand's turned back to the first one's order."""
        both = torch.cat([bases, reverse_complement_bases(bases, valid, self.classes)])
        embeddings, hidden = self.encoder(both, torch.cat([valid, valid]), layers=layers)
        kept = torch.cat([valid[:, : self.classes], valid[:, self.classes :: self.stride]], dim=1)
        return self._made(embeddings, kept), {layer: self._made(rows, kept) for layer, rows in hidden.items()}

    def reset_parameters(self) -> None:
        """The encoder inside does."""
        self.encoder.reset_parameters()

    def _made(self, rows: Tensor, kept: Tensor) -> Tensor:
        forward, reverse = rows.chunk(2)
        return self._of_strands(forward, reverse_valid(reverse, kept, self.classes))

    @abstractmethod
    def _of_strands(self, forward: Tensor, reverse: Tensor) -> Tensor:
        """One of both, in the first one's order."""


class RCAverage(_BothStrands):
    """The mean of both strands' embeddings: pooled, they are the same for a sequence and its reverse complement."""

    strand = "invariant"

    def _of_strands(self, forward: Tensor, reverse: Tensor) -> Tensor:
        return (forward + reverse) / 2


class RCEquivariant(_BothStrands):
    """Both strands' embeddings side by side: the reverse complement's are these, in reverse order and with halves swapped."""

    strand = "equivariant"

    def __init__(self, encoder: Encoder, class_tokens: int) -> None:
        super().__init__(encoder, class_tokens)
        self.dim = 2 * encoder.dim

    def _of_strands(self, forward: Tensor, reverse: Tensor) -> Tensor:
        return torch.cat([forward, reverse], dim=-1)


def with_rc(encoder: Encoder, rc: RC, class_tokens: int) -> Encoder:
    """The encoder as the recipe's `rc` wants it."""
    wrappers: dict[str, type[_BothStrands]] = {"average": RCAverage, "equivariant": RCEquivariant}
    return wrappers[rc](encoder, class_tokens) if rc in wrappers else encoder


class Joined(nn.Module):
    """A head of nucleotides' embeddings on what both strands agree on: rows [..., 2 D], their halves joined."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, rows: Tensor) -> Tensor:
        """What the head makes of rows [..., D]."""
        made: Tensor = self.head(average_halves(rows))
        return made


class ComplementTied(nn.Module):
    """A head that gives logits over A C G T, with complements tied: swapped halves of its rows give complemented logits."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, rows: Tensor) -> Tensor:
        """[..., 2 D] to [..., 4]: the head of the first half, plus that of the second, read as the other strand's."""
        first, second = rows.chunk(2, dim=-1)
        made: Tensor = self.head(first) + self.head(second).flip(-1)
        return made


def on_strands(heads: dict[str, nn.Module], tied: str | None) -> dict[str, nn.Module]:
    """A chain of heads of width D for rows of 2 D; `tied`: the head of logits over A C G T, which must be the first."""

    def wrapped(name: str, head: nn.Module) -> Any:
        return ComplementTied(head) if name == tied else Joined(head)

    return {name: wrapped(name, head) if place == 0 else head for place, (name, head) in enumerate(heads.items())}
