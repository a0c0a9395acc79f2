"""Views: the tokens, targets, mask and origin of a batch of windows, in one object."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch

from findna_kit import alphabet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

_INSERTED = {"origin": -1, "strand": 0, "valid": True, "soft_masked": False}
"""The lazy columns, which follow the tokens when these move; and the value of each for an inserted base."""

_USED = 1 << 32
"""A bit that marks what used slots of a mask write. It is far above the tokens, so that an invalid token stays invalid."""

# Why columns are lazy. Each augmentation moves the tokens, and these four columns would have to move with them; but few losses
# read `strand` or `soft_masked`, and between two augmentations nobody reads `origin`. With all columns moved at once the views
# of `self_distill` take 1.35 times as long at 64 x 200, and 1.65 times at 1024 x 512 (CPU, one thread). So `gather` stores
# how to compute a column, and `__getattr__` computes it when it is first read. Python calls `__getattr__` only for attributes
# that do not exist: a column that was read is a plain attribute and costs nothing more. See docs/decisions/0008.


@dataclass(frozen=True)
class View:
    """An augmented crop of each window of a batch (B windows, L positions, M masked ones), with everything that belongs to it.

    tokens        [B, L] int64    clean tokens A C G T N: the input of the teacher, and every target
    origin        [B, L] int64    the token's position in the window; -1 for an inserted base and for padding
    strand        [B, L] int8     +1 as in the genome, -1 on the other strand, 0 for an inserted base and for padding
    valid         [B, L] bool     False on padding, which is N and comes last
    soft_masked   [B, L] bool     lower case in the genome: repeats
    contig, start [B] int64       the window's contig (index) and first position
    masked_index  [B, M] int64    masked positions; M = 0 without a masking
    masked_weight [B, M] float    weight of the position in the loss, in (0, 1]; 0 for an unused slot, which may point anywhere
    corrupted     [B, M] int64    the tokens that the student receives at the masked positions
    deviation     [B] float       standard deviation of the noise added when bases are encoded; None: no noise

    Views are not changed in place; every method returns a new one, which shares the columns that did not change.
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
        """Build the view that is the windows themselves, without a mask.

        tokens: [B, L]; positions that are not valid become N. valid: all True by default. contig, start: [B], 0 by default.
        """
        batch, length = tokens.shape
        device = tokens.device
        zeros = torch.zeros(batch, dtype=torch.int64, device=device)
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
            contig=zeros if contig is None else contig,
            start=zeros if start is None else start,
            masked_index=empty, masked_weight=empty.float(), corrupted=empty,
        )  # fmt: skip

    @classmethod
    def concatenate(cls, views: Sequence[View]) -> View:
        """Concatenate views along the batch. They have the same length, and all have noise or none has."""
        noisy = any(view.deviation is not None for view in views)
        names = [field.name for field in fields(cls) if noisy or field.name != "deviation"]
        columns = {name: _LazyColumn(partial(_concatenate, [view._column(name) for view in views])) for name in names}
        return views[0]._replace(**{name: column if name in _INSERTED else column() for name, column in columns.items()})

    if not TYPE_CHECKING:  # a type checker would accept any name as a column

        def __getattr__(self, name: str) -> Tensor:
            """Compute a lazy column when it is first read."""
            if name not in self.__dict__.get("_lazy", ()):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            self.__dict__[name] = column = self._lazy[name]()
            return column

    def __getstate__(self) -> dict[str, Tensor | None]:
        """Return every column, computed: how lazy columns are computed may involve functions, which cannot be pickled."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def lengths(self) -> Tensor:
        """Count the valid positions of each sequence, [B] int64."""
        return self.valid.sum(1)

    @property
    def student_tokens(self) -> Tensor:
        """Return the student's input tokens, [B, L]: `tokens` with `corrupted` at the masked positions."""
        # An unused slot (weight 0) may point at a masked position too. Of several values for one position `scatter` keeps any
        # one, so the largest is taken: what a used slot writes has a bit above those of the tokens, which is cleared again.
        shown = (self.corrupted | _USED).where(self.masked_weight > 0, 0)
        return self.tokens.scatter_reduce(1, self.masked_index, shown, "amax").bitwise_and_(_USED - 1)

    @property
    def masked_targets(self) -> Tensor:
        """Return the clean tokens at the masked positions, [B, M]."""
        return self.tokens.gather(1, self.masked_index)

    def gather(
        self,
        source: Tensor | Callable[[], Tensor],
        *,
        inserted: Tensor | None = None,
        flipped: Tensor | None = None,
        padding_stays: bool = False,
    ) -> View:
        """Return the view whose position i holds what this view holds at position `source[:, i]`.

        source: [B, L] positions of this view; a negative one takes the base from `inserted` instead. Or a function that returns
            them: it is called again when a lazy column is computed, so that the positions need no memory until then.
        inserted: [B, L] bases A C G T. Without it a negative source raises RuntimeError.
        flipped: [B, L] bool, True where the base is read from the other strand; it is complemented.
        padding_stays: promise that valid positions stay valid and padding stays padding; `valid` is then not recomputed.
        Raises ValueError on a masked view: masks are drawn last.
        """
        if self.masked_index.shape[1]:
            raise ValueError("a masked view cannot be augmented: masks are drawn last")
        position = source if isinstance(source, torch.Tensor) else source()
        # Without inserted bases torch.gather refuses negative positions. The result is new memory, so it is changed in place.
        tokens = self.tokens.gather(1, position if inserted is None else position.clamp(min=0))
        if flipped is not None:
            # `alphabet.complement` in two operations fewer: 3 - t is t ^ 3 for a base; N becomes 7, which is clamped to N.
            tokens.bitwise_xor_(flipped * 3).clamp_(max=alphabet.N)
        # After the complement: an inserted base is on neither strand, and must appear as it was drawn.
        if inserted is not None:
            torch.where(position >= 0, tokens, inserted, out=tokens)
        lazy = {
            name: _LazyColumn(partial(_gather, self._column(name), source, None if inserted is None else value))
            for name, value in _INSERTED.items()
            if not (padding_stays and name == "valid")
        }
        if flipped is not None:
            lazy["strand"] = _LazyColumn(partial(_flip, lazy["strand"], flipped))
        return self._replace(tokens=tokens, **lazy)

    def with_tokens(self, tokens: Tensor) -> View:
        """Return the view with other `tokens` [B, L]; every other column is unchanged."""
        return self._replace(tokens=tokens)

    def with_noise(self, deviation: Tensor) -> View:
        """Return the view with noise of standard deviation `deviation` [B], which replaces earlier noise."""
        return self._replace(deviation=deviation)

    def with_mask(self, index: Tensor, weight: Tensor, corrupted: Tensor) -> View:
        """Return the view with these positions masked for the student; all three arguments are [B, M]."""
        return self._replace(masked_index=index, masked_weight=weight, corrupted=corrupted)

    def select(self, indices: slice | Tensor) -> View:
        """Return the view of some sequences of the batch: a slice of it, or those at `indices`."""
        return self._map(lambda column: column[indices])

    def to(self, device: torch.device) -> View:
        """Return the view with every column on `device`."""
        return self._map(lambda column: column.to(device, non_blocking=True))

    def _map(self, change: Callable[[Tensor], Tensor]) -> View:
        """Apply a function to every column; lazy columns stay lazy."""
        computed, names = self.__dict__, [field.name for field in fields(self)]
        changed = {name: change(computed[name]) for name in names if computed.get(name) is not None}
        lazy = {name: _LazyColumn(partial(_apply, self._column(name), change)) for name in names if name not in computed}
        return self._replace(**changed, **lazy)

    def _column(self, name: str) -> _LazyColumn:
        """Return a column as a lazy one, which does not keep the rest of the view in memory."""
        computed = self.__dict__
        return _LazyColumn(computed[name]) if name in computed else computed["_lazy"][name]

    def _replace(self, **columns: Tensor | _LazyColumn) -> View:
        """Return a copy with other columns. `dataclasses.replace` would read, and so compute, every column."""
        # Built past the constructor, which needs the value of every column, and past setattr, which a frozen class refuses.
        view, attributes = object.__new__(type(self)), dict(self.__dict__)
        # `lengths` is cached in the same __dict__, and would otherwise outlive the column that it counts.
        if "valid" in columns:
            attributes.pop("lengths", None)
        lazy = {name: column for name, column in columns.items() if isinstance(column, _LazyColumn)}
        view.__dict__.update({name: column for name, column in (attributes | columns).items() if name not in lazy})
        view.__dict__["_lazy"] = attributes.get("_lazy", {}) | lazy
        return view


class _LazyColumn:
    """A column that is computed when it is first read, once for all the views that share it."""

    def __init__(self, value: Callable[[], Tensor] | Tensor) -> None:
        self._value = value

    def __call__(self) -> Tensor:
        if not isinstance(self._value, torch.Tensor):
            self._value = self._value()  # this also releases the tensors that the function needed
        return self._value


def _gather(column: _LazyColumn, source: Tensor | Callable[[], Tensor], inserted: int | None) -> Tensor:
    """Return the column at `source` [B, L]; at negative positions the value `inserted`, unless that is None."""
    position = source if isinstance(source, torch.Tensor) else source()
    if inserted is None:
        return column().gather(1, position)
    return column().gather(1, position.clamp(min=0)).where(position >= 0, inserted)


def _flip(strand: _LazyColumn, flipped: Tensor) -> Tensor:
    """Return the strand with its sign changed where `flipped` is True."""
    return (-strand()).where(flipped, strand())


def _concatenate(columns: Sequence[_LazyColumn]) -> Tensor:
    """Concatenate one column of several views."""
    return torch.cat([column() for column in columns])


def _apply(column: _LazyColumn, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Compute a column and apply a function to it."""
    return change(column())
