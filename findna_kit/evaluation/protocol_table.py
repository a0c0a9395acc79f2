"""The table of evaluation protocols. To add one, write its function in `protocols`, and its entry here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from findna_kit.evaluation.controls import kmer_control, kmer_few_shot
from findna_kit.evaluation.protocols import few_shot, knn, probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from findna_kit.evaluation.protocols import Features, Fitted
    from findna_kit.evaluation.scores import Scores
    from findna_kit.evaluation.tasks import Task

SHOTS = (1, 5, 10)


@dataclass(frozen=True)
class Protocol:
    """One evaluation protocol.

    title: its name in tables. option: the name by which users ask for it; several protocols may share one. fit: fits a
    classifier on frozen features, given a seed; None: the network itself is fine-tuned. kmer: the k-mer control, given a seed.
    random, kmer_random: whether the encoder's predictions, and the k-mer control's, depend on the seed, and are therefore
    repeated for every seed. online: whether it is cheap enough for the online probe during training.
    """

    title: str
    option: str
    fit: Callable[[Features, int], Fitted] | None
    kmer: Callable[[Task, int], tuple[Scores, dict[str, object]]]
    random: bool = False
    kmer_random: bool = False
    online: bool = False


def _few_shot(features: Features, seed: int, *, shots: int) -> Fitted:
    return few_shot(features, shots, seed=seed)


def _kmer_few_shot(task: Task, seed: int, *, shots: int) -> tuple[Scores, dict[str, object]]:
    return kmer_few_shot(task, shots, seed=seed)


def _kmer(task: Task, _: int) -> tuple[Scores, dict[str, object]]:
    return kmer_control(task)


PROTOCOLS: dict[str, Protocol] = {
    "knn": Protocol("k-NN", "knn", lambda features, _: knn(features), _kmer, online=True),
    "probe": Protocol("linear probe", "probe", lambda features, _: probe(features), _kmer, online=True),
    **{
        f"few_shot_{shots}": Protocol(
            f"{shots}-shot", "few_shot", partial(_few_shot, shots=shots), partial(_kmer_few_shot, shots=shots),
            random=True, kmer_random=True,
        )
        for shots in SHOTS
    },
    "finetune": Protocol("fine-tuning", "finetune", None, _kmer, random=True),
}  # fmt: skip
"""By the name that results and caches use."""
OPTIONS = tuple(dict.fromkeys(protocol.option for protocol in PROTOCOLS.values()))
"""What users may ask for."""
DEFAULT_OPTIONS = ("knn", "probe")


def title_of(name: str) -> str:
    """Return a protocol's title; of a protocol that this version does not know, its name."""
    return PROTOCOLS[name].title if name in PROTOCOLS else name
