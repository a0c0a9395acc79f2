"""The device, its precision, and the processes of one training; lightning-fabric behind one door."""

from findna_kit.distributed.collectives import Engine, start_engine
from findna_kit.distributed.devices import (
    Precision,
    choose_device,
    choose_precision,
    largest_found,
    largest_that_fits,
    peak_memory,
)
from findna_kit.distributed.heartbeat import Heartbeat
from findna_kit.distributed.launcher import LOST, SUPERVISOR, Launch, current_launch
from findna_kit.distributed.supervisor import supervise

__all__ = [
    "LOST",
    "SUPERVISOR",
    "Engine",
    "Heartbeat",
    "Launch",
    "Precision",
    "choose_device",
    "choose_precision",
    "current_launch",
    "largest_found",
    "largest_that_fits",
    "peak_memory",
    "start_engine",
    "supervise",
]  # fmt: skip
