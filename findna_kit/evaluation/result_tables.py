"""Results of `evaluate` and of the leakage audit as rows and lines of text, for the command line, reports and model cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.evaluation.protocol_table import title_of
from findna_kit.evaluation.scores import SCORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from findna_kit.records.audit_json import AuditReport, GenomeOverlap
    from findna_kit.records.evaluation_json import ContenderResult, ScoreDifference, ScoreInterval, TaskResult, TaskScores

SCORE_NAMES = {"accuracy": "accuracy", "mcc": "MCC", "macro_f1": "macro-F1", "auroc": "AUROC", "auprc": "AUPRC"}
FEATURE_NAMES = {
    "encoder": "encoder",
    "random_init": "random initialisation",
    "shuffled_labels": "encoder, shuffled labels",
    "cnn": "CNN from scratch",
    "kmer": "k-mer logistic regression",
    "one_hot": "one-hot regression",
    "majority": "majority class",
}
_OTHER_SCORES = tuple(f"score_{number}" for number in range(1, len(SCORES)))
COLUMNS = ("protocol", "features", "seeds", "chosen", "score", *_OTHER_SCORES, "difference")
"""Names of the columns of `table_rows`. `score` is the task's own metric; the other scores follow."""
MAIN_COLUMNS = ("protocol", "features", "score", "difference")
"""The columns that matter most, for narrow terminals."""
_MAIN_PROTOCOLS = ("finetune", "probe", "knn")
_STRAND_WORDS = {
    "forward": "forward strand", "both": "both strands", "auto": "strands chosen on the validation split",
}  # fmt: skip
_SHOWN_CHOICES = ("neighbours", "k", "strands", "strand", "C", "class", "rows", "epoch")


def table_rows(result: TaskScores, columns: Sequence[str] = COLUMNS) -> list[list[str]]:
    """Return a header, then for each protocol the encoder and every control with the encoder's paired difference to it.

    Every score comes with its interval; the task's own metric also with its standard deviation over seeds. columns: those of
    COLUMNS to return, in their order.
    """
    metric = result.metric
    # The task's own metric comes first; the other scores follow in a fixed order.
    rows = [header(metric)]
    for protocol, block in result.protocols.items():
        for name, contender in block.contenders().items():
            difference = block.difference(name, metric)
            rows.append(_row(metric, title_of(protocol), FEATURE_NAMES[name], contender, difference))
    places = [COLUMNS.index(column) for column in columns]
    return [[row[place] for place in places] for row in rows]


def _row(
    metric: str, protocol: str, features: str, contender: ContenderResult, difference: ScoreDifference | None
) -> list[str]:
    own, others = contender.score(metric), [contender.score(name) for name in SCORES if name != metric]
    deviation = "" if own.deviation is None else f" sd {own.deviation:.3f}"
    return [
        protocol,
        features,
        str(contender.seeds),
        _chosen(contender.chosen),
        score_text(own) + deviation,
        *map(score_text, others),
        f"{difference.verdict} ({score_text(difference, sign='+')})" if difference else "",
    ]


def header(metric: str) -> list[str]:
    """Return the titles of all columns, the task's own metric before the other scores."""
    others = (SCORE_NAMES[name] for name in SCORES if name != metric)
    name = SCORE_NAMES[metric]
    return ["protocol", "features", "seeds", "chosen", name, *others, f"encoder's {name} is"]


def protocol_name(protocol: str) -> str:
    """Return a protocol's name as tables show it: `linear probe` for `probe`, `5-shot` for `few_shot_5`."""
    return title_of(protocol)


def score_text(score: ScoreInterval, sign: str = "") -> str:
    """Return `0.612 [0.571, 0.650]`; with sign `+`, `+0.041 [+0.012, +0.070]`."""
    value, low, high = (_number(end, sign) for end in (score.value, score.low, score.high))
    return f"{value} [{low}, {high}]"


def _number(value: float, sign: str) -> str:
    # Adding 0.0 turns a negative zero, left by rounding, into 0.000.
    return f"{round(value, 3) + 0.0:{sign}.3f}"


def _chosen(seeds: Sequence[Mapping[str, JsonValue]]) -> str:
    """Return the chosen hyperparameters; of several seeds every value that occurs."""
    words = []
    for name in _SHOWN_CHOICES:
        # Seeds may choose different values; each is shown once.
        values = list(dict.fromkeys(str(chosen[name]) for chosen in seeds if name in chosen))
        if values:
            value = "/".join(values)
            # As words, which a narrow column can break.
            words.append(_STRAND_WORDS.get(value, f"{value} strands") if name.startswith("strand") else f"{name}={value}")
    return ", ".join(words) + ("" if all(chosen.get("converged", True) for chosen in seeds) else " (not converged)")


