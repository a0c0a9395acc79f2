"""Scoring of a VCF in two passes: the first classifies all alleles, so that a wrong file fails early; the second scores."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np

from findna_kit.data.genome import builtin_genome, open_store
from findna_kit.errors import FindnaError, GenomeError, nearest
from findna_kit.inference.frozen_model import load
from findna_kit.inference.variants.alleles import STATUSES, WITH_SCORES, AlleleClassifier
from findna_kit.inference.variants.output import check_output, open_output, writer_for
from findna_kit.inference.variants.scores import VariantScorer
from findna_kit.inference.variants.vcf import read_vcf

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from numpy.typing import NDArray

    from findna_kit.data.genome import TokenStore
    from findna_kit.inference.frozen_model import BranchName, FrozenModel, Strand
    from findna_kit.inference.variants.alleles import Allele
    from findna_kit.inference.variants.vcf import VcfRecord

    Log = Callable[[str], None]

OnMismatch = Literal["refuse", "skip"]
_SHOWN = 5
"""Number of examples in a message."""
_MAX_RECORDS, _NUCLEOTIDES = 512, 1 << 22
"""Largest number of records and of nucleotides in a block; they bound memory."""


@dataclass(frozen=True)
class VariantRequest:
    """How to score variants. length: of the window; None: the run's training length."""

    genome: str
    length: int | None = None
    strand: Strand = "both"
    on_mismatch: OnMismatch = "refuse"
    branch: BranchName | None = None
    step: int | None = None
    device: str = "auto"
    without: Collection[str] = ()


class Provenance(TypedDict):
    """What computed scores, written into the header of the output. length: of the window, in nucleotides."""

    version: str
    run: str
    step: int
    branch: str
    precision: str
    genome: str
    genome_sha256: str
    length: int
    strand: str
    pooling: str


class ScoreSummary(Provenance):
    """The result of scoring: records, alleles, alleles by status, and the wall-clock seconds."""

    out: str
    lines: int
    alleles: int
    statuses: dict[str, int]
    seconds: float


@dataclass
class Survey:
    """Counts of the first pass: records, ALTs by status, contigs that the genome lacks, and records whose REF differs."""

    lines: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    absent: Counter[str] = field(default_factory=Counter)
    mismatches: list[str] = field(default_factory=list)
    mismatched: int = 0


