"""The head that fine-tuning begins with: the linear probe of the network as it is (LP-FT; Kumar et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from findna_kit.errors import NotFinite
from findna_kit.evaluation.protocols import Features, probe

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.evaluation.finetuning.classifier import StandardisedLinear
    from findna_kit.records.json_files import JsonObject

_ABSENT = -10.0
"""The bias of a class without training samples: its probability is small, and its gradient finite."""


def begin_from_probe(
    head: StandardisedLinear, train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor]
) -> JsonObject:  # fmt: skip
    """Fill the head with the probe of frozen features, and return what the probe chose on the validation split.

    train, validation: embeddings [strands, n, D] and labels [n]. Each strand counts as a sample of its own. Raises NotFinite if
    an embedding is not finite.
    """
    (features, labels), (scored, scored_labels) = (_samples(*split) for split in (train, validation))
    if not (torch.isfinite(features).all() and torch.isfinite(scored).all()):
        raise NotFinite("embeddings are not finite before fine-tuning: look at the run's losses, or use an earlier checkpoint")
    fitted = probe(
        Features(features.numpy(), labels.numpy(), scored.numpy(), scored_labels.numpy(), head.out_features)
    )  # fmt: skip
    weight, bias = fitted.scores.logits(_ABSENT)
    mean, deviation = fitted.scores.scaling
    with torch.no_grad():
        pairs = ((head.weight, weight), (head.bias, bias), (head.mean, mean), (head.deviation, deviation))
        for tensor, values in pairs:
            tensor.copy_(torch.from_numpy(values))
    return fitted.chosen


def _samples(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return features [strands * n, D] and their labels, on the CPU."""
    return features.flatten(0, 1).cpu(), labels.repeat(len(features)).cpu()
