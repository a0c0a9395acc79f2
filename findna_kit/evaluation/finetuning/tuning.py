"""Fine-tuning: epochs on the training split, the best chosen on the validation split, the test split used once at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from pydantic import JsonValue
from torch.nn import functional as F
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from findna_kit import checkpoint, rng
from findna_kit.distributed import halve_until_fits
from findna_kit.errors import FindnaError, NotFinite
from findna_kit.evaluation.finetuning import state
from findna_kit.evaluation.finetuning.batching import MicroBatching, batches, flips, refuse_lengths
from findna_kit.evaluation.finetuning.classifier import Classifier
from findna_kit.evaluation.finetuning.probe_start import begin_from_probe
from findna_kit.evaluation.finetuning.split_reader import DeviceSplit, SplitReader
from findna_kit.evaluation.scores import accuracy, confusion, mcc
from findna_kit.schedules import Clock, Constant, Cosine
from findna_kit.trainer.micro_batch import CPU_BYTES
from findna_kit.trainer.optimizers import ScheduledOptimizer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from findna_kit.components.optimizer import Optimizer
    from findna_kit.distributed import Engine
    from findna_kit.evaluation.finetuning.settings import FinetuneSettings
    from findna_kit.evaluation.tasks import Task
    from findna_kit.inference.frozen_model import Pooling, Strand
    from findna_kit.model.branch import Branch
    from findna_kit.records.json_files import JsonObject
    from findna_kit.trainer.experiment import WeightedLoss

CLIP_NORM = 1.0


@dataclass(frozen=True)
class FinetuneResult:
    """The result of fine-tuning.

    scores: natural logarithms of the classes' probabilities for the test samples [n, K]. chosen: the epoch, its validation
    score, and the settings, for JSON. tensors: of the classifier. passes: how it groups sequences, for equal bits.
    """

    scores: NDArray[np.float32]
    chosen: JsonObject
    tensors: dict[str, Tensor]
    passes: MicroBatching


def finetune(
    network: Branch,
    engine: Engine,
    task: Task,
    settings: FinetuneSettings,
    *,
    optimizer: type[Optimizer],
    pooling: Pooling,
    strand: Strand,
    seed: int,
    folder: Path,
    log: Callable[[str], None],
    sources: Mapping[str, str] | None = None,
) -> FinetuneResult:
    """Fine-tune a copy of `network` on the task, and predict the test split with the weights of the best epoch.

    strand: with `both`, each training sequence is shown as its reverse complement with probability 1/2, and the probabilities
    of both strands are averaged in predictions. optimizer: the class that `settings.optimizer` names. folder: for the state
    after each epoch; a later call with the same arguments resumes from it with identical results, and the caller removes it at
    the end. sources: of the settings, as `settings_for` returns them; blocks and dropout that the encoder does not support are
    refused if the user gave them.

    Raises FindnaError for those, for an empty sequence, and for one that is longer than the encoder supports; NotFinite if
    the loss or the gradient is not finite.
    """
    if engine.world_size > 1:
        raise FindnaError("fine-tuning runs in one process; start it without a launcher")
    refuse_lengths(task, network.encoder.max_length)
    classifier = Classifier(network, len(task.classes), settings, pooling=pooling, seed=seed, sources=sources or {})
    arguments = {
        "settings": settings.model_dump(), "task": task.digest, "pooling": pooling, "strand": strand, "seed": seed,
        "blocks": classifier.blocks, "device": engine.device.type, "precision": engine.precision,
        "dropout": [module.p for module in classifier.modules() if isinstance(module, torch.nn.Dropout)],
    }  # fmt: skip
    # Whatever changes the result is in the digest, so that a resumed state never continues another experiment.
    digest = state.digest_of(arguments, classifier)
    tuning = _Tuning(classifier.to(engine.device), engine, task, settings, optimizer=optimizer, strand=strand, seed=seed)
    for note in classifier.notes:
        log(f"{task.name}: {note}")
    tuning.restore(folder, digest, log)
    while not tuning.ended:
        summary = tuning.epoch()
        # After every epoch, so that a kill costs at most one.
        tuning.save(folder, digest)
        log(f"{task.name}: {summary}")
    return tuning.tested()


@dataclass(frozen=True)
class _Moved:
    """What the optimizer asks of an experiment."""

    optimizer: Optimizer
    predictors: nn.ModuleDict
    losses: Mapping[str, WeightedLoss]
    module: nn.Module

    def trainable(self) -> dict[str, nn.Parameter]:
        return {name: parameter for name, parameter in self.module.named_parameters() if parameter.requires_grad}


class _Tuning:
    """The state of one fine-tuning: weights, optimizer, and the history of epochs."""

    def __init__(
        self, classifier: Classifier, engine: Engine, task: Task, settings: FinetuneSettings, *, optimizer: type[Optimizer],
        strand: Strand, seed: int,
    ) -> None:  # fmt: skip
        self.classifier, self.engine, self.task, self.settings = classifier, engine, task, settings
        self.strand, self.seed = strand, seed
        self.optimizer = ScheduledOptimizer(_Moved(_optimizer(settings, optimizer), torch.nn.ModuleDict(), {}, classifier))
        self.reader = SplitReader(classifier, engine, both=strand == "both")
        self.train, self.validation = (DeviceSplit(task.splits[name], engine.device) for name in ("train", "validation"))
        # MCC is undefined if the truth has one class.
        self.metric = "mcc" if self.validation.labels.unique().numel() > 1 else "accuracy"
        self.history: list[dict[str, float]] = []
        self.probe: JsonObject = {}
        self.best: dict[str, Tensor] = {}

    @property
    def chosen(self) -> int:
        """Return the epoch, counted from 1, with the best validation score, the first of equals; 0 for the probe before."""
        # The first of equal epochs: fewer epochs fit the training split less closely.
        return int(np.argmax([self.probe_score, *(epoch["score"] for epoch in self.history)]))

    @property
    def probe_score(self) -> float:
        """Return the validation score of the probe that the head begins from."""
        return cast("float", self.probe[f"validation_{self.metric}"])

    @property
    def ended(self) -> bool:
        """Return whether all epochs are done, or none was better for `patience` epochs."""
        done, patience = len(self.history), self.settings.patience
        # Counted among the epochs: the first of them may be worse than the probe, while the encoder begins to move.
        best = int(np.argmax([epoch["score"] for epoch in self.history])) + 1 if done else 0
        return done == self.settings.epochs or (patience is not None and done - best >= patience)

    def restore(self, folder: Path, digest: str, log: Callable[[str], None]) -> None:
        """Restore the last saved epoch, if there is one; else begin from the probe. A frozen encoder is run here, once."""
        current = self.classifier.trained()
        saved = state.restore(folder, digest, log, current=current, best=self.best, optimizer=self.optimizer)
        if saved is not None:
            self.history, self.probe = saved.history, saved.probe
            log(f"{self.task.name}: resumes after epoch {len(self.history)} of {self.settings.epochs}")
        # A resumed state keeps its micro-batch size, since each micro-batch has a dropout seed of its own.
        self.reader.size = self._size() if saved is None else saved.passes
        self.classifier.eval()
        if not self.classifier.trains_encoder:
            # A frozen encoder gives the same features in every epoch: they are computed once.
            for split in (self.train, self.validation):
                split.features = self.reader.features(split)
        if saved is None:
            # Otherwise the first steps would move the encoder for the sake of a head that knows nothing.
            splits = [
                (self.reader.features(split) if split.features is None else split.features, split.labels)
                for split in (self.train, self.validation)
            ]
            self.probe = begin_from_probe(self.classifier.head, *splits)
            self.best = self._weights()
            log(f"{self.task.name}: begins from the linear probe, {self.metric} {self.probe_score:.4f}")

    def save(self, folder: Path, digest: str) -> None:
        """Save the state after an epoch."""
        values = state.EpochState(self.history, self.reader.size, self.probe)
        state.save(folder, digest, values, current=self.classifier.trained(), best=self.best, optimizer=self.optimizer)

    def epoch(self) -> str:
        """Train for one epoch, score the validation split, and return a summary for the log."""
        number, total = len(self.history) + 1, 0.0
        flipped = flips(len(self.train), seed=self.seed, epoch=number) if self.strand == "both" else None
        steps = batches(self.train.sequences.lengths, self.settings.batch_size, seed=self.seed, epoch=number)
        self.classifier.train()
        for step, rows in enumerate(steps):
            clock = Clock((number - 1) * len(steps) + step, self.settings.epochs * len(steps))
            total += len(rows) * self._step(rows, flipped, clock, number)
        self.classifier.eval()
        predicted = self.reader.log_probabilities(self.validation).argmax(1).numpy()
        table = confusion(self.validation.labels.cpu().numpy(), predicted, len(self.task.classes))
        score = float((mcc if self.metric == "mcc" else accuracy)(table))
        self.history.append({"loss": total / len(self.train), "score": score})
        if self.chosen == number:
            self.best = self._weights()
        return f"epoch {number} of {self.settings.epochs}: loss {total / len(self.train):.4f}, {self.metric} {score:.4f}"

    def _weights(self) -> dict[str, Tensor]:
        """Return a copy of what is trained."""
        return {name: tensor.detach().clone() for name, tensor in self.classifier.trained().items()}

    def tested(self) -> FinetuneResult:
        """Return the predictions on the test split by the weights of the chosen epoch."""
        checkpoint.fill("the chosen epoch", self.classifier.trained(), self.best)
        self.classifier.eval()
        scores = self.reader.predict(self.task.splits["test"].sequences)
        done, longest = len(self.history), int(self.train.sequences.lengths.max())
        chosen: JsonObject = {
            "epoch": self.chosen,
            f"validation_{self.metric}": self.history[self.chosen - 1]["score"] if self.chosen else self.probe_score,
            "probe": self.probe,
            "epochs_run": done,
            "stopped_early": done < self.settings.epochs,
            "settings": self.settings.model_dump(),
            "blocks": {"used": self.classifier.blocks, "of": self.classifier.branch.encoder.depth},
            "precision": self.engine.precision,
            "micro_batch": min(self.settings.batch_size, len(self.train), self.reader.size.samples(longest)),
            "notes": list[JsonValue](self.classifier.notes),
        }
        return FinetuneResult(scores.numpy(), chosen, self.classifier.state_dict(), self.reader.size)

    def _step(self, rows: Tensor, flipped: Tensor | None, clock: Clock, epoch: int) -> float:
        """Take one optimizer step on the mean cross-entropy of `rows`, and return the loss."""
        self.optimizer.zero_grad()
        loss = self._backward(rows, flipped, clock, epoch)
        parameters = self.optimizer.parameters
        norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        # One transfer from the device for both numbers.
        value, length = torch.stack([loss, norm]).tolist()
        if not (math.isfinite(value) and math.isfinite(length)):
            raise NotFinite(
                f"fine-tuning on {self.task.name}, epoch {epoch}, step {clock.step + 1} of {clock.steps}: the loss is {value}"
                f" and the gradient norm {length}; try a lower learning_rate"
            )
        clip_grads_with_norm_(parameters, CLIP_NORM, norm)
        self.optimizer.step(clock)
        return float(value)

    def _backward(self, rows: Tensor, flipped: Tensor | None, clock: Clock, epoch: int) -> Tensor:
        """Accumulate the gradient over micro-batches, and return the mean loss."""
        loss = torch.zeros((), device=self.engine.device)
        for number, micro_batch in enumerate(self.reader.micro_batches(self.train, rows)):
            # Each micro-batch has its own dropout seed; without it all would drop the same units.
            with rng.torch_seed(self.seed, "finetune dropout", epoch, clock.step, number, device=self.engine.device):
                logits = self.reader.logits(self.train, micro_batch, flipped)
            # Divided by the size of the whole batch: the shares of micro-batches of different sizes then add up to its mean.
            share = F.cross_entropy(logits, self.train.labels[micro_batch], reduction="sum") / len(rows)
            share.backward()
            loss += share.detach()
        return loss

    def _size(self) -> MicroBatching:
        """Return the micro-batch size, chosen as in `trainer.loop.choose_micro_batch`, for sequences of any length."""
        class_tokens = self.classifier.branch.class_tokens
        if self.settings.micro_batch != "auto":
            return MicroBatching(class_tokens, rows=self.settings.micro_batch)
        if self.engine.device.type == "cpu":
            return MicroBatching(class_tokens, CPU_BYTES // (4 * self.classifier.branch.encoder.dim))
        return self._tried_size()

    def _tried_size(self) -> MicroBatching:
        """Return what fits the device's memory, tried on the longest sequences without changing the weights."""
        class_tokens, lengths = self.classifier.branch.class_tokens, self.train.sequences.lengths
        longest = lengths.argsort(descending=True, stable=True)[: self.settings.batch_size]
        self.classifier.train()

        def attempt(rows: int) -> None:
            self.reader.size = MicroBatching(class_tokens, rows=rows)
            self._backward(longest[:rows], None, Clock(0, 1), epoch=0)
            self.optimizer.zero_grad()

        return MicroBatching(class_tokens, halve_until_fits(len(longest), attempt) * (int(lengths.max()) + class_tokens))


def _optimizer(settings: FinetuneSettings, optimizer: type[Optimizer]) -> Optimizer:
    """Return the optimizer with the rate and the decay of the settings, and its own defaults for the rest."""
    rate = Cosine(start=settings.learning_rate, end=0.0, warmup=settings.warmup)
    return optimizer(optimizer.Config(learning_rate=rate, weight_decay=Constant(value=settings.weight_decay)))
