"""Starting a run: from a recipe to a trained experiment and its folder."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from findna_kit.assemble import assemble
from findna_kit.data.genomes import open_genomes
from findna_kit.distributed import Heartbeat, current_launch, peak_memory, start_engine
from findna_kit.metrics.names import baseline_metric
from findna_kit.records.paths import RECIPE
from findna_kit.records.run_json import PeakMemory, RunJson, RunRecord, Timings
from findna_kit.records.views_json import write_views
from findna_kit.runs.baselines import fit_baselines
from findna_kit.runs.example_views import example_record
from findna_kit.runs.init_weights import take_initial_weights
from findna_kit.runs.online_probe import online_probes
from findna_kit.runs.processes import acquire_folder, apply_launcher, on_worker_lost, run_guard
from findna_kit.runs.provenance import origins_of, resolved_settings, sizes_of, versions
from findna_kit.runs.resuming import (
    check_same_genomes,
    check_same_recipe,
    first_line,
    log_changed_settings,
    save_moved_files,
)
from findna_kit.runs.soft_masking import missing_soft_masking
from findna_kit.trainer import Observer, StopRequest, train
from findna_kit.trainer.micro_batch import choose_micro_batch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from findna_kit.data.genomes import GenomeData
    from findna_kit.distributed import Engine
    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.records.run_folder import RunLocation
    from findna_kit.records.run_json import BaselineScore, ResolvedSettings
    from findna_kit.runs.reporters import Reporters
    from findna_kit.trainer import Experiment


@dataclass
class RunResult:
    """The result of a finished run.

    metrics: the latest value of each. baselines: scores by model. seconds: of training, with those before a resume.
    """

    folder: Path
    metrics: dict[str, float]
    baselines: dict[str, BaselineScore] = field(default_factory=dict)
    seconds: float = 0.0
    is_main_process: bool = True


def start(
    recipe: Recipe, location: RunLocation, *, components: Components, plugins: list[Plugin], device: str = "auto",
    observer: Observer | None = None, reporters: Reporters | None = None,
) -> RunResult:  # fmt: skip
    """Train a recipe and write its run folder, or resume the run in it.

    With several processes, each of them calls this function. Nothing is written before the recipe, the device and the genome
    have been checked. Raises FindnaError, also if a resumed run had another recipe or genome; RunStopped; Interrupted.
    """
    with ExitStack() as stack:
        engine = start_engine(device, recipe.trainer.precision)
        stack.callback(engine.close)
        # Checked after the rendezvous: a launcher ends all processes when one fails, and the main process must print first.
        recipe, launcher_line = apply_launcher(recipe, current_launch())
        experiment = assemble(recipe)
        observer = observer if observer is not None and engine.is_main_process else Observer()
        if launcher_line is not None:
            observer.log(launcher_line)
        genome = _load_data(experiment, recipe, location, engine, observer)
        records = list[RunRecord]()  # filled once there is a folder; the heartbeat starts before that
        heartbeat = Heartbeat(engine, on_worker_lost(engine, records))
        with run_guard(engine, heartbeat, recipe, observer.log) as folders:
            stack.enter_context(heartbeat)
            folder, resuming = acquire_folder(engine, stack, location, recipe.name)
            folders.append(folder)
            stop = StopRequest()
            stack.enter_context(stop.listening())
            moved = check_same_recipe(folder, recipe, components) if resuming else {}
            observer.log(first_line(recipe, folder, resuming=resuming))
            record = RunRecord(folder, resuming=resuming, writes=engine.is_main_process)
            records.append(record)
            record.replace(engine.broadcast_object(record.document))  # as the main process has read it
            observer = start_reporters(observer, reporters, engine, folder, recipe)
            prepared = _prepare(experiment, genome, engine, record, observer, resuming=resuming)
            with record.recording():
                record.update(origins_of(recipe, components, plugins))
                if engine.is_main_process:
                    if resuming:
                        save_moved_files(folder, recipe, moved, components, observer.log)
                    else:
                        (folder / RECIPE).write_text(recipe.dump())
                        write_views(folder, example_record(experiment, genome))
                return _train(prepared, recipe, record, observer, stop)


def _load_data(
    experiment: Experiment, recipe: Recipe, location: RunLocation, engine: Engine, observer: Observer
) -> GenomeData:  # fmt: skip
    """Load initial weights and genomes. Raises FindnaError for anything wrong with them or the batch size."""
    if not location.resuming:  # a checkpoint has its own weights, even if the run of `init_from` is gone by now
        for line in take_initial_weights(experiment, recipe):
            observer.log(line)
    genome = open_genomes(recipe.data, recipe.seed, observer.reading)
    experiment.on_genome(genome.contigs)
    for line in missing_soft_masking(experiment, genome):
        observer.log(line)
    engine.local_indices(recipe.data.batch_size)  # raises for a batch that does not divide, before there is a folder
    return genome


def start_reporters(
    observer: Observer, reporters: Reporters | None, engine: Engine, folder: Path, recipe: Recipe
) -> Observer:  # fmt: skip
    """Start the plugins' reporters in the main process; raise in every process if one of them cannot start."""
    if reporters is None:
        return observer
    started = list[Observer]()
    engine.broadcast_object(
        lambda: started.append(replace(observer, report=reporters.start(folder, recipe, observer.report, observer.log)))
    )
    return started[0] if started else observer


