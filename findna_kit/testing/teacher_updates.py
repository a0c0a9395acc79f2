"""Conformance checks of teacher updates. Each function is one check; its docstring is the requirement."""

from __future__ import annotations

import math
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from findna_kit import rng
from findna_kit.assemble import assemble
from findna_kit.metrics.names import loss_metric, plain_validation_metric, validation_metric
from findna_kit.schedules import Clock
from findna_kit.testing.checks import CPU, abbreviate, differing_names, make_checks, relative_difference
from findna_kit.testing.experiments import component_entry, read_recipe, recipe_document, resume_differences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.components.interfaces import TeacherUpdate
    from findna_kit.testing.checks import Case

CALLS = 8
FLOAT, INTEGER = "running_float", "tracked_whole"
"""Buffers that are added to the student, so that their update in the teacher can be observed."""


def _student(case: Case) -> nn.Module:
    """Return the student of a real recipe, with one floating-point and one integer buffer added."""
    student = assemble(read_recipe(case, recipe_document(teacher_update={"name": "ema"}))[0]).student
    student.register_buffer(FLOAT, torch.linspace(1, 2, 5))
    student.register_buffer(INTEGER, torch.tensor(3))
    return student


def _build(case: Case) -> TeacherUpdate:
    update: TeacherUpdate = case.component(case.config)
    return update


def _change_student(student: nn.Module, step: int) -> None:
    """Change parameters as an optimizer step does, and buffers as a forward pass does."""
    # A function of the step, so that two students that start equal stay equal.
    numbers = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=numbers))
    for name, buffer in student.named_buffers():
        buffer.add_(torch.ones_like(buffer) if name in (FLOAT, INTEGER) else torch.zeros_like(buffer))


def metrics(step: int) -> dict[str, float]:
    """Return metrics of a step as the trainer passes them: decreasing losses of training and of the last validation."""
    of_loss = (loss_metric, validation_metric, partial(plain_validation_metric, branch="student"))
    names = ["loss", "gradient_norm", *(name(label, "loss") for name in of_loss for label in ("distill", "masked"))]
    return dict.fromkeys(names, 1.5 / (1 + step))


def _call(update: TeacherUpdate, teacher: nn.Module, student: nn.Module, step: int) -> dict[str, float]:
    return update(teacher, student, Clock(step, CALLS), metrics(step))


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.state_dict(keep_vars=True))


