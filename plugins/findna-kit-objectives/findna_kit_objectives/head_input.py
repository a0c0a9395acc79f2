"""Access to the embeddings that a loss without heads reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.components import BranchOutput


def input_rows(output: BranchOutput) -> Tensor:
    """Return the rows that the loss's `head_input` selects, in fp32. Raise ValueError if the branch did not compute them."""
    if output.rows is None:
        raise ValueError("the branch did not compute the rows that this loss reads")
    return output.rows.float()
