"""What is asked of everything that changes views: augmentations and maskings."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from findna_kit.components.draws import Draw
from findna_kit.components.views import View
from findna_kit.testing.checks import abbreviate, identical
from findna_kit.testing.samples import builtin_contigs, random_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from findna_kit.components.interfaces import Augmentation, Masking
    from findna_kit.testing.checks import Case

KEYS = range(6)
_TORCH = str(Path(torch.__file__).parent)


def made(case: Case) -> Augmentation | Masking:
    """An instance that has been told of the genome."""
    component: Augmentation | Masking = case.component(case.config)
    component.on_genome(builtin_contigs())
    return component


def row_random(key: int | str, rows: Tensor | int) -> Draw:
    """A draw for these rows of a global batch."""
    return Draw("conformance", key, rows=torch.arange(rows) if isinstance(rows, int) else rows)


def columns(view: View) -> dict[str, Tensor]:
    """What a view holds, by name."""
    held = {field.name: getattr(view, field.name) for field in fields(View)}
    return {name: column for name, column in held.items() if column is not None}


def differing_columns(one: View, other: View) -> list[str]:
    """Names of the columns that are not the same in both."""
    mine, theirs = columns(one), columns(other)
    return [
        name
        for name in sorted(mine | theirs)
        if name not in mine or name not in theirs or not identical(mine[name], theirs[name])
    ]


def input_unchanged(case: Case) -> Iterator[str]:
    """The view that it is given is left as it was, by every call."""
    component, view = made(case), random_windows(6, 40)
    before = {name: column.clone() for name, column in columns(view).items()}
    after = columns(component(view, row_random(0, 6)))
    changed = [name for name, column in columns(view).items() if not identical(column, before[name])]
    if changed:
        yield f"changed {abbreviate(changed)} of the view it was given, in place; other views are made of it too: make new tensors"
    if devices := {str(column.device) for column in after.values()} - {"cpu"}:
        yield f"of a view on the cpu it made columns on {abbreviate(devices)}; stay on the view's device"


def randomness(case: Case) -> Iterator[str]:
    """Randomness comes from the draw alone, anew for each sequence: a row is the same whatever other rows are in the batch."""
    component, view = made(case), random_windows(12, 60, seed=3)
    whole = component(view, row_random("draws", 12))
    if differs := differing_columns(component(view, row_random("draws", 12)), whole):
        yield (
            f"called twice with one draw it gave other {abbreviate(differs)}; take every random number from `draw`, and keep no state"
        )
        return
    part = torch.tensor([2, 3, 7, 11])
    if differs := differing_columns(component(view.select(part), row_random("draws", part)), whole.select(part)):
        yield (
            f"rows 2, 3, 7 and 11 of a batch of 12, made alone by the same draw, have other {abbreviate(differs)}; a row may depend "
            "on its own "
            "numbers only, so that any process and micro-batch makes the same views"
        )
    yield from _apart(component)


def _apart(component: Augmentation | Masking) -> Iterator[str]:
    """Whether equal windows come out unlike one another; what is the same by every key is meant to be."""
    view = random_windows(1, 60, unknown=0.0).select(torch.zeros(16, dtype=torch.int64))
    results = [component(view, row_random(key, 16)) for key in KEYS]
    alike_rows = all(not differing_columns(made, made.select(torch.zeros(16, dtype=torch.int64))) for made in results)
    alike_keys = all(not differing_columns(made, results[0]) for made in results)
    if alike_rows and not alike_keys:
        yield (
            "16 copies of one window came out alike, by each of 6 keys in another way: the sequences of a batch share one "
            "draw. Ask for "
            "`draw.uniform(n)`, which gives [B, n], and use every row's own"
        )
    if alike_keys and not alike_rows:
        yield "6 keys of draw gave the same views: take random numbers from `draw`, which a step and a view have of their own"


class _Operations(TorchFunctionMode):
    """Counts the functions of torch that are called inside."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def count_operations(call: Callable[[], object]) -> int:
    """Functions of torch that a call calls and lines of Python that it runs, torch's own lines aside."""
    lines, counting = 0, _Operations.__torch_function__.__code__

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        if frame.f_code is counting or frame.f_code.co_filename.startswith(_TORCH):
            return None
        lines += event == "line"
        return trace

    before, operations = sys.gettrace(), _Operations()
    with operations:
        sys.settrace(trace)
        try:
            call()
        finally:
            sys.settrace(before)
    return operations.count + lines


def vectorised(case: Case) -> Iterator[str]:
    """Works on the whole batch at once: no loop in Python over sequences or over positions."""
    component = made(case)

    def cost(batch: int, length: int) -> int:
        view = random_windows(batch, length, padded=False)
        return count_operations(lambda: columns(component(view, row_random("work", batch))))

    cost(2, 32)  # imports and caches of a first call
    few, many, long = cost(2, 32), cost(130, 32), cost(2, 192)
    counted = "functions of torch and lines of Python"
    if many - few > 64:
        yield (
            f"ran {few:,} {counted} for 2 sequences and {many:,} for 130: it loops over the sequences of the batch. Write it "
            "in operators on "
            "whole tensors [B, L]"
        )
    if long - few > 40:
        yield (
            f"ran {few:,} {counted} for sequences of 32 and {long:,} for sequences of 192: it loops over positions. Write it "
            "in operators on "
            "whole tensors [B, L]"
        )
