"""Conformance checks for authors of plugins: what the kit asks of a component, asked of yours, and answered in words.

    from findna_kit.testing import check_encoder

    def test_conforms():
        check_encoder(MyEncoder, {"dim": 16})

Each check is deterministic, runs on the CPU and takes about a second. `Nonconforming` is an AssertionError that lists all that
is wrong.
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
    # Late: the pytest plugin beside this is imported in every session of the environment, and must come without torch.
    if name in __all__:
        home = "checks" if name == "Nonconforming" else "conformance"
        return getattr(import_module(f"findna_kit.testing.{home}"), name)
    raise AttributeError(f"module 'findna_kit.testing' has no attribute {name!r}")
