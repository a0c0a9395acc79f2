"""Heads that several losses use."""

import torch
from torch import nn

from findna_kit.builtin.losses.heads import Projector, Prototypes


def test_a_projector_has_as_many_layers_as_it_says():
    for layers in (1, 2, 4):
        head = Projector(6, 10, 3, layers)
        sizes = [(m.in_features, m.out_features) for m in head if isinstance(m, nn.Linear)]
        assert sizes == ([(6, 3)] if layers == 1 else [(6, 10), *[(10, 10)] * (layers - 2), (10, 3)])
        assert not isinstance(head[-1], nn.GELU)


def test_prototypes_are_cosines():
    head, x = Prototypes(5, 7), torch.randn(3, 5)
    expected = torch.cosine_similarity(x[:, None], head.weight[None], dim=-1)
    torch.testing.assert_close(head(x), expected)
    torch.testing.assert_close(head(9 * x), expected)
