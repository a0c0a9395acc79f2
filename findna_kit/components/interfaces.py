"""What a component is: five kinds of class, each with a nested `Config` that states its parameters once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from findna_kit.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from findna_kit.components.draws import Draw
    from findna_kit.components.views import View
    from findna_kit.schedules import Clock
    from findna_kit.schedules import Schedule as ScheduleType

API_VERSION = 1
"""Of these interfaces; a plugin states which it was written for, as `findna_kit_api = 1` beside its hook."""

RESERVED = ("name", "weight", "rc")
"""Keys that a recipe gives a meaning of its own in every component."""

Reads = Literal["masked", "class", "pooled", "all"]


Examples = tuple["Mapping[str, Any]", ...]


@dataclass(frozen=True)
class _IsPath:
    """Marks a field of a `Config` as a path."""


RecipePath = Annotated[str, Field(min_length=1), _IsPath()]
"""The type of a field that names a file or folder: relative to the file that states it, saved absolute, and looked for before
a run begins. A component reads it when it is first used: a finished run is assembled again wherever it is loaded."""


@dataclass(frozen=True)
class Contig:
    """One sequence of the genome."""

    name: str
    length: int


class ComponentConfig(BaseModel):
    """The parameters of a component: frozen, every field described, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """PluginError for a reserved or an undescribed field, when the class is made."""
        super().__pydantic_init_subclass__(**kwargs)
        for name, info in cls.model_fields.items():
            if name in RESERVED:
                raise PluginError(f"{cls.__qualname__}.{name}: the recipe uses this key itself; take another name")
            if not info.description:
                raise PluginError(f"{cls.__qualname__}.{name}: has no description; write Field(..., description=...)")
            if _holds_path(info.annotation) and not _is_path(info.annotation, info.metadata):
                raise PluginError(
                    f"{cls.__qualname__}.{name}: a RecipePath stands alone, or beside None; name one file a field"
                )

    @classmethod
    def paths(cls) -> tuple[str, ...]:
        """The fields that are a RecipePath, or may be one."""
        return tuple(name for name, info in cls.model_fields.items() if _is_path(info.annotation, info.metadata))


def _is_path(annotation: Any, metadata: Sequence[Any]) -> bool:
    """Of a field that is a RecipePath, or one or None."""
    if any(isinstance(mark, _IsPath) for mark in metadata):
        return True
    parts = get_args(annotation)
    return type(None) in parts and any(isinstance(mark, _IsPath) for part in parts for mark in get_args(part))


def _holds_path(annotation: Any) -> bool:
    return any(isinstance(part, _IsPath) or _holds_path(part) for part in get_args(annotation))


class Encoder(nn.Module, ABC):
    """`bases -> embeddings`. What is not `valid` must not change what is.

    `length` counts class rows and sizes the network once. Declares `dim`, `depth` (hidden layers that may be asked for),
    `stride` (input positions per embedding), `max_length` (of nucleotides; None: unbounded), `global_mixing` (False: it
    gets no class rows, class embeddings are made by attention pooling) and `strand`: of an `equivariant` one, the reverse
    complement's nucleotide rows are these in reverse order, and the halves of `dim` are swapped in every row.
    """

    Config: ClassVar[type[ComponentConfig]]
    examples: ClassVar[Examples] = ({},)
    """Of every kind: parameters, as a recipe states them, of small instances; what the conformance checks build."""
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
        """Embeddings [B, C + ceil(L / stride), dim] and the hidden states of `layers`.

        bases [B, C + L, 5] float: one-hot over A C G T N, MASK rows zero, class rows (zero) first, padding last.
        valid [B, C + L] bool: class rows are valid.
        """

    def reset_parameters(self) -> None:
        """Draws anew, in place, what it has read from elsewhere: the control that has learned nothing is made so.

        Called with torch's generator seeded.
        """


class _OnViews(ABC):
    Config: ClassVar[type[ComponentConfig]]
    examples: ClassVar[Examples] = ({},)

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def __call__(self, view: View, draw: Draw) -> View:
        """The changed view; randomness comes from `draw` only."""

    def on_genome(self, contigs: Sequence[Contig]) -> None:  # noqa: B027 - most have nothing to do with it
        """Told once, before the first view: the contigs of the run's genomes, in the order of `view.contig`."""


class Augmentation(_OnViews):
    """Changes a view, vectorised over the batch and randomly per sequence; L is kept and N never invented."""

    def crop_start(self, window: View, length: int, draw: Draw) -> Tensor | None:
        """Where the view's crop of that many nucleotides begins, [B, 1], if this augmentation decides it; asked before it."""
        return None


class Masking(_OnViews):
    """Chooses what the student does not see. M depends on the policy and L alone; inserted bases and N are not masked."""


