"""Conformance of the losses that compare views of a window, including two processes and resumed runs."""

import pytest
from findna_kit_objectives import BYOL, BarlowTwins, MoCo, SimCLR, SimSiam, VICReg

from findna_kit.testing import check_loss


@pytest.mark.slow
@pytest.mark.parametrize("kind", [BYOL, BarlowTwins, MoCo, SimCLR, SimSiam, VICReg], ids=lambda kind: kind.__name__)
def test_conforms(kind):
    check_loss(kind)
