"""The built-in components. They are registered through the package's own entry point, as those of any plugin are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.builtin.augmentations.deletion import Deletion
from findna_kit.builtin.augmentations.insertion import Insertion
from findna_kit.builtin.augmentations.inversion import Inversion
from findna_kit.builtin.augmentations.mutation import Mutation
from findna_kit.builtin.augmentations.neighbour import Neighbour
from findna_kit.builtin.augmentations.noise import Noise
from findna_kit.builtin.augmentations.reverse_complement import ReverseComplement
from findna_kit.builtin.augmentations.substitution import Substitution
from findna_kit.builtin.augmentations.translocation import Translocation
from findna_kit.builtin.encoders.chordmixer import ChordMixer
from findna_kit.builtin.encoders.dilated_conv import DilatedConv
from findna_kit.builtin.encoders.patch_transformer import PatchTransformer
from findna_kit.builtin.encoders.transformer import Transformer
from findna_kit.builtin.losses.embedding_prediction import EmbeddingPrediction
from findna_kit.builtin.losses.info_nce import InfoNCE
from findna_kit.builtin.losses.masked_nucleotides import MaskedNucleotides
from findna_kit.builtin.losses.self_distillation import SelfDistillation
from findna_kit.builtin.losses.sigreg import SIGReg
from findna_kit.builtin.losses.visreg import VISReg
from findna_kit.builtin.maskings.independent import IndependentMasking
from findna_kit.builtin.maskings.span import SpanMasking
from findna_kit.builtin.optimizers.adamw import AdamW
from findna_kit.builtin.optimizers.lion import Lion
from findna_kit.builtin.optimizers.sgd import SGD
from findna_kit.builtin.teacher_updates.ema import EMA
from findna_kit.builtin.teacher_updates.frozen import Frozen
from findna_kit.builtin.teacher_updates.none import NoTeacher
from findna_kit.builtin.teacher_updates.periodic import PeriodicCopy
from findna_kit.components import Constant, Cosine, Linear, WarmupStableDecay, hookimpl

if TYPE_CHECKING:
    from findna_kit.plugins import Components

findna_kit_api = 2


@hookimpl
def findna_kit_register(registry: Components) -> None:
    """Register every built-in component."""
    registry.augmentations.add("deletion", Deletion)
    registry.augmentations.add("insertion", Insertion)
    registry.augmentations.add("inversion", Inversion)
    registry.augmentations.add("mutation", Mutation)
    registry.augmentations.add("neighbour", Neighbour)
    registry.augmentations.add("noise", Noise)
    registry.augmentations.add("reverse_complement", ReverseComplement)
    registry.augmentations.add("substitution", Substitution)
    registry.augmentations.add("translocation", Translocation)
    registry.maskings.add("independent", IndependentMasking)
    registry.maskings.add("span", SpanMasking)
    registry.encoders.add("chordmixer", ChordMixer)
    registry.encoders.add("dilated_conv", DilatedConv)
    registry.encoders.add("patch_transformer", PatchTransformer)
    registry.encoders.add("transformer", Transformer)
    registry.losses.add("embedding_prediction", EmbeddingPrediction)
    registry.losses.add("info_nce", InfoNCE)
    registry.losses.add("masked_nucleotides", MaskedNucleotides)
    registry.losses.add("self_distillation", SelfDistillation)
    registry.losses.add("sigreg", SIGReg)
    registry.losses.add("visreg", VISReg)
    registry.teacher_updates.add("ema", EMA)
    registry.teacher_updates.add("frozen", Frozen)
    registry.teacher_updates.add("none", NoTeacher)
    registry.teacher_updates.add("periodic", PeriodicCopy)
    registry.optimizers.add("adamw", AdamW)
    registry.optimizers.add("lion", Lion)
    registry.optimizers.add("sgd", SGD)
    # These lie outside of this package, because defaults of parameters everywhere are made of them.
    registry.schedules.add("constant", Constant)
    registry.schedules.add("cosine", Cosine)
    registry.schedules.add("linear", Linear)
    registry.schedules.add("wsd", WarmupStableDecay)
