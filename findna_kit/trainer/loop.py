"""One plain loop over `train_step`."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from findna_kit import checkpoint
from findna_kit.distributed import halve_until_fits
from findna_kit.errors import CheckpointMismatch, Interrupted, RunStopped
from findna_kit.metrics.writers import MetricsWriter
from findna_kit.schedules import Clock
from findna_kit.trainer.compilation import compiled_encoders
from findna_kit.trainer.forward import training_batch
from findna_kit.trainer.optimizers import ScheduledAdamW
from findna_kit.trainer.step import accumulate_gradients, train_step
from findna_kit.trainer.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from findna_kit.data.sources import Data
    from findna_kit.distributed import Engine
    from findna_kit.trainer.experiment import Experiment
    from findna_kit.trainer.observer import Reporter

VALIDATION_STEP = "look"
"""Among the metrics that a teacher rule is given: the step of the latest look at the held-out windows."""
CPU_BYTES = 10 * 2**20
"""Of one layer's activations in a pass on a CPU: what stays near its cache."""


class StopRequest:
    """SIGINT, SIGTERM and SIGUSR2 ask the run to save and stop after the step it is in; a SIGINT after that stops it at once.

    A second SIGTERM or SIGUSR2 does not: Slurm signals every process of a step, and so does whoever started one there.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, the signals are taken; afterwards they mean what they did before."""
        before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, frame: Any) -> None:
        if self.signal is None:
            self.signal = number
        elif number == signal.SIGINT:
            raise KeyboardInterrupt


def train(
    experiment: Experiment,
    data: Data,
    engine: Engine,
    run: Path,
    *,
    micro_batch: int,
    report: Reporter,
    stop: StopRequest,
    resume: bool = False,
    beside: Mapping[str, float] | None = None,
    evaluate: Callable[[int], Mapping[str, float]] = lambda step: {},
) -> dict[str, float]:
    """Trains to the last step, or from the newest checkpoint on; returns the latest metrics.

    beside: numbers to stand in every row of a look at the held-out windows (baselines), so that curves show both.
    evaluate: is asked after every step, and before the first, for scores to stand in its row; no rule ever sees them.
    Of several processes the first writes, reports and evaluates, and all stop where one is asked to.
    Raises NotFinite (nothing applied), Interrupted (saved), CheckpointMismatch (nothing loaded), FindnaError (no compiler),
    ProcessLost (another process is gone), RunStopped (the processes hold different networks).
    """  # fmt: skip
    experiment.to(engine.device)
    experiment.student.train()
    experiment.teacher.eval()
    state = _State(experiment, engine, run)
    if resume:
        state.load()
    look = Validation(experiment, data, engine, micro_batch, beside or {})
    writer = MetricsWriter(run, state.step if resume else -1) if engine.is_main_process else None
    try:
        with compiled_encoders(experiment):
            if not resume:
                held_out = engine.broadcast_object(lambda: look.look(Clock(0, experiment.steps)))
                state.latest = {**held_out, VALIDATION_STEP: 0.0}
                if writer is not None:
                    writer.write({"step": 0, **held_out, **evaluate(0)})
                state.save(writer)
            _loop(experiment, data, engine, state, writer, look, micro_batch, report, stop, evaluate)
    finally:
        if writer is not None:
            writer.close()
    return state.latest


def _loop(
    experiment: Experiment, data: Data, engine: Engine, state: _State, writer: MetricsWriter | None, look: Validation,
    micro_batch: int, report: Reporter, stop: StopRequest, evaluate: Callable[[int], Mapping[str, float]],
) -> None:  # fmt: skip
    settings, steps = experiment.trainer, experiment.steps
    _obey(_asked(stop, engine), state, steps)  # it may have come while the genome was read
    started, counted = time.perf_counter(), 0
    while state.step < steps:
        metrics = train_step(experiment, data, engine, state.optimizer, Clock(state.step, steps), state.latest, micro_batch)
        state.step += 1
        state.latest |= metrics
        counted += 1
        last, row = state.step == steps, dict[str, float]()
        if last or state.step % settings.log_every == 0:
            now = time.perf_counter()
            speed = counted * experiment.batch_size * experiment.length / (now - started)
            row, started, counted = {**metrics, "bases_per_second": speed}, now, 0
        began = time.perf_counter()
        if last or state.step % settings.validate_every == 0:
            held_out = engine.broadcast_object(lambda: look.look(Clock(state.step, steps)))
            state.latest |= {**held_out, VALIDATION_STEP: float(state.step)}
            row |= held_out
        if writer is not None:
            row |= evaluate(state.step)
            if row:
                writer.write({"step": state.step, **row})
            report(state.step, row)
        asked = _asked(stop, engine)
        if last or state.step % settings.checkpoint_every == 0 or asked:
            state.save(writer)
        started += time.perf_counter() - began  # what is not training does not count as slow training
        _obey(asked, state, steps)


