"""What `run`, `--resume`, `evaluate` and later ablations all call."""

from findna_kit.runs.folder import Place
from findna_kit.runs.genome_data import open_genome
from findna_kit.runs.initial import take_initial_weights
from findna_kit.runs.reporting import Reporters
from findna_kit.runs.score import Scoring, evaluate_run
from findna_kit.runs.start import Result, Watcher, start

__all__ = [
    "Place", "Reporters", "Result", "Scoring", "Watcher", "evaluate_run", "open_genome", "start", "take_initial_weights",
]  # fmt: skip
