"""Pairs of views that losses compare, their number, and the messages of `check_views` if there are none."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from findna_kit.components import View, ViewPlan


def across(student: Iterable[str], teacher: Iterable[str]) -> list[tuple[str, str]]:
    """Return every view of the student paired with every other view of the teacher, by name."""
    names = list(teacher)
    return [(s, t) for s in student for t in names if s != t]


def ordered(views: Iterable[str]) -> list[tuple[str, str]]:
    """Return every ordered pair of two different views."""
    return list(permutations(views, 2))


def items(views: Mapping[str, View], pairs: int) -> Tensor:
    """Return the number of pairs times the number of sequences, as a scalar on the views' device."""
    tokens = next(iter(views.values())).tokens
    return torch.tensor(float(pairs * len(tokens)), device=tokens.device)


def teacher_problem(views: Sequence[ViewPlan]) -> str | None:
    """Return a message unless the student sees a view and the teacher another one."""
    if across([view.name for view in views if view.student], [view.name for view in views if view.teacher]):
        return None
    return "needs a view that the teacher sees and a different one that the student sees"


def student_problem(views: Sequence[ViewPlan]) -> str | None:
    """Return a message if the student sees fewer than two views."""
    return None if sum(view.student for view in views) > 1 else "needs two views that the student sees"
