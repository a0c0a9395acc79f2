"""Distillation from another run, possibly of another architecture (Hinton, Vinyals and Dean 2015, arXiv 1503.02531)."""

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
    """A fixed teacher from another run, possibly of another architecture (Hinton 2015).

    The teacher has that run's encoder and class tokens, and its heads of those losses that both recipes have under the same
    label. A loss that reads the teacher and has twin heads can therefore be used only if the other run was trained with it; a
    loss without twin heads can always be used. The teacher is saved with every checkpoint, so a resumed run continues with the
    same one. The other run's folder must still exist then, because its recipe describes the teacher's architecture. By default
    the student is exported, which is loaded without the teacher.
    """

    class Config(ComponentConfig):
        """The run that provides the teacher."""

        run: RecipePath = Field(description="folder of a run, or of an exported model")
        branch: Literal["student", "teacher"] | None = Field(
            None, description="branch of that run; null: the one that it exports by default"
        )
        step: int | None = Field(None, ge=0, description="step of the checkpoint; null: the newest checkpoint")

    examples: ClassVar[Examples] = ()
    """Empty, because every instance needs the folder of a run."""
    export_branch = "student"
    frozen = True
    config: Config

    def initial(self, student: nn.Module) -> nn.Module:
        """Return the other run's network, frozen, on the student's device, with the heads that the student's losses may read.

        Raises FindnaError if the run cannot be loaded, or if its heads under a label have outputs of other shapes.
        """
        run = self.config.run
        try:
            # On the CPU even if `findna-kit check` builds on the meta device, so that the check finds a run that cannot be
            # loaded.
            network = findna_kit.load(run, self.config.branch, step=self.config.step, device="cpu").network
        except FindnaError as error:
            reason = f"teacher_update.run: the teacher is the network of {run}, which cannot be loaded"
            raise FindnaError(f"{reason}; restore the run, or name another one: {error}") from error
        network.heads = nn.ModuleDict(_shared_heads(network, cast("Branch", student), run))
        tensor = next(chain(student.parameters(), student.buffers()), torch.empty(0))
        return network.to(tensor.device)

    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Do nothing: the teacher is fixed."""
        return {}


def _shared_heads(teacher: Branch, student: Branch, run: str) -> dict[str, nn.Module]:
    """Return the teacher's heads for each loss of the student, by label; none for a loss without heads.

    A label that the teacher has no heads for is left out. Raises FindnaError if outputs have other shapes.
    """
    shared: dict[str, nn.Module] = {}
    for label, student_heads in student.heads.items():
        teacher_heads = teacher.heads[label] if label in teacher.heads else nn.ModuleDict()
        expected, actual = _outputs(student, student_heads), _outputs(teacher, teacher_heads)
        if expected and actual and expected != actual:
            raise FindnaError(
                f"losses.{label}: the heads of {run} under this label have the outputs {_format_widths(actual)}, and those of "
                f"this recipe {_format_widths(expected)}; configure the loss as in that run, or, if it does not read the "
                "teacher, give it another label"
            )
        if actual or not expected:
            shared[label] = teacher_heads if expected else nn.ModuleDict()
    return shared


@torch.no_grad()
def _outputs(branch: Branch, heads: nn.Module) -> dict[str, int]:
    """Return the output width of each head of a chain, by name, computed with copies on the meta device."""
    copies = cast("nn.ModuleDict", deepcopy(heads).to("meta").eval())
    try:
        return _widths(copies, branch, branch.width)
    except RuntimeError:  # heads over single bases read both halves of an equivariant encoder's embeddings
        return _widths(copies, branch, branch.encoder.dim)


def _widths(heads: nn.ModuleDict, branch: Branch, width: int) -> dict[str, int]:
    rows = torch.zeros(1, max(branch.class_tokens, 1), width, device="meta")
    widths = {}
    for name, head in heads.items():
        rows = head(rows)
        widths[name] = rows.shape[-1]
    return widths


def _format_widths(widths: Mapping[str, int]) -> str:
    return ", ".join(f"{name} [{width}]" for name, width in widths.items())
