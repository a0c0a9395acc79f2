"""Fine-tuning of a frozen model's network on a labelled task: the trainer's optimizer and engine, an epoch at a time."""

from __future__ import annotations

from findna_kit.evaluation.finetuning.settings import FinetuneSettings, settings_for
from findna_kit.evaluation.finetuning.tuning import Tuned, finetune

__all__ = ["FinetuneSettings", "Tuned", "finetune", "settings_for"]
