"""Zero-shot scores of variants: reads a VCF, writes its records with scores or with the reason why there are none."""

from findna_kit.inference.variants.alleles import STATUSES
from findna_kit.inference.variants.stream import VariantRequest, score_variants

__all__ = ["STATUSES", "VariantRequest", "score_variants"]