def _asked(stop: StopRequest, engine: Engine) -> int:
    """The largest signal that any process was sent, or 0. One that comes meanwhile is kept, and heeded after the next step."""
    return engine.all_reduce_max(stop.signal or 0)


def _obey(asked: int, state: _State, steps: int) -> None:
    """Interrupted where a signal has asked for it; the state has been saved."""
    if asked:
        name = signal.Signals(asked).name
        raise Interrupted(asked, f"{name}: step {state.step} of {steps} is saved; continue with --resume {state.run}")


def write_checkpoint(
    run: Path, step: int, experiment: Experiment, optimizer: ScheduledAdamW, latest: Mapping[str, float]
) -> None:  # fmt: skip
    """Every tensor that training moves, and the latest metrics, whole or not at all."""
    state = _state_tensors(experiment, optimizer)
    checkpoint.save(run, step, experiment.model_tensors(), state, {"latest": latest, "moved": optimizer.moved})


def _state_tensors(experiment: Experiment, optimizer: ScheduledAdamW) -> dict[str, Tensor]:
    """All but the model's: of the optimizer, the losses and the teacher's rule."""
    rule = checkpoint.prefixed("teacher_update", experiment.teacher_update.state_dict())
    return {**optimizer.tensors(), **experiment.loss_tensors(), **rule}


class _State:
    """What a checkpoint holds: the step, every tensor that training moves, and the latest metrics."""

    def __init__(self, experiment: Experiment, engine: Engine, run: Path) -> None:
        self.experiment, self.engine, self.run, self.step = experiment, engine, run, 0
        self.optimizer = ScheduledAdamW(experiment)
        self.latest: dict[str, float] = {}

    def save(self, writer: MetricsWriter | None) -> None:
        """Metric rows first: a checkpoint never knows more than they do. RunStopped where the processes have parted."""
        model, state = self.experiment.model_tensors(), _state_tensors(self.experiment, self.optimizer)
        if not self.engine.replicas_agree([*model.values(), *state.values()]):
            raise RunStopped(
                f"step {self.step}: the processes hold different networks or losses, which they never should; nothing of it is "
                "saved: look for a part that is not the same on every machine"
            )
        if writer is None:
            return
        writer.sync()
        write_checkpoint(self.run, self.step, self.experiment, self.optimizer, self.latest)
        checkpoint.prune(self.run, self.experiment.trainer.keep_last)

    def load(self) -> None:
        """From the newest checkpoint: everything, or CheckpointMismatch."""
        step = checkpoint.steps_saved(self.run)[-1]
        where = checkpoint.path_of(self.run, step)
        model, state, values = checkpoint.load(self.run, step)
        rule = checkpoint.part("teacher_update", state)
        rest = {name: tensor for name, tensor in state.items() if not name.startswith("teacher_update.")}
        own = {**self.experiment.model_tensors(), **self.optimizer.empty(values["moved"]), **self.experiment.loss_tensors()}
        # One call, so that either everything fits or nothing has been touched.
        checkpoint.fill(f"{where}: the checkpoint", own, {**model, **rest})
        try:
            self.experiment.teacher_update.load_state_dict(rule)
        except (KeyError, ValueError) as error:
            raise CheckpointMismatch(f"{where}: the teacher update's state does not fit: {error}") from error
        self.step, self.latest = step, values["latest"]


def choose_micro_batch(experiment: Experiment, data: Data, engine: Engine) -> int:
    """Rows per pass where the recipe says auto.

    CPU: as many as keep a layer's activations near the cache, since larger ones are mapped and page-faulted anew each time.
    GPU: the whole share, or the largest half, quarter, ... of it whose forward and backward fit the memory.
    """
    share = len(engine.local_indices(experiment.batch_size))
    if experiment.trainer.micro_batch != "auto":
        return min(experiment.trainer.micro_batch, share)
    if not experiment.losses:
        return share
    if engine.device.type == "cpu":
        row = 4 * experiment.student.encoder.dim * (experiment.length + experiment.student.class_tokens)
        return max(1, min(share, CPU_BYTES // row))
    experiment.to(engine.device)

    def attempt(rows: int) -> None:
        share_rows = engine.local_indices(experiment.batch_size)
        batch = training_batch(experiment, data, 0, share_rows)
        accumulate_gradients(experiment, data, engine, Clock(0, experiment.steps), batch, rows)
        experiment.student.zero_grad(set_to_none=True)
        experiment.predictors.zero_grad(set_to_none=True)

    return halve_until_fits(share, attempt)
