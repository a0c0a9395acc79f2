"""What the kit asks of a loss, asked of those that cluster, predict, spread and relate; each with its own examples."""

import pytest
from findna_kit_objectives import DINO, IBOT, KoLeo, LatentPrediction, RCConsistency, Relational, SwAV

from findna_kit.testing import check_loss

KINDS = (DINO, IBOT, KoLeo, LatentPrediction, RCConsistency, Relational, SwAV)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_conforms(kind):
    check_loss(kind)