def _copies(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def initial(case: Case) -> Iterator[str]:
    """Require that `initial` returns a teacher without gradient and without shared memory, and does not change the student."""
    student, update = _student(case), _build(case)
    before = _copies(student)
    teacher = update.initial(student)
    if trainable := [name for name, parameter in teacher.named_parameters() if parameter.requires_grad]:
        yield f"the teacher's {abbreviate(trainable)} requires a gradient: call `.requires_grad_(False)`"
    # Storage addresses, because a view of a parameter shares memory under another data pointer.
    memory = {tensor.untyped_storage().data_ptr() for tensor in _tensors(student).values() if tensor.numel()}
    shared = [
        name for name, tensor in _tensors(teacher).items() if tensor.numel() and tensor.untyped_storage().data_ptr() in memory
    ]
    if shared:
        yield (
            f"the teacher's {abbreviate(shared)} shares memory with the student: training would change both. Copy the student "
            "(copy.deepcopy)"
        )
    if changed := differing_names(before, _copies(student)):
        yield f"`initial` changed the student's {abbreviate(changed)}"
    if frozen := [name for name, parameter in student.named_parameters() if not parameter.requires_grad]:
        yield f"`initial` disabled the gradient of the student's {abbreviate(frozen)}"


def updates_in_place(case: Case) -> Iterator[str]:
    """Require that a call updates the teacher in place, with finite values and no gradient, and returns finite numbers."""
    student, update = _student(case), _build(case)
    teacher = update.initial(student)
    # The branch and the checkpoint refer to these tensors; replacing one would leave them with the old values.
    layout = _memory_layout(teacher)
    for step in range(CALLS):
        _change_student(student, step)
        before = _copies(student)
        logged = _call(update, teacher, student, step)
        messages = []
        if changed := differing_names(before, _copies(student)):
            messages.append(f"a call changed the student's {abbreviate(changed)}; it must change the teacher only")
        after = _memory_layout(teacher)
        if replaced := [name for name in sorted(layout | after) if layout.get(name) != after.get(name)]:
            messages.append(
                f"after a call the teacher's {abbreviate(replaced)} is another tensor; update it in place (copy_, lerp_), so "
                "that a checkpoint saves it"
            )
        messages += _invalid_values(teacher, logged)
        if messages:
            yield from messages
            return


def _memory_layout(module: nn.Module) -> dict[str, tuple[int, torch.Size, torch.dtype]]:
    return {name: (tensor.data_ptr(), tensor.shape, tensor.dtype) for name, tensor in _tensors(module).items()}


def _invalid_values(teacher: nn.Module, logged: dict[str, float]) -> Iterator[str]:
    """Yield a message for tensors that are not finite or have a gradient, and for logged values that are not numbers."""
    tensors = _tensors(teacher)
    if infinite := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        yield f"after a call the teacher's {abbreviate(infinite)} is not finite"
    if graph := [name for name, tensor in tensors.items() if tensor.requires_grad or tensor.grad_fn is not None]:
        yield f"after a call the teacher's {abbreviate(graph)} has a gradient; decorate __call__ with torch.no_grad()"
    if wrong := [name for name, value in logged.items() if not isinstance(value, int | float) or not math.isfinite(value)]:
        yield f"the returned {abbreviate(wrong)} is not a finite number and cannot be logged"


def fixed_point(case: Case) -> Iterator[str]:
    """Require that a teacher that equals a constant student does not change, to rounding."""
    student, update = _student(case), _build(case)
    teacher = update.initial(student)
    if not _same_architecture(teacher, student):
        return
    # `initial` may return something else than a copy, so the teacher is set equal first.
    teacher.load_state_dict(student.state_dict())
    before = _copies(teacher)
    for step in range(CALLS):
        _call(update, teacher, student, step)
    after = _copies(teacher)
    changes = {name: relative_difference(after[name], before[name]) for name in before}
    if changed := [f"{name} (by {change:.1g})" for name, change in changes.items() if not change <= 1e-5]:
        yield (
            f"the teacher equalled the student, which did not change, and {CALLS} calls changed {abbreviate(changed)}: the "
            "shares of the old teacher and of the student must add up to 1"
        )


def _same_architecture(teacher: nn.Module, student: nn.Module) -> bool:
    """Return whether both have tensors of the same names and shapes; an external teacher need not have."""
    shapes = [{name: tensor.shape for name, tensor in _tensors(module).items()} for module in (teacher, student)]
    return shapes[0] == shapes[1]


def buffers(case: Case) -> Iterator[str]:
    """Require that an update of parameters also updates buffers: floats are averaged or copied, integers are copied."""
    student, update = _student(case), _build(case)
    teacher = update.initial(student)
    if not _same_architecture(teacher, student):
        return
    parameters = [name for name, _ in teacher.named_parameters()]
    for step in range(CALLS):
        _change_student(student, step)
        before = _copies(teacher)
        _call(update, teacher, student, step)
        after = _copies(teacher)
        # A teacher whose parameters stay (frozen, gated) may keep its buffers too.
        if not any(relative_difference(after[name], before[name]) > 1e-5 for name in parameters):
            continue
        if messages := list(_stale_buffers(before, after, _copies(student), step)):
            yield from messages
            return


def _stale_buffers(before: dict[str, Tensor], after: dict[str, Tensor], student: dict[str, Tensor], step: int) -> Iterator[str]:
    """Yield a message if a floating-point buffer came no nearer to the student's, or an integer one differs from it."""
    template = (
        f"call {step + 1} updated the teacher's parameters but not a buffer of {{}} (such as the {{}} of a batch norm): the "
        "student has {} and the teacher {}, before and after. Update `buffers()` as well as `parameters()`"
    )
    distances = [float((teacher[FLOAT] - student[FLOAT]).abs().max()) for teacher in (before, after)]
    if distances[0] > 1e-6 and not distances[1] < distances[0]:
        yield template.format(
            "floats", "running mean", f"{float(student[FLOAT][0]):g}, ...", f"{float(after[FLOAT][0]):g}, ..."
        )
    if int(after[INTEGER]) != int(student[INTEGER]):
        yield template.format("integers", "batch count", int(student[INTEGER]), int(after[INTEGER]))


def arguments_only(case: Case) -> Iterator[str]:
    """Require that the result of a call depends on its arguments and on the state of the teacher update alone."""
    results = []
    for seed in (1, 2):
        student, update = _student(case), _build(case)
        teacher = update.initial(student)
        # Another state of torch's generator each time.
        with rng.torch_seed("conformance", seed, device=CPU):
            for step in range(CALLS):
                _change_student(student, step)
                _call(update, teacher, student, step)
        results.append(_copies(teacher))
    if differing := differing_names(results[0], results[1]):
        yield (
            f"two instances with the same arguments gave a different {abbreviate(differing)}: use no randomness, no time, and "
            "no state outside the instance"
        )


def state(case: Case) -> Iterator[str]:
    """Require that a new instance that loads the `state_dict` continues bit for bit, from the first step on."""
    student, update = _student(case), _build(case)
    teacher = update.initial(student)
    # Before the first step too: a run may be interrupted there, and the state must exist by then.
    for steps in (0, 3):
        for step in range(steps):
            _change_student(student, step)
            _call(update, teacher, student, step)
        saved = update.state_dict()
        if wrong := [name for name, value in saved.items() if not isinstance(value, Tensor)]:
            yield f"state_dict contains {abbreviate(wrong)}, which is no tensor; checkpoints hold tensors: torch.tensor(value)"
            return
        yield from _continuation_differences(case, update, teacher, student, steps)


def _continuation_differences(
    case: Case, update: TeacherUpdate, teacher: nn.Module, student: nn.Module, step: int
) -> Iterator[str]:
    """Yield a message if a new instance with the saved state gives another teacher. Works on copies."""
    update_copy, teacher_copy, student_copy = deepcopy((update, teacher, student))
    other_teacher, other_student = deepcopy(teacher), deepcopy(student)
    other = _build(case)
    # As on resume: `initial` runs first, then the saved state replaces what it set.
    other.initial(other_student)
    other.load_state_dict({name: value.detach().clone() for name, value in update.state_dict().items()})
    for later in range(step, step + 4):
        for module in (student_copy, other_student):
            _change_student(module, later)
        _call(update_copy, teacher_copy, student_copy, later)
        _call(other, other_teacher, other_student, later)
    if differing := differing_names(_copies(teacher_copy), _copies(other_teacher)):
        yield (
            f"a new instance that loaded the state_dict after {step} steps gives another {abbreviate(differing)} than the "
            "original: put all state into state_dict, and restore it in load_state_dict"
        )


def resume(case: Case) -> Iterator[str]:
    """Require that a run that is interrupted and resumed equals an uninterrupted one, bit for bit."""
    yield from resume_differences(case, recipe_document(teacher_update=component_entry(case)))


TEACHER_UPDATE = make_checks(initial, updates_in_place, fixed_point, buffers, arguments_only, state, resume)
