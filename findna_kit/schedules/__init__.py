"""Schedules: pure functions of the training step. They have no state, so there is nothing to step, save or restore.

`Schedule` is the base class of the kind, and the type of a `Config` field that takes one. A recipe writes a schedule as a
number (a constant), as `{cosine: {start: 1.0, end: 0.0}}`, or as `{name: cosine, start: 1.0, end: 0.0}`. `Constant`, `Cosine`,
`Linear` and `WarmupStableDecay` come with the kit: the built-in plugin registers them, and other plugins add their own.
"""

from findna_kit.schedules.bounds import within, zero_until
from findna_kit.schedules.config import Clock, Level, ScheduleConfig, ScheduleFunction
from findna_kit.schedules.json_schema import bounds_schema, schedule_schema
from findna_kit.schedules.shapes import (
    SHAPES,
    UNKNOWN_KEY,
    Constant,
    Cosine,
    Linear,
    Schedule,
    WarmupStableDecay,
)

__all__ = [
    "SHAPES", "UNKNOWN_KEY", "Clock", "Constant", "Cosine", "Level", "Linear", "Schedule", "ScheduleConfig", "ScheduleFunction",
    "WarmupStableDecay", "bounds_schema", "schedule_schema", "within", "zero_until",
]  # fmt: skip
