"""A VCF goes by twice: once to see what can be scored, so that a wrong file is refused in seconds; once to score it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from findna_kit.data.genome import builtin_genome, open_store
from findna_kit.errors import FindnaError, GenomeError, nearest
from findna_kit.inference.frozen_model import load
from findna_kit.inference.variants.alleles import STATUSES, WITH_SCORES, AlleleClassifier
from findna_kit.inference.variants.output import format_of, refuse_output, writing
from findna_kit.inference.variants.scores import Scorer
from findna_kit.inference.variants.vcf import read_vcf

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from numpy.typing import NDArray

    from findna_kit.data.genome import TokenStore
    from findna_kit.inference.frozen_model import FrozenModel, Strand, Which
    from findna_kit.inference.variants.alleles import Allele
    from findna_kit.inference.variants.vcf import Line

    Say = Callable[[str], None]

OnMismatch = Literal["refuse", "skip"]
_SHOWN = 5
_MOST_LINES, _NUCLEOTIDES = 512, 1 << 22
"""Of a block, which bound what is in memory."""


@dataclass(frozen=True)
class VariantRequest:
    """How to score. length: of the window; None: the run's training length."""

    genome: str
    length: int | None = None
    strand: Strand = "both"
    on_mismatch: OnMismatch = "refuse"
    branch: Which | None = None
    step: int | None = None
    device: str = "auto"
    without: Collection[str] = ()


@dataclass
class Seen:
    """What the first pass counts: lines, ALTs by status, contigs that are absent, and where REF differs."""

    lines: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    absent: Counter[str] = field(default_factory=Counter)
    mismatches: list[str] = field(default_factory=list)
    mismatched: int = 0


