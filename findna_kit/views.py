"""Views: tokens, targets, mask and origin of a batch of windows, travelling together; and the draws that change them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch

from findna_kit import dna, seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor


@dataclass(frozen=True)
class View:
    """A named, augmented crop of each window of a batch (B windows, L positions, M masked ones).

    tokens        [B, L] int64    clean tokens A C G T N: what the teacher sees, and every target
    origin        [B, L] int64    the token's position in the window; -1 for an inserted base and for padding
    strand        [B, L] int8     +1 as in the genome, -1 on the other strand, 0 for an inserted base and for padding
    valid         [B, L] bool     False on padding, which is N and stands last
    soft_masked   [B, L] bool     the genome's lower case
    contig, start [B] int64       where the window lies
    masked_index  [B, M] int64    masked positions; M = 0 without a masking policy
    masked_weight [B, M] float    1, or 0 for a slot that is not used
    corrupted     [B, M] int64    what the student is shown at them
    deviation     [B] float       of the noise added when the bases are encoded; None: no noise
    """

    tokens: Tensor
    origin: Tensor
    strand: Tensor
    valid: Tensor
    soft_masked: Tensor
    contig: Tensor
    start: Tensor
    masked_index: Tensor
    masked_weight: Tensor
    corrupted: Tensor
    deviation: Tensor | None = None

    @classmethod
    def of_windows(
        cls,
        tokens: Tensor,
        *,
        soft_masked: Tensor | None = None,
        valid: Tensor | None = None,
        contig: Tensor | None = None,
        start: Tensor | None = None,
    ) -> View:
        """The view that is the windows themselves. `tokens` [B, L]; `valid` all True by default; unknown places are 0."""
        batch, length = tokens.shape
        device = tokens.device
        nowhere = torch.zeros(batch, dtype=torch.int64, device=device)
        position = torch.arange(length, device=device).expand(batch, length)
        empty = tokens.new_empty((batch, 0), dtype=torch.int64)
        tokens = tokens.long()
        if valid is None:
            valid = torch.ones_like(tokens, dtype=torch.bool)
        else:
            tokens, position = tokens.where(valid, dna.N), position.where(valid, -1)
        return cls(
            tokens=tokens,
            origin=position,
            strand=valid.to(torch.int8),
            valid=valid,
            soft_masked=torch.zeros_like(valid) if soft_masked is None else soft_masked & valid,
            contig=nowhere if contig is None else contig,
            start=nowhere if start is None else start,
            masked_index=empty, masked_weight=empty.float(), corrupted=empty,
        )  # fmt: skip

    @classmethod
    def joined(cls, views: Sequence[View]) -> View:
        """The rows of all of them, in order; views of one length, without noise."""
        names = [field.name for field in fields(cls) if field.name != "deviation"]
        return cls(**{name: torch.cat([getattr(view, name) for view in views]) for name in names})

    @property
    def lengths(self) -> Tensor:
        """Valid positions of each row: [B] int64."""
        return self.valid.sum(1)

    @property
    def student_tokens(self) -> Tensor:
        """What the student sees, [B, L]: the masked positions hold what `corrupted` says."""
        shown = self.corrupted.where(self.masked_weight > 0, self.tokens.gather(1, self.masked_index))
        return self.tokens.scatter(1, self.masked_index, shown)

    @property
    def masked_targets(self) -> Tensor:
        """The clean tokens at the masked positions, [B, M]."""
        return self.tokens.gather(1, self.masked_index)

    def take(self, source: Tensor, *, inserted: Tensor | None = None, flipped: Tensor | None = None) -> View:
        """The view that holds at each position what this one holds at `source`.

        source [B, L]: a position of this view; below 0: `inserted` [B, L] instead (a base, A C G T).
        flipped [B, L]: True where the base comes from the other strand, and is complemented.
        Raises ValueError on a masked view: masks are drawn last.
        """
        if self.masked_index.shape[1]:
            raise ValueError("a masked view cannot be augmented: masks are drawn last")
        kept = source >= 0
        at = source if inserted is None else source.clamp(min=0)  # without inserted bases `gather` refuses what is below 0
        tokens, strand = self.tokens.gather(1, at), self.strand.gather(1, at)
        if flipped is not None:
            tokens, strand = dna.complement(tokens).where(flipped, tokens), (-strand).where(flipped, strand)
        valid = self.valid.gather(1, at)
        if inserted is not None:
            tokens, valid = tokens.where(kept, inserted), valid | ~kept
        return replace(
            self, tokens=tokens, valid=valid,
            origin=self.origin.gather(1, at).where(kept, -1),
            strand=strand.where(kept, 0),
            soft_masked=self.soft_masked.gather(1, at) & kept,
        )  # fmt: skip

    def masked_at(self, index: Tensor, weight: Tensor, corrupted: Tensor) -> View:
        """The view with these positions masked for the student; all three [B, M]."""
        return replace(self, masked_index=index, masked_weight=weight, corrupted=corrupted)

    def rows(self, part: slice | Tensor) -> View:
        """Some rows of the batch: a stretch, or by their index."""
        return self._each(lambda tensor: tensor[part])

    def to(self, device: torch.device) -> View:
        """The view on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> View:
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: None if value is None else change(value) for name, value in values.items()}
        return View(**changed)


