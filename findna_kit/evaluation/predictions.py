"""The predictions of one encoder and its controls on one task: what each depends on, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit import rng
from findna_kit.errors import FindnaError
from findna_kit.evaluation.cache import Prediction, cache_key
from findna_kit.evaluation.controls import REVISION, has_one_length, majority_control
from findna_kit.evaluation.protocol_table import COUNTING, PROTOCOLS, Protocol
from findna_kit.evaluation.protocols import Features
from findna_kit.evaluation.request import NetworkName, PredictionSpec
from findna_kit.evaluation.tasks import Task, TaskSplit

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.evaluation.cache import PredictionCache
    from findna_kit.evaluation.request import EvaluationRequest
    from findna_kit.records.json_files import JsonObject

Embed = Callable[[Sequence[str]], "NDArray[Any]"]
"""Maps n sequences of any length to embeddings [n, D]."""
EmbedStrands = Callable[[Sequence[str]], "Mapping[str, NDArray[Any]]"]
"""Maps n sequences to embeddings [n, D] for each choice of strands, `forward` or `both`; protocols choose among several."""
CACHE_VERSION = 1
"""Raise it when the computation of all predictions changes. If one protocol's or control's does, raise its own revision."""


@dataclass(frozen=True)
class Contender:
    """A network as an evaluation sees it.

    embedding_key, finetune_key: all that its embeddings, and its fine-tuning, depend on, ready for JSON. tune(task, seed,
    folder): returns the fine-tuned network's prediction; `folder` is for checkpoints that survive an interruption.
    """

    embed: EmbedStrands
    embedding_key: JsonObject
    tune: Callable[[Task, int, Path], Prediction]
    finetune_key: JsonObject


MakeContender = Callable[[NetworkName, int], Contender]
"""Returns the encoder, or the n-th network with the same architecture and a random initialisation."""


class Evaluation:
    """The predictions of a request on one task."""

    def __init__(self, task: Task, contender: MakeContender, request: EvaluationRequest, *, seed: int) -> None:
        self.task, self.contender, self.request, self.seed = task, contender, request, seed
        self.specs = request.predictions(one_hot=has_one_length(task))

    def identity(self, spec: PredictionSpec) -> JsonObject:
        """Return all that a prediction depends on, ready for JSON. Equal predictions of several protocols have one identity."""
        # The keys are hashed into the names of cached files: renaming one would invalidate every cache.
        identity: JsonObject = {"way": CACHE_VERSION, "task": self.task.digest, "who": spec.contender}
        protocol = PROTOCOLS[spec.protocol]
        if spec.network is None:
            # Counting needs no network; only a drawn subset makes it depend on the seed.
            if spec.contender in COUNTING:
                drawn: JsonObject = {"protocol": spec.protocol, "seed": self._seed(spec)}
                identity |= drawn if protocol.counting_random else {"revision": REVISION}
            return identity
        contender = self.contender(*spec.network)
        if spec.contender == "cnn":
            return identity | {"of": contender.finetune_key, "seed": self._seed(spec)}
        identity["protocol"] = spec.protocol
        identity["of"] = contender.finetune_key if protocol.fit is None else contender.embedding_key
        # Left out of the first revision, whose predictions were cached before there was this key.
        if protocol.revision > 1:
            identity["revision"] = protocol.revision
        if protocol.random or spec.contender == "shuffled_labels":
            identity["seed"] = self._seed(spec)
        return identity

    def predictions(self, cache: PredictionCache, log: Callable[[str], None]) -> dict[PredictionSpec, Prediction]:
        """Return every prediction, from the cache where it is there. A network's features are held while they are needed."""
        by_spec, by_key = dict[PredictionSpec, Prediction](), dict[str, Prediction]()
        missing = []
        for spec in self.specs:
            key = cache_key(self.identity(spec))
            # Two specifications with one identity share a prediction, such as controls of several protocols.
            if key not in by_key and cache.has(key):
                by_key[key] = cache.get(key)
            if key in by_key:
                by_spec[spec] = by_key[key]
            else:
                missing.append(spec)
        # Grouped by network, so that each embeds the task once, and only one network's features are in memory.
        missing.sort(key=lambda spec: (spec.network is not None, spec.network or ("", 0)))
        for network, group in groupby(missing, key=lambda spec: spec.network):
            features = None if network is None else _NetworkFeatures(self.task, self.contender(*network), network[0])
            for spec in group:
                identity = self.identity(spec)
                if (key := cache_key(identity)) not in by_key:  # one k-mer prediction may serve several protocols
                    log(f"{self.task.name}: {spec.protocol}, {spec.contender}, repeat {spec.number + 1}")
                    by_key[key] = cache.get_or_make(identity, partial(self._make, spec, features))
                by_spec[spec] = by_key[key]
        return {spec: by_spec[spec] for spec in self.specs}

    def _make(self, spec: PredictionSpec, features: _NetworkFeatures | None, folder: Path) -> Prediction:
        protocol, seed = PROTOCOLS[spec.protocol], self._seed(spec)
        if features is None:
            if spec.contender == "majority":
                return Prediction(*majority_control(self.task))
            return Prediction(*protocol.counting[spec.contender](self.task, seed))
        # Shuffled labels show what a protocol reaches by chance with these features.
        task = _shuffled(self.task, seed) if spec.contender == "shuffled_labels" else self.task
        if protocol.fit is None or spec.contender == "cnn":
            return features.finetuned(task, seed, folder)
        fitted = {strand: protocol.fit(given, seed) for strand, given in features.fitting(task, protocol).items()}
        # `max` returns the first of equals: the forward strand.
        best = max(fitted, key=lambda strand: fitted[strand].score)
        chosen = fitted[best].chosen | ({"strand": best} if len(fitted) > 1 else {})
        # Every choice is made before the test split is embedded, so that none can depend on it.
        return Prediction(fitted[best].scores(features.of("test")[best]), chosen)

    def _seed(self, spec: PredictionSpec) -> int:
        """Return the seed of a repeat: the same for the encoder and every control, so that repeats are paired."""
        return rng.key(self.seed, "evaluation", spec.number) % 2**63


