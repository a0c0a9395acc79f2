"""The interface of optimizers, which update the student's parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from findna_kit.component_config import ComponentConfig, Examples
from findna_kit.schedules import Constant, Cosine, Schedule, within

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor, nn


class OptimizerConfig(ComponentConfig):
    """Parameters that every optimizer has. Override a field to give it another default or meaning."""

    learning_rate: Annotated[Schedule, within(0)] = Field(
        Cosine(start=3e-4, end=0.0, warmup=0.3), description="learning rate per step"
    )
    weight_decay: Annotated[Schedule, within(0)] = Field(Constant(value=3e-4), description="decoupled decay of matrices")


@dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Parameters that an optimizer updates alike.

    dimensions: of each of them: 1 for a vector, 2 for a matrix, more for kernels of convolutions. head: they belong to a head
    and not to the encoder.
    """

    parameters: tuple[nn.Parameter, ...]
    dimensions: int
    head: bool

    @property
    def matrices(self) -> bool:
        """Return whether the parameters decay. Vectors (biases, norms) do not."""
        return self.dimensions > 1


class Optimizer(ABC):
    """A rule that updates the student's parameters; it wraps optimizers of torch.

    The trainer sets `lr` and `weight_decay` of every group before each step, from the schedules of the `Config` (a head may
    have its own learning rate), clips the gradient, and saves and restores the state of each parameter.
    """

    Config: ClassVar[type[OptimizerConfig]]
    examples: ClassVar[Examples] = ({},)

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def build(self, groups: Sequence[ParameterGroup]) -> list[tuple[torch.optim.Optimizer, list[ParameterGroup]]]:
        """Return optimizers of torch, each with the groups that it was built on, in the order of its `param_groups`.

        Every group must belong to exactly one of them. The trainer sets their learning rates and
        weight decays before each step.
        """

    @abstractmethod
    def initial_state(self, parameter: nn.Parameter, group: ParameterGroup) -> dict[str, Tensor]:
        """Return the state of a parameter before its first step, under the names that torch's optimizer uses.

        A checkpoint is restored into these tensors, and `findna-kit plan` counts their memory. Step counters are scalars.
        """


def torch_groups(groups: Sequence[ParameterGroup]) -> list[dict[str, Any]]:
    """Return the groups in the form that the constructors of torch.optim take."""
    return [{"params": list(group.parameters)} for group in groups]
