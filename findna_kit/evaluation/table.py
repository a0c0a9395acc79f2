"""A result of `evaluate` as rows of text; whoever shows it draws the lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from findna_kit.evaluation.scores import SCORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from findna_kit.evaluation.scores import Interval

SCORE_NAMES = {"accuracy": "accuracy", "mcc": "MCC", "macro_f1": "macro-F1", "auroc": "AUROC", "auprc": "AUPRC"}
PROTOCOL_NAMES = {"knn": "k-NN", "probe": "linear probe", "finetune": "fine-tuning"}
FEATURE_NAMES = {
    "encoder": "encoder",
    "random_init": "random initialisation",
    "shuffled_labels": "encoder, shuffled labels",
    "kmer": "k-mer logistic regression",
    "majority": "majority class",
}
_SHOWN_CHOICES = ("neighbours", "k", "C", "class", "rows", "epoch")


def table_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """The header, then for each protocol the encoder and every control, with the encoder's paired difference to it.

    Every score with its interval; the one that the task is published with, first, with its deviation over the seeds too.
    """
    metric = result["metric"]
    scores = [metric, *(name for name in SCORES if name != metric)]
    rows = [header(metric)]
    for protocol, block in result["protocols"].items():
        for who, row in block.items():
            if who == "encoder_minus":
                continue
            difference = block["encoder_minus"].get(who, {}).get(metric)
            rows.append(
                [
                    protocol_name(protocol),
                    FEATURE_NAMES[who],
                    str(row["seeds"]),
                    _chosen(row["chosen"]),
                    score_text(row[metric]) + (f" sd {row[metric]['deviation']:.3f}" if "deviation" in row[metric] else ""),
                    *(score_text(row[score]) for score in scores[1:]),
                    f"{difference['verdict']} ({score_text(difference, sign='+')})" if difference else "",
                ]
            )
    return rows


def header(metric: str) -> list[str]:
    """The columns' names, the task's own score first."""
    others = (SCORE_NAMES[name] for name in SCORES if name != metric)
    name = SCORE_NAMES[metric]
    return ["protocol", "features", "seeds", "chosen", name, *others, f"encoder's {name} is"]


def protocol_name(protocol: str) -> str:
    """As a table has it: `probe` is `linear probe`, `few_shot_5` is `5-shot`."""
    return PROTOCOL_NAMES.get(protocol) or f"{protocol.removeprefix('few_shot_')}-shot"


def score_text(score: Interval, sign: str = "") -> str:
    """`0.612 [0.571, 0.650]`; with sign `+`, `+0.041 [+0.012, +0.070]`."""
    value, low, high = (_number(one, sign) for one in (score["value"], score["low"], score["high"]))
    return f"{value} [{low}, {high}]"


def _number(value: float, sign: str) -> str:
    # + 0.0: what rounds to zero from below would be written -0.000.
    return f"{round(value, 3) + 0.0:{sign}.3f}"


def _chosen(repeats: Sequence[Mapping[str, Any]]) -> str:
    """What was chosen, of several repeats every value that occurs."""
    words = []
    for name in _SHOWN_CHOICES:
        values = list(dict.fromkeys(str(chosen[name]) for chosen in repeats if name in chosen))
        if values:
            words.append(f"{name}={'/'.join(values)}")
    return ", ".join(words) + ("" if all(chosen.get("converged", True) for chosen in repeats) else " (not converged)")