class _NetworkFeatures:
    """A network's embeddings of a task's splits, each computed once."""

    def __init__(self, task: Task, contender: Contender, name: str) -> None:
        self.task, self.contender, self.name = task, contender, name
        self._splits: dict[str, Mapping[str, NDArray[Any]]] = {}

    def of(self, split: str) -> Mapping[str, NDArray[Any]]:
        """Return the embeddings [n, D] by strands. Raises FindnaError if they are not finite, ValueError for another shape."""
        # The features of a split serve every protocol; embedding is the expensive part.
        if split not in self._splits:
            sequences = self.task.splits[split].sequences
            by_strand = self.contender.embed(sequences)
            for embeddings in by_strand.values():
                if embeddings.ndim != 2 or len(embeddings) != len(sequences):
                    raise ValueError(
                        f"{self.name} returned an array {embeddings.shape} for {len(sequences)} sequences; expected [n, D]"
                    )
                # A diverged run must not get a score, which scikit-learn might produce from NaN by accident.
                if not np.isfinite(embeddings).all():
                    raise FindnaError(
                        f"{self.name}: embeddings of the task {self.task.name} are not finite, so it cannot be scored: "
                        "look at the run's losses, or use an earlier checkpoint"
                    )
            self._splits[split] = by_strand
        return self._splits[split]

    def fitting(self, task: Task, protocol: Protocol) -> dict[str, Features]:
        """Return by strands the features that a protocol may use before the test, with the labels of `task`."""
        train, validation = task.splits["train"], task.splits["validation"]
        features, held_out = self.of("train"), self.of("validation")
        return {
            strand: Features(features[strand], train.labels, held_out[strand], validation.labels, len(task.classes))
            # A few-shot probe chooses nothing, and takes the first.
            for strand in tuple(features)[: None if protocol.chooses_strand else 1]
        }

    def finetuned(self, task: Task, seed: int, folder: Path) -> Prediction:
        """Return the prediction of the fine-tuned network. Raises FindnaError if it is not finite."""
        prediction = self.contender.tune(task, seed, folder)
        if not np.isfinite(prediction.scores).all():
            raise FindnaError(
                f"{self.name}: fine-tuned on {self.task.name}, its predictions on the test split are not finite, so it cannot "
                "be scored: try a lower learning_rate"
            )
        return prediction


def _shuffled(task: Task, seed: int) -> Task:
    """Return the task with the labels of its training and validation splits in random order; the test split as it is."""
    generator = np.random.default_rng(rng.key(seed, "shuffled labels") % 2**64)
    splits = {
        # The test labels stay: the control measures real labels with a model that learned none.
        name: split if name == "test" else TaskSplit(split.sequences, generator.permutation(split.labels))
        for name, split in task.splits.items()
    }
    return replace(task, splits=splits)
