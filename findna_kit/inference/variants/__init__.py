"""Zero-shot scores of variants: a VCF in, the same lines with scores out, each allele scored or its status saying why not."""

from findna_kit.inference.variants.alleles import STATUSES
from findna_kit.inference.variants.stream import VariantRequest, score_variants

__all__ = ["STATUSES", "VariantRequest", "score_variants"]
