"""Training of an assembled experiment: the step, the loop and validation. Knows no YAML, no registry and no pluggy."""

from findna_kit.data.sources import Data
from findna_kit.trainer.experiment import Experiment, WeightedLoss
from findna_kit.trainer.loop import train
from findna_kit.trainer.observer import Observer, Reporter
from findna_kit.trainer.stop_request import StopRequest

__all__ = ["Data", "Experiment", "Observer", "Reporter", "StopRequest", "WeightedLoss", "train"]
