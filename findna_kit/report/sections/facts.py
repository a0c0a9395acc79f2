"""What was run, by what, and on what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.report.blocks import Note, Section, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from findna_kit.records.run_json import GenomeRecord
    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import CellOf, Run

NOT_SAID = "not recorded"


def runs_section(part: str, runs: Sequence[Run]) -> Section:
    """A column for each run."""
    own = {"folder": _folder, "status": lambda run: run.status, "name": lambda run: run.record.name or NOT_SAID}
    facts = own | {"seed": _seed, "steps": _steps} | SIZE | AROUND | {"genomes": _genomes}
    blocks: list[Block] = [_table("What was run, and from which versions", facts, [(run.label, run) for run in runs])]
    blocks += [
        Note(f"{run.label}: no step is recorded in metrics.jsonl, so it has no curves.", missing=True)
        for run in runs
        if run.last_step is None
    ]
    return Section(f"{part}-what", "What was run", blocks)


def cells_section(part: str, cells: Sequence[CellOf]) -> Section:
    """The state of every cell, and one column for each surrounding that cells were run in, which should be one alone."""
    counted: dict[str, int] = {}
    for cell in cells:
        counted[cell.state.partition(":")[0]] = counted.get(cell.state.partition(":")[0], 0) + 1
    states = ", ".join(f"{count} {state}" for state, count in counted.items())
    rows = [[f"{cell.condition}, seed {cell.seed}", cell.state, *_reached(cell)] for cell in cells]
    blocks: list[Block] = [Note(f"{len(cells)} cells: {states}.")]
    blocks.append(Table("State of every cell", ["cell", "state", "steps"], rows, folded=True))
    runs = [cell.run for cell in cells if cell.run is not None]
    blocks += _surroundings(runs) if runs else [Note("No cell has begun.", missing=True)]
    return Section(f"{part}-what", "What was run", blocks)


def _surroundings(runs: Sequence[Run]) -> list[Block]:
    found: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        found.setdefault(tuple(fact(run) for fact in AROUND.values()), []).append(run)
    if len(found) == 1:
        return [_table("What all cells were run with", AROUND, [("all cells", runs[0])])]
    columns = [(f"{len(own)} cells: {'; '.join(run.label for run in own)}", own[0]) for own in found.values()]
    said = f"Cells were run in {len(found)} different surroundings, which may be part of any difference between them."
    return [Note(said), _table("What cells were run with", AROUND, columns)]


def _reached(cell: CellOf) -> list[str]:
    return ["" if cell.run is None else _steps(cell.run)]


def _table(caption: str, facts: Mapping[str, Callable[[Run], str]], columns: Sequence[tuple[str, Run]]) -> Table:
    rows = [[name, *(fact(run) for _, run in columns)] for name, fact in facts.items()]
    return Table(caption, ["", *(title for title, _ in columns)], rows, words=True)


def _folder(run: Run) -> str:
    return str(run.folder.resolve())


def _seed(run: Run) -> str:
    return NOT_SAID if run.record.seed is None else str(run.record.seed)


def _steps(run: Run) -> str:
    reached = "none" if run.last_step is None else f"{run.last_step:,}"
    return f"{reached} of {run.record.steps:,}" if run.record.steps is not None else reached


def _count(number: int | None) -> str:
    return NOT_SAID if number is None else f"{number:,}"


def _device(run: Run) -> str:
    told = run.record.resolved.to_json()
    named = {"device": "", "precision": "", "processes": "processes: ", "threads": "threads: ", "micro_batch": "rows a pass: "}
    return ", ".join(f"{words}{told[key]}" for key, words in named.items() if key in told) or NOT_SAID


def _versions(run: Run) -> str:
    return "; ".join(f"{name} {version}" for name, version in run.record.versions.items()) or NOT_SAID


def _components(run: Run) -> str:
    by_owner: dict[str, list[str]] = {}
    for kind, owned in run.record.components.items():
        for name, owner in owned.items():
            by_owner.setdefault(owner, []).append(f"{kind.replace('_', ' ')} {name}")
    return "; ".join(f"of {owner}: {', '.join(names)}" for owner, names in by_owner.items()) or NOT_SAID


def _genomes(run: Run) -> str:
    return _of_genomes(run, lambda one: f"; {one.training_bases:,} for training, {one.validation_bases:,} held out")


def _of_genomes(run: Run, parts: Callable[[GenomeRecord], str]) -> str:
    told = [
        f"{one.path} (digest {one.digest}; {one.bases:,} bases{parts(one)}; {one.weight:.0%} of the windows)"
        for one in run.record.genomes
    ]
    if not told and run.record.imported:
        return f"not known: imported from {run.record.imported.file or 'a file that is not named'}"
    return "; ".join(told) or NOT_SAID


SIZE: dict[str, Callable[[Run], str]] = {
    "trained parameters": lambda run: _count(run.record.parameters),
    "of the encoder": lambda run: _count(run.record.encoder_parameters),
    "components": _components,
}
AROUND: dict[str, Callable[[Run], str]] = {
    "device": _device,
    "versions": _versions,
    "plugins that were there": lambda run: "; ".join(run.record.plugins) or NOT_SAID,
    "genomes": lambda run: _of_genomes(run, lambda one: ""),  # what is held out may follow from the seed
}
"""What a difference between runs should not come from."""