class Draw:
    """Random numbers for some rows of the global batch, a pure function of a key.

    The key names the seed, the step, the view and the component; `rows` [B] are indices in the global batch. Each call
    draws afresh, and gives each row the same numbers whichever other rows are asked for.
    """

    def __init__(self, *key: int | str, rows: Tensor) -> None:
        self._key = key
        self._rows = rows
        self._calls = 0

    def uniform(self, *shape: int) -> Tensor:
        """Float32 in [0, 1), shape [B, *shape]."""
        return self._drawn(shape, torch.float32, lambda bits: (bits >> 40 & 0xFFFFFF).float() * 2**-24)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal float32, shape [B, *shape], two of each hash (Box and Muller 1958)."""
        count = math.prod(shape)
        half = -(-count // 2)
        drawn = torch.empty(len(self._rows), count, device=self._rows.device)
        for part, bits in self._blocks(half):
            radius = ((bits >> 40 & 0xFFFFFF) + 1).float().mul_(2**-24)  # in (0, 1], so that the logarithm is finite
            radius = radius.log_().mul_(-2).sqrt_()
            angle = (bits >> 16 & 0xFFFFFF).float().mul_(2 * math.pi * 2**-24)
            torch.mul(radius, angle.cos(), out=drawn[part, :half])
            torch.mul(radius[:, : count - half], angle[:, : count - half].sin(), out=drawn[part, half:])
        return drawn.view(len(self._rows), *shape)

    def integers(self, low: int | Tensor, high: int | Tensor, *shape: int) -> Tensor:
        """Int64 in [low, high), shape [B, *shape]; bounds are numbers, or tensors that broadcast to that shape."""
        if (
            isinstance(low, int)
            and isinstance(high, int)
            and (power := (high - low).bit_length() - 1)
            and high - low == 1 << power
        ):
            # Its first digits: what the share below would come to, without a detour by way of fractions.
            return low + self._drawn(shape, torch.int64, lambda bits: bits >> 64 - power & (1 << power) - 1)
        share = self._drawn(shape, torch.float64, lambda bits: (bits >> 11 & (1 << 53) - 1).double() * 2**-53)
        return low + (share * (high - low)).long()

    def _drawn(self, shape: Sequence[int], dtype: torch.dtype, made_of: Callable[[Tensor], Tensor]) -> Tensor:
        count = math.prod(shape)
        drawn = torch.empty(len(self._rows), count, dtype=dtype, device=self._rows.device)
        for part, bits in self._blocks(count):
            drawn[part] = made_of(bits)
        return drawn.view(len(self._rows), *shape)

    def _blocks(self, count: int) -> Iterator[tuple[slice, Tensor]]:
        self._calls += 1
        return seeds.blocks(seeds.key(*self._key, self._calls), self._rows, count)
