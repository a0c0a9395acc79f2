"""Draw the windows of the built-in task: coding exon against intron and flank.

Only the standard library is used, and every choice comes from SHA-256 digests, so the draw does not depend on
the state or the version of a random number generator.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

WIDTH = 200
HALF = WIDTH // 2
REPEAT = 25  # two windows that share a word of this length, on either strand, count as near-duplicates
STOP_CODON = 3  # the gene structures leave the stop codon out of the CDS
SEED = 7

_COMPLEMENT = str.maketrans("ACGTacgt", "TGCAtgca")
_EXON = re.compile(r"(\d+)\.\.(\d+)")
_RECORD = re.compile(
    r"LOCUS\s+chr2R_(?P<start>\d+)-(?P<end>\d+)\s.*?CDS\s+(?P<exons>[^/]+)/gene=.*?ORIGIN(?P<bases>.*)\Z", re.DOTALL
)


@dataclass(frozen=True)
class Gene:
    """One record: its span on the contig, its coding exons there and its own bases (lower case)."""

    start: int
    end: int
    exons: tuple[tuple[int, int], ...]
    bases: str


@dataclass(frozen=True)
class Region:
    """A named stretch of the contig, 0-based half-open."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Window:
    """One row of the task."""

    start: int
    label: int
    strand: str
    sequence: str
    gene: int  # start of the record it lies in

    @property
    def end(self) -> int:
        """End on the contig, exclusive."""
        return self.start + WIDTH


def reverse_complement(bases: str) -> str:
    """Read the other strand; case is kept."""
    return bases.translate(_COMPLEMENT)[::-1]


def parse_genes(text: str) -> tuple[list[Gene], int]:
    """Read the GenBank records; also the number of records that could not be read."""
    genes: list[Gene] = []
    chunks = [chunk for chunk in re.split(r"^//$", text, flags=re.MULTILINE) if chunk.strip()]
    for chunk in chunks:
        found = _RECORD.search(chunk)
        if found is None:
            continue
        # Record names count from 1 at the contig's first base; places inside a record count from 1 as well.
        start, end = int(found["start"]) - 1, int(found["end"])
        # The package wraps lines in the middle of a number, so white space goes first.
        spans = _EXON.findall(re.sub(r"\s", "", found["exons"]))
        exons = tuple((start + int(first) - 1, start + int(last)) for first, last in spans)
        genes.append(Gene(start, end, exons, re.sub(r"[\s\d]", "", found["bases"])))
    return sorted(genes, key=lambda gene: gene.start), len(chunks) - len(genes)


def parse_coding(gff: str) -> list[tuple[int, int]]:
    """Read every CDS of the protein alignments, counted on the contig."""
    rows = (line.split("\t") for line in gff.splitlines() if line)
    return [(int(row[3]) - 1, int(row[4])) for row in rows if row[2] == "CDS"]


def trusted(contig: str, genes: list[Gene], coding: list[tuple[int, int]]) -> list[Gene]:
    """Keep the records that are the genome at their coordinates and whose exons make a frame and are aligned ones."""
    aligned = _mask(len(contig), coding)
    return [
        gene
        for gene in genes
        if contig[gene.start : gene.end].lower() == gene.bases
        and sum(end - start for start, end in gene.exons) % 3 == 0
        and all(start < end and all(aligned[start:end]) for start, end in gene.exons)
    ]


def draw(contig: str, genes: list[Gene], coding: list[tuple[int, int]], parts: dict[str, Region]) -> dict[str, list[Window]]:
    """Draw balanced windows for each part in `parts`, and for `train` from what lies outside all of them."""
    groups: dict[str, list[Window]] = {part: [] for part in (*parts, "train")}
    own = _mask(len(contig), (exon for gene in genes for exon in gene.exons))
    any_coding = _mask(len(contig), ((start - STOP_CODON, end + STOP_CODON) for start, end in coding))
    for gene in genes:
        groups[part_of(gene, parts)].extend(_tile(contig, gene, own, any_coding))
    # Held-out parts come first, so that a repeat costs the training part and not them.
    seen: set[str] = set()
    return {part: _balance([window for window in windows if _is_new(window, seen)]) for part, windows in groups.items()}


def part_of(gene: Gene, parts: dict[str, Region]) -> str:
    """Name the part a record belongs to; a record across a border would be in two, so it is an error."""
    for part, region in parts.items():
        if region.start <= gene.start and gene.end <= region.end:
            return part
        if gene.start < region.end and region.start < gene.end:
            raise ValueError(f"the record at {gene.start}-{gene.end} straddles a border of {region.name}")
    return "train"


def _mask(length: int, spans: Iterable[tuple[int, int]]) -> bytearray:
    mask = bytearray(length)
    for start, end in spans:
        low, high = max(start, 0), min(end, length)
        mask[low:high] = b"\x01" * (high - low)
    return mask


def _tile(contig: str, gene: Gene, own: bytearray, any_coding: bytearray) -> list[Window]:
    """Lay adjacent windows over a record and keep those whose label is clear."""
    # A grid with a drawn phase, and not windows centred on exons: else the place of the splice sites in the
    # window would tell the label.
    windows = []
    for start in range(gene.start + _number("phase", gene.start) % WIDTH, gene.end - WIDTH + 1, WIDTH):
        end = start + WIDTH
        coding = sum(own[start:end])
        if coding < HALF and any(any_coding[start:end]):
            continue
        bases = contig[start:end]
        if not set(bases) <= set("ACGTacgt"):
            continue
        # Drawn, because the few genes of a part need not be evenly spread over the strands.
        strand = "+-"[_number("strand", start) % 2]
        sequence = bases if strand == "+" else reverse_complement(bases)
        windows.append(Window(start, int(coding >= HALF), strand, sequence, gene.start))
    return windows


def _is_new(window: Window, seen: set[str]) -> bool:
    """Whether no earlier window shares a word with this one; if so, remember its words."""
    bases = window.sequence.upper()
    words = {text[i : i + REPEAT] for text in (bases, reverse_complement(bases)) for i in range(WIDTH - REPEAT + 1)}
    if not seen.isdisjoint(words):
        return False
    seen |= words
    return True


def _balance(windows: list[Window]) -> list[Window]:
    """Keep as many windows of either label as the rarer one has."""
    classes = [_rotate([window for window in windows if window.label == label]) for label in (0, 1)]
    size = min(len(members) for members in classes)
    return sorted((window for members in classes for window in members[:size]), key=lambda window: window.start)


def _rotate(windows: list[Window]) -> list[Window]:
    """Order windows so that records take turns: else a few records of 100 kb would supply most introns."""
    turns: dict[int, int] = {}
    keys = {}
    for window in sorted(windows, key=lambda window: _number("order", window.start)):
        turns[window.gene] = turns.get(window.gene, 0) + 1
        keys[window.start] = (turns[window.gene], _number("turn", window.start))
    return sorted(windows, key=lambda window: keys[window.start])


def _number(purpose: str, place: int) -> int:
    """Draw a number that depends on the seed, the purpose and the place only."""
    return int.from_bytes(hashlib.sha256(f"{SEED}:{purpose}:{place}".encode()).digest()[:8], "big")
