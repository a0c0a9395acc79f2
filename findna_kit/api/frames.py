"""DataFrames of a run's metrics and scores. pandas is an optional extra, imported when a frame is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.errors import require_extra
from findna_kit.metrics.writers import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pandas import DataFrame

    from findna_kit.records.evaluation_json import ContenderResult, ScoreDifference, TaskResult

SCORE_COLUMNS = (
    "task", "protocol", "features", "metric", "score", "low", "high", "seeds", "difference", "difference_low",
    "difference_high", "verdict", "step",
)  # fmt: skip
Cell = str | int | float | None


def require_pandas(feature: str) -> None:
    """Raise FindnaError with the command that installs pandas, which `feature` needs, if it is not installed."""
    require_extra("pandas", "pandas", feature)


def frame_of(rows: Iterable[Mapping[str, Cell]], columns: Sequence[str], feature: str) -> DataFrame:
    """Return a DataFrame with these columns; cells that a row lacks are missing values. Needs pandas."""
    require_pandas(feature)
    from pandas import DataFrame  # optional

    return DataFrame(list(rows), columns=list(columns))


def metrics_frame(run: Path) -> DataFrame:
    """Return the rows of metrics.jsonl, with the step as the index."""
    rows = read_rows(run)
    columns = dict.fromkeys(["step", *(name for row in rows for name in row)])
    return frame_of(rows, list(columns), "Run.metrics").set_index("step")


def scores_frame(results: Iterable[TaskResult]) -> DataFrame:
    """Return a row for each task, protocol and contender: the encoder first, then its controls."""
    rows = [
        _row(result, protocol, name, contender, block.difference(name, result.metric))
        for result in results
        for protocol, block in result.protocols.items()
        for name, contender in block.contenders().items()
    ]
    return frame_of(rows, SCORE_COLUMNS, "Run.scores")


def _row(
    result: TaskResult, protocol: str, name: str, contender: ContenderResult, difference: ScoreDifference | None
) -> dict[str, Cell]:  # fmt: skip
    score = contender.score(result.metric)
    row: dict[str, Cell] = {
        "task": result.task, "protocol": protocol, "features": name, "metric": result.metric, "score": score.value,
        "low": score.low, "high": score.high, "seeds": contender.seeds, "step": result.step,
    }  # fmt: skip
    if difference is not None:
        row |= {
            "difference": difference.value, "difference_low": difference.low, "difference_high": difference.high,
            "verdict": difference.verdict,
        }  # fmt: skip
    return row
