"""The loop: it knows no YAML, no registry and no pluggy."""

from findna_kit.trainer.experiment import Data, Experiment, WeightedLoss
from findna_kit.trainer.loop import Reporter, StopRequest, train

__all__ = ["Data", "Experiment", "Reporter", "StopRequest", "WeightedLoss", "train"]
