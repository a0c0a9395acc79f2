"""The one door for plugin authors: everything that a component is written with.

A plugin imports from here, and from nowhere else inside the kit, what it needs to define and register components::

    from findna_kit.components import ComponentConfig, Loss, LossOutput, hookimpl

What is exported, by use:

- Base classes, one per kind: `Encoder`, `Augmentation`, `Masking`, `Loss`, `TeacherUpdate`. `ComponentConfig` is the base of
  their nested `Config`; `RecipePath` is the type of a field that names a file; `Examples` that of the attribute `examples`.
- Data that components receive or return: `View` and `Draw` (its random numbers), `Contig`, `ViewPlan`, `BranchOutput`,
  `LossOutput`, `Clock`.
- Parameters that change during training: `Schedule` (the type of a field), `within` (its bounds), and for defaults
  `ScheduleValue`, `Cosine`, `Linear`.
- Heads of losses: `Projector`, `Prototypes`, `BatchNorm`.
- Moving averages of a teacher: `ema_update`, `AveragingConfig`.
- Masking: `MaskCorruptionConfig`, `maskable_bases`.
- Moving segments of a sequence: `SegmentConfig`, `positions_and_lengths`, `shifted_segments`.
- Reverse complements: `reverse_valid`, `reverse_complement_bases`, `average_halves`, `embedding_width`.
- Registration: `hookimpl`, and `API_VERSION`, the version of these interfaces.

`findna_kit.alphabet` (tokens), `findna_kit.rng` (seeded randomness) and `findna_kit.errors` are public too. Names that are not
listed in `__all__` may change without notice.
"""

from findna_kit.components.draws import Draw
from findna_kit.components.ema import AveragingConfig, ema_update
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
from findna_kit.components.segments import SegmentConfig, positions_and_lengths, shifted_segments
from findna_kit.components.strands import average_halves, embedding_width, reverse_complement_bases, reverse_valid
from findna_kit.components.views import View
from findna_kit.schedules import Clock, Cosine, Linear, Schedule, ScheduleValue, within

__all__ = [
    "API_VERSION",
    "Augmentation",
    "AveragingConfig",
    "BatchNorm",
    "BranchOutput",
    "Clock",
    "ComponentConfig",
    "Contig",
    "Cosine",
    "Draw",
    "Encoder",
    "Examples",
    "Linear",
    "Loss",
    "LossOutput",
    "MaskCorruptionConfig",
    "Masking",
    "Projector",
    "Prototypes",
    "RecipePath",
    "Schedule",
    "ScheduleValue",
    "SegmentConfig",
    "TeacherUpdate",
    "View",
    "ViewPlan",
    "average_halves",
    "ema_update",
    "embedding_width",
    "hookimpl",
    "maskable_bases",
    "positions_and_lengths",
    "reverse_complement_bases",
    "reverse_valid",
    "shifted_segments",
    "within",
]
