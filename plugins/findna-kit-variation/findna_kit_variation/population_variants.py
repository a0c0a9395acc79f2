"""Variants of a population: single bases exchanged with the allele frequencies that a VCF states."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field

from findna_kit import alphabet
from findna_kit.components import Augmentation, ComponentConfig, Contig, Draw, RecipePath, View
from findna_kit.errors import FindnaError, GenomeError, nearest
from findna_kit_variation.snps import read_snps

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from findna_kit_variation.snps import Snps

log = logging.getLogger(__name__)

_FEWEST, _ENOUGH = 20, 1000
"""Different SNPs met before a VCF may be refused, and after which it is no longer doubted."""


class PopulationVariants(Augmentation):
    """Puts the population's other alleles into each sequence, each with its frequency and by itself.

    So every view of a window is as if of another chromosome; that neighbouring alleles come together (haplotypes, linkage) is
    not minded. A base is exchanged where it has an origin and is what REF says, as read on the genome's forward strand. Of a
    VCF only exchanges of one base count; frequencies are INFO's AF, or AC / AN. Contigs are known by the genome's names.
    """

    class Config(ComponentConfig):
        """Which."""

        vcf: RecipePath = Field(description="a VCF (plain, gzip or bgzip) of variants called on this genome")

    config: Config
    examples = ({"vcf": str(Path(__file__).parent / "recipes" / "simulated.vcf.gz")},)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._contigs: tuple[Contig, ...] = ()
        self._tables: dict[torch.device, _Table] = {}
        self._met: dict[int, int] = {}

    def on_genome(self, contigs: Sequence[Contig]) -> None:
        """Remembers the contigs; the VCF is read when it is used."""
        self._contigs, self._tables = tuple(contigs), {}

    def __call__(self, view: View, draw: Draw) -> View:
        """The view with alternative alleles. FindnaError for a VCF that cannot be used, or that fits another genome."""
        table = self._table(view.tokens.device)
        site, here = table.find(view)
        forward = alphabet.complement(view.tokens).where(view.strand < 0, view.tokens)
        fits = here & (forward == table.reference[site])
        self._refuse_another_genome(site, here & (forward < alphabet.N), fits)
        # Of A C G T the first up to which the frequencies reach above the number; 4 where even their sum does not.
        chosen = (draw.uniform(view.tokens.shape[1])[..., None] >= table.upto[site]).sum(2)
        changed = chosen.where(fits & (chosen < alphabet.N), forward)
        return view.with_tokens(alphabet.complement(changed).where(view.strand < 0, changed))

    def _table(self, device: torch.device) -> _Table:
        if device not in self._tables:
            self._tables[device] = self._read().to(device)
        return self._tables[device]

    def _read(self) -> _Table:
        path = Path(self.config.vcf)
        if not self._contigs:
            raise FindnaError(f"population_variants: was not told the genome's contigs, so {path} cannot be placed on it")
        snps, skipped = read_snps(path)
        names = [contig.name for contig in self._contigs]
        absent = [f"{name!r}{_hint(name, names)}" for name in snps if name not in names]
        if absent and len(absent) == len(snps):
            raise GenomeError(f"{path}: the genome has no contig {absent[0]}; give a VCF that names contigs as the genome does")
        if twice := [name for name in snps if names.count(name) > 1]:
            raise GenomeError(f"{path}: two genomes have a contig {twice[0]!r}; rename it in one of them")
        for name in snps.keys() - names:
            skipped["on contigs that the genome lacks"] += int((snps[name].frequency > 0).sum())
        table = _placed(self._contigs, snps, skipped)
        if not len(table.place):
            raise FindnaError(f"{path}: has no SNP with a frequency on this genome ({_listed(skipped)}); give another")
        if skipped:
            log.warning("%s: %s SNPs are used, alleles left out: %s", path, f"{len(table.place):,}", _listed(skipped))
        if absent:
            log.warning("%s: the genome has no contig %s", path, ", ".join(absent[:3]) + (", ..." if absent[3:] else ""))
        return table

    def _refuse_another_genome(self, site: Tensor, known: Tensor, fits: Tensor) -> None:
        """Looks at the first variants that are met; what is drawn does not depend on it."""
        if len(self._met) >= _ENOUGH:
            return
        self._met.update(torch.stack([site[known], fits[known].long()], dim=1).tolist())
        met, differing = len(self._met), len(self._met) - sum(self._met.values())
        if met >= _FEWEST and differing > met / 2:
            raise GenomeError(
                f"{self.config.vcf}: REF is not what the genome has at {differing} of the first {met} SNPs met: it was "
                "called on another assembly; give the VCF of this genome"
            )


@dataclass(frozen=True)
class _Table:
    """All places with variants, in order.

    offset [contigs + 1]: places that come before each contig's · place [V]: on all contigs, end to end · reference [V]: token
    · upto [V, 4] float32: frequencies of A, C, G and T other than REF, added up.
    """

    offset: Tensor
    place: Tensor
    reference: Tensor
    upto: Tensor

    def to(self, device: torch.device) -> _Table:
        """The table on another device."""
        return _Table(*(column.to(device) for column in (self.offset, self.place, self.reference, self.upto)))

    def find(self, view: View) -> tuple[Tensor, Tensor]:
        """For each base of the view the number of a variant, and whether it stands there; both [B, L]."""
        place = (self.offset[view.contig] + view.start)[:, None] + view.origin
        site = torch.searchsorted(self.place, place).clamp(max=len(self.place) - 1)
        return site, (self.place[site] == place) & (view.origin >= 0)


def _placed(contigs: Sequence[Contig], snps: Mapping[str, Snps], skipped: Counter[str]) -> _Table:
    offset = np.cumsum([0, *(contig.length for contig in contigs)], dtype=np.int64)
    nothing = np.empty(0, dtype=np.int64)
    parts = [(nothing, nothing, np.empty((0, 4)))]
    for contig, before in zip(contigs, offset, strict=False):
        if contig.name in snps:
            of_contig = snps[contig.name]
            inside = (of_contig.position >= 0) & (of_contig.position < contig.length)
            if not inside.all():
                skipped["beyond their contig's end"] += int((of_contig.frequency[~inside] > 0).sum())
            parts.append((of_contig.position[inside] + before, of_contig.reference[inside], of_contig.frequency[inside]))
    place, reference, frequency = (np.concatenate(column) for column in zip(*parts, strict=True))
    upto = torch.from_numpy(frequency.cumsum(1)).float()
    return _Table(torch.from_numpy(offset), torch.from_numpy(place), torch.from_numpy(reference), upto)


def _listed(skipped: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(skipped.items())) or "it has no alleles"


def _hint(name: str, names: Sequence[str]) -> str:
    """The nearest name: the same without `chr`, or else by its letters. Nothing is renamed: the user knows which it is."""
    same = [known for known in names if known.lower().removeprefix("chr") == name.lower().removeprefix("chr")]
    return f"; did you mean {same[0]!r}?" if same else nearest(name, names)
