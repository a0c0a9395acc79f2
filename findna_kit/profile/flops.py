"""Floating-point operations of a training step, by component: counted while one real step is computed.

A multiplication and the addition after it are two. Counted are matrix products, convolutions and attention, forward and
backward, as the step takes them: the second pass of batch-coupled losses is there where the step needs one. Not counted is what
costs a few operations an element (activations, norms, softmax, sums, look-ups, the optimizer); whatever else torch has no
formula for is not counted either, and named.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

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

ALL = "Global"
"""What FlopCounterMode calls its total."""
TITLES = {"encoder_forward": "encoder, forward", "encoder_backward": "encoder, backward"}
"""What components are called in tables, where not by their own names."""
UNCOUNTED = "not counted, for want of a formula"
"""Said before the operators that the numbers are without."""
FEW_AN_ELEMENT = frozenset((
    "local_scalar_dense", "reshape_alias", "to_copy", "unsafe_index", "unsafe_view", "arange", "bernoulli", "cat", "clone",
    "constant_pad_nd", "copy", "cumsum", "diag_embed", "diagonal", "embedding", "embedding_dense", "empty", "empty_like",
    "empty_strided", "eye", "fft_fftfreq", "fill", "flip", "full", "full_like", "gather", "index", "index_add", "index_put",
    "index_select", "lift_fresh", "linalg_vector_norm", "linspace", "logcumsumexp", "log_softmax", "masked_fill", "max",
    "max_pool2d_with_indices", "min", "mse_loss", "native_dropout", "native_group_norm", "native_layer_norm", "new_empty",
    "new_empty_strided", "new_full", "new_ones", "new_zeros", "nll_loss", "nll_loss_forward", "nonzero", "normal", "ones",
    "ones_like", "rand", "randn", "repeat", "roll", "scalar_tensor", "scatter", "scatter_add", "searchsorted", "select",
    "select_scatter", "slice", "slice_scatter", "smooth_l1_loss", "softmax", "softplus", "sort", "stack", "std_mean", "topk",
    "tril", "triu", "unfold", "uniform", "var_mean", "where", "zero", "zeros", "zeros_like",
))  # fmt: skip
"""Of torch's own operations that it does not tag as such, backward ones and those in place alike: they need no formula."""


@dataclass(frozen=True)
class Flops:
    """Of one optimizer step. losses: heads and loss, of both branches, forward and backward; uncounted: names of operations."""

    encoder_forward: int
    encoder_backward: int
    teacher: int
    losses: Mapping[str, int]
    uncounted: tuple[str, ...]

    @property
    def step(self) -> int:
        """The whole step."""
        return sum(self.by_component().values())

    def by_component(self) -> dict[str, int]:
        """A loss by `losses.LABEL`."""
        parts = {name: getattr(self, name) for name in ("encoder_forward", "encoder_backward", "teacher")}
        return parts | {f"losses.{label}": number for label, number in self.losses.items()}

    def plain(self, bases: int) -> dict[str, Any]:
        """Ready for JSON; bases: drawn from the genome in a step."""
        parts = self.by_component()
        per_base = {name: number / bases for name, number in parts.items()}
        return {
            "step": self.step, "step_by_component": parts,
            "base": self.step / bases, "base_by_component": per_base, "uncounted": list(self.uncounted),
        }  # fmt: skip


def count_flops(experiment: Experiment, data: Data, engine: Engine, micro_batch: int) -> Flops:
    """Of step 0, computed and not taken. The experiment is on the device, in training mode, and not compiled."""
    batch = training_batch(experiment, data, 0, engine.local_indices(experiment.batch_size))
    clock, counter = Clock(0, experiment.steps), _Counter()
    with counter, counter.within(experiment.student, "student"), counter.within(experiment.teacher, "teacher"):
        accumulate_gradients(experiment, data, engine, clock, batch, micro_batch)
    for module in (experiment.student, experiment.predictors):
        module.zero_grad(set_to_none=True)
    forward = Forward(experiment, engine)
    losses = {label: _of_passes(forward, label, clock, batch, micro_batch) for label in experiment.losses}
    student, teacher = counter.of("student"), counter.of("teacher")
    rest = counter.of(ALL) - student - teacher - sum(losses.values())  # of the step: the backward pass of the encoder
    return Flops(student, rest, teacher, losses, counter.uncounted())


def _of_passes(forward: Forward, label: str, clock: Clock, batch: Batch, micro_batch: int) -> int:
    """Of one loss: taken once on the rows of the whole batch, or on those of each micro-batch."""
    rows = len(batch)
    parts = [slice(at, min(at + micro_batch, rows)) for at in range(0, rows, micro_batch)]
    if forward.experiment.losses[label].loss.coupling == "batch":
        return _of_loss(forward, label, clock, batch, parts)
    sizes = [part.stop - part.start for part in parts]
    return sum(
        sizes.count(size) * _of_loss(forward, label, clock, batch.rows(slice(0, size)), [slice(0, size)]) for size in set(sizes)
    )


