"""Conformance checks as data: a component under test, a named check, and comparisons of tensors that checks share."""

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
    """A component violates a requirement of its kind. The message lists all violations that were found."""


@dataclass(frozen=True)
class Case:
    """A component under test, with its parameters as a recipe gives them.

    recipe: `--set` overrides for the recipes in which the component is trained. family: the parameters of all examples of the
    component, for checks that run once per component.
    """

    kind: str
    component: type[Any]
    parameters: Mapping[str, Any]
    recipe: tuple[str, ...] = ()
    family: tuple[Mapping[str, Any], ...] = ()

    @cached_property
    def config(self) -> Any:
        """Return the component's Config, validated as strictly as in a recipe. Raises pydantic's ValidationError."""
        return self.component.Config.model_validate_json(json.dumps(dict(self.resolved)), strict=True)

    @cached_property
    def resolved(self) -> Mapping[str, Any]:
        """Return the parameters, with absolute paths."""
        # A recipe makes paths absolute; a test that builds the component directly must do the same.
        paths = [name for name in self.component.Config.paths() if isinstance(self.parameters.get(name), str)]
        return {**self.parameters, **{name: os.path.abspath(self.parameters[name]) for name in paths}}  # noqa: PTH100

    def __str__(self) -> str:
        """Return `Class(dim=16)`."""
        return f"{self.component.__qualname__}({', '.join(f'{name}={value!r}' for name, value in self.parameters.items())})"


@dataclass(frozen=True)
class Check:
    """A requirement that every component of a kind must meet, and the function that tests it.

    faults: yields one message for each violation. once: run for the first example only, because the check covers the family.
    """

    name: str
    requirement: str
    faults: Callable[[Case], Iterable[str]]
    once: bool = False

    def run(self, case: Case) -> list[str]:
        """Return a message for each violation. An exception raised by the component is reported as one."""
        messages: list[str] = []
        try:
            # Appended one by one, so that messages before an exception are kept.
            for fault in self.faults(case):
                messages.append(fault)
        # The component is third-party code: whatever it raises is a finding, and the remaining checks must still run.
        except Exception as error:  # noqa: BLE001
            messages.append(
                f"raised {type(error).__name__}{_location(error, case.component)}: {_shorten(error)}. {self.requirement}"
            )
        return messages


def make_checks(*functions: Callable[[Case], Iterator[str]], once: Sequence[str] = ()) -> tuple[Check, ...]:
    """Return one check per function, named after it. Its docstring, "Require that ...", states the requirement.

    once: names of the checks that run for the first example only.
    """
    return tuple(
        Check(function.__name__, " ".join((function.__doc__ or "").split()), function, function.__name__ in once)
        for function in functions
    )


def config_error(case: Case) -> str | None:
    """Return a message if the component's Config rejects the parameters, else None."""
    try:
        case.config  # noqa: B018 - the access validates
    except ValidationError as error:
        errors = "; ".join(f"{'.'.join(map(str, entry['loc'])) or 'Config'}: {entry['msg']}" for entry in error.errors())
        return (
            f"Config rejects the parameters {dict(case.parameters)}: {errors}. Correct the parameters, or the `examples` of "
            "the class"
        )
    return None


def _location(error: BaseException, component: type[Any]) -> str:
    """Return the innermost location of the error in the component's own file, or else where it was raised."""
    # The last frame in the component's own file is where its author has to look.
    frames = traceback.extract_tb(error.__traceback__)
    try:
        source = inspect.getsourcefile(component)
    except TypeError:
        source = None
    last = next((frame for frame in reversed(frames) if frame.filename == source), frames[-1] if frames else None)
    return "" if last is None else f" at {os.path.basename(last.filename)}:{last.lineno} in {last.name}"  # noqa: PTH119


def _shorten(error: BaseException, max_length: int = 400) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= max_length else f"{text[:max_length]} ..."


def relative_difference(actual: Tensor, expected: Tensor, scale: float | None = None) -> float:
    """Return the largest absolute difference, divided by the largest number in `expected` or by `scale`.

    Infinite if the shapes differ or a difference is not a number.
    """
    if actual.shape != expected.shape:
        return float("inf")
    if not expected.numel():
        return 0.0
    # In double precision, so that the comparison adds no rounding of its own.
    first, second = actual.detach().double(), expected.detach().double()
    difference = float((first - second).abs().max())
    largest = float(second.abs().max()) if scale is None else scale
    # NaN compares as false with everything, and would pass a test of `> tolerance`.
    return float("inf") if math.isnan(difference) else difference / max(largest, 1e-12)


def differing_tensors(
    actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], scales: Mapping[str, float], tolerance: float
) -> list[str]:
    """Return the names of tensors that differ by more than `tolerance`, each with the ratio of their norms.

    Differences are relative to the largest number of a tensor, or to its entry in `scales` where that is larger. Only the
    gradients of a whole model have a common scale: a small one may consist of rounding alone (a bias before a normalisation).
    """
    messages = [f"{name} is missing in one case" for name in sorted(actual.keys() ^ expected.keys())]
    for name in sorted(actual.keys() & expected.keys()):
        size = float(expected[name].abs().max()) if expected[name].numel() else 0.0
        # Not `>`: where infinity is expected and a number was computed, inf / inf is not a number, and would pass.
        if not relative_difference(actual[name], expected[name], max(size, scales.get(name, 0.0))) <= tolerance:
            ratio = float(actual[name].norm() / expected[name].norm().clamp(min=1e-30))
            messages.append(f"{name} ({ratio:.4g} times as large)")
    return messages


def largest_number(tensors: Iterable[Tensor]) -> float:
    """Return the largest absolute value in all tensors; 0 if there are none."""
    return max((float(tensor.abs().max()) for tensor in tensors), default=0.0)


def identical(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors are equal bit for bit; NaN equals NaN."""
    return (
        first.shape == second.shape
        and first.dtype == second.dtype
        and bool(
            torch.equal(first, second)
            or (
                # torch.equal takes NaN for different from NaN; equal bits are what is asked for here.
                first.is_floating_point()
                and torch.equal(first.isnan(), second.isnan())
                and torch.equal(first.nan_to_num(), second.nan_to_num())
            )
        )
    )


def differing_names(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[str]:
    """Return the sorted names of tensors that are missing in one mapping or not identical in both."""
    return [
        name
        for name in sorted({**first, **second})
        if name not in first or name not in second or not identical(first[name], second[name])
    ]


def abbreviate(names: Iterable[str], most: int = 4) -> str:
    """Return the first names, separated by commas, and the number of those left out."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
