"""The numbers: a log-likelihood ratio under the masked head, and how far the variant moves the window's embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from findna_kit import alphabet
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
class Window:
    """A variant in its surroundings, which are the same for both alleles. offset: of the variant's first base."""

    reference: str
    alternative: str
    offset: int


def window(store: TokenStore, allele: Allele, length: int) -> Window:
    """At most `length` bases around the variant, as many on each side; at a contig's end, as many in all while it has them.

    So the window of the reverse-complemented genome is this one, reverse-complemented.
    """
    side = (length - max(len(allele.reference), len(allele.alternative))) // 2
    before, after = allele.start, store.contigs[allele.contig].length - allele.end
    left, right = min(before, 2 * side - min(side, after)), min(after, 2 * side - min(side, before))
    text = alphabet.decode(store.tokens(allele.contig, allele.start - left, allele.end + right))
    return Window(text, text[:left] + allele.alternative + text[left + len(allele.reference) :], left)


class Scorer:
    """Asks a frozen model about alleles. Each distinct window is asked once, whatever the number of alleles that it serves."""

    def __init__(self, model: FrozenModel, store: TokenStore, *, length: int, strand: Strand) -> None:
        self._model, self._store, self._length, self._strand = model, store, length, strand

    def __call__(self, alleles: Sequence[Allele]) -> NDArray[np.float64]:
        """[n, SCORES], NaN where an allele has no such score.

        llr: ln p(ALT) - ln p(REF) at the masked base. cosine, euclidean: distances between the embeddings of the window with
        REF and with ALT. unknown: N in the window. With strand `both` the first three are means of both strands.
        """
        found = np.full((len(alleles), len(SCORES)), np.nan)
        chosen = [row for row, allele in enumerate(alleles) if allele.status in WITH_SCORES]
        windows = {row: window(self._store, alleles[row], self._length) for row in chosen}
        single = [row for row in chosen if alleles[row].status == "scored"]
        if single:
            found[single, 0] = self._ratios([alleles[row] for row in single], [windows[row] for row in single])
        if chosen:
            found[chosen, 1:3] = self._distances(list(windows.values()))
            found[chosen, 3] = [window.reference.count("N") for window in windows.values()]
        return found

    def _ratios(self, alleles: list[Allele], windows: list[Window]) -> NDArray[np.float64]:
        keys, owner = _distinct((window.reference, window.offset) for window in windows)
        texts, positions = [text for text, _ in keys], np.array([offset for _, offset in keys], dtype=np.int64)
        logs = self._model.base_log_probabilities(texts, positions).astype(np.float64)
        if self._strand == "both":
            mirrored = np.array([len(text) for text in texts]) - 1 - positions
            # A C G T read backwards is their complements, T G C A.
            logs = (logs + self._model.base_log_probabilities(_turned(texts), mirrored)[:, ::-1]) / 2
        tokens = [
            alphabet.encode("".join(getattr(allele, side) for allele in alleles)) for side in ("reference", "alternative")
        ]
        return np.asarray(logs[owner, tokens[1]] - logs[owner, tokens[0]])

    def _distances(self, windows: list[Window]) -> NDArray[np.float64]:
        texts, owner = _distinct(text for window in windows for text in (window.reference, window.alternative))
        # The mean of the strands' distances, not the distance of their mean, in which an exchange of A and T, or C and G,
        # nearly cancels: what one strand gains the other loses.
        strands = [texts] if self._strand == "forward" else [texts, _turned(texts)]
        embedded = (self._model.embed(strand).astype(np.float64)[owner] for strand in strands)
        return np.asarray(np.mean([_between(rows[::2], rows[1::2]) for rows in embedded], axis=0))


def _between(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 2]: cosine and Euclidean distances of rows."""
    with np.errstate(invalid="ignore"):  # an embedding of zeros has no direction: NaN, so that no score is written
        turn = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, other)]
    # Half the squared distance of the directions is 1 - cosine, without the cancellation.
    cosine = ((turn[0] - turn[1]) ** 2).sum(1) / 2
    return np.stack([cosine, np.linalg.norm(one - other, axis=1)], 1)


def _turned(texts: list[str]) -> list[str]:
    return [alphabet.reverse_complement(text) for text in texts]


def _distinct(keys: Iterable[Key]) -> tuple[list[Key], NDArray[np.int64]]:
    """The distinct ones in their order, and for each key its number among them."""
    numbers: dict[Key, int] = {}
    owner = [numbers.setdefault(key, len(numbers)) for key in keys]
    return list(numbers), np.array(owner, dtype=np.int64)
