"""Floating-point operations (FLOPs) of a training step by component, counted while a real step is computed.

A multiplication and an addition count as two operations. Matrix products, convolutions and attention are counted, forward and
backward, including the second forward pass of batch-coupled losses. Operators that cost a few operations per element
(activations, norms, softmax, sums, look-ups, the optimizer) are not counted. Any other operator without a formula is not
counted either, and is listed by name.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, sdpa_backward_flop_count, sdpa_flop_count

from findna_kit.components.interfaces import BranchOutput
from findna_kit.schedules import Clock
from findna_kit.trainer.forward import Forward, training_batch
from findna_kit.trainer.step import accumulate_gradients

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from findna_kit.data.sources import Data
    from findna_kit.distributed import Engine
    from findna_kit.trainer import Experiment
    from findna_kit.trainer.forward import Batch, Outputs

TOTAL = "Global"
"""The name of the total in FlopCounterMode."""
TITLES = {"encoder_forward": "encoder, forward", "encoder_backward": "encoder, backward"}
"""Titles of components in tables, where they differ from their names."""
UNCOUNTED = "not counted (torch has no formula)"
"""Printed before the list of operators that the numbers leave out."""
CHEAP_OPERATORS = frozenset((
    "local_scalar_dense", "reshape_alias", "to_copy", "unsafe_index", "unsafe_view", "arange", "bernoulli", "cat", "clone",
    "constant_pad_nd", "copy", "cumsum", "diag_embed", "diagonal", "embedding", "embedding_dense", "empty", "empty_like",
    "empty_strided", "eye", "fft_fftfreq", "fill", "flip", "full", "full_like", "gather", "index", "index_add", "index_put",
    "index_select", "lift_fresh", "linalg_vector_norm", "linspace", "logcumsumexp", "log_softmax", "masked_fill", "max",
    "max_pool2d_with_indices", "min", "mse_loss", "native_dropout", "native_group_norm", "native_layer_norm", "new_empty",
    "new_empty_strided", "new_full", "new_ones", "new_zeros", "nll_loss", "nll_loss_forward", "nonzero", "normal", "ones",
    "ones_like", "rand", "randn", "repeat", "roll", "scalar_tensor", "scatter", "scatter_add", "scatter_reduce", "searchsorted",
    "select", "select_scatter", "slice", "slice_scatter", "smooth_l1_loss", "softmax", "softplus", "sort", "stack", "std_mean",
    "topk", "tril", "triu", "unfold", "uniform", "var_mean", "where", "zero", "zeros", "zeros_like",
    "floor_divide",
))  # fmt: skip
"""Operators that cost at most a few operations per element, which torch does not tag as pointwise or reduction.

