"""The networks of an evaluation: the run's model, its randomly initialised controls, and one trained from scratch."""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from findna_kit.evaluation import Contender, Prediction, strand_disagreement
from findna_kit.evaluation.cnn import REVISION as CNN_REVISION
from findna_kit.evaluation.cnn import train_cnn
from findna_kit.evaluation.finetuning import finetune, settings_for
from findna_kit.evaluation.finetuning.settings import DEFAULT_OPTIMIZER
from findna_kit.inference.frozen_model import untrained
from findna_kit.plugins.loading import load_plugins
from findna_kit.records.evaluation_json import FinetuningRecord, ModelInfo, StrandDisagreement
from findna_kit.records.paths import RECIPE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from findna_kit.evaluation.request import NetworkName
    from findna_kit.evaluation.tasks import Task
    from findna_kit.inference.frozen_model import FrozenModel
    from findna_kit.records.json_files import JsonObject
    from findna_kit.runs.scoring import Scoring

    Log = Callable[[str], None]


class Networks:
    """The run's model and its randomly initialised controls, as the contenders of one task."""

    def __init__(self, run: Path, model: FrozenModel, weights: str, scoring: Scoring, task: Task, log: Log) -> None:
        self.run, self.model, self.weights, self.scoring, self.task, self.log = run, model, weights, scoring, task, log
        self.settings, self.sources = settings_for(task, scoring.finetune)
        # Looked up before any embedding, which takes long, so that an unknown name is refused at once.
        self.optimizers = load_plugins(scoring.without)[0].optimizers
        self.optimizer = self.optimizers[self.settings.optimizer]
        # Networks are initialised when they are needed. Predictions are made network by network, so two are held at most.
        self._model = lru_cache(2)(self._network)
        self.contender = cache(self._contender)

    def info(self) -> ModelInfo:
        """Return the part of a result that describes the model."""
        scoring, model = self.scoring, self.model
        info = ModelInfo(
            run=str(self.run.resolve()), step=model.step, branch=model.branch, weights=self.weights, pooling=scoring.pooling,
            layer=scoring.layer, strand=scoring.strand, precision=model.precision,
        )  # fmt: skip
        if "finetune" not in scoring.asked.protocols:
            return info
        record = FinetuningRecord(settings=self.settings.model_dump(mode="json"), whose=self.sources)
        return info.model_copy(update={"finetuning": record})

    def strands(self) -> dict[str, StrandDisagreement]:
        """Return the strand disagreement of the encoder, and of the first random initialisation, as they were embedded."""
        sequences, seed = self.task.splits["test"].sequences, self.model.recipe.seed
        names: tuple[NetworkName, ...] = ("encoder", "random_init")
        return {name: strand_disagreement(self._first_strand_embedder(name), sequences, seed=seed) for name in names}

    def _contender(self, name: NetworkName, number: int) -> Contender:
        if name == "cnn":
            return self._cnn()
        scoring = self.scoring
        how: JsonObject = {"pooling": scoring.pooling, "strand": scoring.strand, "precision": self.model.precision}
        if name == "encoder":
            network: JsonObject = {"weights": self.weights, "branch": self.model.branch}
        else:
            # Of the file as the run wrote it: a later version of the kit, whose components have more parameters, would write
            # another one, although the network is the same.
            recipe = hashlib.sha256((self.run / RECIPE).read_bytes()).hexdigest()
            network = {"untrained": number, "recipe": recipe}

        def embed(sequences: Sequence[str]) -> Any:
            return self._model(name, number).embed_strands(
                sequences, scoring.strands, scoring.pooling, layer=scoring.layer
            )  # fmt: skip

        def tune(task: Task, seed: int, folder: Path) -> Prediction:
            model = self._model(name, number)
            tuned = finetune(
                model.network, model.engine, task, self.settings, pooling=scoring.pooling, strand=scoring.strands[0],
                seed=seed, folder=folder, log=self.log, sources=self.sources, optimizer=self.optimizer,
            )  # fmt: skip
            return Prediction(tuned.scores, tuned.chosen)

        settings = self.settings.model_dump(mode="json")
        return Contender(embed, {**network, **how, "layer": scoring.layer}, tune, {**network, **how, "settings": settings})

    def _cnn(self) -> Contender:
        """Return the network that is trained from scratch; it shares the run's precision and strands, and no weights."""
        scoring, model = self.scoring, self.model
        strand = scoring.strands[0]
        key: JsonObject = {"cnn": CNN_REVISION, "strand": strand, "precision": model.precision}

        def embed(sequences: Sequence[str]) -> Any:
            raise ValueError("the network that is trained from scratch has no frozen embeddings")

        def tune(task: Task, seed: int, folder: Path) -> Prediction:
            trained = train_cnn(
                model.engine, task, optimizer=self.optimizers[DEFAULT_OPTIMIZER], strand=strand, seed=seed,
                folder=folder, log=self.log,
            )  # fmt: skip
            return Prediction(trained.scores, trained.chosen)

        return Contender(embed, key, tune, key)

    def _first_strand_embedder(self, name: NetworkName) -> Callable[[Sequence[str]], Any]:
        """Return the function that embeds sequences with a network, with the first choice of strands."""
        scoring = self.scoring

        def embed(sequences: Sequence[str]) -> Any:
            model = self._model(name, 0)
            return model.embed(sequences, scoring.pooling, layer=scoring.layer, strand=scoring.strands[0])

        return embed

    def _network(self, name: NetworkName, number: int) -> FrozenModel:
        return self.model if name == "encoder" else untrained(self.model, number)
