"""Published encoder architectures for FinDNA-Kit, one module each, registered through the public plugin interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.components import hookimpl
from findna_kit_encoders.caduceus import Caduceus
from findna_kit_encoders.cdil import CDIL
from findna_kit_encoders.convnext import ConvNeXt
from findna_kit_encoders.deepsea import DeepSEA
from findna_kit_encoders.gpn import GPN
from findna_kit_encoders.hyena import Hyena
from findna_kit_encoders.mamba import Mamba
from findna_kit_encoders.pretrained import Pretrained

if TYPE_CHECKING:
    from findna_kit.plugins import Components

findna_kit_api = 2


@hookimpl
def findna_kit_register(registry: Components) -> None:
    """Register the encoders of this package."""
    registry.encoders.add("caduceus", Caduceus)
    registry.encoders.add("cdil", CDIL)
    registry.encoders.add("convnext", ConvNeXt)
    registry.encoders.add("deepsea", DeepSEA)
    registry.encoders.add("gpn", GPN)
    registry.encoders.add("hyena", Hyena)
    registry.encoders.add("mamba", Mamba)
    registry.encoders.add("pretrained", Pretrained)
