"""Teacher updates with a planted fault, and unusual correct ones in which no fault may be found."""

import random

import pytest
import torch
from pydantic import Field

from findna_kit.components.interfaces import ComponentConfig, TeacherUpdate
from findna_kit.testing import check_teacher_update
from tests.testing.finding import assert_found, found


class Good(TeacherUpdate):
    """An average whose momentum grows with the calls, which it remembers."""

    class Config(ComponentConfig):
        momentum: float = Field(0.5, ge=0, le=1, description="share of the old teacher kept")

    def __init__(self, config):
        super().__init__(config)
        self.calls = 0

    @torch.no_grad()
    def __call__(self, teacher, student, clock, metrics):
        kept = self.config.momentum * self.calls / (self.calls + 1)
        self.calls += 1
        for mine, theirs in zip(teacher.parameters(), student.parameters(), strict=True):
            self.move(mine, theirs, kept)
        self.move_buffers(teacher, student, kept)
        return {"momentum": kept}

    def move(self, mine, theirs, kept):
        mine.lerp_(theirs, 1 - kept)

    def move_buffers(self, teacher, student, kept):
        for mine, theirs in zip(teacher.buffers(), student.buffers(), strict=True):
            mine.copy_(theirs)

    def state_dict(self):
        return {"calls": torch.tensor(self.calls)}

    def load_state_dict(self, state):
        self.calls = int(state["calls"])


class SkipsBuffers(Good):
    def move_buffers(self, teacher, student, kept):
        pass


class SkipsWholeNumbers(Good):
    def move_buffers(self, teacher, student, kept):
        for mine, theirs in zip(teacher.buffers(), student.buffers(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - kept)


class Averages(Good):
    """Float buffers averaged: as good as copied."""

    def move_buffers(self, teacher, student, kept):
        for mine, theirs in zip(teacher.buffers(), student.buffers(), strict=True):
            mine.lerp_(theirs, 0.5) if mine.is_floating_point() else mine.copy_(theirs)


class Stands(Good):
    def __call__(self, teacher, student, clock, metrics):
        return {}


class Grows(Good):
    """The shares add up to more than 1."""

    def move(self, mine, theirs, kept):
        mine.mul_(kept).add_(theirs, alpha=1.02 - kept)


class IsTheStudent(Good):
    def initial(self, student):
        return student


class AsksForAGradient(Good):
    def initial(self, student):
        return super().initial(student).requires_grad_(True)


class Replaces(Good):
    def __call__(self, teacher, student, clock, metrics):
        for mine, theirs in zip(teacher.parameters(), student.parameters(), strict=True):
            mine.data = theirs.detach().clone()
        self.move_buffers(teacher, student, 0)
        return {}


class MovesTheStudent(Good):
    def move(self, mine, theirs, kept):
        theirs.lerp_(mine, 0.1)


class Random(Good):
    def move(self, mine, theirs, kept):
        mine.lerp_(theirs, float(torch.rand(())))


class OwnRandom(Good):
    def move(self, mine, theirs, kept):
        mine.lerp_(theirs, random.random())


class ForgetsItsCalls(Good):
    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class SavesANumber(Good):
    def state_dict(self):
        return {"calls": self.calls}


class Explodes(Good):
    def move(self, mine, theirs, kept):
        mine.div_(0.0)


class LogsNothingFinite(Good):
    def __call__(self, teacher, student, clock, metrics):
        return {"momentum": float("nan")}


@pytest.mark.parametrize("component", [Averages, Stands], ids=lambda component: component.__name__)
def test_what_is_true_is_not_blamed(component):
    assert found("teacher_update", component) == {}


def test_one_without_a_fault_conforms():
    check_teacher_update(Good)


PLANTED = {
    SkipsBuffers: (
        {"buffers"},
        "but not a buffer of floats (such as the running mean of a batch norm)",
        "Update `buffers()` as well as `parameters()`",
    ),
    SkipsWholeNumbers: (
        {"buffers"},
        "but not a buffer of integers (such as the batch count of a batch norm)",
        "the student has 4 and the teacher 3",
    ),
    Grows: (
        {"fixed_point", "buffers"},
        "the teacher equalled the student, which did not change, and 8 calls changed",
        "must add up to 1",
    ),
    IsTheStudent: (
        {"initial", "updates_in_place", "state", "buffers", "fixed_point"},
        "shares memory with the student",
        "copy.deepcopy",
    ),
    AsksForAGradient: ({"initial", "updates_in_place"}, "requires a gradient", "`.requires_grad_(False)`"),
    Replaces: ({"updates_in_place"}, "is another tensor", "update it in place"),
    MovesTheStudent: ({"updates_in_place"}, "a call changed the student's", "it must change the teacher only"),
    Random: ({"arguments_only", "state"}, "two instances with the same arguments gave a different", "use no randomness"),
    OwnRandom: ({"arguments_only", "state"}, "two instances with the same arguments gave a different", "no state outside"),
    ForgetsItsCalls: (
        {"state"},
        "a new instance that loaded the state_dict after 3 steps gives another",
        "put all state into state_dict",
    ),
    SavesANumber: ({"state"}, "state_dict contains calls, which is no tensor", "torch.tensor(value)"),
    Explodes: ({"updates_in_place", "fixed_point", "buffers", "arguments_only", "state"}, "is not finite", ""),
    LogsNothingFinite: ({"updates_in_place"}, "the returned momentum is not a finite number", ""),
}


@pytest.mark.parametrize("component", PLANTED, ids=lambda component: component.__name__)
def test_a_planted_fault_is_found_in_words(component):
    assert_found("teacher_update", component, *PLANTED[component])


def test_a_forgotten_state_shows_in_a_resumed_run():
    (sentence,) = found("teacher_update", ForgetsItsCalls, {"momentum": 0.9}, checks=["resume"])["resume"]
    assert "differs from 5 uninterrupted steps" in sentence
