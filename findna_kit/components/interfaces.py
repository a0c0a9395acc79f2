"""Base classes of encoders, augmentations, maskings, losses and teacher updates, and the data they exchange with the trainer.

Each component has a nested `Config` that declares its parameters once. Optimizers are in `optimizer`, schedules in
`findna_kit.schedules`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

# Re-exported: they belong to the interfaces, but schedules, which components import, need them too.
from findna_kit.component_config import ComponentConfig as ComponentConfig  # noqa: TC001
from findna_kit.component_config import Examples as Examples  # noqa: TC001
from findna_kit.component_config import RecipePath as RecipePath

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from findna_kit.components.draws import Draw
    from findna_kit.components.views import View
    from findna_kit.schedules import Clock, ScheduleFunction

API_VERSION = 2
"""Version of these interfaces. A plugin states the one it was written for, as `findna_kit_api = 2` next to its hook."""

Reads = Literal["masked", "class", "pooled", "all"]
"""What a loss's heads may read: masked positions, class embeddings, the pooled embedding, or all positions."""


@dataclass(frozen=True)
class Contig:
    """Name and length of one sequence of a genome."""

    name: str
    length: int


class Encoder(nn.Module, ABC):
    """A network that maps one-hot bases to embeddings. Padding must not influence valid positions.

    The constructor's `length` includes class tokens; it is the length of training sequences, which may size the network.
    A class or an instance declares:

    dim: width of the embeddings. depth: number of hidden layers that a loss may ask for.
    stride: input positions per embedding. max_length: largest number of nucleotides, None for no limit.
    global_mixing: False for an encoder that gets no class tokens; class embeddings are then made by attention pooling.
    strand: `none`; `invariant`, if the reverse complement gives the same nucleotide embeddings in reverse order, with class
        rows in place; or `equivariant`, if in addition the two halves of `dim` are swapped in every row. Hidden states follow.
    """

    Config: ClassVar[type[ComponentConfig]]
    examples: ClassVar[Examples] = ({},)
    """Parameters of small instances, as in a recipe. The conformance checks build these; every kind has this attribute."""
    dim: int
    depth: int
    stride: int = 1
    max_length: int | None = None
    global_mixing: bool = True
    strand: Literal["none", "invariant", "equivariant"] = "none"

    @abstractmethod
    def __init__(self, config: Any, *, length: int, class_tokens: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return the embeddings [B, C + ceil(L / stride), dim] and the hidden states of the layers in `layers`.

        bases: [B, C + L, 5] float, one-hot over A C G T N; zero at MASK and at class tokens, which come first.
        valid: [B, C + L] bool, False on padding, which comes last; True on class tokens.
        """

    def attention(self, bases: Tensor, valid: Tensor, *, layer: int) -> Tensor | None:
        """Return the weights [B, heads, R, R] with which row i of a layer reads row j, class tokens first; None without any."""
        return None

    def reset_parameters(self) -> None:
        """Re-initialise weights loaded from a file, for the untrained control; torch's generator is seeded before the call."""


class _ViewTransform(ABC):
    """What augmentations and maskings have in common: a function from a view to a view."""

    Config: ClassVar[type[ComponentConfig]]
    examples: ClassVar[Examples] = ({},)

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def __call__(self, view: View, draw: Draw) -> View:
        """Return the changed view. All randomness must come from `draw`; the given view must not be changed in place."""

    def on_genome(self, contigs: Sequence[Contig]) -> None:  # noqa: B027 - optional
        """Receive the contigs of the run's genomes, which `view.contig` indexes; called once, before the first view."""


class Augmentation(_ViewTransform):
    """A random change of every sequence of a view, vectorised over the batch. It keeps L and does not introduce N."""

    def crop_start(self, window: View, length: int, draw: Draw) -> Tensor | None:
        """Return the start [B, 1] of the crop of `length` bases, before any augmentation, or None; the first answer is used."""
        return None


class Masking(_ViewTransform):
    """A choice of positions whose bases the student must predict.

    M, the number of slots, depends on the parameters and L alone. Inserted bases, N and padding are not masked.
    """

    @property
    def uses_soft_masking(self) -> bool:
        """Return whether lower case in the genome has an effect; a genome without any is then reported."""
        return False


@dataclass(frozen=True)
class BranchOutput:
    """The outputs of one branch for one view. A field is None, or empty, if nothing asked for it.

    embeddings: [B, ceil(L / stride), D]. class_embeddings: [B, C, D]. pooled: [B, D], the mean over valid nucleotides.
    masked_patches: for an encoder with a stride, what nucleotide heads read at the masked positions, [B, M, D + stride]: the
        embedding of the patch, and the position's one-hot offset in it.
    hidden: hidden states by layer. rows: the embeddings that the loss declares as `head_input`.
    heads: the outputs of the loss's heads on `rows`, by name.

    A batch-coupled loss receives only the view, `rows` and `heads`, for the whole global batch. With an equivariant encoder the
    halves of pooled and class embeddings and of hidden states are averaged, and D is half of the encoder's `dim`; nucleotide
    embeddings keep both halves, and heads that read them are adapted.
    """

    view: View
    embeddings: Tensor | None = None
    class_embeddings: Tensor | None = None
    pooled: Tensor | None = None
    masked_patches: Tensor | None = None
    hidden: Mapping[int, Tensor] = field(default_factory=dict)
    rows: Tensor | None = None
    heads: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class LossOutput:
    """The value of a loss on some samples.

    sum: the sum over items, which the trainer divides by the global `Loss.count`. metrics: sums over the same items, detached.
    totals: detached sums over the same items of any shape, whose means go to `Loss.derived_metrics`.
    state_inputs: detached tensors for `after_step`, whose first dimension is the samples.
    """

    sum: Tensor
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    state_inputs: Mapping[str, Tensor] = field(default_factory=dict)
    totals: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ViewPlan:
    """What a loss may know of a view in advance: which branches see it, and whether it is masked."""

    name: str
    student: bool
    teacher: bool
    masked: bool


class Loss(nn.Module, ABC):
    """One term of the objective, with its heads. Buffers (centres, queues) are its state, which only `after_step` changes.

    Heads are applied in a chain to the embeddings that `head_input` names: first the twin heads in order, then, for the student
    only, the student heads. A loss with `coupling = "sample"` runs on each micro-batch, one with `"batch"` once per step on the
    whole global batch.
    """

    Config: ClassVar[type[ComponentConfig]]
    examples: ClassVar[Examples] = ({},)
    needs_teacher: ClassVar[bool] = False
    head_input: Reads
    """An instance may set it, if a parameter decides it; so may it `coupling`."""
    coupling: Literal["sample", "batch"] = "sample"
    student_heads_before: ClassVar[str | None] = None
    """Name of the twin head before which the student heads are applied; None: after all of them."""
    nucleotide_head: ClassVar[str | None] = None
    """Name of the twin head that gives logits over A C G T, if there is one; a frozen model predicts bases with it."""

    def __init__(self, config: Any, *, dim: int, class_tokens: int) -> None:
        super().__init__()
        self.config, self.dim, self.class_tokens = config, dim, class_tokens

    def twin_heads(self) -> dict[str, nn.Module]:
        """Return the heads of which the teacher has a copy, in order of application."""
        return {}

    def student_heads(self) -> dict[str, nn.Module]:
        """Return the heads that only the student has (predictors), in order of application."""
        return {}

    def patch_head(self, stride: int) -> nn.Module | None:
        """Return the nucleotide head for an encoder that gives one embedding per `stride` bases, or None if there is none.

        It takes the place of the twin head `nucleotide_head`, which must be the first, and maps [..., D] to [..., stride * 4]:
        the logits over A C G T of the patch's first base, of its second, and so on. The kit selects those of the masked base,
        so the loss receives [B, M, 4] for any encoder.
        """
        return None

    def head_learning_rates(self) -> Mapping[str, ScheduleFunction]:
        """Return, by name of the head, learning rates of heads that do not use the optimizer's."""
        return {}

    def frozen_heads(self, clock: Clock) -> Collection[str]:
        """Return the names of heads that are not trained at this step.

        Their gradient is dropped before its norm is taken, so that neither clipping nor the optimizer's moments see it.
        """
        return ()

    def layers(self, depth: int) -> tuple[int, ...]:
        """Return the hidden layers that the loss needs from each branch; only a `sample` loss may need any."""
        return ()

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Return why the loss cannot be used with these views, as a sentence; None if it can."""
        return None

    @abstractmethod
    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Return the number of items that `forward` sums over, a scalar.

        It is computed from the views alone, because the trainer needs the global count before the first backward pass.
        """

    @abstractmethod
    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """Compute the loss on outputs given by view name. It must not change any state."""

    def derived_metrics(self, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return scalar metrics that are not means over items, such as the entropy of a mean.

        means: the metrics and totals of `LossOutput`, divided by the count, over the global batch.
        """
        return {}

    def after_step(self, state_inputs: Mapping[str, Tensor], clock: Clock) -> None:
        """Update the loss's state, once per optimizer step, after the teacher update.

        state_inputs: those of `LossOutput`, concatenated over the whole global batch.
        """


class TeacherUpdate(ABC):
    """The rule that creates and updates the teacher.

    export_branch: the branch that a finished run exports by default. frozen: whether the teacher never changes. Batch
    normalisation in the heads of a frozen teacher uses running statistics; that of any other teacher uses those of the batch,
    and keeps running statistics of its own, whatever the rule does to these buffers.
    """

    Config: ClassVar[type[ComponentConfig]]
    examples: ClassVar[Examples] = ({},)
    export_branch: ClassVar[Literal["teacher", "student"]] = "teacher"
    frozen: ClassVar[bool] = False

    def __init__(self, config: Any) -> None:
        self.config = config

    def initial(self, student: nn.Module) -> nn.Module:
        """Return the teacher at step 0, without gradient: a copy of the student, or a `Branch` of another architecture.

        A teacher that is not a copy may lack the heads of losses that do not use the teacher.
        """
        # A copy, also of buffers: batch statistics of the student must not reach the teacher except through its update.
        return deepcopy(student).requires_grad_(False)

    @abstractmethod
    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Update the teacher in place; return values to log (`momentum`).

        metrics: the losses of the step and of the latest validation, the same in every process; `validation_step` is the step
            of that validation.
        """

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the rule's own state; most rules have none."""
        return {}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the state that `state_dict` returned."""
        # State that the rule does not know must not be dropped silently: the resumed run would differ.
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, but was given {sorted(state)}")
