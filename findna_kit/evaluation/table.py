"""A result of `evaluate`, and an audit, as rows and lines of text; whoever shows them draws the tables."""

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


def about_lines(result: Mapping[str, Any], where: str = "") -> list[str]:
    """Of what the scores are, and what is to be known beside them. where: which of several tasks of one name it is."""
    sizes = ", ".join(f"{name} {size}" for name, size in result["sizes"].items())
    layer = "" if result["layer"] is None else f" of hidden layer {result['layer']}"
    how = f"{result['pooling']} pooling{layer}, {result['strand']} strand{'s' if result['strand'] == 'both' else ''}"
    leakage = result["leakage"]
    found = f"{leakage['test_rows']} of the test rows ({leakage['share']:.1%}) are, nearly or wholly, in the other parts"
    dropped = f"; the {leakage['dropped']} are left out here" if leakage["dropped"] else ", and are scored"
    return [
        f"task {result['task']}{where} ({sizes}); encoder: {result['branch']} at step {result['step']}, {how}",
        *result["notes"],
        *([f"leakage: {found}{dropped}"] if leakage["test_rows"] else []),
        *(
            f"{seen['share']:.1%} of the test sequences lie in the stretches that the run was trained on"
            for seen in leakage["trained_on"]
        ),
    ]


def strands_text(result: Mapping[str, Any]) -> str:
    """How far the encoder, and one that has learned nothing, tell a sequence from its reverse complement."""
    return ", ".join(
        f"{FEATURE_NAMES[who]} {'not to be said, all embeddings are the same' if found['value'] is None else score_text(found)}"
        for who, found in result["strands"].items()
    )


_KINDS = {"same": "same", "reverse_complement": "other strand", "near": "near"}


def audit_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """The header, then for each pair of parts the rows of the one that the other has."""
    rows = [["rows of", "found in", *_KINDS.values(), "of another label", "in all", "not compared"]]
    for pair in report["between"]:
        counts = [f"{len(pair['rows'][kind]):,}" for kind in _KINDS]
        counts.append(f"{pair['near_with_another_label']:,}")
        rows.append([pair["rows_of"], pair["found_in"], *counts, f"{pair['share']:.1%}", f"{pair['not_compared']:,}"])
    return rows


def audit_lines(report: Mapping[str, Any]) -> list[str]:
    """The rest of an audit in words, at the end how it was made, and what that cannot see."""
    conflicting, leaked, rows = report["conflicting"], report["leaked"], report["sizes"]["test"]
    rows_of_several = sum(map(len, conflicting["rows"].values()))
    return [
        f"repeated inside: {', '.join(f'{part} {count:,}' for part, count in report['repeats'].items())}",
        f"sequences with more than one label: {conflicting['sequences']:,}, in {rows_of_several:,} rows",
        f"test rows found in the other parts: {len(leaked['rows']):,} of {rows:,} ({leaked['share']:.1%})",
        *(f"test rows in what {report['run']} was trained on: {_seen(seen, rows)}" for seen in report["trained_on"]),
        *(f"test rows that lie in a genome: {_seen(seen, rows)}" for seen in report["lies_in"]),
        *(f"not known: {sentence}" for sentence in report["unknown"]),
        _method(report),
    ]


def _seen(seen: Mapping[str, Any], rows: int) -> str:
    compared = rows - seen["not_compared"]
    lacking = f"; {seen['not_compared']:,} could not be looked for" if seen["not_compared"] else ""
    share = f" ({seen['share']:.1%})" if compared else ""
    return f"{len(seen['rows']):,} of {compared:,}{share}, in {seen['bases']:,} bases of {seen['path']}{lacking}"


def _method(report: Mapping[str, Any]) -> str:
    method = report["method"]
    told = (
        f"near: shares {method['near']:.0%} or more of the {method['k']}-mers ({method['sampled']} is looked at) of the "
        "shorter one, on either strand; of another label: near ones whose nearest row has another; not compared: has fewer "
        f"than {method['least_shared']} of them, so only exact copies were looked for"
    )
    if report["trained_on"] or report["lies_in"]:
        k = (report["trained_on"] or report["lies_in"])[0]["k"]
        told += f"; in a genome: half or more of a row's {k}-mers; one with none, or with N in each, cannot be looked for"
    return told
