"""Section "Scores" of runs: scores on labelled tasks with their controls, and the baselines at masked bases."""

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
from findna_kit.report.blocks import Figure, Note, Panel, Section, TableBlock
from findna_kit.report.figures.intervals import Bar, draw_intervals, range_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from findna_kit.records.evaluation_json import ContenderResult, TaskResult
    from findna_kit.report.blocks import Block
    from findna_kit.report.figures.canvas import Shape
    from findna_kit.report.folders import RunFolder

_BRACKETS = re.compile(r"\[[^\[\]]*\]")
_STRANDS = "Strand disagreement (0: both strands have the same embedding, 1: they differ as much as two sequences)"


def scores_section(part: str, runs: Sequence[RunFolder]) -> Section:
    """Return the section: for several runs a table of their scores side by side, then every task of every run."""
    blocks: list[Block] = []
    if len(runs) > 1 and any(run.evaluation for run in runs):
        blocks += _side_by_side(runs)
    for number, run in enumerate(runs):
        if not run.evaluation:
            command = f"findna-kit evaluate {shlex.quote(str(run.folder))} TASK"
            blocks.append(Note(f"{run.label}: not evaluated yet.", missing=True, command=command))
        for index, result in enumerate(run.evaluation.values()):
            with writer_named(run.folder / EVALUATION_JSON, "evaluate"):
                blocks += _task(f"{part}-scores-{number}-{index}", run, result, several=len(runs) > 1)
    blocks += _baselines(runs)
    return Section(f"{part}-scores", "Scores", blocks)


@contextmanager
def writer_named(path: Path, command: str) -> Iterator[None]:
    """Turn an error about missing or unexpected content of a file into a FindnaError that names the file and its command."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FindnaError(
            f"{path}: unexpected content ({type(error).__name__}: {error}); `findna-kit {command}` writes it again"
        ) from error


def as_sentence(line: str) -> str:
    """Return a line with a capital letter and a full stop."""
    return f"{line[:1].upper()}{line[1:]}."


def keep_intervals_together(row: Sequence[str]) -> list[str]:
    """Return the cells of a row with non-breaking spaces in intervals, so that no interval is split over two lines."""
    return [_BRACKETS.sub(lambda match: match[0].replace(" ", "\N{NO-BREAK SPACE}"), cell) for cell in row]


def _task(key: str, run: RunFolder, result: TaskResult, *, several: bool) -> list[Block]:
    prefix = f"{run.label}: " if several else ""
    first, *remarks = about_lines(result, "" if result.path == result.task else f" in {result.path}")
    interval = result.interval
    level = f"{interval.level:.0%} intervals, {interval.method}, {interval.resamples:,} resamples; {result.areas}"
    head, *rows = map(_important_first, table_rows(result))
    notes: list[Block] = [
        Note(as_sentence(f"{prefix}{first}. In brackets: {level}")),
        *(Note(as_sentence(remark)) for remark in remarks),
    ]
    if run.last_step is not None and result.step != run.last_step:
        notes.append(
            Note(f"Scored at step {result.step:,}, but the run has continued to step {run.last_step:,}.", missing=True)
        )
    title = f"{prefix}{SCORE_NAMES[result.metric]} on {result.task}"
    table = TableBlock(f"{prefix}scores on {result.task}", head, [keep_intervals_together(row) for row in rows])
    return [Figure(title, _forest_plots(key, result), table), *notes, Note(f"{_STRANDS}: {strands_text(result)}.")]


def _important_first(row: Sequence[str]) -> list[str]:
    """Return a row with the most important columns first: a phone shows two or three before it has to scroll."""
    protocol, features, seeds, chosen, score, *others, verdict = row
    return [features, protocol, score, verdict, *others, seeds, chosen]


def _forest_plots(key: str, result: TaskResult) -> list[Panel]:
    """Return a forest plot of the encoder and its controls for each protocol, all with the same axis."""
    metric = result.metric
    by_protocol = {
        protocol: [_bar(FEATURE_NAMES[name], row, metric, name) for name, row in block.contenders().items()]
        for protocol, block in result.protocols.items()
    }
    values = range_of([bar for bars in by_protocol.values() for bar in bars], zero=False)
    return [
        Panel(
            protocol_name(protocol),
            draw_intervals(
                f"{key}-{number}", protocol_name(protocol), ". ".join(f"{bar.name}: {bar.text}" for bar in bars), bars,
                axis=SCORE_NAMES[metric], values=values,
            ),
        )
        for number, (protocol, bars) in enumerate(by_protocol.items())
    ]  # fmt: skip


def _bar(name: str, row: ContenderResult, metric: str, contender: str) -> Bar:
    seeds = f", {row.seeds} seeds" if row.seeds > 1 else ""
    score, is_encoder = row.score(metric), contender == "encoder"
    text = f"{score_text(score)}{seeds}"
    bar_style: tuple[Shape, int] = ("circle", 0) if is_encoder else ("square", 7)
    return Bar(name, text, score.value, score.low, score.high, *bar_style)


def _side_by_side(runs: Sequence[RunFolder]) -> list[Block]:
    """Return a table of the encoders' scores by task. It compares nothing: each run has its own intervals."""
    scores: dict[tuple[str, str], dict[str, str]] = {}
    names: dict[str, str] = {}
    for run in runs:
        with writer_named(run.folder / EVALUATION_JSON, "evaluate"):
            for path, result in run.evaluation.items():
                names[path] = f"{result.task}, {SCORE_NAMES[result.metric]}"
                for protocol, block in result.protocols.items():
                    scores.setdefault((path, protocol), {})[run.label] = score_text(block.encoder.score(result.metric))
    rows = [
        keep_intervals_together(
            [f"{names[path]}, {protocol_name(protocol)}", *(by_run.get(run.label, "not scored") for run in runs)]
        )
        for (path, protocol), by_run in scores.items()
    ]
    table = TableBlock(
        "Scores of the encoders side by side, each with its own interval",
        ["task and protocol", *(run.label for run in runs)],
        rows,
    )
    text = (
        "These intervals cover the sampling of the test set, not the variance between trainings: to show a difference between "
        "two runs, use a study over seeds (findna-kit ablate), not this table."
    )
    return [Note(text), table]


def _baselines(runs: Sequence[RunFolder]) -> list[Block]:
    """Return a table of each run's baselines: models that predict masked bases from counted contexts."""
    blocks: list[Block] = []
    for run in runs:
        if not run.record.baselines:
            continue
        with writer_named(run.folder / "run.json", "run"):
            rows = [
                [
                    name.replace("_", " "),
                    f"{baseline.accuracy:.3f}",
                    f"{baseline.bits_per_base:.3f}",
                    f"{baseline.fitted_on_bases:,.0f}",
                ]
                for name, baseline in run.record.baselines.items()
            ]
        caption = f"{run.label}: baselines at masked bases (counts of the unmasked bases around them)"
        blocks.append(TableBlock(caption, ["model", "accuracy", "bits per base", "fitted on bases"], rows, folded=True))
    return blocks
