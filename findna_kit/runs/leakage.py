"""The leakage audit of tasks: between their parts, and in what a run was trained on; kept beside the run's scores."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from findna_kit import alphabet
from findna_kit.data.genome import Regions, builtin_digest, builtin_genome, is_builtin, open_store
from findna_kit.data.genomes import open_genomes
from findna_kit.errors import FindnaError, GenomeError, OutputExists
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from findna_kit.records.run_folder import AUDIT, RECIPE, RECORD, read_by_task, write_json
from findna_kit.runs.provenance import split_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from findna_kit.data.genome import TokenStore
    from findna_kit.evaluation.tasks import Task
    from findna_kit.recipe import Recipe

    Reading = Callable[[int, int], None]

_CHUNK = 1 << 20
"""Bases looked at together: some 64 MiB of k-mers."""


def audit_tasks(
    tasks: Sequence[Task], *, run: Path | None = None, genome: Path | None = None, without: Sequence[str] = (),
    say: Callable[[str], None] = lambda sentence: None, reading: Reading | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """A report for each task, as `evaluation.audit.audit` makes it; with a run also kept in its audit.json, by the task's path.

    `trained_on`: for each genome of the run, and of the runs whose weights it began with, the test rows that lie in the
    stretches for training; `unknown`: sentences on what of that cannot be known; `lies_in`: the same of `genome`, whole, where
    it is no genome of a run. genome: with a run whose genome is known, where that lies now.

    Raises FindnaError where the run cannot be read, or what it was trained on is not there or has changed.
    """
    from findna_kit.evaluation.leakage import seen_in  # scikit-learn comes with the room

    given = None if genome is None else _store(genome, reading)
    past, unknown = ([], []) if run is None else _history(run, without)
    trained = _trained_on(past, given, reading)
    whole = [] if given is None or past else [_Stretches(str(genome), given, Regions.whole(given))]
    reports = [_compared(task, say) for task in tasks]
    for key, places in (("trained_on", trained), ("lies_in", whole)):
        for place in places:
            say(f"looking for the test rows in {place.regions.bases:,} bases of {place.path}")
            told = {"path": place.path, "digest": place.store.digest, "bases": place.regions.bases}
            for report, seen in zip(reports, seen_in(tasks, place.tokens()), strict=True):
                report[key].append({**told, **seen})
    if run is not None:
        for report in reports:
            report.update(run=str(run), unknown=unknown)
        _keep(run / AUDIT, reports)
    return reports


def report_for(run: Path, task: Task) -> dict[str, Any]:
    """What the run's audit.json holds of these very rows; else a report made now, without any genome, and kept there."""
    from findna_kit.evaluation.leakage import FORMAT

    kept = _kept(run / AUDIT).get(task.path, {})
    if (kept.get("format"), kept.get("digest")) == (FORMAT, task.digest):
        return dict(kept)
    report = _compared(task, lambda sentence: None)
    _keep(run / AUDIT, [report])
    return report


def _compared(task: Task, say: Callable[[str], None]) -> dict[str, Any]:
    from findna_kit.evaluation.leakage import audit

    say(f"{task.path}: comparing {sum(len(table.sequences) for table in task.parts.values()):,} sequences")
    return audit(task)


@dataclass(frozen=True)
class _Stretches:
    """Parts of a genome in which test rows are looked for."""

    path: str
    store: TokenStore
    regions: Regions

    def tokens(self) -> Iterator[NDArray[np.uint8]]:
        """Tokens [about _CHUNK]: short stretches joined by N, long ones in pieces that lose no k-mer between them."""
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
        from findna_kit.evaluation.kmers import GENOME_K

        columns = (self.regions.contig.tolist(), self.regions.start.tolist(), self.regions.end.tolist())
        for contig, start, end in zip(*columns, strict=True):
            for low in range(start, end, _CHUNK):
                yield self.store.tokens(contig, low, min(low + _CHUNK + GENOME_K - 1, end))


@dataclass(frozen=True)
class _Past:
    """A run that trained, its genomes as run.json records them."""

    folder: Path
    recipe: Recipe
    genomes: list[dict[str, Any]]


