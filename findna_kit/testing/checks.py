"""What a check is: a law with a name, and what it finds wrong with a component, in sentences."""

from __future__ import annotations

import inspect
import json
import math
import os.path
import traceback
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from torch import Tensor

CPU = torch.device("cpu")


class Nonconforming(AssertionError):
    """A component breaks what the kit asks of its kind; the message lists all of it."""


@dataclass(frozen=True)
class Case:
    """A component under test, with parameters as a recipe states them.

    recipe: `--set`s for the recipes that it is trained in. family: the parameters of all its examples, for checks run once.
    """

    kind: str
    component: type[Any]
    parameters: Mapping[str, Any]
    recipe: tuple[str, ...] = ()
    family: tuple[Mapping[str, Any], ...] = ()

    @cached_property
    def config(self) -> Any:
        """The parameters, read strictly, as a recipe's are. Raises pydantic's ValidationError."""
        return self.component.Config.model_validate_json(json.dumps(dict(self.stated)), strict=True)

    @cached_property
    def stated(self) -> Mapping[str, Any]:
        """The parameters with their paths absolute."""
        paths = [name for name in self.component.Config.paths() if isinstance(self.parameters.get(name), str)]
        return {**self.parameters, **{name: os.path.abspath(self.parameters[name]) for name in paths}}  # noqa: PTH100

    def __str__(self) -> str:
        """`Class(dim=16)`."""
        return f"{self.component.__qualname__}({', '.join(f'{name}={value!r}' for name, value in self.parameters.items())})"


@dataclass(frozen=True)
class Check:
    """A law that every component of a kind keeps.

    faults: yields a sentence for each thing that is wrong. once: run for the first parameters, and covers the family.
    """

    name: str
    requirement: str
    faults: Callable[[Case], Iterable[str]]
    once: bool = False

    def run(self, case: Case) -> list[str]:
        """Everything that is wrong; what the component raises is one of these things."""
        found: list[str] = []
        try:
            for fault in self.faults(case):
                found.append(fault)
        # The component is a stranger's: whatever it raises is a finding, and the other checks are still to be made.
        except Exception as error:  # noqa: BLE001
            found.append(f"raised {type(error).__name__}{_place(error, case.component)}: {_short(error)}. {self.requirement}")
        return found


def make_checks(*functions: Callable[[Case], Iterator[str]], once: Sequence[str] = ()) -> tuple[Check, ...]:
    """A check of each function, which lends it its name and, by the docstring, its law."""
    return tuple(
        Check(function.__name__, " ".join((function.__doc__ or "").split()), function, function.__name__ in once)
        for function in functions
    )


def config_error(case: Case) -> str | None:
    """Why the component's own Config refuses the parameters; None where it takes them."""
    try:
        case.config  # noqa: B018 - reading it is the check
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in error.errors())
        return f"Config refuses the parameters {dict(case.parameters)}: {wrong}. Correct them, or `examples` of the class"
    return None


def _place(error: BaseException, component: type[Any]) -> str:
    """Where in the component's own file it was raised, or else wherever it was."""
    frames = traceback.extract_tb(error.__traceback__)
    try:
        own = inspect.getsourcefile(component)
    except TypeError:
        own = None
    last = next((frame for frame in reversed(frames) if frame.filename == own), frames[-1] if frames else None)
    return "" if last is None else f" at {os.path.basename(last.filename)}:{last.lineno} in {last.name}"  # noqa: PTH119


def _short(error: BaseException, most: int = 400) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= most else f"{text[:most]} ..."


def relative_difference(got: Tensor, wanted: Tensor, scale: float | None = None) -> float:
    """The largest difference, as a share of the largest number wanted (or of `scale`); infinite where one is not finite."""
    if got.shape != wanted.shape:
        return float("inf")
    if not wanted.numel():
        return 0.0
    one, other = got.detach().double(), wanted.detach().double()
    difference = float((one - other).abs().max())
    largest = float(other.abs().max()) if scale is None else scale
    return float("inf") if math.isnan(difference) else difference / max(largest, 1e-12)


def identical(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal bit for bit, NaN like NaN."""
    return (
        one.shape == other.shape
        and one.dtype == other.dtype
        and bool(
            torch.equal(one, other)
            or (
                one.is_floating_point()
                and torch.equal(one.isnan(), other.isnan())
                and torch.equal(one.nan_to_num(), other.nan_to_num())
            )
        )
    )


def abbreviate(names: Iterable[str], most: int = 4) -> str:
    """The first names, and how many more."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
