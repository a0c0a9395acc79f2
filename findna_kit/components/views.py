"""Views: tokens, targets, mask and origin of a batch of windows, travelling together; and the draws that change them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch

from findna_kit import alphabet, rng

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

_INSERTED = {"origin": -1, "strand": 0, "valid": True, "soft_masked": False}
"""What an inserted base has in the columns that follow the tokens."""


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
    masked_weight [B, M] float    in (0, 1], what the position counts for; 0 for a slot that is not used
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
            tokens, position = tokens.where(valid, alphabet.N), position.where(valid, -1)
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
    def concatenate(cls, views: Sequence[View]) -> View:
        """The rows of all of them, in order; views of one length, all with noise or all without."""
        noisy = any(view.deviation is not None for view in views)
        names = [field.name for field in fields(cls) if noisy or field.name != "deviation"]
        joined = {name: _Unread(partial(_together, [view._column(name) for view in views])) for name in names}
        return views[0]._but(**{name: column if name in _INSERTED else column() for name, column in joined.items()})

    if not TYPE_CHECKING:  # a type checker would take any name for a column

        def __getattr__(self, name: str) -> Tensor:
            """A column that nobody has read yet."""
            if name not in self.__dict__.get("_unread", ()):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            self.__dict__[name] = column = self._unread[name]()
            return column

    @cached_property
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

    def gather(
        self,
        source: Tensor | Callable[[], Tensor],
        *,
        inserted: Tensor | None = None,
        flipped: Tensor | None = None,
        padding_stays: bool = False,
    ) -> View:
        """The view that holds at each position what this one holds at `source`.

        source [B, L]: a position of this view; below 0: `inserted` [B, L] instead (a base, A C G T). Or what makes it afresh
            whenever it is asked: that takes less room until the other columns are read.
        flipped [B, L]: True where the base comes from the other strand, and is complemented.
        padding_stays: the caller's word that what is valid stays so, and padding too; it spares looking.
        Raises ValueError on a masked view: masks are drawn last.
        """
        if self.masked_index.shape[1]:
            raise ValueError("a masked view cannot be augmented: masks are drawn last")
        at = source if isinstance(source, torch.Tensor) else source()
        # Without inserted bases `gather` refuses what is below 0. From there on the tokens are written over in their place.
        tokens = self.tokens.gather(1, at if inserted is None else at.clamp(min=0))
        if flipped is not None:
            # What `alphabet.complement` says in two steps less: 3 - t is t ^ 3 for a base, and an N that became 7 is N again.
            tokens.bitwise_xor_(flipped * 3).clamp_(max=alphabet.N)
        if inserted is not None:
            torch.where(at >= 0, tokens, inserted, out=tokens)
        unread = {
            name: _Unread(partial(_moved, self._column(name), source, None if inserted is None else value))
            for name, value in _INSERTED.items()
            if not (padding_stays and name == "valid")
        }
        if flipped is not None:
            unread["strand"] = _Unread(partial(_turned, unread["strand"], flipped))
        return self._but(tokens=tokens, **unread)

    def with_tokens(self, tokens: Tensor) -> View:
        """The view with other `tokens` [B, L]; everything else stays true of them."""
        return self._but(tokens=tokens)

    def with_noise(self, deviation: Tensor) -> View:
        """The view with noise of that `deviation` [B], in place of what it had."""
        return self._but(deviation=deviation)

    def with_mask(self, index: Tensor, weight: Tensor, corrupted: Tensor) -> View:
        """The view with these positions masked for the student; all three [B, M]."""
        return self._but(masked_index=index, masked_weight=weight, corrupted=corrupted)

    def rows(self, part: slice | Tensor) -> View:
        """Some rows of the batch: a stretch, or by their index."""
        return self._each(lambda tensor: tensor[part])

    def to(self, device: torch.device) -> View:
        """The view on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> View:
        held, names = self.__dict__, [field.name for field in fields(self)]
        changed = {name: change(held[name]) for name in names if held.get(name) is not None}
        unread = {name: _Unread(partial(_changed, self._column(name), change)) for name in names if name not in held}
        return self._but(**changed, **unread)

    def _column(self, name: str) -> _Unread:
        """What gives the column, without holding on to the rest of the view."""
        held = self.__dict__
        return _Unread(held[name]) if name in held else held["_unread"][name]

    def _but(self, **columns: Tensor | _Unread) -> View:
        """`dataclasses.replace`, which would read every column."""
        view, held = object.__new__(type(self)), dict(self.__dict__)
        if "valid" in columns:
            held.pop("lengths", None)
        unread = {name: column for name, column in columns.items() if isinstance(column, _Unread)}
        view.__dict__.update({name: column for name, column in (held | columns).items() if name not in unread})
        view.__dict__["_unread"] = held.get("_unread", {}) | unread
        return view