def score_variants(
    run: Path, vcf: Path, out: Path, asked: VariantRequest, *, overwrite: bool = False,
    say: Say = lambda sentence: None,
    reading: Callable[[int, int], None] | None = None,
    progress: Callable[[int, int], None] = lambda done, lines: None,
) -> dict[str, Any]:  # fmt: skip
    """Writes the VCF's lines with their scores to `out`, and returns what was done and the number of ALTs of each status.

    progress(lines done, all lines) is called after each line. Raises FindnaError for what cannot be read, or cannot be
    asked of the run, and where REF differs from the genome and that was not to be skipped; OutputExists. Then nothing is
    written.
    """
    began = perf_counter()
    form = format_of(out)
    genome = builtin_genome() if asked.genome == "builtin" else Path(asked.genome)
    refuse_output(out, [vcf, genome], overwrite=overwrite)
    model = load(run, asked.branch, step=asked.step, device=asked.device, without=asked.without)
    length, predicts = _length(model, asked.length), _predicts(model)
    store = open_store(genome, report=reading)
    judge = AlleleClassifier(store, length, predicts=predicts)
    seen = _survey(vcf, judge)
    _remark(seen, vcf, store, asked.on_mismatch, say)
    if not predicts:
        say(f"{run}: has no loss that predicts nucleotides, so there is no log-likelihood ratio, only embedding distances")
    made_by = _made_by(run, model, store, asked, length)
    scorer = Scorer(model, store, length=length, strand=asked.strand)
    with writing(out) as sink:
        parsed = read_vcf(vcf)
        sink.write(_bytes(form.header(parsed.header, made_by)))
        block = max(1, min(_MOST_LINES, _NUCLEOTIDES // length))
        for done, (line, alleles, scores) in enumerate(_scored(parsed.lines, judge, scorer, block), 1):
            sink.write(_bytes(form.lines(line, alleles, scores)))
            progress(done, seen.lines)
    counts = {status: seen.statuses[status] for status in STATUSES if seen.statuses[status]}
    told = {"out": str(out), **made_by, "lines": seen.lines, "alleles": seen.statuses.total(), "statuses": counts}
    return {**told, "seconds": perf_counter() - began}


def _length(model: FrozenModel, length: int | None) -> int:
    chosen = model.recipe.data.length if length is None else length
    bound = model.network.encoder.max_length
    if chosen < 3:
        raise FindnaError(f"--length {chosen}: at least 3 is wanted, a base and its neighbours")
    if bound is not None and chosen > bound:
        raise FindnaError(f"--length {chosen}: the encoder takes at most {bound} nucleotides; give it a shorter window")
    return chosen


def _predicts(model: FrozenModel) -> bool:
    return any(loss.component.nucleotide_head is not None for loss in model.recipe.losses.values())


def _survey(vcf: Path, judge: AlleleClassifier) -> Seen:
    seen = Seen()
    for line in read_vcf(vcf).lines:
        alleles = judge(line)
        seen.lines += 1
        seen.statuses.update(allele.status for allele in alleles)
        if alleles[0].status == "contig_absent":
            seen.absent[line.contig] += 1
        elif alleles[0].status == "ref_mismatch":
            seen.mismatched += 1
            if seen.mismatched <= _SHOWN:
                place = f"line {line.number}, {line.contig}:{line.position}"
                seen.mismatches.append(f"  {place}: REF is {line.reference}, the genome has {judge.found(line)}")
    return seen


def _remark(seen: Seen, vcf: Path, store: TokenStore, on_mismatch: OnMismatch, say: Say) -> None:
    """Says what will have no scores; FindnaError where REF differs and that is not to be skipped."""
    names = [contig.name for contig in store.contigs]
    for name, lines in seen.absent.most_common(_SHOWN):
        named = f"{lines:,} lines of {vcf} name" if lines > 1 else f"a line of {vcf} names"
        say(f"{store.source}: has no contig {name!r}, which {named}{_hint(name, names)}")
    if len(seen.absent) > _SHOWN:
        say(f"... and {len(seen.absent) - _SHOWN} more contigs that it does not have")
    if seen.mismatched:
        more = [f"  ... and {seen.mismatched - _SHOWN:,} more"] if seen.mismatched > _SHOWN else []
        told = f"{vcf}: REF is not what {store.source} has there in {seen.mismatched:,} of {seen.lines:,} lines"
        found = "\n".join([told, *seen.mismatches, *more])
        if on_mismatch == "refuse":
            ways = "give the genome that the variants were called on, or leave such lines without scores by --on-mismatch skip"
            raise GenomeError(f"{found}\n{ways}")
        say(found)
    if not any(seen.statuses[status] for status in WITH_SCORES):
        say(f"{vcf}: nothing in it can be scored; the statuses in the output say why")


def _hint(name: str, names: list[str]) -> str:
    """The nearest name: the same without `chr`, or else by its letters. Nothing is renamed: the user knows which it is."""
    same = [known for known in names if _bare(known) == _bare(name)]
    return f"; did you mean {same[0]!r}?" if same else nearest(name, names)


def _bare(name: str) -> str:
    bare = name.lower().removeprefix("chr")
    return "m" if bare == "mt" else bare


def _made_by(run: Path, model: FrozenModel, store: TokenStore, asked: VariantRequest, length: int) -> dict[str, Any]:
    from importlib.metadata import version

    of_model = {"run": str(run), "step": model.step, "branch": model.branch, "precision": model.precision}
    of_genome = {"genome": str(store.source), "genome_sha256": store.digest}
    return {
        "version": version("findna-kit"),
        **of_model,
        **of_genome,
        "length": length,
        "strand": asked.strand,
        "pooling": "mean",
    }


def _scored(
    lines: Iterator[Line], judge: AlleleClassifier, scorer: Scorer, size: int
) -> Iterator[tuple[Line, list[Allele], NDArray[np.float64]]]:
    """Each line with its ALTs and their scores; the model is asked for `size` lines at once."""
    while block := list(islice(lines, size)):
        alleles = [judge(line) for line in block]
        ends = np.cumsum([len(of_line) for of_line in alleles])
        scores = scorer([allele for of_line in alleles for allele in of_line])
        yield from zip(block, alleles, np.split(scores, ends[:-1]), strict=True)


def _bytes(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
