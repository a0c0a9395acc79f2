"""Fine-tuning: epochs over the training part, the epoch chosen on the validation part, the test part read once at the end."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from findna_kit import checkpoint, rng
from findna_kit.distributed import halve_until_fits
from findna_kit.errors import FindnaError, NotFinite
from findna_kit.evaluation.finetuning import state
from findna_kit.evaluation.finetuning.classifier import Classifier
from findna_kit.evaluation.finetuning.parts import Part, Reader
from findna_kit.evaluation.finetuning.rows import Passes, batches, flips
from findna_kit.evaluation.scores import accuracy, confusion, mcc
from findna_kit.schedules import Clock, Constant, Cosine
from findna_kit.trainer.micro_batch import CPU_BYTES
from findna_kit.trainer.optimizers import ScheduledOptimizer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from findna_kit.components.optimizer import Optimizer
    from findna_kit.distributed import Engine
    from findna_kit.evaluation.finetuning.settings import FinetuneSettings
    from findna_kit.evaluation.tasks import Task
    from findna_kit.inference.frozen_model import Pooling, Strand
    from findna_kit.model.branch import Branch
    from findna_kit.trainer.experiment import WeightedLoss

CLIP_NORM = 1.0


@dataclass(frozen=True)
class Tuned:
    """scores [n_test, K] float32: natural log of each class's probability. chosen: how they came about, ready for JSON."""

    scores: NDArray[np.float32]
    chosen: dict[str, Any]


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
    say: Callable[[str], None],
    marks: Mapping[str, str] | None = None,
) -> Tuned:
    """Fine-tunes a copy of `network` on the task, and scores the task's test part with the best epoch's weights.

    strand: `both` shows each sequence as its reverse complement with probability 1/2 while it trains, and averages the
    probabilities of both strands afterwards. optimizer: the class that settings.optimizer names. folder: the state after each epoch; a later call with the same arguments goes
    on there, and ends with the digits that it would have had. Whoever has kept the result removes it. marks: whose each
    setting is, as `settings_for` gives them: blocks and dropout that the encoder cannot have are refused where they were given.

    Raises FindnaError for those, an empty sequence and one longer than the encoder takes; NotFinite for a loss or gradient
    that is not finite.
    """
    if engine.world_size > 1:
        raise FindnaError("fine-tuning runs in one process; start it without a launcher")
    _refuse_lengths(task, network.encoder.max_length)
    classifier = Classifier(network, len(task.classes), settings, pooling=pooling, seed=seed, marks=marks or {})
    arguments = {
        "settings": settings.model_dump(), "task": task.digest, "pooling": pooling, "strand": strand, "seed": seed,
        "blocks": classifier.blocks, "device": engine.device.type, "precision": engine.precision,
        "dropout": [module.p for module in classifier.modules() if isinstance(module, torch.nn.Dropout)],
    }  # fmt: skip
    digest = state.digest_of(arguments, classifier)
    tuning = _Tuning(classifier.to(engine.device), engine, task, settings, optimizer=optimizer, strand=strand, seed=seed)
    tuning.restore(folder, digest, say)
    for note in classifier.notes:
        say(f"{task.name}: {note}")
    while not tuning.ended:
        said = tuning.epoch()
        tuning.save(folder, digest)
        say(f"{task.name}: {said}")
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
    """The weights, the optimizer, and what each epoch came to."""

    def __init__(
        self, classifier: Classifier, engine: Engine, task: Task, settings: FinetuneSettings, *, optimizer: type[Optimizer],
        strand: Strand, seed: int,
    ) -> None:  # fmt: skip
        self.classifier, self.engine, self.task, self.settings = classifier, engine, task, settings
        self.strand, self.seed = strand, seed
        self.optimizer = ScheduledOptimizer(_Moved(_optimizer(settings, optimizer), torch.nn.ModuleDict(), {}, classifier))
        self.read = Reader(classifier, engine, both=strand == "both")
        self.train, self.validation = (Part(task.parts[part], engine.device) for part in ("train", "validation"))
        # MCC is undefined where the truth has one class.
        self.judge = "mcc" if self.validation.labels.unique().numel() > 1 else "accuracy"
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}

    @property
    def chosen(self) -> int:
        """The epoch, counted from 1, with the best validation score; the first of equals. 0 before any."""
        scores = [epoch["score"] for epoch in self.history]
        return scores.index(max(scores)) + 1 if scores else 0

    @property
    def ended(self) -> bool:
        """Every epoch is done, or none was better for as long as the patience lasts."""
        done, patience = len(self.history), self.settings.patience
        return done == self.settings.epochs or (patience is not None and done - self.chosen >= patience)

    def restore(self, folder: Path, digest: str, say: Callable[[str], None]) -> None:
        """Takes back the last epoch saved, if there is one; and reads what will not change."""
        now = self.classifier.moved()
        values = state.restore(folder, digest, say, now=now, best=self.best, optimizer=self.optimizer)
        if values is not None:
            self.history = values["history"]
            say(f"{self.task.name}: goes on after epoch {len(self.history)} of {self.settings.epochs}")
        self.read.size = self._size() if values is None else Passes(**values["passes"])
        if not self.classifier.moves:
            self.classifier.eval()
            for part in (self.train, self.validation):
                self.read.keep_features(part)

    def save(self, folder: Path, digest: str) -> None:
        """The state after an epoch."""
        values = {"history": self.history, "passes": asdict(self.read.size)}
        now, epoch = self.classifier.moved(), len(self.history)
        state.save(folder, digest, values, epoch=epoch, now=now, best=self.best, optimizer=self.optimizer)

    def epoch(self) -> str:
        """One pass over the training part and a look at the validation part; what came of it."""
        number, total = len(self.history) + 1, 0.0
        flipped = flips(len(self.train), seed=self.seed, epoch=number) if self.strand == "both" else None
        cut = batches(self.train.rows.lengths, self.settings.batch_size, seed=self.seed, epoch=number)
        self.classifier.train()
        for step, rows in enumerate(cut):
            clock = Clock((number - 1) * len(cut) + step, self.settings.epochs * len(cut))
            total += len(rows) * self._step(rows, flipped, clock, number)
        self.classifier.eval()
        predicted = self.read.log_probabilities(self.validation).argmax(1).numpy()
        table = confusion(self.validation.labels.cpu().numpy(), predicted, len(self.task.classes))
        score = float((mcc if self.judge == "mcc" else accuracy)(table))
        self.history.append({"loss": total / len(self.train), "score": score})
        if self.chosen == number:
            self.best = {name: tensor.detach().clone() for name, tensor in self.classifier.moved().items()}
        return f"epoch {number} of {self.settings.epochs}: loss {total / len(self.train):.4f}, {self.judge} {score:.4f}"

    def tested(self) -> Tuned:
        """The test part's scores by the chosen epoch's weights."""
        checkpoint.fill("the chosen epoch", self.classifier.moved(), self.best)
        self.classifier.eval()
        scores = self.read.log_probabilities(Part(self.task.parts["test"], self.engine.device))
        done, longest = len(self.history), int(self.train.rows.lengths.max())
        chosen = {
            "epoch": self.chosen,
            f"validation_{self.judge}": self.history[self.chosen - 1]["score"],
            "epochs_run": done,
            "stopped_early": done < self.settings.epochs,
            "settings": self.settings.model_dump(),
            "blocks": {"used": self.classifier.blocks, "of": self.classifier.branch.encoder.depth},
            "precision": self.engine.precision,
            "micro_batch": min(self.settings.batch_size, len(self.train), self.read.size.at_once(longest)),
            "notes": self.classifier.notes,
        }
        return Tuned(scores.numpy(), chosen)

    def _step(self, rows: Tensor, flipped: Tensor | None, clock: Clock, epoch: int) -> float:
        """Moves the weights by the mean cross-entropy of `rows`, and returns it."""
        self.optimizer.zero_grad()
        loss = self._backward(rows, flipped, clock, epoch)
        parameters = self.optimizer.parameters
        norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        value, length = torch.stack([loss, norm]).tolist()
        if not (math.isfinite(value) and math.isfinite(length)):
            raise NotFinite(
                f"fine-tuning on {self.task.name}, epoch {epoch}, step {clock.step + 1} of {clock.steps}: the loss is {value}"
                f" and the gradient's norm {length}; try a lower learning_rate"
            )
        clip_grads_with_norm_(parameters, CLIP_NORM, norm)
        self.optimizer.step(clock)
        return float(value)

    def _backward(self, rows: Tensor, flipped: Tensor | None, clock: Clock, epoch: int) -> Tensor:
        loss = torch.zeros((), device=self.engine.device)
        for place, part in enumerate(self.read.passes(self.train, rows)):
            with rng.torch_seed(self.seed, "finetune dropout", epoch, clock.step, place, device=self.engine.device):
                logits = self.read.logits(self.train, part, flipped)
            share = F.cross_entropy(logits, self.train.labels[part], reduction="sum") / len(rows)
            share.backward()
            loss += share.detach()
        return loss

    def _size(self) -> Passes:
        """Of a pass: as in `trainer.micro_batch.choose_micro_batch`, for sequences of any length."""
        class_tokens = self.classifier.branch.class_tokens
        if self.settings.micro_batch != "auto":
            return Passes(class_tokens, rows=self.settings.micro_batch)
        if self.engine.device.type == "cpu":
            return Passes(class_tokens, CPU_BYTES // (4 * self.classifier.branch.encoder.dim))
        return self._tried_size()

    def _tried_size(self) -> Passes:
        """What fits the device's memory, tried on the longest sequences; nothing moves."""
        class_tokens, lengths = self.classifier.branch.class_tokens, self.train.rows.lengths
        longest = lengths.argsort(descending=True, stable=True)[: self.settings.batch_size]
        self.classifier.train()

        def attempt(rows: int) -> None:
            self.read.size = Passes(class_tokens, rows=rows)
            self._backward(longest[:rows], None, Clock(0, 1), epoch=0)
            self.optimizer.zero_grad()

        return Passes(class_tokens, halve_until_fits(len(longest), attempt) * (int(lengths.max()) + class_tokens))


def _optimizer(settings: FinetuneSettings, optimizer: type[Optimizer]) -> Optimizer:
    """Return the optimizer with the rate and the decay of the settings, and its own defaults for the rest."""
    rate = Cosine(start=settings.learning_rate, end=0.0, warmup=settings.warmup)
    return optimizer(optimizer.Config(learning_rate=rate, weight_decay=Constant(value=settings.weight_decay)))


def _refuse_lengths(task: Task, bound: int | None) -> None:
    for part, table in task.parts.items():
        lengths = [len(sequence) for sequence in table.sequences]
        if 0 in lengths:
            raise FindnaError(f"{task.name}: sequence {lengths.index(0)} of {part} is empty: there is nothing to learn from it")
        longer = sum(length > bound for length in lengths) if bound is not None else 0
        if longer:
            raise FindnaError(
                f"{task.name}: {longer} of {part}'s {len(lengths)} sequences are longer than the {bound} nucleotides that the"
                f" encoder takes (the longest has {max(lengths)}); fine-tuning averages no windows: cut the task's sequences,"
                " or take an encoder without a bound"
            )
