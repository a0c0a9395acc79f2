"""Section "Verdict" of runs: in sentences, whether a run learned something, and compared with what."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from findna_kit.evaluation.result_tables import FEATURE_NAMES, SCORE_NAMES, main_protocol, protocol_name, score_text
from findna_kit.metrics import names
from findna_kit.metrics.readers import newest_rows
from findna_kit.records.paths import EVALUATION_JSON
from findna_kit.report.blocks import Note, Section
from findna_kit.report.sections.scores import keep_intervals_together, writer_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.records.evaluation_json import TaskResult
    from findna_kit.report.blocks import Block
    from findna_kit.report.folders import RunFolder

_TASKS = 3
"""Tasks with a sentence of their own. The others are counted: more sentences would not be read."""
_COMPARED = ("random_init", "kmer", "one_hot", "cnn")
"""Controls that are named: the same network untrained, and what needs no pretraining."""


def verdict_section(part: str, runs: Sequence[RunFolder]) -> Section:
    """Return the section: of each run its status, its main scores against controls, masked bases, and collapse signals."""
    blocks: list[Block] = []
    for run in runs:
        steps = "" if run.record.steps is None else f", {run.last_step or 0:,} of {run.record.steps:,} steps"
        seed = "" if run.record.seed is None else ", one seed"
        blocks.append(Note(f"{run.label}: {run.status}{steps}{seed}."))
        with writer_named(run.folder / EVALUATION_JSON, "evaluate"):
            blocks += [_on_task(result) for result in list(run.evaluation.values())[:_TASKS]]
        # Where many tasks were scored, the page has their figures under Scores.
        if (more := len(run.evaluation) - _TASKS) > 0:
            blocks.append(Note(f"{more} more task{'s' * (more > 1)} under Scores."))
        if not run.evaluation:
            command = f"findna-kit evaluate {shlex.quote(str(run.folder))} TASK"
            blocks.append(Note("Not evaluated on a labelled task yet.", missing=True, command=command))
        with writer_named(run.folder / "metrics.jsonl", "run"):
            blocks += [Note(sentence) for sentence in (_masked_bases(run), _collapse(run)) if sentence]
    return Section(f"{part}-verdict", "Verdict", blocks)


def _on_task(result: TaskResult) -> Note:
    """Return the score of the encoder in one protocol, and how it compares with the controls."""
    protocol = main_protocol(result)
    block = result.protocols[protocol]
    differences = {name: block.difference(name, result.metric) for name in _COMPARED if name in block.contenders()}
    compared = [
        f"{difference.verdict}{' from' if difference.verdict.startswith('not') else ''} {FEATURE_NAMES[name]} "
        f"({score_text(difference, sign='+')})"
        for name, difference in differences.items()
        if difference is not None
    ]
    (score,) = keep_intervals_together([score_text(block.encoder.score(result.metric))])
    sentence = f"{result.task}, {protocol_name(protocol)}: {SCORE_NAMES[result.metric]} {score}"
    if compared:
        sentence += f"; the encoder is {', '.join(keep_intervals_together(compared))}"
    return Note(f"{sentence}.")


def _masked_bases(run: RunFolder) -> str:
    """Return how well masked bases are predicted, next to the best baseline; nothing if no loss predicts them."""
    baselines = run.record.baselines or {}
    for label in run.recipe.get("losses") or {}:
        for branch in ("teacher", "student"):
            metric = names.plain_validation_metric(label, "bits_per_base", branch)
            row = next(newest_rows(run.folder, having=metric), None)
            if row is None or not baselines:
                continue
            # The best baseline, not the nearest: a model that only beats weak ones has learned nothing.
            best = min(baselines, key=lambda name: baselines[name].bits_per_base)
            bits, counted = float(row[metric]), baselines[best].bits_per_base
            verdict = "fewer than" if bits < counted else "not fewer than"
            return (
                f"Masked bases of validation windows: {bits:.3f} bits per base ({branch}, step {row['step']:,}), {verdict} the "
                f"best baseline's {counted:.3f} ({best.replace('_', ' ')})."
            )
    return ""


def _collapse(run: RunFolder) -> str:
    """Return the collapse signals of the last validation, with the values that mean collapse."""
    for branch in ("teacher", "student"):
        texts = []
        for signal, title, meaning in (("rankme", "RankMe", "1"), ("deviation", "feature deviation", "0")):
            metric = names.collapse_metric(branch, f"pooled_{signal}")
            row = next(newest_rows(run.folder, having=metric), None)
            if row is not None:
                texts.append(f"{title} {float(row[metric]):.2f} (near {meaning}: collapsed)")
        if texts:
            return f"Pooled embeddings of the {branch}: {', '.join(texts)}."
    return ""
