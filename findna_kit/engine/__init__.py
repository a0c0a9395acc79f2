"""The device, its precision, and the processes of one training; lightning-fabric behind one door."""

from findna_kit.engine.devices import Precision, choose_device, choose_precision, largest_found, largest_that_fits, peak_memory
from findna_kit.engine.engine import Engine, start_engine
from findna_kit.engine.launch import LOST, SUPERVISOR, Launch, launched
from findna_kit.engine.supervisor import supervise
from findna_kit.engine.watch import Watch

__all__ = [
    "LOST", "SUPERVISOR", "Engine", "Launch", "Precision", "Watch", "choose_device", "choose_precision", "largest_found",
    "largest_that_fits", "launched", "peak_memory", "start_engine", "supervise",
]  # fmt: skip