def _of_loss(forward: Forward, label: str, clock: Clock, batch: Batch, parts: Sequence[slice]) -> int:
    """Heads and loss, forward and backward, on rows that are cut off from the encoder."""
    student, leaves = _read(forward, "student", label, clock, batch, parts)
    teacher, taught = _read(forward, "teacher", label, clock, batch, parts)
    for leaf in leaves.values():
        leaf.requires_grad_(True)
    chains = (forward.experiment.student.heads[label], forward.experiment.predictors[label])
    wanted = [*leaves.values(), *(one for chain in chains for one in chain.parameters() if one.requires_grad)]
    counter = _Counter()
    with counter:
        term = forward.loss_output(label, student, teacher, clock, inputs=(leaves, taught))
        torch.autograd.grad(term.sum, wanted, allow_unused=True)
    return counter.of(ALL)


@torch.no_grad()
def _read(
    forward: Forward, which: Literal["student", "teacher"], label: str, clock: Clock, batch: Batch, parts: Sequence[slice]
) -> tuple[Outputs, dict[str, Tensor]]:  # fmt: skip
    """A branch's outputs, and the rows that the loss reads of them; of several parts the rows alone."""
    made = [
        forward.run_branch(which, batch.rows(part), [label], dropout=(clock, place) if which == "student" else None)
        for place, part in enumerate(parts)
    ]
    read = [forward.head_inputs(label, outputs) for outputs in made]
    rows = {name: torch.cat([one[name] for one in read]) for name in read[0]}
    outputs = made[0] if len(made) == 1 else {name: BranchOutput(view) for name, view in batch.views.items()}
    return outputs, rows


class _Counter:
    """FlopCounterMode, told by hooks of modules whose forward it is in: its own tracker of modules cannot be inside of
    `autograd.grad`. And which operations it has met that it has no formula for.
    """

    def __init__(self) -> None:
        self._mode = FlopCounterMode(display=False, custom_mapping=_FORMULAS)
        self._mode.mod_tracker = self._inside = _Inside()  # type: ignore[assignment]
        self._met = _Met()

    def __enter__(self) -> Self:
        self._met.__enter__()  # type: ignore[no-untyped-call]
        self._mode.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._mode.__exit__(*raised)
        self._met.__exit__(*raised)  # type: ignore[no-untyped-call]

    @contextmanager
    def within(self, module: nn.Module, name: str) -> Iterator[None]:
        """Inside, what the module's forward costs counts for `name`, too."""
        hooks = [
            module.register_forward_pre_hook(lambda *_: self._inside.parents.add(name)),
            module.register_forward_hook(lambda *_: self._inside.parents.discard(name)),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def of(self, name: str) -> int:
        """What has been counted for it."""
        return sum(self._mode.get_flop_counts().get(name, {}).values())

    def uncounted(self) -> tuple[str, ...]:
        """Names of the operations that would have needed a formula."""
        met = {func for func in self._met.funcs if func.overloadpacket not in self._mode.flop_registry}
        return tuple(sorted({str(func.overloadpacket) for func in met if not _needs_none(func)}))


class _Inside:
    """In the place of FlopCounterMode's tracker of modules."""

    def __init__(self) -> None:
        self.parents = {ALL}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Met(TorchDispatchMode):
    """Remembers operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.funcs: set[Any] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.funcs.add(func)
        return func(*args, **(kwargs or {}))


def _needs_none(func: Any) -> bool:
    """Whether an operation costs a few for each element, or none: by torch's tags, as a view, or by its name."""
    view = any(one.alias_info is not None and not one.alias_info.is_write for one in func._schema.arguments)
    name = func.overloadpacket.__name__.removesuffix("_data").removesuffix("_backward").strip("_")
    few = func.namespace in ("aten", "prim") and name in FEW_AN_ELEMENT
    return view or few or torch.Tag.pointwise in func.tags or torch.Tag.reduction in func.tags


def _convolution_backward(
    grad: Sequence[int], x: Sequence[int], weight: Sequence[int], _bias: Any, _stride: Any, _padding: Any, _dilation: Any,
    transposed: bool, _output_padding: Any, _groups: Any, wanted: Sequence[bool], **_: Any,
) -> int:  # fmt: skip
    """Of the input and of the weight, each as much as the forward pass; torch's own takes groups for one."""
    forward: int = conv_flop_count(list(x), list(weight), list(grad), transposed=transposed)
    return forward * (wanted[0] + wanted[1])


def _attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    count: int = sdpa_flop_count(query, key, value)
    return count


def _attention_backward(
    grad: Sequence[int], query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    count: int = sdpa_backward_flop_count(grad, query, key, value)
    return count


_FORMULAS = {
    torch.ops.aten.convolution_backward: _convolution_backward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""What torch has no formula for, or one that is wrong."""
