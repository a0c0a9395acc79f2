"""Classification of the ALT alleles of a VCF record: which scores are possible, and where in the genome the allele lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit import alphabet
from findna_kit.inference.variants.vcf import NO_ALTERNATIVE, is_symbolic

if TYPE_CHECKING:
    from findna_kit.data.genome import TokenStore
    from findna_kit.inference.variants.vcf import VcfRecord

MAX_ALLELE = 50
"""Largest number of bases of an allele. Longer ones are structural variants, most of which lies outside a window."""
STATUSES = {
    "scored": "all scores",
    "distance_only": "embedding distances only: not a single-base substitution, or the run does not predict bases",
    "ref_mismatch": "REF differs from the genome",
    "contig_absent": "the genome has no contig of that name",
    "beyond_contig": "POS or the end of REF is outside the contig",
    "unknown_base": "N or another ambiguous letter in REF, in ALT or in the genome at REF",
    "symbolic_allele": "ALT is <...>, * or a breakend",
    "too_long": f"more than {MAX_ALLELE} bases, or half of the window, change",
    "no_alternative": f"ALT is {NO_ALTERNATIVE}",
    "same_as_ref": "ALT is REF",
}
WITH_SCORES = ("scored", "distance_only")


@dataclass(frozen=True)
class Allele:
    """One ALT allele: its status and, if it can be scored, its contig, 0-based start, and REF and ALT without shared ends."""

    status: str
    contig: int = -1
    start: int = -1
    reference: str = ""
    alternative: str = ""

    @property
    def end(self) -> int:
        """Return the end of the reference allele, half-open."""
        return self.start + len(self.reference)


class AlleleClassifier:
    """Assigns a status to each ALT allele, given the genome, the window length and whether the run predicts bases."""

    def __init__(self, store: TokenStore, length: int, *, predicts: bool) -> None:
        self.store = store
        # Beyond half of the window, the flanks on both sides would be too short to say anything.
        self._max_length = min(MAX_ALLELE, length // 2)
        self._predicts = predicts
        self._numbers = {contig.name: number for number, contig in enumerate(store.contigs)}

    def __call__(self, line: VcfRecord) -> list[Allele]:
        """Return one allele per ALT of the record, and one for a record without ALT."""
        problem = self._problem(line)
        if problem is not None:
            return [Allele(problem)] * len(line.alternatives)
        return [self._allele(line, alternative.upper()) for alternative in line.alternatives]

    def genome_reference(self, line: VcfRecord) -> str:
        """Return the bases of the genome at the position of REF."""
        start = line.position - 1
        return alphabet.decode(self.store.tokens(self._numbers[line.contig], start, start + len(line.reference)))

    def _problem(self, line: VcfRecord) -> str | None:
        """Return the status of all alleles if REF or POS cannot be used, else None."""
        number, start = self._numbers.get(line.contig), line.position - 1
        if number is None:
            return "contig_absent"
        if start < 0 or start + len(line.reference) > self.store.contigs[number].length:
            return "beyond_contig"
        reference, genome = alphabet.encode(line.reference), self.store.tokens(number, start, start + len(line.reference))
        # An ambiguous letter on either side is no evidence of a mismatch.
        known = (reference != alphabet.N) & (genome != alphabet.N)
        if (reference != genome)[known].any():
            return "ref_mismatch"
        return None if known.all() else "unknown_base"

    def _allele(self, line: VcfRecord, alternative: str) -> Allele:
        """Classify one ALT of a record whose REF matches the genome."""
        reference = line.reference.upper()
        if alternative == NO_ALTERNATIVE:
            return Allele("no_alternative")
        if is_symbolic(alternative):
            return Allele("symbolic_allele")
        if (alphabet.encode(alternative) == alphabet.N).any():
            return Allele("unknown_base")
        if alternative == reference:
            return Allele("same_as_ref")
        # VCF pads indels with a base of context; only the bases that change decide the size and the window.
        shared, reference, alternative = _trim(reference, alternative)
        size = (len(reference), len(alternative))
        if max(size) > self._max_length:
            return Allele("too_long")
        status = "scored" if size == (1, 1) and self._predicts else "distance_only"
        return Allele(status, self._numbers[line.contig], line.position - 1 + shared, reference, alternative)


def _trim(reference: str, alternative: str) -> tuple[int, str, str]:
    """Remove the shared suffix, then the shared prefix; return the length of the prefix and what is left of both alleles."""
    # The suffix goes first: in a repeat, what is left of an insertion or deletion then lies as far to the left as it can.
    end = _shared_prefix(reference[::-1], alternative[::-1])
    reference, alternative = reference[: len(reference) - end], alternative[: len(alternative) - end]
    start = _shared_prefix(reference, alternative)
    return start, reference[start:], alternative[start:]


def _shared_prefix(first: str, second: str) -> int:
    """Return the length of the common prefix."""
    shortest = min(len(first), len(second))
    return next((index for index in range(shortest) if first[index] != second[index]), shortest)
