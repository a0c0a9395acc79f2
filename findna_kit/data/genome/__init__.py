"""One genome: from a FASTA to a token store, regions of it, and the windows drawn from these regions."""

from findna_kit.data.cache_folder import cache_folder
from findna_kit.data.genome.builtin import builtin_digest, builtin_genome, builtin_regions, is_builtin
from findna_kit.data.genome.regions import Regions, Split, read_bed, read_named_bed, split
from findna_kit.data.genome.report import genome_report
from findna_kit.data.genome.token_store import StoredContig, TokenStore, open_store
from findna_kit.data.genome.windows import MixedWindows, WindowSampler

__all__ = [
    "MixedWindows",
    "Regions",
    "Split",
    "StoredContig",
    "TokenStore",
    "WindowSampler",
    "builtin_digest",
    "builtin_genome",
    "builtin_regions",
    "cache_folder",
    "genome_report",
    "is_builtin",
    "open_store",
    "read_bed",
    "read_named_bed",
    "split",
]
