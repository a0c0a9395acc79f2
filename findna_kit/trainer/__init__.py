"""The loop: it knows no YAML, no registry and no pluggy."""

from findna_kit.data.sources import Data
from findna_kit.trainer.experiment import Experiment, WeightedLoss
from findna_kit.trainer.loop import StopRequest, train
from findna_kit.trainer.observer import Observer, Reporter

__all__ = ["Data", "Experiment", "Observer", "Reporter", "StopRequest", "WeightedLoss", "train"]
