"""AdamW whose learning rate and decay are functions of the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from findna_kit.errors import CheckpointMismatch

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from torch import Tensor, nn

    from findna_kit.schedules import Clock, ScheduleValue
    from findna_kit.settings import OptimizerSettings
    from findna_kit.trainer.experiment import WeightedLoss


class Optimized(Protocol):
    """What is asked of an experiment here: fine-tuning, which has no other part of one, answers it too."""

    @property
    def optimizer(self) -> OptimizerSettings:
        """Rates, decay and moments."""
        ...

    @property
    def losses(self) -> Mapping[str, WeightedLoss]:
        """Those whose heads may have rates of their own."""
        ...

    @property
    def predictors(self) -> nn.ModuleDict:
        """The student's own heads, by the label of their loss."""
        ...

    def trainable(self) -> dict[str, nn.Parameter]:
        """What is moved, by name."""
        ...


class ScheduledAdamW:
    """AdamW (Loshchilov and Hutter 2019) over an experiment's parameters, fused where the device has it.

    Matrices decay; vectors (biases, norms) do not. A head with a learning rate of its own follows that.
    """

    def __init__(self, experiment: Optimized) -> None:
        self.settings = experiment.optimizer
        self.named = experiment.trainable()
        rates = _head_rates(experiment)
        groups: dict[tuple[str | None, bool], list[nn.Parameter]] = {}
        for name, parameter in self.named.items():
            own = next((prefix for prefix in rates if name.startswith(prefix)), None)
            groups.setdefault((own, parameter.ndim > 1), []).append(parameter)
        self._schedules = [(rates[own] if own else self.settings.learning_rate, decays) for own, decays in groups]
        self._adamw = torch.optim.AdamW(
            [{"params": members} for members in groups.values()],
            lr=0.0, betas=(self.settings.beta1, self.settings.beta2), weight_decay=0.0, fused=True,
        )  # fmt: skip

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is moved, in a fixed order."""
        return list(self.named.values())

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        self._adamw.zero_grad(set_to_none=True)

    def step(self, clock: Clock) -> dict[str, float]:
        """Moves the parameters by what the schedules say at this step; logs the learning rate."""
        for group, (rate, decays) in zip(self._adamw.param_groups, self._schedules, strict=True):
            group["lr"] = rate(clock)
            group["weight_decay"] = self.settings.weight_decay(clock) if decays else 0.0
        self._adamw.step()
        return {"learning_rate": self.settings.learning_rate(clock)}

    def tensors(self) -> dict[str, Tensor]:
        """Live state by parameter name; empty before the first step."""
        names: dict[Tensor, str] = {parameter: name for name, parameter in self.named.items()}
        return {
            f"optimizer.{names[parameter]}.{key}": value
            for parameter, state in self._adamw.state.items()
            for key, value in state.items()
        }

    @property
    def moved(self) -> list[str]:
        """Names of the parameters that have state; one that never had a gradient has none."""
        return [name for name, parameter in self.named.items() if parameter in self._adamw.state]

    def empty(self, moved: Collection[str]) -> dict[str, Tensor]:
        """State for the parameters named in `moved`, to be filled. Raises CheckpointMismatch for a name of no parameter."""
        if strange := sorted(set(moved) - set(self.named)):
            raise CheckpointMismatch(f"the optimizer has no parameter called {', '.join(strange[:5])}")
        for name in moved:
            parameter = self.named[name]
            step = torch.zeros((), device=parameter.device)  # where the fused kernel reads it
            moments = {key: torch.zeros_like(parameter) for key in ("exp_avg", "exp_avg_sq")}
            self._adamw.state[parameter] = {"step": step, **moments}
        return self.tensors()


def _head_rates(experiment: Optimized) -> dict[str, ScheduleValue]:
    rates = {}
    for label, term in experiment.losses.items():
        for head, rate in term.loss.head_learning_rates().items():
            owner = "heads" if head in experiment.predictors[label] else "student.heads"  # type: ignore[operator]
            rates[f"{owner}.{label}.{head}."] = rate
    return rates
