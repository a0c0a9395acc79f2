"""Example plugin of FinDNA-Kit: a convolutional encoder and a BYOL-like loss, registered through the public interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.components import hookimpl
from findna_kit_example.depthwise_conv import DepthwiseConv
from findna_kit_example.pooled_agreement import PooledAgreement

if TYPE_CHECKING:
    from findna_kit.plugins import Components

findna_kit_api = 2


@hookimpl
def findna_kit_register(registry: Components) -> None:
    """Register the components of this package, one line each."""
    registry.encoders.add("depthwise_conv", DepthwiseConv)
    registry.losses.add("pooled_agreement", PooledAgreement)
