"""The leakage audit of tasks against their own splits and the genomes that a run was trained on; kept in audit.json."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from findna_kit import alphabet
from findna_kit.data.genome import Regions, builtin_digest, builtin_genome, is_builtin, open_store
from findna_kit.data.genomes import open_genomes
from findna_kit.errors import FindnaError, GenomeError, OutputExists
from findna_kit.evaluation.kmers import GENOME_K
from findna_kit.evaluation.leakage import FORMAT, audit, seen_in
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from findna_kit.records.audit_json import AuditReport, GenomeOverlap
from findna_kit.records.json_files import read_entries, write_json
from findna_kit.records.paths import AUDIT_JSON, RECIPE, RUN_JSON
from findna_kit.records.run_json import read_run_json
from findna_kit.runs.provenance import split_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from findna_kit.data.genome import TokenStore
    from findna_kit.evaluation.tasks import Task
    from findna_kit.recipe import Recipe
    from findna_kit.records.run_json import GenomeRecord, RunJson

    Reading = Callable[[int, int], None]

_CHUNK = 1 << 20
"""Bases that are searched at once: their k-mers take about 64 MiB."""
_REMEDY = "remove it, and audit again"


def audit_tasks(
    tasks: Sequence[Task], *, run: Path | None = None, genome: Path | None = None, without: Sequence[str] = (),
    say: Callable[[str], None] = lambda sentence: None, reading: Reading | None = None,
) -> list[AuditReport]:  # fmt: skip
    """Return an audit of each task; with a run, also enter them into its audit.json, by the task's path.

    `trained_on` lists, for each genome of the run and of the runs whose weights it started from, the test samples in its
    training regions; `unknown` has a sentence for each genome that could not be searched; `lies_in` is the same for the whole
    of `genome`, if it is not the run's. genome: with a run, the present location of its genome.

    Raises FindnaError if the run cannot be read, or if a genome that it was trained on is missing or has changed.
    """
    given = None if genome is None else _store(genome, reading)
    ancestors, unknown = ([], []) if run is None else _history(run, without)
    trained_on = _training_regions(ancestors, given, reading)
    lies_in = [] if given is None or ancestors else [_SearchedRegions(str(genome), given, Regions.whole(given))]
    reports = [_compared(task, say) for task in tasks]
    found_in_training = _search(tasks, trained_on, say)
    found_in_genome = _search(tasks, lies_in, say)
    reports = [
        report.model_copy(update={"trained_on": trained, "lies_in": inside})
        for report, trained, inside in zip(reports, found_in_training, found_in_genome, strict=True)
    ]
    if run is not None:
        reports = [report.model_copy(update={"run": str(run), "unknown": unknown}) for report in reports]
        _store_reports(run / AUDIT_JSON, reports)
    return reports


def report_for(run: Path, task: Task) -> AuditReport:
    """Return the run's audit of these very samples; if it has none, make one without any genome, and keep it there."""
    entry = read_entries(run / AUDIT_JSON, _REMEDY).get(task.path, {})
    if (entry.get("format"), entry.get("digest")) == (FORMAT, task.digest):
        return AuditReport.model_validate(entry)
    report = _compared(task, lambda sentence: None)
    _store_reports(run / AUDIT_JSON, [report])
    return report


def _compared(task: Task, log: Callable[[str], None]) -> AuditReport:
    log(f"{task.path}: comparing {sum(len(split.sequences) for split in task.splits.values()):,} sequences")
    return audit(task)


@dataclass(frozen=True)
class _SearchedRegions:
    """Regions of a genome in which test samples are searched."""

    path: str
    store: TokenStore
    regions: Regions

    def tokens(self) -> Iterator[NDArray[np.uint8]]:
        """Yield tokens [about _CHUNK]. Short regions are joined by N; long ones are cut without losing a k-mer at the cuts."""
        gap = np.full(1, alphabet.N, dtype=np.uint8)
        waiting, bases = list["NDArray[np.uint8]"](), 0
        for piece in self._pieces():
            waiting += [piece, gap]
            bases += len(piece)
            if bases >= _CHUNK:
                yield np.concatenate(waiting)
                waiting, bases = [], 0
        if waiting:
            yield np.concatenate(waiting)

    def _pieces(self) -> Iterator[NDArray[np.uint8]]:
        columns = (self.regions.contig.tolist(), self.regions.start.tolist(), self.regions.end.tolist())
        for contig, start, end in zip(*columns, strict=True):
            for low in range(start, end, _CHUNK):
                # Pieces overlap by k - 1 bases, so that each k-mer lies whole in one piece and none lies in two.
                yield self.store.tokens(contig, low, min(low + _CHUNK + GENOME_K - 1, end))


def _search(
    tasks: Sequence[Task], genomes: Sequence[_SearchedRegions], log: Callable[[str], None]
) -> list[list[GenomeOverlap]]:  # fmt: skip
    """Return for each task what each genome contains of its test split."""
    found: list[list[GenomeOverlap]] = [[] for _ in tasks]
    for genome in genomes:
        bases = genome.regions.bases
        log(f"searching the test samples in {bases:,} bases of {genome.path}")
        for overlaps, seen in zip(found, seen_in(tasks, genome.tokens()), strict=True):
            overlaps.append(GenomeOverlap(path=genome.path, digest=genome.store.digest, bases=bases, **seen))
    return found


