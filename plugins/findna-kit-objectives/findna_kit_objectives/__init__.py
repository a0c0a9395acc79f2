"""Self-supervised objectives of the literature for FinDNA-Kit, one module each, with the paper cited in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.components import hookimpl
from findna_kit_objectives.barlow_twins import BarlowTwins
from findna_kit_objectives.byol import BYOL
from findna_kit_objectives.dino import DINO
from findna_kit_objectives.ibot import IBOT
from findna_kit_objectives.koleo import KoLeo
from findna_kit_objectives.latent_prediction import LatentPrediction
from findna_kit_objectives.moco import MoCo
from findna_kit_objectives.rc_consistency import RCConsistency
from findna_kit_objectives.relational import Relational
from findna_kit_objectives.simclr import SimCLR
from findna_kit_objectives.simsiam import SimSiam
from findna_kit_objectives.swav import SwAV
from findna_kit_objectives.vicreg import VICReg

if TYPE_CHECKING:
    from findna_kit.plugins import Components

findna_kit_api = 2


@hookimpl
def findna_kit_register(registry: Components) -> None:
    """Register the losses of this package."""
    registry.losses.add("barlow_twins", BarlowTwins)
    registry.losses.add("byol", BYOL)
    registry.losses.add("dino", DINO)
    registry.losses.add("ibot", IBOT)
    registry.losses.add("koleo", KoLeo)
    registry.losses.add("latent_prediction", LatentPrediction)
    registry.losses.add("moco", MoCo)
    registry.losses.add("rc_consistency", RCConsistency)
    registry.losses.add("relational", Relational)
    registry.losses.add("simclr", SimCLR)
    registry.losses.add("simsiam", SimSiam)
    registry.losses.add("swav", SwAV)
    registry.losses.add("vicreg", VICReg)
