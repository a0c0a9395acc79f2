"""The table of evaluation protocols. To add one, write its function in `protocols`, and its entry here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from findna_kit.evaluation.controls import kmer_control, kmer_few_shot, one_hot_control, one_hot_few_shot
from findna_kit.evaluation.protocols import few_shot, knn, probe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from findna_kit.evaluation.protocols import Features, Fitted
    from findna_kit.evaluation.scores import Scores
    from findna_kit.evaluation.tasks import Task

    Control = Callable[[Task, int], tuple[Scores, dict[str, object]]]

SHOTS = (1, 5, 10)
COUNTING = ("kmer", "one_hot")
"""The controls that are probes on features of the bases, without a network."""


@dataclass(frozen=True)
class Protocol:
    """One evaluation protocol.

    title: its name in tables. option: the name by which users ask for it; several protocols may share one. fit: fits a
    classifier on frozen features, given a seed; None: the network itself is fine-tuned. counting: by name of COUNTING the
    control's predictions, given a seed. random, counting_random: whether the encoder's predictions, and those of `counting`,
    depend on the seed, and are therefore repeated for every seed. online: whether it is cheap enough for the online probe
    during training. chooses_strand: whether it takes the forward strand or both by their scores on the validation split, if a
    contender offers both choices; otherwise the first. revision: raise it when the computation with a network changes, and
    predictions are made again.
    """

    title: str
    option: str
    fit: Callable[[Features, int], Fitted] | None
    counting: Mapping[str, Control]
    random: bool = False
    counting_random: bool = False
    online: bool = False
    chooses_strand: bool = False
    revision: int = 1


def _few_shot(features: Features, seed: int, *, shots: int) -> Fitted:
    return few_shot(features, shots, seed=seed)


def _few_shot_controls(shots: int) -> dict[str, Control]:
    return {
        "kmer": lambda task, seed: kmer_few_shot(task, shots, seed=seed),
        "one_hot": lambda task, seed: one_hot_few_shot(task, shots, seed=seed),
    }


_CONTROLS: dict[str, Control] = {
    "kmer": lambda task, _: kmer_control(task),
    "one_hot": lambda task, _: one_hot_control(task),
}
PROTOCOLS: dict[str, Protocol] = {
    "knn": Protocol("k-NN", "knn", lambda features, _: knn(features), _CONTROLS, online=True, chooses_strand=True, revision=2),
    "probe": Protocol(
        "linear probe", "probe", lambda features, _: probe(features), _CONTROLS, online=True, chooses_strand=True
    ),
    **{
        f"few_shot_{shots}": Protocol(
            f"{shots}-shot", "few_shot", partial(_few_shot, shots=shots), _few_shot_controls(shots),
            random=True, counting_random=True,
        )
        for shots in SHOTS
    },
    "finetune": Protocol("fine-tuning", "finetune", None, _CONTROLS, random=True, revision=2),
}  # fmt: skip
"""By the name that results and caches use."""
OPTIONS = tuple(dict.fromkeys(protocol.option for protocol in PROTOCOLS.values()))
"""What users may ask for."""
DEFAULT_OPTIONS = ("knn", "probe")


def title_of(name: str) -> str:
    """Return a protocol's title; of a protocol that this version does not know, its name."""
    return PROTOCOLS[name].title if name in PROTOCOLS else name