@dataclass(frozen=True)
class _TrainedRun:
    """A run that was trained, with its genomes as run.json records them."""

    folder: Path
    recipe: Recipe
    genomes: list[GenomeRecord]


def _history(run: Path, without: Sequence[str]) -> tuple[list[_TrainedRun], list[str]]:
    """Return the run and the runs whose weights it started from, and a sentence for each whose genomes are not known."""
    components, plugins = load_plugins(without)
    failed = [plugin for plugin in plugins if plugin.failure]
    trained, unknown = list[_TrainedRun](), list[str]()
    seen, folder = set[Path](), run
    while True:
        seen.add(folder.resolve())
        record = _record(folder)
        recipe = load_recipe(folder / RECIPE, components, failed=failed)
        if record.genomes and recipe.steps:
            trained.append(_TrainedRun(folder, recipe, record.genomes))
        elif record.imported is not None:
            file = record.imported.file
            unknown.append(f"{folder} was imported from {file}: its training genome is not known, and was not searched")
        elif recipe.steps:
            unknown.append(f"{folder} has no record of its training genome, which was not searched")
        if recipe.init_from is None:
            return trained, unknown
        before = Path(recipe.init_from.run)
        # A run cannot start from one that started from it, so a folder that was visited before has been overwritten since.
        if before.resolve() in seen or not (before / RUN_JSON).is_file():
            gone = "has been replaced" if before.resolve() in seen else "does not exist"
            unknown.append(f"{folder} started from the weights of {before}, which {gone}: their training genome is not known")
            return trained, unknown
        folder = before


def _record(run: Path) -> RunJson:
    try:
        (run / RUN_JSON).stat()
    except OSError as error:
        raise FindnaError(
            f"{run}: is not a run folder ({RUN_JSON}: {error.strerror}); give the folder that `run` made"
        ) from error
    return read_run_json(run)


def _store(genome: Path, reading: Reading | None) -> TokenStore:
    """Return the token store of a FASTA, or of `builtin`, with the digest by which runs record it."""
    by_name = str(genome) == "builtin" and not genome.exists()
    store = open_store(builtin_genome() if by_name else genome, report=reading)
    return replace(store, digest=builtin_digest()) if is_builtin(store) else store


def _training_regions(
    ancestors: Sequence[_TrainedRun], given: TokenStore | None, reading: Reading | None
) -> list[_SearchedRegions]:  # fmt: skip
    """Return the training regions of all runs, each only once. Raises GenomeError if `given` is no genome of theirs."""
    recorded = {genome.digest: genome.path for trained in ancestors for genome in trained.genomes}
    if given is not None and ancestors and given.digest not in recorded:
        raise GenomeError(
            f"{given.source} is not the genome that {ancestors[0].folder} was trained on: its digest is not that of "
            f"{' or '.join(recorded.values())}; give that file, or leave --run out to search any genome"
        )
    found: dict[tuple[str, str], _SearchedRegions] = {}
    for trained in ancestors:
        for record, regions in zip(trained.genomes, _open_regions(trained, given, reading), strict=True):
            found.setdefault((record.digest, record.parts), regions)
    return list(found.values())


def _open_regions(trained: _TrainedRun, given: TokenStore | None, reading: Reading | None) -> list[_SearchedRegions]:
    """Return the training regions of a run's genomes. Raises GenomeError if a genome is missing, or is not the recorded one."""
    choices = [
        choice.model_copy(update={"path": str(given.source)}) if given and record.digest == given.digest else choice
        for choice, record in zip(trained.recipe.data.genomes, trained.genomes, strict=True)
    ]
    for choice in choices:
        if choice.path != "builtin" and not Path(choice.path).exists():
            missing = f"{choice.path}, which {trained.folder} was trained on, does not exist"
            raise GenomeError(f"{missing}: give its present location with --genome FASTA")
    data = trained.recipe.data.model_copy(update={"genome": tuple(choices)})
    opened = open_genomes(data, trained.recipe.seed, reading).genomes
    regions = []
    for record, genome in zip(trained.genomes, opened, strict=True):
        if record.digest != genome.store.digest:
            raise GenomeError(
                f"{genome.path} is not the genome that {trained.folder} was trained on (its digest differs): restore it, or "
                "give its present location with --genome FASTA"
            )
        if record.parts != split_digest(genome.split):
            raise GenomeError(
                f"{trained.folder} was trained on other regions of {genome.path}: a BED file has changed; restore it"
            )
        regions.append(_SearchedRegions(genome.path, genome.store, _drawn_from(genome.split.train, data.length)))
    return regions


def _drawn_from(regions: Regions, length: int) -> Regions:
    """Return the regions that a window fits into: windows were never drawn from the others."""
    fits = regions.end - regions.start >= length
    return Regions(regions.contig[fits], regions.start[fits], regions.end[fits])


def _store_reports(path: Path, reports: Sequence[AuditReport]) -> None:
    """Enter reports into audit.json, next to those of other tasks."""
    try:
        # Two processes may audit for one run: without the lock the later one would overwrite the reports of the earlier.
        with FileLock(path.with_name(f".{path.name}.lock")):
            write_json(path, {**read_entries(path, _REMEDY), **{report.path: report.to_json() for report in reports}})
    except OSError as error:
        raise OutputExists(f"{path}: cannot be written: {error.strerror}; make the run's folder writable") from error
