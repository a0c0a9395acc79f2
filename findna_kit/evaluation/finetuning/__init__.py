"""Fine-tuning of a frozen model's network on a labelled task, with the trainer's optimizer and engine."""

from __future__ import annotations

from findna_kit.evaluation.finetuning.settings import FinetuneSettings, settings_for
from findna_kit.evaluation.finetuning.tuning import FinetuneResult, finetune

__all__ = ["FinetuneResult", "FinetuneSettings", "finetune", "settings_for"]