@dataclass(frozen=True)
class _PreparedRun:
    """A run that is ready to train. facts: what run.json records about it."""

    experiment: Experiment
    genome: GenomeData
    engine: Engine
    folder: Path
    micro_batch: int
    resuming: bool
    facts: RunJson


def _prepare(
    experiment: Experiment, genome: GenomeData, engine: Engine, record: RunRecord, observer: Observer, *, resuming: bool
) -> _PreparedRun:  # fmt: skip
    """Resolve settings that are `auto`. Raises FindnaError if a resumed run had other genomes."""
    sizes = sizes_of(experiment, genome)
    check_same_genomes(record.folder, record.content.genomes, sizes.genomes)
    before = record.content.resolved
    engine, micro_batch = resolve_engine(experiment, genome, engine, before)
    resolved = resolved_settings(engine, micro_batch)
    log_changed_settings(before, resolved, observer.log)
    facts = sizes.model_copy(update={"resolved": resolved})
    return _PreparedRun(experiment, genome, engine, record.folder, micro_batch, resuming, facts)


def resolve_engine(
    experiment: Experiment, genome: GenomeData, engine: Engine, resolved: ResolvedSettings
) -> tuple[Engine, int]:  # fmt: skip
    """Return the engine with its precision, and the micro-batch size.

    Each is what the recipe states; or else what the run resolved before, given in `resolved`; or else chosen for the device.
    """
    settings = experiment.trainer
    precision = settings.precision if settings.precision != "auto" else resolved.precision or "auto"
    engine = engine.with_precision(precision)
    before = resolved.micro_batch if settings.micro_batch == "auto" else None
    share = len(engine.local_indices(experiment.batch_size))
    micro_batch = min(before or choose_micro_batch(experiment, genome.windows, engine), share)
    return engine, -engine.all_reduce_max(-micro_batch)  # the smallest of all, which fits every process


def _train(run: _PreparedRun, recipe: Recipe, record: RunRecord, observer: Observer, stop: StopRequest) -> RunResult:
    """Fit the baselines, train, and record time and memory, even if training ends early."""
    experiment, engine = run.experiment, run.engine
    plan = {"status": "running", "name": recipe.name, "seed": recipe.seed, "steps": recipe.steps, "versions": versions()}
    record.update(run.facts.model_copy(update=plan))
    # The document and not the content, whose default is an empty dict: a run without masked losses has recorded that too.
    if "baselines" not in record.document():
        scores = engine.broadcast_object(lambda: fit_baselines(experiment, run.genome))
        record.update(RunJson.model_validate({"baselines": scores}))
    baselines = record.content.baselines
    probes = online_probes(recipe, experiment, engine) if engine.is_main_process else lambda step: {}
    started = time.perf_counter()
    before = record.content.timings.training_seconds or 0.0
    try:
        metrics = train(
            experiment, run.genome.windows, engine, run.folder,
            micro_batch=run.micro_batch, report=observer.report, stop=stop, resume=run.resuming,
            extra_metrics=_baseline_metrics(baselines), evaluate=probes,
        )  # fmt: skip
        engine.all_reduce_max(0)  # a barrier: no process leaves before all have finished
    finally:
        seconds = round(before + time.perf_counter() - started, 1)
        peaks = [record.content.peak_memory, PeakMemory.model_validate(peak_memory(engine.device))]  # before a resume, and now
        largest = max((peak for peak in peaks if peak is not None), key=lambda peak: peak.bytes)
        record.update(RunJson(timings=Timings(training_seconds=seconds), peak_memory=largest))
    return RunResult(run.folder, metrics, baselines, seconds, engine.is_main_process)


def _baseline_metrics(baselines: Mapping[str, BaselineScore]) -> dict[str, float]:
    """Return the baselines by the names of metrics.jsonl."""
    metrics: dict[str, float] = {}
    for name, score in baselines.items():
        metrics |= {
            baseline_metric(name, "accuracy"): score.accuracy,
            baseline_metric(name, "bits_per_base"): score.bits_per_base,
        }
    return metrics
