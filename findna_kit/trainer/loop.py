"""The training loop: steps, logging, validation, checkpoints and stopping."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from findna_kit.errors import Interrupted
from findna_kit.metrics.writers import MetricsWriter
from findna_kit.schedules import Clock
from findna_kit.trainer.compilation import compiled_encoders
from findna_kit.trainer.state import VALIDATION_STEP, TrainingState
from findna_kit.trainer.step import train_step
from findna_kit.trainer.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from findna_kit.data.sources import Data
    from findna_kit.distributed import Engine
    from findna_kit.trainer.experiment import Experiment
    from findna_kit.trainer.observer import Reporter
    from findna_kit.trainer.stop_request import StopRequest


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
    extra_metrics: Mapping[str, float] | None = None,
    evaluate: Callable[[int], Mapping[str, float]] = lambda step: {},
) -> dict[str, float]:
    """Train to the last step, from the start or from the newest checkpoint, and return the latest metrics.

    extra_metrics: constants (baselines) to log with every validation, so that plots show them next to the curves.
    evaluate: called before the first step and after every step for scores to log; no teacher update receives them.
    With several processes, only the main process writes, reports and evaluates, and a signal to one stops all.
    Raises NotFinite (nothing applied), Interrupted (state saved), CheckpointMismatch (nothing loaded), FindnaError (no
    compiler), ProcessLost (another process is gone), RunStopped (the processes hold different networks).
    """
    # Before any state is loaded, because the optimizer's state is created on the device of its parameters.
    experiment.to(engine.device)
    experiment.train()
    state = TrainingState(experiment, engine, run)
    if resume:
        state.load()
    validation = Validation(experiment, data, engine, micro_batch, extra_metrics)
    # Resuming drops rows after the checkpoint; a new run starts with an empty file.
    writer = MetricsWriter(run, state.step if resume else -1) if engine.is_main_process else None
    loop = _Loop(experiment, data, engine, state, writer, validation, micro_batch, report, stop, evaluate)
    try:
        with compiled_encoders(experiment):
            if not resume:
                loop.log_initial_state()
            loop.run()
    finally:
        if writer is not None:
            writer.close()
    return state.latest


@dataclass
class _Loop:
    """The loop of one run. writer: in the main process only."""

    experiment: Experiment
    data: Data
    engine: Engine
    state: TrainingState
    writer: MetricsWriter | None
    validation: Validation
    micro_batch: int
    report: Reporter
    stop: StopRequest
    evaluate: Callable[[int], Mapping[str, float]]

    def log_initial_state(self) -> None:
        """Validate, log and save the untrained networks as step 0."""
        metrics = self.validate()
        if self.writer is not None:
            self.writer.write({"step": 0, **metrics, **self.evaluate(0)})
        self.state.save(self.writer)

    def run(self) -> None:
        """Train from the state's step to the last one."""
        settings, state, steps = self.experiment.trainer, self.state, self.experiment.steps
        raise_if_stopped(stop_requested(self.stop, self.engine), state, steps)  # a signal may have come before the first step
        started, counted = time.perf_counter(), 0
        while state.step < steps:
            clock = Clock(state.step, steps)
            metrics = train_step(
                self.experiment, self.data, self.engine, state.optimizer, clock, state.latest, self.micro_batch
            )
            state.step += 1
            state.latest |= metrics
            counted += 1
            # The last step is always logged, validated and saved, whatever the intervals.
            last, row = state.step == steps, dict[str, float]()
            if last or state.step % settings.log_every == 0:
                now = time.perf_counter()
                bases = counted * self.experiment.batch_size * self.experiment.length
                row, started, counted = {**metrics, "bases_per_second": bases / (now - started)}, now, 0
            paused = time.perf_counter()
            if last or state.step % settings.validate_every == 0:
                row |= self.validate()
            # Before the checkpoint, so that a run that is killed in between and resumed from it does not lack this row.
            self.log(row)
            # Asked at every step, because all processes must stop after the same one.
            stopping = stop_requested(self.stop, self.engine)
            if last or state.step % settings.checkpoint_every == 0 or stopping:
                state.save(self.writer)
            started += time.perf_counter() - paused  # throughput is of training alone
            raise_if_stopped(stopping, state, steps)

    def validate(self) -> dict[str, float]:
        """Validate in the main process, and return the metrics in every process: teacher updates may depend on them."""
        clock = Clock(self.state.step, self.experiment.steps)
        # Other processes wait for this broadcast. So the numbers do not depend on how many processes there are.
        metrics = self.engine.broadcast_object(lambda: self.validation.run(clock))
        self.state.latest |= {**metrics, VALIDATION_STEP: float(self.state.step)}
        return metrics

    def log(self, row: dict[str, float]) -> None:
        """Add evaluation scores to the row of the current step, write it unless it is empty, and report the step."""
        if self.writer is None:
            return
        # Into the row only and not into `latest`, so that no teacher update can depend on the scores of a labelled task.
        row |= self.evaluate(self.state.step)
        if row:
            self.writer.write({"step": self.state.step, **row})
        self.report(self.state.step, row)


def stop_requested(stop: StopRequest, engine: Engine) -> int:
    """Return the largest signal number that any process received, or 0.

    A signal that arrives during this collective is kept, and takes effect after the next step in all processes.
    """
    return engine.all_reduce_max(stop.signal or 0)


def raise_if_stopped(signal_number: int, state: TrainingState, steps: int) -> None:
    """Raise Interrupted if a signal was received; the state has been saved."""
    if signal_number:
        name = signal.Signals(signal_number).name
        raise Interrupted(signal_number, f"{name}: step {state.step} of {steps} is saved; continue with --resume {state.run}")
