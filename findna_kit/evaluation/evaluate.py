"""The whole evaluation of one encoder on one task, beside the controls without which no score means anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from findna_kit import rng
from findna_kit.errors import FindnaError, nearest
from findna_kit.evaluation.cache import Prediction, key_of
from findna_kit.evaluation.controls import kmer_control, kmer_few_shot, majority_control
from findna_kit.evaluation.protocols import PROTOCOLS, SHOTS, Features, Fitted, few_shot
from findna_kit.evaluation.tasks import Table, Task

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.evaluation.cache import Cells

Embed = Callable[[Sequence[str]], "NDArray[Any]"]
"""Sequences of any length -> embeddings [n, D]."""
Who = Literal["encoder", "random_init", "shuffled_labels", "kmer", "majority"]
NAMES = (*PROTOCOLS, "few_shot", "finetune")
WAY = 1
"""Of making predictions; other neighbours, penalties or words take another number, so that what is kept is made anew."""
_SHOTS = {f"few_shot_{shots}": shots for shots in SHOTS}


@dataclass(frozen=True)
class Contender:
    """A network as an evaluation sees it.

    embedded_as, tuned_as: all that its embeddings, and its fine-tuning, depend on, ready for JSON. tune(task, seed, folder):
    the fine-tuned network's prediction, with a folder for what a kill is not to cost.
    """

    embed: Embed
    embedded_as: Mapping[str, Any]
    tune: Callable[[Task, int, Path], Prediction]
    tuned_as: Mapping[str, Any]


Contenders = Callable[[Literal["encoder", "random_init"], int], Contender]
"""The encoder, or the n-th network of its kind that has learned nothing."""


@dataclass(frozen=True)
class EvaluationRequest:
    """What is asked of every task. seeds: how often what is random (networks, shots, fine-tuning) is repeated."""

    protocols: tuple[str, ...] = tuple(PROTOCOLS)
    seeds: int = 1
    shuffled_labels: bool = False

    def __post_init__(self) -> None:
        """Raises FindnaError for a protocol that nobody knows, and for none; for no repeat."""
        for name in self.protocols:
            if name not in NAMES:
                raise FindnaError(f"there is no protocol {name!r}{nearest(name, NAMES)}; there are {', '.join(NAMES)}")
        if not self.protocols:
            raise FindnaError(f"no protocol was named; there are {', '.join(NAMES)}")
        if self.seeds < 1:
            raise FindnaError(f"seeds={self.seeds}: what is random is made once at least; give 1 or more")

    @property
    def blocks(self) -> tuple[str, ...]:
        """Each once, in the order given; the few shots by their number."""
        spread = [list(_SHOTS) if name == "few_shot" else [name] for name in self.protocols]
        return tuple(dict.fromkeys(name for names in spread for name in names))

    def cells(self) -> list[Cell]:
        """Every prediction that is wanted."""
        who: tuple[Who, ...] = ("encoder", "random_init", *(("shuffled_labels",) if self.shuffled_labels else ()))
        return [
            Cell(protocol, one, number)
            for protocol in self.blocks
            for one in (*who, "kmer", "majority")
            for number in range(self.seeds if _is_random(protocol, one) else 1)
        ]


@dataclass(frozen=True)
class Cell:
    """One prediction: whose, by which protocol, and which of its repeats."""

    protocol: str
    who: Who
    number: int

    @property
    def network(self) -> tuple[Literal["encoder", "random_init"], int] | None:
        """Whose features or weights it needs."""
        if self.who == "random_init":
            return "random_init", self.number
        return None if self.who in ("kmer", "majority") else ("encoder", 0)


def _is_random(protocol: str, who: Who) -> bool:
    if who in ("random_init", "shuffled_labels"):
        return True
    return who != "majority" and (protocol in _SHOTS or (protocol == "finetune" and who == "encoder"))


class Evaluation:
    """A task's cells: what each depends on, and how it is made."""

    def __init__(self, task: Task, contenders: Contenders, asked: EvaluationRequest, *, seed: int) -> None:
        self.task, self.contenders, self.asked, self.seed = task, contenders, asked, seed

    def identity(self, cell: Cell) -> dict[str, Any]:
        """All that the prediction depends on, ready for JSON; equal for equal predictions under other protocols' names."""
        told: dict[str, Any] = {"way": WAY, "task": self.task.digest, "who": cell.who}
        if cell.who == "majority":
            return told
        if cell.who == "kmer":
            return told | ({"protocol": cell.protocol, "seed": self._seed(cell)} if cell.protocol in _SHOTS else {})
        assert cell.network is not None  # of a network all others are
        contender = self.contenders(*cell.network)
        told |= {"protocol": cell.protocol, "of": dict(contender.embedded_as)}
        if cell.protocol == "finetune":
            told["of"] = dict(contender.tuned_as)
        if cell.protocol == "finetune" or cell.protocol in _SHOTS or cell.who == "shuffled_labels":
            told["seed"] = self._seed(cell)
        return told

    def predictions(self, cells: Cells, say: Callable[[str], None]) -> dict[Cell, Prediction]:
        """Every prediction, made where it is not finished yet; a network's features live while its cells are made."""
        found, read = dict[Cell, Prediction](), dict[str, Prediction]()
        missing = []
        for cell in self.asked.cells():
            key = key_of(self.identity(cell))
            if key not in read and cells.has(key):
                read[key] = cells.get(key)
            if key in read:
                found[cell] = read[key]
            else:
                missing.append(cell)
        missing.sort(key=lambda cell: (cell.network is not None, cell.network or ("", 0)))
        for network, group in groupby(missing, key=lambda cell: cell.network):
            features = None if network is None else _Embedded(self.task, self.contenders(*network), network[0])
            for cell in group:
                identity = self.identity(cell)
                if (key := key_of(identity)) not in read:  # k-mers are one cell for several protocols
                    say(f"{self.task.name}: {cell.protocol}, {cell.who}, repeat {cell.number + 1}")
                    read[key] = cells.made(identity, lambda folder, c=cell, f=features: self._make(c, f, folder))  # type: ignore[misc]
                found[cell] = read[key]
        return {cell: found[cell] for cell in self.asked.cells()}

    def _make(self, cell: Cell, features: _Embedded | None, folder: Path) -> Prediction:
        seed = self._seed(cell)
        if features is None:
            if cell.who == "majority":
                return Prediction(*majority_control(self.task))
            if cell.protocol in _SHOTS:
                return Prediction(*kmer_few_shot(self.task, _SHOTS[cell.protocol], seed=seed))
            return Prediction(*kmer_control(self.task))
        task = _shuffled(self.task, seed) if cell.who == "shuffled_labels" else self.task
        if cell.protocol == "finetune":
            tuned = features.contender.tune(task, seed, folder)
            if not np.isfinite(tuned.scores).all():
                raise FindnaError(
                    f"{features.who}: fine-tuned on {self.task.name}, its scores of the test part are not finite, so it cannot "
                    "be scored: try a lower learning_rate"
                )
            return tuned
        fitted = self._fit(cell.protocol, features.fitting(task), seed)
        # Every choice is made before the test part is embedded, so that none can have seen it.
        return Prediction(fitted.scores(features.of("test")), fitted.chosen)

    def _fit(self, protocol: str, features: Features, seed: int) -> Fitted:
        if protocol in _SHOTS:
            return few_shot(features, _SHOTS[protocol], seed=seed)
        return PROTOCOLS[protocol](features)

    def _seed(self, cell: Cell) -> int:
        """Of a repeat: the same for the encoder and every control, so that repeats pair."""
        return rng.key(self.seed, "evaluation", cell.number) % 2**63


