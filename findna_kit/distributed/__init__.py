"""Device and precision of a process, and the collectives, launchers, rendezvous and heartbeat of several processes."""

from findna_kit.distributed.collectives import Engine, start_engine
from findna_kit.distributed.devices import (
    Precision,
    choose_device,
    choose_precision,
    halve_until_fits,
    peak_memory,
    search_batch_size,
)
from findna_kit.distributed.heartbeat import Heartbeat
from findna_kit.distributed.launcher import LOST, SUPERVISOR, Launch, current_launch
from findna_kit.distributed.supervisor import supervise

__all__ = [
    "LOST", "SUPERVISOR", "Engine", "Heartbeat", "Launch", "Precision", "choose_device", "choose_precision", "current_launch",
    "halve_until_fits", "peak_memory", "search_batch_size", "start_engine", "supervise",
]  # fmt: skip