def _history(run: Path, without: Sequence[str]) -> tuple[list[_Past], list[str]]:
    """The run, and the runs whose weights it began with, as far as they trained on a genome that is recorded.

    And a sentence for each that did not record it, or is not there.
    """
    components, plugins = load_plugins(without)
    failed = [plugin for plugin in plugins if plugin.failure]
    past, unknown = list[_Past](), list[str]()
    seen, folder = set[Path](), run
    while True:
        seen.add(folder.resolve())
        record = _record(folder)
        recipe = load_recipe(folder / RECIPE, components, failed=failed)
        if record.get("genomes") and recipe.steps:
            past.append(_Past(folder, recipe, record["genomes"]))
        elif "imported" in record:
            file = record["imported"]["file"]
            unknown.append(f"{folder} was imported from {file}: what it was trained on is not known, so it was not looked in")
        elif recipe.steps:
            unknown.append(f"{folder} has no record of what it was trained on, so it was not looked in")
        if recipe.init_from is None:
            return past, unknown
        before = Path(recipe.init_from.run)
        if before.resolve() in seen or not (before / RECORD).is_file():
            gone = "has been replaced" if before.resolve() in seen else "is not there"
            unknown.append(f"{folder} began with weights of {before}, which {gone}: what they were trained on is not known")
            return past, unknown
        folder = before


def _record(run: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((run / RECORD).read_text())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise FindnaError(f"{run}: is not a run folder ({RECORD}: {why}); give the folder that `run` made") from error
    return record


def _store(genome: Path, reading: Reading | None) -> TokenStore:
    """The store of a FASTA, or of `builtin`, with the digest by which runs know it."""
    by_name = str(genome) == "builtin" and not genome.exists()
    store = open_store(builtin_genome() if by_name else genome, report=reading)
    return replace(store, digest=builtin_digest()) if is_builtin(store) else store


def _trained_on(past: Sequence[_Past], given: TokenStore | None, reading: Reading | None) -> list[_Stretches]:
    recorded = {told["digest"]: told["path"] for one in past for told in one.genomes}
    if given is not None and past and given.digest not in recorded:
        raise GenomeError(
            f"{given.source} is not what {past[0].folder} was trained on: its digest is not that of "
            f"{' or '.join(recorded.values())}; give that very file, or leave --run away to look in any genome"
        )
    found: dict[tuple[str, str], _Stretches] = {}
    for one in past:
        for told, stretches in zip(one.genomes, _opened(one, given, reading), strict=True):
            found.setdefault((told["digest"], told["parts"]), stretches)
    return list(found.values())


def _opened(past: _Past, given: TokenStore | None, reading: Reading | None) -> list[_Stretches]:
    """The training stretches of a run's genomes; GenomeError where one is gone, or they are no longer what it recorded."""
    choices = [
        choice.model_copy(update={"path": str(given.source)}) if given and told["digest"] == given.digest else choice
        for choice, told in zip(past.recipe.data.genomes, past.genomes, strict=True)
    ]
    for choice in choices:
        if choice.path != "builtin" and not Path(choice.path).exists():
            lost = f"{choice.path}, which {past.folder} was trained on, is not there"
            raise GenomeError(f"{lost}: say with --genome FASTA where it lies now")
    data = past.recipe.data.model_copy(update={"genome": tuple(choices)})
    stretches = []
    for told, genome in zip(
        past.genomes, open_genomes(data, past.recipe.seed, reading).genomes, strict=True
    ):
        if told["digest"] != genome.store.digest:
            raise GenomeError(
                f"{genome.path} is not what {past.folder} was trained on (its digest differs): restore it, or say with "
                "--genome FASTA where it lies now"
            )
        if told["parts"] != split_digest(genome.split):
            raise GenomeError(
                f"{past.folder} was trained on other stretches of {genome.path}: a BED file has changed; restore it"
            )
        stretches.append(_Stretches(genome.path, genome.store, _readable(genome.split.train, data.length)))
    return stretches


def _readable(regions: Regions, length: int) -> Regions:
    """Those that a window fits into: the others were never drawn from."""
    fits = regions.end - regions.start >= length
    return Regions(regions.contig[fits], regions.start[fits], regions.end[fits])


def _kept(path: Path) -> dict[str, dict[str, Any]]:
    return read_by_task(path, "the audit makes it anew")


def _keep(path: Path, reports: Sequence[dict[str, Any]]) -> None:
    try:
        with FileLock(path.with_name(f".{path.name}.lock")):  # two may be auditing for one run
            write_json(path, {**_kept(path), **{report["path"]: report for report in reports}})
    except OSError as error:
        raise OutputExists(f"{path}: cannot be written: {error.strerror}; make the run's folder writable") from error
