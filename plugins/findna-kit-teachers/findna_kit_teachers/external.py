"""Distillation from another run (Hinton, Vinyals and Dean 2015, arXiv 1503.02531), of another architecture if need be."""

from __future__ import annotations

from copy import deepcopy
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import nn

import findna_kit
from findna_kit.components import Clock, ComponentConfig, Examples, RecipePath, TeacherUpdate
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.model.branch import Branch


class External(TeacherUpdate):
    """The teacher is a network of another run, and never moves; a finished run gives the student.

    It keeps that run's encoder and class tokens, and the heads of losses that both have under one label. A loss that reads the
    teacher and has twin heads finds them there only if the other run was trained with it; one without twin heads needs none.
    The teacher is saved with every checkpoint, so a resumed run goes on with the one it began with; that run's folder must
    still be there, because its recipe says how the teacher is built. The student is loaded without it.
    """

    class Config(ComponentConfig):
        """Whose network it is."""

        run: RecipePath = Field(description="a run's folder, or an exported one")
        branch: Literal["student", "teacher"] | None = Field(
            None, description="of that run; null: the one that its rule serves"
        )
        step: int | None = Field(None, ge=0, description="of a checkpoint that is there; null: the newest")

    examples: ClassVar[Examples] = ()
    """None can be stated in advance: there must be a run to be taught by."""
    export_branch = "student"
    config: Config

    def initial(self, student: nn.Module) -> nn.Module:
        """The other run's network, frozen, on the student's device, with the heads that the student's losses may read.

        Raises FindnaError where the run cannot be loaded, and where its heads of a label make something of another shape.
        """
        run = self.config.run
        try:
            # In real memory, though `check` builds on the meta device: what cannot be loaded is found out there.
            network = findna_kit.load(run, self.config.branch, step=self.config.step, device="cpu").network
        except FindnaError as error:
            why = f"teacher_update.run: the teacher is a network of {run}, which cannot be loaded"
            raise FindnaError(f"{why}; put it back as it was, or name another run: {error}") from error
        network.heads = nn.ModuleDict(_shared_heads(network, cast("Branch", student), run))
        place = next(chain(student.parameters(), student.buffers()), torch.empty(0))
        return network.to(place.device)

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Moves nothing."""
        return {}


def _shared_heads(teacher: Branch, student: Branch, run: str) -> dict[str, nn.Module]:
    """The teacher's heads of each of the student's losses that it has heads of; an empty chain where the student's is."""
    shared: dict[str, nn.Module] = {}
    for label, wanted in student.heads.items():
        found = teacher.heads[label] if label in teacher.heads else nn.ModuleDict()
        mine, theirs = _outputs(student, wanted), _outputs(teacher, found)
        if mine and theirs and mine != theirs:
            raise FindnaError(
                f"losses.{label}: {run} has heads under this label that give {_said(theirs)}, and this recipe's give "
                f"{_said(mine)}; state the loss as that run did, or, if it does not read the teacher, under another label"
            )
        if theirs or not mine:
            shared[label] = found if mine else nn.ModuleDict()
    return shared


@torch.no_grad()
def _outputs(branch: Branch, heads: nn.Module) -> dict[str, int]:
    """The width of what each head of a chain gives, by name; worked out on the meta device, and without touching the heads."""
    copies = cast("nn.ModuleDict", deepcopy(heads).to("meta").eval())
    try:
        return _widths(copies, branch, branch.width)
    except RuntimeError:  # of an equivariant encoder, heads of single nucleotides read both halves
        return _widths(copies, branch, branch.encoder.dim)


def _widths(heads: nn.ModuleDict, branch: Branch, width: int) -> dict[str, int]:
    rows = torch.zeros(1, max(branch.class_tokens, 1), width, device="meta")
    found = {}
    for name, head in heads.items():
        rows = head(rows)
        found[name] = rows.shape[-1]
    return found


def _said(widths: Mapping[str, int]) -> str:
    return ", ".join(f"{name} [{width}]" for name, width in widths.items())
