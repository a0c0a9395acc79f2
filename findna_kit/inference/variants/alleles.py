"""What can be done with each ALT of a VCF's line, and where on the genome it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit import alphabet
from findna_kit.inference.variants.vcf import NO_ALTERNATIVE, is_symbolic

if TYPE_CHECKING:
    from findna_kit.data.genome import TokenStore
    from findna_kit.inference.variants.vcf import Line

LONGEST = 50
"""Bases: what is longer is a structural variant, of which a window shows little."""
STATUSES = {
    "scored": "all scores",
    "distance_only": "embedding distances alone: no single base is exchanged, or the run does not predict bases",
    "ref_mismatch": "REF is not what the genome has there",
    "contig_absent": "the genome has no contig of that name",
    "beyond_contig": "POS or the end of REF is outside of the contig",
    "unknown_base": "N or another ambiguous letter in REF, in ALT or in the genome at REF",
    "symbolic_allele": "ALT is <...>, * or a breakend",
    "too_long": f"more than {LONGEST} bases, or half of the window, are changed",
    "no_alternative": f"ALT is {NO_ALTERNATIVE}",
    "same_as_ref": "ALT is REF",
}
WITH_SCORES = ("scored", "distance_only")


@dataclass(frozen=True)
class Allele:
    """One ALT; where it has scores, its contig's number, start from 0, and both alleles without the ends they share."""

    status: str
    contig: int = -1
    start: int = -1
    reference: str = ""
    alternative: str = ""

    @property
    def end(self) -> int:
        """Of the reference's stretch, half-open."""
        return self.start + len(self.reference)


class AlleleClassifier:
    """Gives each ALT its status, from the genome, the window's length and whether the run predicts bases."""

    def __init__(self, store: TokenStore, length: int, *, predicts: bool) -> None:
        self.store = store
        self._longest = min(LONGEST, length // 2)
        self._predicts = predicts
        self._numbers = {contig.name: number for number, contig in enumerate(store.contigs)}

    def __call__(self, line: Line) -> list[Allele]:
        """One for each ALT; one also where there is none."""
        fault = self._fault(line)
        if fault is not None:
            return [Allele(fault)] * len(line.alternatives)
        return [self._allele(line, alternative.upper()) for alternative in line.alternatives]

    def found(self, line: Line) -> str:
        """What the genome has where REF says that it has something else."""
        start = line.position - 1
        return alphabet.decode(self.store.tokens(self._numbers[line.contig], start, start + len(line.reference)))

    def _fault(self, line: Line) -> str | None:
        """Of the whole line, whatever its ALT."""
        number, start = self._numbers.get(line.contig), line.position - 1
        if number is None:
            return "contig_absent"
        if start < 0 or start + len(line.reference) > self.store.contigs[number].length:
            return "beyond_contig"
        stated, there = alphabet.encode(line.reference), self.store.tokens(number, start, start + len(line.reference))
        known = (stated != alphabet.N) & (there != alphabet.N)
        if (stated != there)[known].any():
            return "ref_mismatch"
        return None if known.all() else "unknown_base"

    def _allele(self, line: Line, alternative: str) -> Allele:
        reference = line.reference.upper()
        if alternative == NO_ALTERNATIVE:
            return Allele("no_alternative")
        if is_symbolic(alternative):
            return Allele("symbolic_allele")
        if (alphabet.encode(alternative) == alphabet.N).any():
            return Allele("unknown_base")
        if alternative == reference:
            return Allele("same_as_ref")
        shared, reference, alternative = _trimmed(reference, alternative)
        size = (len(reference), len(alternative))
        if max(size) > self._longest:
            return Allele("too_long")
        status = "scored" if size == (1, 1) and self._predicts else "distance_only"
        return Allele(status, self._numbers[line.contig], line.position - 1 + shared, reference, alternative)


def _trimmed(reference: str, alternative: str) -> tuple[int, str, str]:
    """How many bases both begin with, once those that both end with are off; and what is left of each, of one maybe nothing."""
    end = _shared(reference[::-1], alternative[::-1])
    reference, alternative = reference[: len(reference) - end], alternative[: len(alternative) - end]
    start = _shared(reference, alternative)
    return start, reference[start:], alternative[start:]


def _shared(one: str, other: str) -> int:
    shortest = min(len(one), len(other))
    return next((at for at in range(shortest) if one[at] != other[at]), shortest)
