"""Runs: starting, resuming and scoring them, for the command line, studies and the Python API."""

from findna_kit.records.run_folder import RunLocation
from findna_kit.runs.evaluate import evaluate_run
from findna_kit.runs.finetune import Finetuned, finetune_run
from findna_kit.runs.init_weights import take_initial_weights
from findna_kit.runs.reporters import Reporters
from findna_kit.runs.scoring import Scoring, recipe_scoring
from findna_kit.runs.start import RunResult, start

__all__ = [
    "Finetuned",
    "Reporters",
    "RunLocation",
    "RunResult",
    "Scoring",
    "evaluate_run",
    "finetune_run",
    "recipe_scoring",
    "start",
    "take_initial_weights",
]  # fmt: skip
