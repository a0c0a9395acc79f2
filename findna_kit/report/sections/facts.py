"""Section "Runs": what was run, with which versions and plugins, and on which genomes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from findna_kit.report.blocks import Note, Section, TableBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from findna_kit.records.run_json import GenomeRecord
    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import CellEntry, RunFolder

NOT_RECORDED = "not recorded"


def runs_section(part: str, runs: Sequence[RunFolder]) -> Section:
    """Return the section for runs: a table with a column for each run."""
    facts: dict[str, Callable[[RunFolder], str]] = {
        "folder": lambda run: str(run.folder.resolve()),
        "status": lambda run: run.status,
        "name": lambda run: run.record.name or NOT_RECORDED,
        "seed": _seed,
        "steps": _steps,
        **SIZE,
        **ENVIRONMENT,
        "genomes": _genomes,
    }
    blocks: list[Block] = [_table("Runs, and the versions they were made with", facts, [(run.label, run) for run in runs])]
    blocks += [
        Note(f"{run.label}: metrics.jsonl has no steps, so there are no curves of this run.", missing=True)
        for run in runs
        if run.last_step is None
    ]
    return Section(f"{part}-what", "Runs", blocks)


def cells_section(part: str, cells: Sequence[CellEntry]) -> Section:
    """Return the section for a study: the state of every cell, and the environment in which the cells were run."""
    # The text before the colon is the state; what follows is the reason of one failure.
    counts = Counter(cell.state.partition(":")[0] for cell in cells)
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    rows = [[f"{cell.condition}, seed {cell.seed}", cell.state, *_reached(cell)] for cell in cells]
    blocks: list[Block] = [Note(f"{len(cells)} cells: {states}.")]
    blocks.append(TableBlock("State of every cell", ["cell", "state", "steps"], rows, folded=True))
    runs = [cell.run for cell in cells if cell.run is not None]
    blocks += _environments(runs) if runs else [Note("No cell has started.", missing=True)]
    return Section(f"{part}-what", "Runs", blocks)


def _environments(runs: Sequence[RunFolder]) -> list[Block]:
    """Return a table with a column for each different environment. There should be one only."""
    by_environment: dict[tuple[str, ...], list[RunFolder]] = {}
    for run in runs:
        by_environment.setdefault(tuple(fact(run) for fact in ENVIRONMENT.values()), []).append(run)
    if len(by_environment) == 1:
        return [_table("Environment of all cells", ENVIRONMENT, [("all cells", runs[0])])]
    columns = [
        (f"{len(members)} cells: {'; '.join(run.label for run in members)}", members[0]) for members in by_environment.values()
    ]
    text = f"Cells were run in {len(by_environment)} different environments, which may explain part of their differences."
    return [Note(text), _table("Environments of the cells", ENVIRONMENT, columns)]


def _reached(cell: CellEntry) -> list[str]:
    return ["" if cell.run is None else _steps(cell.run)]


def _table(
    caption: str, facts: Mapping[str, Callable[[RunFolder], str]], columns: Sequence[tuple[str, RunFolder]]
) -> TableBlock:
    rows = [[name, *(fact(run) for _, run in columns)] for name, fact in facts.items()]
    return TableBlock(caption, ["", *(title for title, _ in columns)], rows, words=True)


def _seed(run: RunFolder) -> str:
    return NOT_RECORDED if run.record.seed is None else str(run.record.seed)


def _steps(run: RunFolder) -> str:
    """Return the step that the run has reached, and how many it has in all."""
    reached = "none" if run.last_step is None else f"{run.last_step:,}"
    return f"{reached} of {run.record.steps:,}" if run.record.steps is not None else reached


def _count(number: int | None) -> str:
    return NOT_RECORDED if number is None else f"{number:,}"


def _device(run: RunFolder) -> str:
    """Return what the run's automatic settings resolved to."""
    resolved = run.record.resolved.to_json()
    titles = {
        "device": "", "precision": "", "processes": "processes: ", "threads": "threads: ", "micro_batch": "micro-batch: ",
    }  # fmt: skip
    return ", ".join(f"{title}{resolved[key]}" for key, title in titles.items() if key in resolved) or NOT_RECORDED


def _versions(run: RunFolder) -> str:
    return "; ".join(f"{name} {version}" for name, version in run.record.versions.items()) or NOT_RECORDED


def _components(run: RunFolder) -> str:
    """Return the components of a run, grouped by the distribution that registered them."""
    by_distribution: dict[str, list[str]] = {}
    for kind, names in run.record.components.items():
        for name, distribution in names.items():
            by_distribution.setdefault(distribution, []).append(f"{kind.replace('_', ' ')} {name}")
    return "; ".join(f"{owner}: {', '.join(names)}" for owner, names in by_distribution.items()) or NOT_RECORDED


def _genomes(run: RunFolder) -> str:
    return _genome_texts(
        run, lambda genome: f"; training: {genome.training_bases:,} bases, validation: {genome.validation_bases:,} bases"
    )


def _genome_texts(run: RunFolder, splits: Callable[[GenomeRecord], str]) -> str:
    """Return a text about all genomes of a run. splits: returns what is added about the splits of each."""
    texts = [
        f"{genome.path} (digest {genome.digest}; {genome.bases:,} bases{splits(genome)}; {genome.weight:.0%} of the windows)"
        for genome in run.record.genomes
    ]
    if not texts and run.record.imported:
        return f"unknown: imported from {run.record.imported.file or 'an unnamed file'}"
    return "; ".join(texts) or NOT_RECORDED


SIZE: dict[str, Callable[[RunFolder], str]] = {
    "trained parameters": lambda run: _count(run.record.parameters),
    "encoder parameters": lambda run: _count(run.record.encoder_parameters),
    "components": _components,
}
ENVIRONMENT: dict[str, Callable[[RunFolder], str]] = {
    "device": _device,
    "versions": _versions,
    "plugins": lambda run: "; ".join(run.record.plugins) or NOT_RECORDED,
    "genomes": lambda run: _genome_texts(run, lambda genome: ""),  # without splits, which may depend on the seed
}
"""Facts that should be the same for all runs that are compared."""
