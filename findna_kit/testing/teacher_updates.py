"""What is asked of a teacher-update rule."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from findna_kit import rng
from findna_kit.assemble import assemble
from findna_kit.schedules import Clock
from findna_kit.testing.checks import CPU, abbreviate, identical, make_checks, relative_difference
from findna_kit.testing.experiments import component_entry, read, recipe_document, resume_differences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.components.interfaces import TeacherUpdate
    from findna_kit.testing.checks import Case

CALLS = 8
FLOAT, WHOLE = "running_float", "tracked_whole"
"""Buffers that the student is given, so that a rule can be seen to move them."""


def _student(case: Case) -> nn.Module:
    """A student of a real recipe, with a buffer of floats and one of whole numbers."""
    student = assemble(read(case, recipe_document(teacher_update={"name": "ema"}))[0]).student
    student.register_buffer(FLOAT, torch.linspace(1, 2, 5))
    student.register_buffer(WHOLE, torch.tensor(3))
    return student


def _rule(case: Case) -> TeacherUpdate:
    rule: TeacherUpdate = case.component(case.config)
    return rule


def _drift(student: nn.Module, step: int) -> None:
    """As if an optimizer had taken a step, and a forward had moved buffers."""
    numbers = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=numbers))
    for name, buffer in student.named_buffers():
        buffer.add_(torch.ones_like(buffer) if name in (FLOAT, WHOLE) else torch.zeros_like(buffer))


def metrics(step: int) -> dict[str, float]:
    """What a step tells a rule: losses that fall, of the step and the latest held-out ones."""
    loss = 1.5 / (1 + step)
    return {
        name: loss
        for prefix in ("", "held_out/", "held_out_plain/")
        for name in (
            f"{prefix}distill/loss",
            f"{prefix}masked/loss",
            *([] if prefix else ["loss", "gradient_norm"]),
        )
    }


def _call(rule: TeacherUpdate, teacher: nn.Module, student: nn.Module, step: int) -> dict[str, float]:
    return rule(teacher, student, Clock(step, CALLS), metrics(step))


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.state_dict(keep_vars=True))


def _copies(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    return [
        name for name in sorted(one | other) if name not in one or name not in other or not identical(one[name], other[name])
    ]


def initial(case: Case) -> Iterator[str]:
    """`initial` makes a teacher without gradient that shares nothing with the student, and leaves the student as it was."""
    student, rule = _student(case), _rule(case)
    before = _copies(student)
    teacher = rule.initial(student)
    if asking := [name for name, one in teacher.named_parameters() if one.requires_grad]:
        yield f"the teacher's {abbreviate(asking)} ask for a gradient: `.requires_grad_(False)`"
    own = {tensor.untyped_storage().data_ptr() for tensor in _tensors(student).values() if tensor.numel()}
    if shared := [name for name, one in _tensors(teacher).items() if one.numel() and one.untyped_storage().data_ptr() in own]:
        yield (
            f"the teacher's {abbreviate(shared)} is the student's own memory: training would move both. Copy the student "
            "(copy.deepcopy)"
        )
    if changed := _differing(before, _copies(student)):
        yield f"`initial` changed the student's {abbreviate(changed)}"
    if frozen := [name for name, one in student.named_parameters() if not one.requires_grad]:
        yield f"`initial` took the gradient from the student's {abbreviate(frozen)}"


def moves_in_place(case: Case) -> Iterator[str]:
    """A call moves the teacher in place: same tensors, finite, no gradient; the student stays; it returns numbers to log."""
    student, rule = _student(case), _rule(case)
    teacher = rule.initial(student)
    places = {name: (one.data_ptr(), one.shape, one.dtype) for name, one in _tensors(teacher).items()}
    for step in range(CALLS):
        _drift(student, step)
        before = _copies(student)
        logged = _call(rule, teacher, student, step)
        if changed := _differing(before, _copies(student)):
            yield f"a call changed the student's {abbreviate(changed)}; it moves the teacher only"
        after = {name: (one.data_ptr(), one.shape, one.dtype) for name, one in _tensors(teacher).items()}
        if other := [name for name in sorted(places | after) if places.get(name) != after.get(name)]:
            yield (
                f"after a call the teacher's {abbreviate(other)} are other tensors; move them in place (copy_, lerp_), so that a "
                "checkpoint finds them"
            )
        if wrong := [name for name, one in _tensors(teacher).items() if not one.isfinite().all()]:
            yield f"after a call the teacher's {abbreviate(wrong)} are not finite"
        if graph := [name for name, one in _tensors(teacher).items() if one.requires_grad or one.grad_fn is not None]:
            yield f"after a call the teacher's {abbreviate(graph)} have a gradient; decorate __call__ with torch.no_grad()"
        if odd := [name for name, value in logged.items() if not isinstance(value, int | float) or not math.isfinite(value)]:
            yield f"it returns {abbreviate(odd)} to be logged, which is no finite number"
        if changed or other or wrong or graph or odd:
            return


def fixed_point(case: Case) -> Iterator[str]:
    """A teacher that equals a student that stands still stays where it is, to rounding."""
    student, rule = _student(case), _rule(case)
    teacher = rule.initial(student)
    if not _alike(teacher, student):
        return
    teacher.load_state_dict(student.state_dict())
    before = _copies(teacher)
    for step in range(CALLS):
        _call(rule, teacher, student, step)
    after = _copies(teacher)
    if gone := [
        f"{name} (by {relative_difference(after[name], before[name]):.1g})"
        for name in before
        if not relative_difference(after[name], before[name]) <= 1e-5
    ]:
        yield (
            f"the teacher equalled the student, which stood still, and {CALLS} calls moved {abbreviate(gone)}: shares of the old "
            "teacher and of the "
            "student are to add up to 1"
        )


def _alike(teacher: nn.Module, student: nn.Module) -> bool:
    """Whether they are of one architecture; an external teacher need not be."""
    mine, theirs = _tensors(teacher), _tensors(student)
    return {name: one.shape for name, one in mine.items()} == {name: one.shape for name, one in theirs.items()}


def buffers(case: Case) -> Iterator[str]:
    """Where it moves parameters, it moves buffers too: floats are averaged or copied, whole numbers copied."""
    student, rule = _student(case), _rule(case)
    teacher = rule.initial(student)
    if not _alike(teacher, student):
        return
    floats, wholes = _tensors(teacher)[FLOAT], _tensors(teacher)[WHOLE]
    new_float, new_whole = _tensors(student)[FLOAT], _tensors(student)[WHOLE]
    parameters = [name for name, _ in teacher.named_parameters()]
    for step in range(CALLS):
        _drift(student, step)
        before = _copies(teacher)
        _call(rule, teacher, student, step)
        after = _copies(teacher)
        if not any(relative_difference(after[name], before[name]) > 1e-5 for name in parameters):
            continue
        fault = (
            f"call {step + 1} moved the teacher's parameters and left a buffer of {{}} behind (a batch norm's running {{}}, "
            "say): the "
            "student's is {} and the teacher's {}, before and after. Go over `buffers()` beside `parameters()`"
        )
        distance = [float((one - new_float).abs().max()) for one in (before[FLOAT], floats)]
        if distance[0] > 1e-6 and not distance[1] < distance[0]:
            yield fault.format("floats", "mean", f"{float(new_float[0]):g}, ...", f"{float(floats[0]):g}, ...")
        if int(wholes) != int(new_whole):
            yield fault.format("whole numbers", "count", int(new_whole), int(wholes))
        if distance[1] >= distance[0] > 1e-6 or int(wholes) != int(new_whole):
            return


def arguments_only(case: Case) -> Iterator[str]:
    """A call depends on its arguments and the rule's state alone."""
    results = []
    for seed in (1, 2):
        student, rule = _student(case), _rule(case)
        teacher = rule.initial(student)
        with rng.torch_seed("conformance", seed, device=CPU):
            for step in range(CALLS):
                _drift(student, step)
                logged = _call(rule, teacher, student, step)
        results.append((_copies(teacher), logged))
    if differs := _differing(results[0][0], results[1][0]):
        yield (
            f"two rules given the same moved {abbreviate(differs)} differently: no randomness, no time, no state outside of the "
            "instance"
        )