def score_variants(
    run: Path, vcf: Path, out: Path, request: VariantRequest, *, overwrite: bool = False,
    log: Log = lambda line: None,
    reading: Callable[[int, int], None] | None = None,
    progress: Callable[[int, int], None] = lambda done, lines: None,
) -> ScoreSummary:  # fmt: skip
    """Write the records of `vcf` with their scores to `out`; return a summary with the number of ALTs by status.

    progress(records done, all records) is called after each record. Raises FindnaError if a file cannot be read, the run
    cannot score, or REF differs from the genome and `on_mismatch` is `refuse`; OutputExists. In these cases nothing is written.
    """
    began = perf_counter()
    writer = writer_for(out)
    genome = builtin_genome() if request.genome == "builtin" else Path(request.genome)
    check_output(out, [vcf, genome], overwrite=overwrite)
    model = load(run, request.branch, step=request.step, device=request.device, without=request.without)
    length, predicts = _window_length(model, request.length), model.predicts_bases
    store = open_store(genome, report=reading)
    classify = AlleleClassifier(store, length, predicts=predicts)
    # The first pass needs no model output: a VCF of another genome fails before hours of scoring.
    survey = _survey(vcf, classify)
    _log_problems(survey, vcf, store, request.on_mismatch, log)
    if not predicts:
        log(f"{run}: no loss of this run predicts nucleotides, so there are embedding distances but no log-likelihood ratios")
    made_by = _provenance(run, model, store, request, length)
    scorer = VariantScorer(model, store, length=length, strand=request.strand)
    with open_output(out) as sink:
        parsed = read_vcf(vcf)
        sink.write(_bytes(writer.header(parsed.header, made_by)))
        # Longer windows make smaller blocks, so that memory does not grow with --length.
        block = max(1, min(_MAX_RECORDS, _NUCLEOTIDES // length))
        for done, (line, alleles, scores) in enumerate(_scored(parsed.lines, classify, scorer, block), 1):
            sink.write(_bytes(writer.lines(line, alleles, scores)))
            progress(done, survey.lines)
    counts = {status: survey.statuses[status] for status in STATUSES if survey.statuses[status]}
    return {
        "out": str(out), **made_by, "lines": survey.lines, "alleles": survey.statuses.total(), "statuses": counts,
        "seconds": perf_counter() - began,
    }  # fmt: skip


def _window_length(model: FrozenModel, length: int | None) -> int:
    """Return the window length. Raises FindnaError if it is below 3 or above the encoder's maximum."""
    chosen = model.recipe.data.length if length is None else length
    bound = model.network.encoder.max_length
    if chosen < 3:
        raise FindnaError(f"--length {chosen}: must be at least 3, a base and its neighbours")
    if bound is not None and chosen > bound:
        raise FindnaError(f"--length {chosen}: the encoder takes at most {bound} nucleotides; use a shorter window")
    return chosen


def _survey(vcf: Path, classify: AlleleClassifier) -> Survey:
    """Classify every allele of the file."""
    survey = Survey()
    for line in read_vcf(vcf).lines:
        alleles = classify(line)
        survey.lines += 1
        survey.statuses.update(allele.status for allele in alleles)
        # These two statuses hold for all ALTs of a record, so that the first one tells.
        if alleles[0].status == "contig_absent":
            survey.absent[line.contig] += 1
        elif alleles[0].status == "ref_mismatch":
            survey.mismatched += 1
            if survey.mismatched <= _SHOWN:
                place = f"line {line.number}, {line.contig}:{line.position}"
                survey.mismatches.append(
                    f"  {place}: REF is {line.reference}, the genome has {classify.genome_reference(line)}"
                )
    return survey


def _log_problems(survey: Survey, vcf: Path, store: TokenStore, on_mismatch: OnMismatch, log: Log) -> None:
    """Log what will have no scores. Raises GenomeError if REF differs from the genome and `on_mismatch` is `refuse`."""
    names = [contig.name for contig in store.contigs]
    for name, lines in survey.absent.most_common(_SHOWN):
        used = f"{lines:,} records of {vcf} use" if lines > 1 else f"one record of {vcf} uses"
        log(f"{store.source}: has no contig {name!r}, which {used}{_hint(name, names)}")
    if len(survey.absent) > _SHOWN:
        log(f"... and {len(survey.absent) - _SHOWN} more missing contigs")
    if survey.mismatched:
        more = [f"  ... and {survey.mismatched - _SHOWN:,} more"] if survey.mismatched > _SHOWN else []
        message = f"{vcf}: REF differs from {store.source} in {survey.mismatched:,} of {survey.lines:,} records"
        details = "\n".join([message, *survey.mismatches, *more])
        if on_mismatch == "refuse":
            advice = "give the genome that the variants were called on, or skip such records with --on-mismatch skip"
            raise GenomeError(f"{details}\n{advice}")
        log(details)
    if not any(survey.statuses[status] for status in WITH_SCORES):
        log(f"{vcf}: no allele in it can be scored; the statuses in the output give the reasons")


def _hint(name: str, names: list[str]) -> str:
    """Suggest a contig: the same name with or without `chr`, or else the most similar one. Names are never changed silently."""
    same = [known for known in names if _bare(known) == _bare(name)]
    return f"; did you mean {same[0]!r}?" if same else nearest(name, names)


def _bare(name: str) -> str:
    """Return a contig name in a common form: lower case, without `chr`, `m` for the mitochondrion."""
    bare = name.lower().removeprefix("chr")
    return "m" if bare == "mt" else bare


def _provenance(run: Path, model: FrozenModel, store: TokenStore, request: VariantRequest, length: int) -> Provenance:
    """Return what identifies the scores: versions, model, genome and options."""
    return {
        "version": version("findna-kit"), "run": str(run), "step": model.step, "branch": model.branch,
        "precision": model.precision, "genome": str(store.source), "genome_sha256": store.digest, "length": length,
        "strand": request.strand, "pooling": "mean",
    }  # fmt: skip


def _scored(
    lines: Iterator[VcfRecord], classify: AlleleClassifier, scorer: VariantScorer, size: int
) -> Iterator[tuple[VcfRecord, list[Allele], NDArray[np.float64]]]:
    """Yield each record with its alleles and their scores [ALTs, SCORES]; the model scores blocks of `size` records."""
    while block := list(islice(lines, size)):
        alleles = [classify(line) for line in block]
        ends = np.cumsum([len(of_record) for of_record in alleles])
        scores = scorer([allele for of_record in alleles for allele in of_record])
        yield from zip(block, alleles, np.split(scores, ends[:-1]), strict=True)


def _bytes(lines: list[str]) -> bytes:
    """Encode lines as they were read, with bytes that are not UTF-8 restored."""
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