The list is long, but its direction is the safe one: an operator that is not in it, such as one of a new encoder, is reported as
not counted. A list of expensive operators would be shorter and would miss new ones without a word. Backward and in-place
variants are covered by the base name."""


class FlopsReport(TypedDict):
    """FLOPs for JSON: of a step and of a nucleotide, in total and by component."""

    step: int
    step_by_component: dict[str, int]
    base: float
    base_by_component: dict[str, float]
    uncounted: list[str]


@dataclass(frozen=True)
class StepFlops:
    """FLOPs of one optimizer step. losses: heads and loss, both branches, forward and backward. uncounted: operator names."""

    encoder_forward: int
    encoder_backward: int
    teacher: int
    losses: Mapping[str, int]
    uncounted: tuple[str, ...]

    @property
    def step(self) -> int:
        """Return the FLOPs of the whole step."""
        return sum(self.by_component().values())

    def by_component(self) -> dict[str, int]:
        """Return the FLOPs by component; a loss is called `losses.LABEL`."""
        parts = {name: getattr(self, name) for name in ("encoder_forward", "encoder_backward", "teacher")}
        return parts | {f"losses.{label}": number for label, number in self.losses.items()}

    def plain(self, bases: int) -> FlopsReport:
        """Return the numbers for JSON, per step and per base; bases: nucleotides drawn from the genome in a step."""
        parts = self.by_component()
        per_base = {name: number / bases for name, number in parts.items()}
        return {
            "step": self.step, "step_by_component": parts,
            "base": self.step / bases, "base_by_component": per_base, "uncounted": list(self.uncounted),
        }  # fmt: skip


def count_flops(experiment: Experiment, data: Data, engine: Engine, micro_batch: int) -> StepFlops:
    """Count the FLOPs of step 0, with crops of the largest length, without applying it.

    The experiment must be on the device, in training mode and not compiled.
    """
    batch = training_batch(experiment, data, 0, engine.local_indices(experiment.batch_size), longest=True)
    clock, counter = Clock(0, experiment.steps), _Counter()
    # Hooks attribute the forward passes to student and teacher; the backward pass is what is left of the total.
    with counter, counter.within(experiment.student, "student"), counter.within(experiment.teacher, "teacher"):
        accumulate_gradients(experiment, data, engine, clock, batch, micro_batch)
    # The step is discarded: its gradients must not reach a later measurement.
    for module in (experiment.student, experiment.predictors):
        module.zero_grad(set_to_none=True)
    forward = Forward(experiment, engine)
    losses = {label: _loss_flops(forward, label, clock, batch, micro_batch) for label in experiment.losses}
    student, teacher = counter.total("student"), counter.total("teacher")
    rest = counter.total(TOTAL) - student - teacher - sum(losses.values())  # what remains is the backward pass of the encoder
    return StepFlops(student, rest, teacher, losses, counter.uncounted())


def _loss_flops(forward: Forward, label: str, clock: Clock, batch: Batch, micro_batch: int) -> int:
    """Count one loss: computed once for the whole batch if it couples the batch, else for each micro-batch."""
    rows = len(batch)
    parts = [slice(at, min(at + micro_batch, rows)) for at in range(0, rows, micro_batch)]
    # A batch-coupled loss is computed once on the cached embeddings of the whole batch.
    if forward.experiment.losses[label].loss.coupling == "batch":
        return _loss_flops_of_batch(forward, label, clock, batch, parts)
    sizes = [part.stop - part.start for part in parts]
    return sum(
        # Micro-batches of equal size cost the same, so that each size is counted once.
        sizes.count(size) * _loss_flops_of_batch(forward, label, clock, batch.rows(slice(0, size)), [slice(0, size)])
        for size in set(sizes)
    )


def _loss_flops_of_batch(forward: Forward, label: str, clock: Clock, batch: Batch, parts: Sequence[slice]) -> int:
    """Count heads and loss, forward and backward, on embeddings detached from the encoder."""
    student, leaves = _detached_outputs(forward, "student", label, clock, batch, parts)
    teacher, targets = _detached_outputs(forward, "teacher", label, clock, batch, parts)
    for leaf in leaves.values():
        leaf.requires_grad_(True)
    chains = (forward.experiment.student.heads[label], forward.experiment.predictors[label])
    inputs = [*leaves.values(), *(p for chain in chains for p in chain.parameters() if p.requires_grad)]
    counter = _Counter()
    with counter:
        term = forward.loss_output(label, student, teacher, clock, inputs=(leaves, targets))
        torch.autograd.grad(term.sum, inputs, allow_unused=True)
    return counter.total(TOTAL)


@torch.no_grad()
def _detached_outputs(
    forward: Forward, which: Literal["student", "teacher"], label: str, clock: Clock, batch: Batch, parts: Sequence[slice]
) -> tuple[Outputs, dict[str, Tensor]]:  # fmt: skip
    """Return the outputs of a branch and the inputs of the loss's heads; of several micro-batches only the latter."""
    outputs_of_parts = [
        forward.run_branch(which, batch.rows(part), [label], dropout=(clock, number) if which == "student" else None)
        for number, part in enumerate(parts)
    ]
    inputs = [forward.head_inputs(label, outputs) for outputs in outputs_of_parts]
    rows = {name: torch.cat([part[name] for part in inputs]) for name in inputs[0]}
    outputs = outputs_of_parts[0] if len(parts) == 1 else {name: BranchOutput(view) for name, view in batch.views.items()}
    return outputs, rows


