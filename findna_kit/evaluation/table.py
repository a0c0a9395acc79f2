"""A result of `evaluate` as rows of text; whoever shows it draws the lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from findna_kit.evaluation.scores import Interval

HEADER = ["protocol", "features", "chosen", "accuracy", "MCC", "macro-F1", "encoder's MCC is"]
PROTOCOL_NAMES = {"knn": "k-NN", "probe": "linear probe"}
FEATURE_NAMES = {
    "encoder": "encoder",
    "random_init": "random initialisation",
    "kmer": "k-mer logistic regression",
    "majority": "majority class",
}


def table_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """The header, then for each protocol the encoder and every control, with the encoder's paired difference to it."""
    rows = [list(HEADER)]
    for protocol, block in result["protocols"].items():
        scored = {"encoder": block["encoder"], "random_init": block["random_init"], **result["controls"]}
        for who, row in scored.items():
            difference = block["encoder_minus"].get(who)
            rows.append(
                [
                    PROTOCOL_NAMES[protocol],
                    FEATURE_NAMES[who],
                    _chosen(row["chosen"]),
                    *(score_text(row[score]) for score in ("accuracy", "mcc", "macro_f1")),
                    f"{difference['mcc']['verdict']} ({score_text(difference['mcc'], sign='+')})" if difference else "",
                ]
            )
    return rows


def score_text(score: Interval, sign: str = "") -> str:
    """`0.612 [0.571, 0.650]`; with sign `+`, `+0.041 [+0.012, +0.070]`."""
    value, low, high = (_number(score[name], sign) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _number(value: float, sign: str) -> str:
    # + 0.0: what rounds to zero from below would be written -0.000.
    return f"{round(value, 3) + 0.0:{sign}.3f}"


def _chosen(chosen: Mapping[str, Any]) -> str:
    words = [f"{name}={value}" for name, value in chosen.items() if not name.startswith("validation_") and name != "converged"]
    return ", ".join(words) + ("" if chosen.get("converged", True) else " (not converged)")
