"""The optimizer of an experiment: parameter groups, schedules, and the state that checkpoints hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from findna_kit.components.optimizer import ParameterGroup
from findna_kit.errors import CheckpointMismatch

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from torch import Tensor, nn

    from findna_kit.components.optimizer import Optimizer
    from findna_kit.schedules import Clock, ScheduleFunction
    from findna_kit.trainer.experiment import WeightedLoss

HEADS = ("heads.", "student.heads.", "head.")
"""Prefixes of the parameters of heads: predictors, the branch's heads, and the classifier of fine-tuning."""


class Optimized(Protocol):
    """What the optimizer needs of an experiment. Fine-tuning, which has no views or teacher, provides it too."""

    @property
    def optimizer(self) -> Optimizer:
        """Return the rule, with its schedules."""
        ...

    @property
    def losses(self) -> Mapping[str, WeightedLoss]:
        """Return the losses whose heads may have learning rates of their own."""
        ...

    @property
    def predictors(self) -> nn.ModuleDict:
        """Return the heads of the student alone, by the label of their loss."""
        ...

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the parameters to be moved, by name."""
        ...


class ScheduledOptimizer:
    """An optimizer over an experiment's parameters, with learning rate and weight decay as functions of the clock.

    Matrices decay; vectors (biases, norms) do not. A head with a learning rate of its own follows that one.
    """

    def __init__(self, experiment: Optimized) -> None:
        self.rule = experiment.optimizer
        self.named = experiment.trainable()
        self._rates = _groups(experiment)
        self._torch = self.rule.build(list(self._rates))
        self._group_of = {parameter: group for group in self._rates for parameter in group.parameters}

    @property
    def groups(self) -> list[ParameterGroup]:
        """Return the groups of parameters that are moved alike."""
        return list(self._rates)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters to be moved, in a fixed order."""
        return list(self.named.values())

    def zero_grad(self) -> None:
        """Discard the gradients."""
        for optimizer, _ in self._torch:
            optimizer.zero_grad(set_to_none=True)

    def step(self, clock: Clock) -> dict[str, float]:
        """Move the parameters with the learning rates and the decay of this step; return the metrics to log."""
        # Set anew before every step: a schedule is a function of the clock, so a resumed run needs no scheduler state.
        decay = self.rule.config.weight_decay(clock)
        for optimizer, groups in self._torch:
            for options, group in zip(optimizer.param_groups, groups, strict=True):
                options["lr"] = self._rates[group](clock)
                options["weight_decay"] = decay if group.matrices else 0.0
            optimizer.step()
        return {"learning_rate": self.rule.config.learning_rate(clock)}

    def tensors(self) -> dict[str, Tensor]:
        """Return the live state by the names that a checkpoint uses; it is empty before the first step."""
        # By name and not by index, as torch does: a checkpoint of other groups still fits.
        names: dict[Tensor, str] = {parameter: name for name, parameter in self.named.items()}
        return {
            f"optimizer.{names[parameter]}.{key}": value
            for optimizer, _ in self._torch
            for parameter, state in optimizer.state.items()
            for key, value in state.items()
        }

    @property
    def moved(self) -> list[str]:
        """Return names of the parameters that have state. One that never had a gradient has none."""
        return [name for name, parameter in self.named.items() if self._state(parameter)]

    def empty(self, moved: Collection[str]) -> dict[str, Tensor]:
        """Create state for the parameters named in `moved`, and return it to be filled.

        Raise CheckpointMismatch for a name that no parameter has.
        """
        if strange := sorted(set(moved) - set(self.named)):
            raise CheckpointMismatch(f"the optimizer has no parameter called {', '.join(strange[:5])}")
        for name in moved:
            parameter = self.named[name]
            group = self._group_of[parameter]
            optimizer = next(optimizer for optimizer, groups in self._torch if group in groups)
            # Filled in place by the checkpoint. Without state, torch would begin the parameter anew.
            optimizer.state[parameter] = self.rule.initial_state(parameter, group)
        return self.tensors()

    def _state(self, parameter: nn.Parameter) -> Mapping[str, Tensor]:
        # The state of torch's optimizers is a defaultdict: asking it for a parameter would add an entry.
        return next((optimizer.state[parameter] for optimizer, _ in self._torch if parameter in optimizer.state), {})


def state_bytes(experiment: Optimized) -> int:
    """Return the memory that an optimizer's state takes; step counters, which are scalars, are not counted."""
    states = (
        experiment.optimizer.initial_state(parameter, group) for group in _groups(experiment) for parameter in group.parameters
    )
    tensors = (tensor for state in states for tensor in state.values() if tensor.ndim)
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _groups(experiment: Optimized) -> dict[ParameterGroup, ScheduleFunction]:
    """Return the groups of parameters that are moved alike, each with its learning rate."""
    rates = _head_rates(experiment)
    members: dict[tuple[str | None, int, bool], list[nn.Parameter]] = {}
    for name, parameter in experiment.trainable().items():
        prefix = next((prefix for prefix in rates if name.startswith(prefix)), None)
        # Dimensions and head are part of the key, because a rule such as Muon moves only matrices outside of heads.
        members.setdefault((prefix, parameter.ndim, name.startswith(HEADS)), []).append(parameter)
    common = experiment.optimizer.config.learning_rate
    return {
        ParameterGroup(tuple(parameters), dimensions=dimensions, head=head): common if prefix is None else rates[prefix]
        for (prefix, dimensions, head), parameters in members.items()
    }


def _head_rates(experiment: Optimized) -> dict[str, ScheduleFunction]:
    """Return the learning rates of heads that have their own, by prefix of their parameters' names."""
    rates = {}
    for label, term in experiment.losses.items():
        for head, rate in term.loss.head_learning_rates().items():
            # Names as in Experiment.trainable: predictors are the student's alone, other heads are in both branches.
            owner = "heads" if head in experiment.predictors[label] else "student.heads"  # type: ignore[operator]
            rates[f"{owner}.{label}.{head}."] = rate
    return rates
