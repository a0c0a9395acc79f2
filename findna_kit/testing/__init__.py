"""Conformance checks for plugin authors. They test whether a component meets the requirements of its kind.

    from findna_kit.testing import check_encoder

    def test_conforms():
        check_encoder(MyEncoder, {"dim": 16})

Each check is deterministic, runs on the CPU and takes about a second. `Nonconforming` is an AssertionError whose message lists
all violations.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from findna_kit.testing.checks import Nonconforming
    from findna_kit.testing.conformance import (
        check_augmentation,
        check_encoder,
        check_loss,
        check_masking,
        check_optimizer,
        check_schedule,
        check_teacher_update,
    )

__all__ = [
    "Nonconforming", "check_augmentation", "check_encoder", "check_loss", "check_masking", "check_optimizer", "check_schedule",
    "check_teacher_update",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # Imported on first use: the pytest plugin in this package is imported in every session, and must not import torch.
    if name in __all__:
        module = "checks" if name == "Nonconforming" else "conformance"
        return getattr(import_module(f"findna_kit.testing.{module}"), name)
    raise AttributeError(f"module 'findna_kit.testing' has no attribute {name!r}")
