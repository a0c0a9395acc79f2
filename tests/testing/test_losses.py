"""Losses with a planted fault: the responsible check finds each of them and explains it."""

import pytest
import torch
from pydantic import Field
from torch import nn

from findna_kit.components.interfaces import ComponentConfig, Loss, LossOutput
from findna_kit.testing import Nonconforming, check_loss
from tests.testing.finding import assert_found, found


class Good(Loss):
    """The square of what is between a student's and a teacher's pooled projections, about a centre that moves."""

    class Config(ComponentConfig):
        output: int = Field(6, gt=0, description="width")

    head_input = "pooled"
    needs_teacher = True

    def __init__(self, config, *, dim, class_tokens):
        super().__init__(config, dim=dim, class_tokens=class_tokens)
        self.register_buffer("center", torch.zeros(config.output))

    def twin_heads(self):
        return {"projector": nn.Linear(self.dim, self.config.output)}

    def check_views(self, views):
        both = any(view.student for view in views) and any(view.teacher for view in views)
        return None if both else "needs a view of the student's and one of the teacher's"

    def count(self, student, teacher):
        tokens = next(iter(student.values())).tokens
        return torch.tensor(float(len(tokens) * len(student) * len(teacher)))

    def distances(self, student, teacher):
        for mine in student.values():
            for theirs in teacher.values():
                target = self.target(theirs.heads["projector"]) - self.center
                yield (mine.heads["projector"] - target).square().sum(-1)

    def target(self, made):
        return made.detach()

    def forward(self, student, teacher, clock):
        total = torch.stack(list(self.distances(student, teacher))).sum()
        state_inputs = next(iter(teacher.values())).heads["projector"].detach()
        return LossOutput(total, {"distance": total.detach()}, {"rows": state_inputs})

    def after_step(self, state_inputs, clock):
        self.center.lerp_(state_inputs["rows"].float().flatten(0, -2).mean(0), 0.1)


class MovesInForward(Good):
    def forward(self, student, teacher, clock):
        term = super().forward(student, teacher, clock)
        self.center.lerp_(term.state_inputs["rows"].float().mean(0), 0.1)
        return term

    def after_step(self, state_inputs, clock):
        pass


class OneBasePerPatch(Good):
    """Forgets the other bases of a patch, and which head it replaces."""

    def patch_head(self, stride):
        return nn.Linear(self.dim, 4)


class CountsInForward(Good):
    """A plain attribute."""

    calls = 0

    def forward(self, student, teacher, clock):
        self.calls += 1
        return super().forward(student, teacher, clock)


class MeansOverTheBatch(Good):
    """Wrong by a factor over two processes: each divides by its own half."""

    def distances(self, student, teacher):
        return (one / len(one) for one in super().distances(student, teacher))


class MeansWithCountOne(MeansOverTheBatch):
    """The same, to look right in one process."""

    def count(self, student, teacher):
        return torch.tensor(1.0)


class CentresByItsOwnBatch(Good):
    """Takes for a centre what is the mean of its own rows, which differ from process to process."""

    def target(self, made):
        return made.detach() - made.detach().mean(0)


class TakesTheTeacherAlong(Good):
    def target(self, made):
        return made


class NoGradient(Good):
    def distances(self, student, teacher):
        return (one.detach() for one in super().distances(student, teacher))


class ChangesTheTeacher(Good):
    def target(self, made):
        return made.detach().sub_(1.0)


class ForgetsItsState(Good):
    def __init__(self, config, **sizes):
        super().__init__(config, **sizes)
        self.register_buffer("center", torch.zeros(config.output), persistent=False)


class CountsSteps(Good):
    """A number that no checkpoint holds."""

    def __init__(self, config, **sizes):
        super().__init__(config, **sizes)
        self.seen = {"steps": 0}

    def after_step(self, state_inputs, clock):
        self.seen["steps"] += 1


class NeverSays(Good):
    """Raises where there is no class token, although `check_views` returns None."""

    head_input = "class"

    def check_views(self, views):
        return None

    def forward(self, student, teacher, clock):
        if self.class_tokens == 0:
            raise ValueError("no class tokens")
        return super().forward(student, teacher, clock)


class WorksOnNothing(Good):
    def check_views(self, views):
        return "needs the moon"


class SaysNothing(Good):
    def check_views(self, views):
        return super().check_views(views) and ""


class AVector(Good):
    def forward(self, student, teacher, clock):
        term = super().forward(student, teacher, clock)
        return LossOutput(term.sum[None], {"distance": torch.zeros(2)}, {"rows": term.state_inputs["rows"][:2]})


class NotFinite(Good):
    def distances(self, student, teacher):
        return ((one - one).log() for one in super().distances(student, teacher))


class KeepsAHead(Good):
    def __init__(self, config, **sizes):
        super().__init__(config, **sizes)
        self.kept = [nn.Linear(self.dim, config.output)]

    def twin_heads(self):
        return {"projector": self.kept[0]}