@dataclass(frozen=True)
class BranchOutput:
    """What one branch made of one view (None: not asked for, or not kept for a batch-coupled loss).

    embeddings [B, ceil(L / stride), D] · class_embeddings [B, C, D] · pooled [B, D]: the mean over valid nucleotides ·
    hidden: the layers asked for · rows: what the loss reads · heads: the outputs of its heads on them, by name.
    A batch-coupled loss is given the view, `rows` and `heads` alone, of the whole global batch. Of an equivariant encoder all
    but embeddings, and rows of those, have their halves joined, and D is half of its `dim`; heads are made to read the others.
    """

    view: View
    embeddings: Tensor | None = None
    class_embeddings: Tensor | None = None
    pooled: Tensor | None = None
    hidden: Mapping[int, Tensor] = field(default_factory=dict)
    rows: Tensor | None = None
    heads: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class LossOutput:
    """One loss on some rows: a sum over items, which the trainer divides by the global `Loss.count`.

    metrics: sums over the same items, detached. carry: detached tensors for `after_step`, first dimension = rows.
    """

    sum: Tensor
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    state_inputs: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ViewPlan:
    """What a recipe says of a view, as far as a loss may ask."""

    name: str
    student: bool
    teacher: bool
    masked: bool


class Loss(nn.Module, ABC):
    """One term of the objective; owns its heads. Buffers (centres, queues) are its state, and move in `after_step` alone.

    Heads are applied in a chain to the rows that `reads` names: the twin heads in order, then, for the student only, the
    student heads. A `sample` loss runs on each micro-batch; a `batch` loss once on the whole global batch.
    """

    Config: ClassVar[type[ComponentConfig]]
    examples: ClassVar[Examples] = ({},)
    needs_teacher: ClassVar[bool] = False
    head_input: ClassVar[Reads]
    coupling: Literal["sample", "batch"] = "sample"
    """An instance may say otherwise than its class, where a parameter decides it."""
    nucleotide_head: ClassVar[str | None] = None
    """The twin head that gives logits over A C G T for each row read, so that a frozen model can be asked for bases."""

    def __init__(self, config: Any, *, dim: int, class_tokens: int) -> None:
        super().__init__()
        self.config, self.dim, self.class_tokens = config, dim, class_tokens

    def twin_heads(self) -> dict[str, nn.Module]:
        """Heads that the teacher has a copy of, in order."""
        return {}

    def student_heads(self) -> dict[str, nn.Module]:
        """Heads of the student alone (predictors), in order."""
        return {}

    def head_learning_rates(self) -> dict[str, ScheduleType]:
        """Head names whose learning rate follows a schedule of their own."""
        return {}

    def layers(self, depth: int) -> tuple[int, ...]:
        """Hidden layers wanted from each branch; a `sample` loss may ask for them."""
        return ()

    def check_views(self, views: Sequence[ViewPlan]) -> str | None:
        """Why this loss cannot work on these views, in a sentence; None if it can."""
        return None

    @abstractmethod
    def count(self, student: Mapping[str, View], teacher: Mapping[str, View]) -> Tensor:
        """Items that `forward` sums over, from the views alone: a scalar. The trainer must know it before any backward."""

    @abstractmethod
    def forward(self, student: Mapping[str, BranchOutput], teacher: Mapping[str, BranchOutput], clock: Clock) -> LossOutput:
        """The term on these rows, by view name. Pure: moves no state."""

    def after_step(self, state_inputs: Mapping[str, Tensor], clock: Clock) -> None:
        """Moves the state, once per optimizer step, after the teacher update; `carry` holds the whole global batch."""


class TeacherUpdate(ABC):
    """The rule that makes and moves the teacher. `serves` says which branch a finished run gives by default."""

    Config: ClassVar[type[ComponentConfig]]
    examples: ClassVar[Examples] = ({},)
    export_branch: ClassVar[Literal["teacher", "student"]] = "teacher"

    def __init__(self, config: Any) -> None:
        self.config = config

    def initial(self, student: nn.Module) -> nn.Module:
        """The teacher at step 0, without gradient: a copy of the student, or a `network.Branch` of another architecture.

        One that the rule does not make of the student may lack the heads of losses that do not read it.
        """
        return deepcopy(student).requires_grad_(False)

    @abstractmethod
    def __call__(self, teacher: nn.Module, student: nn.Module, clock: Clock, metrics: Mapping[str, float]) -> dict[str, float]:
        """Moves the teacher in place; returns what to log (`momentum`).

        metrics: the step's losses and the latest held-out ones, the same in every process; `validation_step`: the latest validation.
        """

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The rule's own state; most have none."""
        return {}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes back what `state_dict` gave."""
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, but was given {sorted(state)}")
