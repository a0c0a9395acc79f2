"""Variants of a population: bases are replaced by alternative alleles with the frequencies in a VCF."""

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

_MIN_CHECKED, _MAX_CHECKED = 20, 1000
"""Number of different SNPs after which a VCF may be refused, and after which its REF alleles are no longer checked."""


class PopulationVariants(Augmentation):
    """Alternative alleles of a population, each drawn independently with its frequency in a VCF.

    Each view of a window is thus like another chromosome, except that linkage between alleles (haplotypes) is ignored. A base
    is replaced if it has an origin and equals REF on the forward strand of the genome. Only single-nucleotide variants are
    used. Frequencies are AF in the INFO column, or AC / AN. Contigs must have the same names as in the genome.
    """

    class Config(ComponentConfig):
        """The VCF."""

        vcf: RecipePath = Field(description="VCF (plain, gzip or bgzip) of variants called on this genome")

    config: Config
    examples = ({"vcf": str(Path(__file__).parent / "recipes" / "simulated.vcf.gz")},)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._contigs: tuple[Contig, ...] = ()
        self._tables: dict[torch.device, _Table] = {}
        self._checked: dict[int, int] = {}

    def on_genome(self, contigs: Sequence[Contig]) -> None:
        """Store the contigs. The VCF is read when the first view is made."""
        self._contigs, self._tables = tuple(contigs), {}

    def __call__(self, view: View, draw: Draw) -> View:
        """Return the view with alternative alleles. Raise FindnaError if the VCF is invalid or fits another genome."""
        table = self._table_on(view.tokens.device)
        site, at_site = table.find(view)
        forward = alphabet.complement(view.tokens).where(view.strand < 0, view.tokens)
        is_reference = at_site & (forward == table.reference[site])
        self._check_reference(site, at_site & (forward < alphabet.N), is_reference)
        # The first of A C G T whose cumulative frequency exceeds the random number; 4 if none does, so REF stays.
        allele = (draw.uniform(view.tokens.shape[1])[..., None] >= table.cumulative[site]).sum(2)
        changed = allele.where(is_reference & (allele < alphabet.N), forward)
        return view.with_tokens(alphabet.complement(changed).where(view.strand < 0, changed))

    def _table_on(self, device: torch.device) -> _Table:
        if device not in self._tables:
            self._tables[device] = self._read().to(device)
        return self._tables[device]

    def _read(self) -> _Table:
        """Read the VCF. Raise FindnaError if it cannot be used with the genome."""
        path = Path(self.config.vcf)
        if not self._contigs:
            raise FindnaError(f"population_variants: `on_genome` was not called, so the positions in {path} are unknown")
        snps, skipped = read_snps(path)
        names = [contig.name for contig in self._contigs]
        absent = [f"{name!r}{_hint(name, names)}" for name in snps if name not in names]
        if absent and len(absent) == len(snps):
            raise GenomeError(f"{path}: the genome has no contig {absent[0]}; use a VCF with the genome's contig names")
        if twice := [name for name in snps if names.count(name) > 1]:
            raise GenomeError(f"{path}: two genomes have a contig {twice[0]!r}; rename it in one of them")
        for name in snps.keys() - names:
            skipped["on contigs missing in the genome"] += int((snps[name].frequency > 0).sum())
        table = _build_table(self._contigs, snps, skipped)
        if not len(table.position):
            raise FindnaError(f"{path}: no SNP with a frequency on this genome ({_format_counts(skipped)}); use another VCF")
        if skipped:
            log.warning("%s: %s SNPs used; alleles skipped: %s", path, f"{len(table.position):,}", _format_counts(skipped))
        if absent:
            log.warning("%s: the genome has no contig %s", path, ", ".join(absent[:3]) + (", ..." if absent[3:] else ""))
        return table

    def _check_reference(self, site: Tensor, known: Tensor, is_reference: Tensor) -> None:
        """Raise GenomeError if REF differs from the genome at most of the first SNPs. Does not influence the views."""
        # Moving the numbers to the CPU waits for the device, so it stops after enough SNPs.
        if len(self._checked) >= _MAX_CHECKED:
            return
        self._checked.update(torch.stack([site[known], is_reference[known].long()], dim=1).tolist())
        checked, differing = len(self._checked), len(self._checked) - sum(self._checked.values())
        if checked >= _MIN_CHECKED and differing > checked / 2:
            raise GenomeError(
                f"{self.config.vcf}: REF differs from the genome at {differing} of the first {checked} SNPs: the variants were "
                "called on another assembly; use a VCF of this genome"
            )


@dataclass(frozen=True)
class _Table:
    """All sites with variants, in order of their position.

    offset [contigs + 1]: number of bases before each contig. position [V]: position when all contigs are concatenated.
    reference [V]: token. cumulative [V, 4] float32: cumulative frequencies of A, C, G and T, where that of REF is 0.
    """

    offset: Tensor
    position: Tensor
    reference: Tensor
    cumulative: Tensor

    def to(self, device: torch.device) -> _Table:
        """Return the table on another device."""
        return _Table(*(column.to(device) for column in (self.offset, self.position, self.reference, self.cumulative)))

    def find(self, view: View) -> tuple[Tensor, Tensor]:
        """Return for each base of the view the index of a site, and whether the base is at that site; both [B, L]."""
        position = (self.offset[view.contig] + view.start)[:, None] + view.origin
        site = torch.searchsorted(self.position, position).clamp(max=len(self.position) - 1)
        return site, (self.position[site] == position) & (view.origin >= 0)


def _build_table(contigs: Sequence[Contig], snps: Mapping[str, Snps], skipped: Counter[str]) -> _Table:
    """Concatenate the SNPs of all contigs; count those beyond the end of a contig in `skipped`."""
    offset = np.cumsum([0, *(contig.length for contig in contigs)], dtype=np.int64)
    empty = np.empty(0, dtype=np.int64)
    # An empty part, so that there is something to concatenate if no contig has a variant.
    parts = [(empty, empty, np.empty((0, 4)))]
    for contig, before in zip(contigs, offset, strict=False):
        if contig.name in snps:
            of_contig = snps[contig.name]
            inside = (of_contig.position >= 0) & (of_contig.position < contig.length)
            if not inside.all():
                skipped["beyond the end of their contig"] += int((of_contig.frequency[~inside] > 0).sum())
            parts.append((of_contig.position[inside] + before, of_contig.reference[inside], of_contig.frequency[inside]))
    position, reference, frequency = (np.concatenate(column) for column in zip(*parts, strict=True))
    cumulative = torch.from_numpy(frequency.cumsum(1)).float()
    return _Table(torch.from_numpy(offset), torch.from_numpy(position), torch.from_numpy(reference), cumulative)


def _format_counts(skipped: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(skipped.items())) or "it has no alleles"


def _hint(name: str, names: Sequence[str]) -> str:
    """Return a hint with the same name apart from `chr`, or else the most similar one. Contigs are never renamed silently."""
    same = [known for known in names if known.lower().removeprefix("chr") == name.lower().removeprefix("chr")]
    return f"; did you mean {same[0]!r}?" if same else nearest(name, names)