def state(case: Case) -> Iterator[str]:
    """`load_state_dict` takes back what `state_dict` gave, from the first step on, and goes on bit for bit."""
    student, rule = _student(case), _rule(case)
    teacher = rule.initial(student)
    for saved_at in (0, 3):
        for step in range(saved_at):
            _drift(student, step)
            _call(rule, teacher, student, step)
        saved = rule.state_dict()
        if odd := [name for name, value in saved.items() if not isinstance(value, Tensor)]:
            yield f"state_dict holds {abbreviate(odd)}, which is no tensor; a checkpoint holds tensors: torch.tensor(value)"
            return
        yield from _goes_on(case, rule, teacher, student, saved_at)


def _goes_on(case: Case, rule: TeacherUpdate, teacher: nn.Module, student: nn.Module, step: int) -> Iterator[str]:
    """Whether a fresh rule with the state of this one does what this one does; both on copies."""
    own = deepcopy((rule, teacher, student))
    other_teacher, other_student = deepcopy(teacher), deepcopy(student)
    fresh = _rule(case)
    fresh.initial(other_student)
    fresh.load_state_dict({name: value.detach().clone() for name, value in rule.state_dict().items()})
    for later in range(step, step + 4):
        for one in (own[2], other_student):
            _drift(one, later)
        _call(own[0], own[1], own[2], later)
        _call(fresh, other_teacher, other_student, later)
    if differs := _differing(_copies(own[1]), _copies(other_teacher)):
        yield (
            f"a fresh rule that was given the state_dict after {step} steps moves {abbreviate(differs)} otherwise than the one that "
            "went on: put all "
            "that it remembers into state_dict, and take it back in load_state_dict"
        )


def resume(case: Case) -> Iterator[str]:
    """A run that is cut off and resumed equals one that was not, bit for bit."""
    yield from resume_differences(case, recipe_document(teacher_update=component_entry(case)))


TEACHER_UPDATE = make_checks(initial, moves_in_place, fixed_point, buffers, arguments_only, state, resume)