def kmers_text(result: TaskScores) -> str:
    """Return the k-mers that the k-mer control chose; empty if it was not scored with a choice."""
    for block in result.protocols.values():
        # The few-shot control, and results of version 0.1, state no strands: nothing was chosen there.
        if block.kmer is not None and "strands" in block.kmer.chosen[0]:
            return f"k-mers chosen on the validation split: {_chosen(block.kmer.chosen)}"
    return ""


def main_protocol(result: TaskResult) -> str:
    """Return the protocol whose score is shown where there is room for one: fine-tuning, the probe, or else the first."""
    return next((name for name in _MAIN_PROTOCOLS if name in result.protocols), next(iter(result.protocols)))


def about_lines(result: TaskResult, where: str = "") -> list[str]:
    """Return what the scores were measured on and how, and the notes on them. where: tells tasks of one name apart."""
    sizes = ", ".join(f"{name} {size}" for name, size in result.sizes.items())
    layer = "" if result.layer is None else f" of hidden layer {result.layer}"
    how = f"{result.pooling} pooling{layer}, {_STRAND_WORDS.get(result.strand, result.strand)}"
    return [
        f"task {result.task}{where} ({sizes}); encoder: {result.branch} at step {result.step}, {how}",
        *result.notes,
        *leakage_lines(result),
        *(
            f"{genome.share:.1%} of the test sequences lie in the regions that the run was trained on"
            for genome in result.leakage.trained_on
        ),
    ]


def leakage_lines(result: TaskResult) -> list[str]:
    """Return a line on test samples that are also in other splits; none if there are none."""
    leakage = result.leakage
    if not leakage.test_rows:
        return []
    treatment = f"{leakage.dropped} were left out here" if leakage.dropped else "they are scored"
    return [
        f"leakage: {leakage.test_rows} of the test samples ({leakage.share:.1%}) are also in the other splits, as copies or "
        f"near copies; {treatment}"
    ]


def strands_text(result: TaskResult) -> str:
    """Return the strand disagreement of the encoder and of its randomly initialised control."""
    return ", ".join(
        f"{FEATURE_NAMES[name]} "
        + (
            "undefined, all embeddings are the same"
            if found.value is None or found.low is None or found.high is None
            else f"{_number(found.value, '')} [{_number(found.low, '')}, {_number(found.high, '')}]"
        )
        for name, found in result.strands.items()
    )


_KINDS = {"same": "same", "reverse_complement": "other strand", "near": "near"}


def audit_rows(report: AuditReport) -> list[list[str]]:
    """Return a header, then for each pair of splits the samples of the one that the other contains."""
    rows = [["samples of", "found in", *_KINDS.values(), "of another label", "in all", "not compared"]]
    for pair in report.between:
        counts = [f"{len(pair.rows[kind]):,}" for kind in _KINDS]
        counts.append(f"{pair.near_with_another_label:,}")
        rows.append([pair.rows_of, pair.found_in, *counts, f"{pair.share:.1%}", f"{pair.not_compared:,}"])
    return rows


def audit_lines(report: AuditReport) -> list[str]:
    """Return the rest of an audit as lines; the last says how sequences were compared, and what that cannot find."""
    conflicting, leaked, test_size = report.conflicting, report.leaked, report.sizes["test"]
    conflicting_rows = sum(map(len, conflicting.rows.values()))
    return [
        f"repeats within splits: {', '.join(f'{split} {count:,}' for split, count in report.repeats.items())}",
        f"sequences with more than one label: {conflicting.sequences:,}, in {conflicting_rows:,} samples",
        f"test samples found in the other splits: {len(leaked.rows):,} of {test_size:,} ({leaked.share:.1%})",
        *(f"test samples in the regions that {report.run} was trained on: {_overlap(genome, test_size)}"
          for genome in report.trained_on),
        *(f"test samples that lie in a genome: {_overlap(genome, test_size)}" for genome in report.lies_in),
        *(f"not known: {sentence}" for sentence in report.unknown),
        _method(report),
    ]  # fmt: skip


def _overlap(genome: GenomeOverlap, test_size: int) -> str:
    # The share is of the samples that could be compared: the others may or may not lie in the genome.
    compared = test_size - genome.not_compared
    lacking = f"; {genome.not_compared:,} could not be compared" if genome.not_compared else ""
    share = f" ({genome.share:.1%})" if compared else ""
    return f"{len(genome.rows):,} of {compared:,}{share}, in {genome.bases:,} bases of {genome.path}{lacking}"


def _method(report: AuditReport) -> str:
    method = report.method
    text = (
        f"near: shares {method.near:.0%} or more of the {method.k}-mers ({method.sampled} is sampled) of the shorter one, on "
        "either strand; of another label: near samples whose nearest sample has another label; not compared: has fewer than "
        f"{method.least_shared} of them, so only exact copies are found"
    )
    genomes = report.trained_on or report.lies_in
    if genomes:
        text += f"; in a genome: half or more of the sample's {genomes[0].k}-mers; not compared: has none without N"
    return text
