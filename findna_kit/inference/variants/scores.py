"""Variant scores: the log-likelihood ratio of the masked base, and distances between the embeddings of REF and ALT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from findna_kit import alphabet
from findna_kit.inference.distances import embedding_distances
from findna_kit.inference.variants.alleles import WITH_SCORES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from findna_kit.data.genome import TokenStore
    from findna_kit.inference.frozen_model import FrozenModel, Strand
    from findna_kit.inference.variants.alleles import Allele

SCORES = ("llr", "cosine", "euclidean", "unknown")
Key = TypeVar("Key")


@dataclass(frozen=True)
class VariantWindow:
    """The window around a variant, with either allele. offset: position of the first variant base in the window."""

    reference: str
    alternative: str
    offset: int


def variant_window(store: TokenStore, allele: Allele, length: int) -> VariantWindow:
    """Return the window of at most `length` bases centred on the variant; near a contig's end it is shifted, not shortened.

    It is symmetric: the window of the reverse-complemented genome is the reverse complement of this one.
    """
    # Both alleles get the same flanks, so that their embeddings differ by the variant alone.
    side = (length - max(len(allele.reference), len(allele.alternative))) // 2
    # What one flank lacks at a contig's end is added to the other flank, as far as the contig has bases there.
    before, after = allele.start, store.contigs[allele.contig].length - allele.end
    left, right = min(before, 2 * side - min(side, after)), min(after, 2 * side - min(side, before))
    text = alphabet.decode(store.tokens(allele.contig, allele.start - left, allele.end + right))
    return VariantWindow(text, text[:left] + allele.alternative + text[left + len(allele.reference) :], left)


class VariantScorer:
    """Scores alleles with a frozen model. A window that several alleles share is evaluated once."""

    def __init__(self, model: FrozenModel, store: TokenStore, *, length: int, strand: Strand) -> None:
        self._model, self._store, self._length, self._strand = model, store, length, strand

    def __call__(self, alleles: Sequence[Allele]) -> NDArray[np.float64]:
        """Return the scores [n, SCORES]; NaN for a score that an allele cannot have.

        llr: ln p(ALT) - ln p(REF) at the masked base. cosine, euclidean: distances between the embeddings of the window with
        REF and with ALT. unknown: number of N in the window. With strand `both` the first three are means over both strands.
        """
        scores = np.full((len(alleles), len(SCORES)), np.nan)
        scorable = [row for row, allele in enumerate(alleles) if allele.status in WITH_SCORES]
        windows = {row: variant_window(self._store, alleles[row], self._length) for row in scorable}
        single = [row for row in scorable if alleles[row].status == "scored"]
        if single:
            scores[single, 0] = self._ratios([alleles[row] for row in single], [windows[row] for row in single])
        if scorable:
            scores[scorable, 1:3] = self._distances(list(windows.values()))
            scores[scorable, 3] = [variant_window.reference.count("N") for variant_window in windows.values()]
        return scores

    def _ratios(self, alleles: list[Allele], windows: list[VariantWindow]) -> NDArray[np.float64]:
        """Return the log-likelihood ratios [n] of single-base substitutions."""
        keys, owner = _distinct((variant_window.reference, variant_window.offset) for variant_window in windows)
        texts, positions = [text for text, _ in keys], np.array([offset for _, offset in keys], dtype=np.int64)
        logs = self._model.base_log_probabilities(texts, positions).astype(np.float64)
        if self._strand == "both":
            # The same base, counted from the other end.
            mirrored = np.array([len(text) for text in texts]) - 1 - positions
            # The columns A C G T in reverse order are those of the complements, T G C A.
            logs = (logs + self._model.base_log_probabilities(_reverse_complements(texts), mirrored)[:, ::-1]) / 2
        tokens = [
            alphabet.encode("".join(getattr(allele, side) for allele in alleles)) for side in ("reference", "alternative")
        ]
        return np.asarray(logs[owner, tokens[1]] - logs[owner, tokens[0]])

    def _distances(self, windows: list[VariantWindow]) -> NDArray[np.float64]:
        """Return the cosine and Euclidean distances [n, 2] between the embeddings of both alleles."""
        texts, owner = _distinct(
            text for variant_window in windows for text in (variant_window.reference, variant_window.alternative)
        )
        # The mean of the strands' distances, not the distance of their means: there, a substitution of A by T or of C by G
        # nearly cancels, since it changes both strands in opposite ways.
        strands = [texts] if self._strand == "forward" else [texts, _reverse_complements(texts)]
        embedded = (self._model.embed(strand).astype(np.float64)[owner] for strand in strands)
        return np.asarray(np.mean([embedding_distances(rows[::2], rows[1::2]) for rows in embedded], axis=0))


def _reverse_complements(texts: list[str]) -> list[str]:
    return [alphabet.reverse_complement(text) for text in texts]


def _distinct(keys: Iterable[Key]) -> tuple[list[Key], NDArray[np.int64]]:
    """Return the distinct keys in their order, and for each key its index among them."""
    numbers: dict[Key, int] = {}
    owner = [numbers.setdefault(key, len(numbers)) for key in keys]
    return list(numbers), np.array(owner, dtype=np.int64)