class NeedsADataSetting(Good):
    """Works on three views of the student's alone."""

    def check_views(self, views):
        three = sum(view.student for view in views) == 3 and any(view.teacher for view in views)
        return None if three else "needs three views of the student's"


def test_one_without_a_fault_conforms():
    check_loss(Good)


PLANTED = {
    MovesInForward: (
        {"pure_forward", "sums", "micro_batches"},
        "`forward` changed center",
        "change the state in `after_step`, once per step",
    ),
    CountsInForward: ({"pure_forward", "after_step"}, "`forward` changed calls", "`LossOutput.state_inputs`"),
    MeansOverTheBatch: ({"sums", "micro_batches"}, "not a sum over items", "the trainer divides by the global `count`"),
    MeansWithCountOne: ({"sums", "micro_batches"}, "these must add up", "(no mean)"),
    TakesTheTeacherAlong: ({"student_only"}, "a gradient reaches the teacher's outputs", "`.detach()`"),
    ChangesTheTeacher: (
        {"student_only", "sums", "pure_forward"},
        "an output of a branch was changed in place",
        "create new ones",
    ),
    ForgetsItsState: (
        {"after_step"},
        "two steps changed center, which is not in the checkpoint",
        "register_buffer, persistent",
    ),
    CountsSteps: ({"after_step"}, "two steps changed seen['steps']", "including numbers and counters"),
    NeverSays: (
        {"check_views"},
        "and class_tokens 0, `check_views` returned None, and the step raised ValueError: no class tokens",
        "describe the problem in `check_views`",
    ),
    SaysNothing: ({"check_views"}, "`check_views` returned an empty message", "else a sentence"),
    KeepsAHead: ({"heads"}, "two calls of `twin_heads` returned the same projector", "create the modules in the method"),
    OneBasePerPatch: ({"heads"}, "`patch_head(3)` maps", "expected (2, 12), four logits for each of 3 bases"),
}


@pytest.mark.parametrize("component", PLANTED, ids=lambda component: component.__name__)
def test_a_planted_fault_is_found_in_words(component):
    assert_found("loss", component, *PLANTED[component])


def test_what_is_no_term_is_found():
    sentences = " ".join(found("loss", AVector, checks=["output"])["output"])
    assert "`LossOutput.sum` has the shape (1,); expected a scalar" in sentences
    assert "the metric 'distance' must be a scalar tensor" in sentences
    assert "`state_inputs['rows']` (2, 6) must be detached, and its first dimension must be the 8 samples" in sentences


def test_a_sum_without_a_gradient_is_found():
    assert "does not require grad" in found("loss", NoGradient, checks=["finite"])["finite"][0]


def test_what_is_not_finite_is_found():
    assert "NotFinite" in " ".join(found("loss", NotFinite, checks=["finite"])["finite"])


@pytest.mark.parametrize("component", [MeansWithCountOne, CentresByItsOwnBatch], ids=lambda component: component.__name__)
def test_one_that_is_wrong_over_two_processes_is_found_there(component):
    (sentence,) = found("loss", component, checks=["processes"])["processes"]
    assert sentence.startswith("over two processes with half of the batch each, these differ from one process: ")
    assert "times as large)" in sentence
    assert "Return a sum over items and their `count`" in sentence


def test_two_processes_need_a_name_to_import():
    class Local(Good):
        pass

    (sentence,) = found("loss", Local, checks=["processes"])["processes"]
    assert "define it at the top level of a module" in sentence


class RaisesInTheSecondProcess(Good):
    def after_step(self, state_inputs, clock):
        if torch.distributed.is_initialized():
            raise RuntimeError("not here")


def test_what_is_raised_in_one_of_the_two_is_said():
    (sentence,) = found("loss", RaisesInTheSecondProcess, checks=["processes"])["processes"]
    assert sentence.endswith("did not complete a step: RuntimeError: not here")


def test_state_that_is_not_saved_shows_in_a_resumed_run():
    assert "differs from 5 uninterrupted steps" in found("loss", ForgetsItsState, checks=["resume"])["resume"][0]


def test_views_that_suit_no_loss_tried_are_listed_and_can_be_given():
    (sentence,) = found("loss", NeedsADataSetting, checks=["check_views"])["check_views"]
    assert "the loss accepts none of the views of this check; call check_loss with `recipe=`" in sentence
    assert "one view of the student: needs three views of the student's" in sentence
    own = ["views.first={see: [student, teacher]}", "views.third={see: [student], count: 2}", "views.second=null"]
    assert found("loss", NeedsADataSetting, checks=["sums", "student_only"], recipe=own) == {}


def test_all_that_is_wrong_comes_at_once():
    with pytest.raises(Nonconforming) as raised:
        check_loss(WorksOnNothing, {"output": 4})
    assert "WorksOnNothing(output=4) does not conform:\n  check_views: the loss accepts none" in str(raised.value)
