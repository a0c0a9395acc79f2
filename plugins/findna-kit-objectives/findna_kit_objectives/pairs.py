"""Pairs of views, how many there are of them, and what is said where there are none."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from findna_kit.components import View, ViewPlan


def across(student: Iterable[str], teacher: Iterable[str]) -> list[tuple[str, str]]:
    """Every view of the student's with every other one of the teacher's, by name."""
    names = list(teacher)
    return [(s, t) for s in student for t in names if s != t]


def ordered(views: Iterable[str]) -> list[tuple[str, str]]:
    """Every view with every other one, both ways."""
    return list(permutations(views, 2))


def items(views: Mapping[str, View], pairs: int) -> Tensor:
    """Pairs, times sequences: a scalar on the views' device."""
    tokens = next(iter(views.values())).tokens
    return torch.tensor(float(pairs * len(tokens)), device=tokens.device)


def without_teacher(views: Sequence[ViewPlan]) -> str | None:
    """What is wrong where no view of the teacher's stands beside another one of the student's."""
    if across([view.name for view in views if view.student], [view.name for view in views if view.teacher]):
        return None
    return "needs a view that the teacher sees beside another one that the student sees"


def alone(views: Sequence[ViewPlan]) -> str | None:
    """What is wrong where the student sees fewer than two views."""
    return None if sum(view.student for view in views) > 1 else "needs two views that the student sees"
