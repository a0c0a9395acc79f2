"""Scores on labelled tasks, beside their controls, as evaluation.json has them; and what counting predicts at masked bases."""

from __future__ import annotations

import re
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError
from findna_kit.evaluation.result_tables import (
    FEATURE_NAMES,
    SCORE_NAMES,
    about_lines,
    protocol_name,
    score_text,
    strands_text,
    table_rows,
)
from findna_kit.records.paths import EVALUATION_JSON
from findna_kit.report.blocks import Figure, Note, Panel, Section, Table
from findna_kit.report.figures.intervals import Bar, draw_intervals, range_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from findna_kit.records.evaluation_json import ContenderResult, TaskResult
    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import Run

_BRACKETS = re.compile(r"\[[^\[\]]*\]")
_STRANDS = "Strand disagreement (0: both strands give the same, 1: as far apart as two sequences)"


def scores_section(part: str, runs: Sequence[Run]) -> Section:
    """Every task of every run; of several runs first side by side."""
    blocks: list[Block] = []
    if len(runs) > 1 and any(run.evaluation for run in runs):
        blocks += _side_by_side(runs)
    for number, run in enumerate(runs):
        if not run.evaluation:
            call = f"findna-kit evaluate {shlex.quote(str(run.folder))} TASK"
            blocks.append(Note(f"{run.label}: not evaluated yet.", missing=True, command=call))
        for place, result in enumerate(run.evaluation.values()):
            with written_by(run.folder / EVALUATION_JSON, "evaluate"):
                blocks += _task(f"{part}-scores-{number}-{place}", run, result, several=len(runs) > 1)
    blocks += _baselines(runs)
    return Section(f"{part}-scores", "Scores", blocks)


@contextmanager
def written_by(path: Path, command: str) -> Iterator[None]:
    """Inside, what is missing in a file, or is of another kind, is one sentence that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FindnaError(
            f"{path}: is not what this version's `findna-kit {command}` writes ({type(error).__name__}: {error}); make it anew"
        ) from error


def sentence(line: str) -> str:
    """A line as one."""
    return f"{line[:1].upper()}{line[1:]}."


def together(row: Sequence[str]) -> list[str]:
    """The cells of a row, each interval on one line."""
    return [_BRACKETS.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), cell) for cell in row]


def _task(key: str, run: Run, result: TaskResult, *, several: bool) -> list[Block]:
    whose = f"{run.label}: " if several else ""
    first, *remarks = about_lines(result, "" if result.path == result.task else f" in {result.path}")
    interval = result.interval
    level = f"{interval.level:.0%} intervals, {interval.method}, {interval.resamples:,} resamples; {result.areas}"
    head, *rows = map(_important_first, table_rows(result))
    notes: list[Block] = [Note(sentence(f"{whose}{first}. In brackets {level}")), *(Note(sentence(one)) for one in remarks)]
    if run.last_step is not None and result.step != run.last_step:
        notes.append(Note(f"Scored at step {result.step:,}; the run has come to step {run.last_step:,}.", missing=True))
    title = f"{whose}{SCORE_NAMES[result.metric]} on {result.task}"
    table = Table(f"{whose}scores on {result.task}", head, [together(row) for row in rows])
    return [Figure(title, _pictures(key, result), table), *notes, Note(f"{_STRANDS}: {strands_text(result)}.")]


def _important_first(row: Sequence[str]) -> list[str]:
    """A phone shows two or three columns before it scrolls: who, how, the task's own score; last how that came about."""
    protocol, who, seeds, chosen, own, *others, verdict = row
    return [who, protocol, own, verdict, *others, seeds, chosen]


def _pictures(key: str, result: TaskResult) -> list[Panel]:
    """A forest for each protocol, on one axis: the encoder and every control."""
    metric = result.metric
    every = {
        protocol: [_bar(FEATURE_NAMES[who], row, metric, who) for who, row in block.contenders().items()]
        for protocol, block in result.protocols.items()
    }
    values = range_of([bar for bars in every.values() for bar in bars], zero=False)
    return [
        Panel(
            protocol_name(protocol),
            draw_intervals(
                f"{key}-{number}", protocol_name(protocol), ". ".join(f"{bar.name}: {bar.told}" for bar in bars), bars,
                axis=SCORE_NAMES[metric], values=values,
            ),
        )
        for number, (protocol, bars) in enumerate(every.items())
    ]  # fmt: skip


def _bar(name: str, row: ContenderResult, metric: str, who: str) -> Bar:
    seeds = f", {row.seeds} seeds" if row.seeds > 1 else ""
    found, own = row.score(metric), who == "encoder"
    told = f"{score_text(found)}{seeds}"
    return Bar(name, told, found.value, found.low, found.high, "circle" if own else "square", 0 if own else 7)


def _side_by_side(runs: Sequence[Run]) -> list[Block]:
    """The encoders' scores, task by task: as each run states them, nothing compared."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    names: dict[str, str] = {}
    for run in runs:
        with written_by(run.folder / EVALUATION_JSON, "evaluate"):
            for path, result in run.evaluation.items():
                names[path] = f"{result.task}, {SCORE_NAMES[result.metric]}"
                for protocol, block in result.protocols.items():
                    found.setdefault((path, protocol), {})[run.label] = score_text(block.encoder.score(result.metric))
    rows = [
        together([f"{names[path]}, {protocol_name(protocol)}", *(own.get(run.label, "not scored") for run in runs)])
        for (path, protocol), own in found.items()
    ]
    table = Table(
        "Encoders side by side, each with its own interval", ["task and protocol", *(run.label for run in runs)], rows
    )
    said = (
        "These intervals hold the chance of the test rows, not of another training: a difference between two runs is shown by "
        "a study over seeds (findna-kit ablate), not by this table."
    )
    return [Note(said), table]


def _baselines(runs: Sequence[Run]) -> list[Block]:
    """The models that only count, and the networks at the last look."""
    blocks: list[Block] = []
    for run in runs:
        if not run.record.baselines:
            continue
        with written_by(run.folder / "run.json", "run"):
            rows = [
                [
                    name.replace("_", " "),
                    f"{own.accuracy:.3f}",
                    f"{own.bits_per_base:.3f}",
                    f"{own.fitted_on_bases:,.0f}",
                ]
                for name, own in run.record.baselines.items()
            ]
        caption = f"{run.label}: masked bases, predicted by counting on the clean bases around them"
        blocks.append(Table(caption, ["model", "accuracy", "bits per base", "fitted on bases"], rows, folded=True))
    return blocks