class _Unread:
    """A column that is worked out when somebody reads it, once for all the views that share it."""

    def __init__(self, made: Callable[[], Tensor] | Tensor) -> None:
        self._made = made

    def __call__(self) -> Tensor:
        if not isinstance(self._made, torch.Tensor):
            self._made = self._made()  # and what it was made from is let go of
        return self._made


def _moved(column: _Unread, source: Tensor | Callable[[], Tensor], inserted: int | None) -> Tensor:
    """The column at `source` [B, L]; below 0, where something was inserted at all, that value."""
    at = source if isinstance(source, torch.Tensor) else source()
    if inserted is None:
        return column().gather(1, at)
    return column().gather(1, at.clamp(min=0)).where(at >= 0, inserted)


def _turned(strand: _Unread, flipped: Tensor) -> Tensor:
    return (-strand()).where(flipped, strand())


def _together(parts: Sequence[_Unread]) -> Tensor:
    return torch.cat([part() for part in parts])


def _changed(column: _Unread, change: Callable[[Tensor], Tensor]) -> Tensor:
    return change(column())


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
        drawn = self._empty(shape)
        for part, bits in self._blocks(drawn.shape[1], first=24):
            drawn[part].copy_(bits.bitwise_right_shift_(40).bitwise_and_(0xFFFFFF)).mul_(2**-24)
        return drawn.view(len(self._rows), *shape)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal float32, shape [B, *shape], two of each hash (Box and Muller 1958)."""
        drawn = self._empty(shape)
        count = drawn.shape[1]
        half = -(-count // 2)
        for part, bits in self._blocks(half):
            radius, angle = torch.empty(2, *bits.shape, device=bits.device)
            angle.copy_((bits >> 16).bitwise_and_(0xFFFFFF)).mul_(2 * math.pi * 2**-24)
            # The radius is that of a number in (0, 1], so that the logarithm is finite.
            radius.copy_(bits.bitwise_right_shift_(40).bitwise_and_(0xFFFFFF)).add_(1).mul_(2**-24).log_().mul_(-2).sqrt_()
            torch.mul(radius, angle.cos(), out=drawn[part, :half])
            torch.mul(radius[:, : count - half], angle[:, : count - half].sin_(), out=drawn[part, half:])
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
            drawn = self._empty(shape, torch.int64)
            for part, bits in self._blocks(drawn.shape[1], first=power):
                torch.bitwise_and(bits.bitwise_right_shift_(64 - power), (1 << power) - 1, out=drawn[part])
            return drawn.view(len(self._rows), *shape).add_(low) if low else drawn.view(len(self._rows), *shape)
        share = self._empty(shape, torch.float64)
        for part, bits in self._blocks(share.shape[1]):
            share[part].copy_(bits.bitwise_right_shift_(11).bitwise_and_((1 << 53) - 1)).mul_(2**-53)
        return low + (share.view(len(self._rows), *shape) * (high - low)).long()

    def _empty(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(len(self._rows), math.prod(shape), dtype=dtype, device=self._rows.device)

    def _blocks(self, count: int, first: int = 64) -> Iterator[tuple[slice, Tensor]]:
        self._calls += 1
        return rng.blocks(rng.key(*self._key, self._calls), self._rows, count, first)