class _Embedded:
    """A network's embeddings of a task's parts, each made once."""

    def __init__(self, task: Task, contender: Contender, who: str) -> None:
        self.task, self.contender, self.who = task, contender, who
        self._parts: dict[str, NDArray[Any]] = {}

    def of(self, part: str) -> NDArray[Any]:
        """[n, D]. Raises FindnaError where they are not finite, ValueError where they are no such array."""
        if part not in self._parts:
            table = self.task.parts[part]
            rows = self.contender.embed(table.sequences)
            if rows.ndim != 2 or len(rows) != len(table.sequences):
                raise ValueError(
                    f"{self.who} gave an array {rows.shape} for {len(table.sequences)} sequences; [n, D] is needed"
                )
            if not np.isfinite(rows).all():
                raise FindnaError(
                    f"{self.who}: embeddings of the task {self.task.name} are not finite, so it cannot be scored: "
                    "look at the run's losses, or take an earlier checkpoint"
                )
            self._parts[part] = rows
        return self._parts[part]

    def fitting(self, task: Task) -> Features:
        """What a protocol may look at, with that task's labels."""
        train, validation = task.parts["train"], task.parts["validation"]
        return Features(self.of("train"), train.labels, self.of("validation"), validation.labels, len(task.classes))


def _shuffled(task: Task, seed: int) -> Task:
    """The labels that are learned from and chosen by in random order, part by part; the test part as it is."""
    generator = np.random.default_rng(rng.key(seed, "shuffled labels") % 2**64)
    parts = {
        part: table if part == "test" else Table(table.sequences, generator.permutation(table.labels))
        for part, table in task.parts.items()
    }
    return replace(task, parts=parts)
