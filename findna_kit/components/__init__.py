"""The one door for plugin authors: everything that a component is written with.

A plugin imports from here, and from nowhere else inside the kit, what it needs to define and register components::

    from findna_kit.components import ComponentConfig, Loss, LossOutput, hookimpl

What is exported, by use:

- Base classes, one per kind: `Encoder`, `Augmentation`, `Masking`, `Loss`, `TeacherUpdate`, `Optimizer`, `Schedule`.
  `ComponentConfig` is the base of their nested `Config` (`OptimizerConfig` and `ScheduleConfig` of the last two);
  `RecipePath` is the type of a field that names a file; `Examples` that of the attribute `examples`.
- Data that components receive or return: `View` and `Draw` (its random numbers), `Contig`, `ViewPlan`, `BranchOutput`,
  `LossOutput`, `Clock`.
- Parameters that change during training: `Schedule` is the type of a field, too, and `within` its bounds; defaults are made of
  `Constant`, `Cosine`, `Linear`, `WarmupStableDecay`. `Level` is the type of a schedule's parameter that is a value of it.
  `ScheduleFunction` is any function of the clock, and `zero_until` sets one to zero over the first steps.
- Optimizers: `ParameterGroup`, and `torch_groups` in the form that torch takes.
- Heads of losses: `Projector`, `Prototypes`, `BatchNorm`; assignments to prototypes: `sinkhorn`, `information_shares`.
- Terms that keep features from collapsing: `feature_statistics` gives those of VICReg, as `FeatureStatistics`.
- Moving averages of a teacher: `ema_update`, `AveragingConfig`.
- Masking: `MaskCorruptionConfig`, `maskable_bases`.
- Moving segments of a sequence: `SegmentConfig`, `positions_and_lengths`, `shifted_segments`.
- Reverse complements: `reverse_valid`, `reverse_complement_bases`, `average_halves`, `embedding_width`.
- Registration: `hookimpl`, and `API_VERSION`, the version of these interfaces.

`findna_kit.alphabet` (tokens), `findna_kit.rng` (seeded randomness) and `findna_kit.errors` are public too. So are `Branch`
(`findna_kit.model.branch`, for a teacher of another architecture), `RCAverage` and `RCEquivariant`
(`findna_kit.model.reverse_complement`, for an encoder that wraps another one). All other names may change without notice.
"""

from findna_kit.components.assignments import information_shares, sinkhorn
from findna_kit.components.draws import Draw
from findna_kit.components.ema import AveragingConfig, ema_update
from findna_kit.components.feature_statistics import FeatureStatistics, feature_statistics
from findna_kit.components.heads import BatchNorm, Projector, Prototypes
from findna_kit.components.hooks import hookimpl
from findna_kit.components.interfaces import (
    API_VERSION,
    Augmentation,
    BranchOutput,
    ComponentConfig,
    Contig,
    Encoder,
    Examples,
    Loss,
    LossOutput,
    Masking,
    RecipePath,
    TeacherUpdate,
    ViewPlan,
)
from findna_kit.components.mask_corruption import MaskCorruptionConfig, maskable_bases
from findna_kit.components.optimizer import Optimizer, OptimizerConfig, ParameterGroup, torch_groups
from findna_kit.components.segments import SegmentConfig, positions_and_lengths, shifted_segments
from findna_kit.components.strands import average_halves, embedding_width, reverse_complement_bases, reverse_valid
from findna_kit.components.views import View
from findna_kit.schedules import (
    Clock,
    Constant,
    Cosine,
    Level,
    Linear,
    Schedule,
    ScheduleConfig,
    ScheduleFunction,
    WarmupStableDecay,
    within,
    zero_until,
)

__all__ = [
    "API_VERSION",
    "Augmentation",
    "AveragingConfig",
    "BatchNorm",
    "BranchOutput",
    "Clock",
    "ComponentConfig",
    "Constant",
    "Contig",
    "Cosine",
    "Draw",
    "Encoder",
    "Examples",
    "FeatureStatistics",
    "Level",
    "Linear",
    "Loss",
    "LossOutput",
    "MaskCorruptionConfig",
    "Masking",
    "Optimizer",
    "OptimizerConfig",
    "ParameterGroup",
    "Projector",
    "Prototypes",
    "RecipePath",
    "Schedule",
    "ScheduleConfig",
    "ScheduleFunction",
    "SegmentConfig",
    "TeacherUpdate",
    "View",
    "ViewPlan",
    "WarmupStableDecay",
    "average_halves",
    "ema_update",
    "embedding_width",
    "feature_statistics",
    "hookimpl",
    "information_shares",
    "maskable_bases",
    "positions_and_lengths",
    "reverse_complement_bases",
    "reverse_valid",
    "shifted_segments",
    "sinkhorn",
    "torch_groups",
    "within",
    "zero_until",
]
