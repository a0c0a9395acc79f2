"""Conformance of the losses that cluster, predict, spread and relate, for each of their examples."""

import pytest
from findna_kit_objectives import DINO, IBOT, KoLeo, LatentPrediction, RCConsistency, Relational, SwAV

from findna_kit.testing import check_loss

KINDS = (DINO, IBOT, KoLeo, LatentPrediction, RCConsistency, Relational, SwAV)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_conforms(kind):
    check_loss(kind)