class _Counter:
    """FlopCounterMode with a module tracker made of forward hooks, plus a record of operators that it has no formula for.

    The tracker of FlopCounterMode itself fails inside `torch.autograd.grad`.
    """

    def __init__(self) -> None:
        self._mode = FlopCounterMode(display=False, custom_mapping=_FORMULAS)
        self._mode.mod_tracker = self._modules = _ModuleTracker()  # type: ignore[assignment]
        self._operators = _OperatorRecorder()

    def __enter__(self) -> Self:
        # The mode entered last sees an operator first. FlopCounterMode splits operators without a formula into simpler ones;
        # the recorder is entered before it, so that it records those that really run.
        self._operators.__enter__()  # type: ignore[no-untyped-call]
        self._mode.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._mode.__exit__(*raised)
        self._operators.__exit__(*raised)  # type: ignore[no-untyped-call]

    @contextmanager
    def within(self, module: nn.Module, name: str) -> Iterator[None]:
        """Count the forward passes of `module` under `name` as well."""
        hooks = [
            module.register_forward_pre_hook(lambda *_: self._modules.parents.add(name)),
            module.register_forward_hook(lambda *_: self._modules.parents.discard(name)),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def total(self, name: str) -> int:
        """Return the FLOPs counted under `name`."""
        return sum(self._mode.get_flop_counts().get(name, {}).values())

    def uncounted(self) -> tuple[str, ...]:
        """Return the names of the operators that were met and have no formula, cheap ones left out."""
        unknown = {func for func in self._operators.funcs if func.overloadpacket not in self._mode.flop_registry}
        return tuple(sorted({str(func.overloadpacket) for func in unknown if not _is_cheap(func)}))


class _ModuleTracker:
    """Stands in for the module tracker of FlopCounterMode: the names of the modules that are running."""

    def __init__(self) -> None:
        self.parents = {TOTAL}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _OperatorRecorder(TorchDispatchMode):
    """Records every operator that runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.funcs: set[Any] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.funcs.add(func)
        return func(*args, **(kwargs or {}))


def _is_cheap(func: Any) -> bool:
    """Return whether an operator costs at most a few operations per element: a view, tagged by torch, or on our list."""
    # In a schema, `Tensor(a)` is an argument that a result aliases (a view), and `Tensor(a!)` one that is written in place.
    view = any(arg.alias_info is not None and not arg.alias_info.is_write for arg in func._schema.arguments)
    name = func.overloadpacket.__name__.removesuffix("_data").removesuffix("_backward").strip("_")
    listed = func.namespace in ("aten", "prim") and name in CHEAP_OPERATORS
    return view or listed or torch.Tag.pointwise in func.tags or torch.Tag.reduction in func.tags


def _convolution_backward(
    grad: Sequence[int], x: Sequence[int], weight: Sequence[int], _bias: Any, _stride: Any, _padding: Any, _dilation: Any,
    transposed: bool, _output_padding: Any, _groups: Any, output_mask: Sequence[bool], **_: Any,
) -> int:  # fmt: skip
    """Count the gradients of input and weight, each like the forward pass; the formula of torch 2.13 ignores groups."""
    forward: int = conv_flop_count(list(x), list(weight), list(grad), transposed=transposed)
    return forward * (output_mask[0] + output_mask[1])


def _attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    """Count attention on a CPU with torch's formula for other devices."""
    count: int = sdpa_flop_count(query, key, value)
    return count


def _attention_backward(
    grad: Sequence[int], query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    """Count the backward pass of attention on a CPU likewise."""
    count: int = sdpa_backward_flop_count(grad, query, key, value)
    return count


_FORMULAS = {
    torch.ops.aten.convolution_backward: _convolution_backward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""Formulas that torch lacks or gets wrong."""
