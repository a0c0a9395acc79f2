"""What a loss without heads reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.components import BranchOutput


def rows_of(output: BranchOutput) -> Tensor:
    """The rows that `reads` names, fp32. Raises ValueError where the branch was not asked for them."""
    if output.rows is None:
        raise ValueError("the branch was not asked for what this loss reads")
    return output.rows.float()
