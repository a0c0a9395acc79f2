"""Start or resume a run: from a recipe to its folder."""

from __future__ import annotations

import platform
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from importlib.metadata import version
from typing import TYPE_CHECKING

import torch

from findna_kit.assemble import assemble
from findna_kit.distributed import Heartbeat, current_launch, peak_memory, start_engine
from findna_kit.errors import FindnaError
from findna_kit.metrics.names import baseline_metric
from findna_kit.recipe import diff, load_recipe
from findna_kit.records.paths import RECIPE
from findna_kit.records.run_json import GenomeRecord, PeakMemory, ResolvedSettings, RunJson, RunRecord, Timings
from findna_kit.runs.genome_data import fit_baselines, open_genome
from findna_kit.runs.init_weights import take_initial_weights
from findna_kit.runs.online_probe import online_probe_of
from findna_kit.runs.processes import acquire_folder, apply_launcher, on_worker_lost, run_guard
from findna_kit.trainer import Observer, StopRequest, train
from findna_kit.trainer.micro_batch import choose_micro_batch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from findna_kit.data.genome import Split
    from findna_kit.distributed import Engine
    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.records.run_folder import RunLocation
    from findna_kit.records.run_json import BaselineScore
    from findna_kit.runs.genome_data import GenomeData
    from findna_kit.runs.reporters import Reporters
    from findna_kit.trainer import Experiment

_VERSIONS = ("findna-kit", "torch", "numpy", "scikit-learn", "pydantic", "pluggy")


@dataclass
class Result:
    """The result of a finished run."""

    folder: Path
    metrics: dict[str, float]
    baselines: dict[str, BaselineScore] = field(default_factory=dict)
    seconds: float = 0.0
    first: bool = True
    """Of several processes one shows it."""


def start(
    recipe: Recipe, place: RunLocation, *, components: Components, plugins: list[Plugin], device: str = "auto",
    observer: Observer | None = None, reporters: Reporters | None = None,
) -> Result:  # fmt: skip
    """Runs a recipe in its place; nothing is written before the recipe, the device and the genome have proved good.

    Of several processes, each calls it. Raises FindnaError where the recipe or the genome is not that of the run to be gone on
    with; RunStopped; Interrupted.
    """
    with ExitStack() as stack:
        engine = start_engine(device, recipe.trainer.precision)
        stack.callback(engine.close)
        # Once all have met: a launcher ends the others where one ends, and the first has to have spoken by then.
        recipe, remark = apply_launcher(recipe, current_launch())
        experiment = assemble(recipe)
        observer = observer if observer is not None and engine.is_main_process else Observer()
        if remark is not None:
            observer.log(remark)
        if not place.resuming:  # a checkpoint has its own weights, and outlives the run that gave the first ones
            for remark in take_initial_weights(experiment, recipe):
                observer.log(remark)
        genome = open_genome(recipe, observer.reading)
        experiment.on_genome(genome.contigs)
        engine.local_indices(recipe.data.batch_size)  # what does not divide is refused before there is a folder
        stop, kept = StopRequest(), list[RunRecord]()
        watch = Heartbeat(engine, on_worker_lost(engine, kept))
        with run_guard(engine, watch, recipe, observer.log) as folders:
            stack.enter_context(watch)
            folder, resuming = acquire_folder(engine, stack, place, recipe.name)
            folders.append(folder)
            stack.enter_context(stop.listening())
            if resuming:
                _refuse_another(load_recipe(folder / RECIPE, components), recipe, folder)
            observer.log(f"{recipe.name}: {recipe.steps} steps in {folder}")
            kept.append(RunRecord(folder, resuming=resuming, writes=engine.is_main_process))
            # All processes continue from the record that the main process has read.
            kept[0].replace(engine.broadcast_object(kept[0].document))
            observer = _begun(observer, reporters, engine, folder, recipe)
            training = _prepared(experiment, genome, engine, kept[0], folder, observer, resuming=resuming)
            with kept[0].recording():
                kept[0].update(origins_of(recipe, components, plugins))
                if not resuming and engine.is_main_process:
                    (folder / RECIPE).write_text(recipe.dump())
                return _train(training, recipe, kept[0], observer, stop)


def _begun(observer: Observer, reporters: Reporters | None, engine: Engine, folder: Path, recipe: Recipe) -> Observer:
    """Start the plugins' reporters in the main process; raise in every process if one of them cannot start."""
    if reporters is None:
        return observer
    begun = list[Observer]()
    engine.broadcast_object(
        lambda: begun.append(replace(observer, report=reporters.begin(folder, recipe, observer.report, observer.log)))
    )
    return begun[0] if begun else observer


def _prepared(
    experiment: Experiment, genome: GenomeData, engine: Engine, record: RunRecord, folder: Path, observer: Observer, *,
    resuming: bool,
) -> _Training:  # fmt: skip
    """Return what is trained, with resolved `auto` settings. Raises FindnaError if a resumed run has another genome."""
    genomes = _genome_records(genome)
    _refuse_another_genome(record.content.genomes, genomes, folder)
    before = record.content.resolved
    engine, micro_batch = resolve_engine(experiment, genome, engine, before)
    now = resolved_settings(engine, micro_batch)
    _log_changes(before, now, observer)
    described = RunJson(
        resolved=now,
        genomes=genomes,
        parameters=sum(parameter.numel() for parameter in experiment.trainable().values()),
        encoder_parameters=sum(parameter.numel() for parameter in experiment.student.encoder.parameters()),
    )
    return _Training(experiment, genome, engine, folder, micro_batch, resuming, described)


def _log_changes(before: ResolvedSettings, now: ResolvedSettings, observer: Observer) -> None:
    recorded = before.to_json()
    for name, value in now.to_json().items():
        if name in recorded and recorded[name] != value:
            observer.log(f"resumed with {name} {value}, was {recorded[name]}: equal to rounding, not bit for bit")


def _refuse_another_genome(before: Sequence[GenomeRecord], now: Sequence[GenomeRecord], folder: Path) -> None:
    # A new run has recorded none yet. The number of genomes is part of the recipe, which was compared before.
    for old, new in zip(before, now, strict=False):
        if old.digest != new.digest:
            raise FindnaError(f"{new.path}: is not what {folder} was started with (its digest differs); restore it")
        if old.parts != new.parts:
            raise FindnaError(f"{folder}: was started with other regions of {new.path}: a BED file has changed; restore it")


def _refuse_another(saved: Recipe, recipe: Recipe, folder: Path) -> None:
    if differs := diff(saved, recipe):
        raise FindnaError("\n  ".join([f"{folder}: was started with another recipe; --resume needs the same:", *differs]))


def resolve_engine(
    experiment: Experiment, genome: GenomeData, engine: Engine, resolved: ResolvedSettings
) -> tuple[Engine, int]:  # fmt: skip
    """The engine and the micro-batch: what the recipe states, or else what the run resolved before, or else a choice."""
    settings = experiment.trainer
    precision = settings.precision if settings.precision != "auto" else resolved.precision or "auto"
    engine = engine.with_precision(precision)
    before = resolved.micro_batch if settings.micro_batch == "auto" else None
    share = len(engine.local_indices(experiment.batch_size))
    chosen = min(before or choose_micro_batch(experiment, genome.windows, engine), share)
    return engine, -engine.all_reduce_max(-chosen)  # what fits every process


@dataclass(frozen=True)
class _Training:
    experiment: Experiment
    genome: GenomeData
    engine: Engine
    folder: Path
    micro_batch: int
    resuming: bool
    described: RunJson


def _train(training: _Training, recipe: Recipe, record: RunRecord, observer: Observer, stop: StopRequest) -> Result:
    experiment, engine = training.experiment, training.engine
    plan = {"status": "running", "name": recipe.name, "seed": recipe.seed, "steps": recipe.steps, "versions": versions()}
    record.update(training.described.model_copy(update=plan))
    if "baselines" not in record.document():
        scores = engine.broadcast_object(lambda: fit_baselines(experiment, training.genome))
        record.update(RunJson.model_validate({"baselines": scores}))
    looks = online_probe_of(recipe, experiment, engine) if engine.is_main_process else lambda step: {}
    started = time.perf_counter()
    before = record.content.timings.training_seconds or 0.0
    baselines = record.content.baselines
    try:
        metrics = train(
            experiment, training.genome.windows, engine, training.folder,
            micro_batch=training.micro_batch, report=observer.report, stop=stop, resume=training.resuming,
            extra_metrics=_baseline_metrics(baselines),
            evaluate=looks,
        )  # fmt: skip
        engine.all_reduce_max(0)  # nobody leaves before all have finished
    finally:
        seconds = round(before + time.perf_counter() - started, 1)
        # Of the main process, before and after a resume.
        peak = PeakMemory.model_validate(peak_memory(engine.device))
        before_peak = record.content.peak_memory or peak
        largest = before_peak if before_peak.bytes >= peak.bytes else peak
        record.update(RunJson(timings=Timings(training_seconds=seconds), peak_memory=largest))
    return Result(training.folder, metrics, baselines, seconds, engine.is_main_process)


def _baseline_metrics(baselines: Mapping[str, BaselineScore]) -> dict[str, float]:
    """Return the baselines by their metric names, in the order in which rows of metrics.jsonl have them."""
    metrics: dict[str, float] = {}
    for name, score in baselines.items():
        metrics |= {
            baseline_metric(name, "accuracy"): score.accuracy,
            baseline_metric(name, "bits_per_base"): score.bits_per_base,
        }
    return metrics


def _genome_records(data: GenomeData) -> list[GenomeRecord]:
    return [
        GenomeRecord(
            path=genome.path, weight=genome.weight, digest=genome.store.digest, parts=digest_of_parts(genome.parts),
            bases=genome.store.bases, training_bases=genome.parts.train.bases, validation_bases=genome.parts.validation.bases,
        )
        for genome in data.genomes
    ]  # fmt: skip


def digest_of_parts(parts: Split) -> str:
    """Return a digest of the regions for training and validation, however the recipe states them."""
    arrays = [array for regions in (parts.train, parts.validation) for array in (regions.contig, regions.start, regions.end)]
    return blake2b(b"".join(array.tobytes() for array in arrays), digest_size=16).hexdigest()


def resolved_settings(engine: Engine, micro_batch: int) -> ResolvedSettings:
    """Return the resolved `auto` settings, and what else must stay the same for a bit-for-bit resume."""
    return ResolvedSettings(
        device=engine.device.type, precision=engine.precision, micro_batch=micro_batch, processes=engine.world_size,
        threads=torch.get_num_threads(), torch=torch.__version__,
    )  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS}}


def origins_of(recipe: Recipe, components: Components, plugins: list[Plugin]) -> RunJson:
    """Return the loaded plugins, and by kind the distribution of every component that the recipe names."""
    views = recipe.views.values()
    used = {
        "encoder": [recipe.encoder.name],
        "augmentation": [part.name for view in views for part in view.augment],
        "masking": [view.mask.name for view in views if view.mask is not None],
        "loss": [loss.name for loss in recipe.losses.values()],
        "teacher_update": [recipe.teacher_update.name],
    }
    used_by_kind: dict[str, dict[str, str]] = {}
    for registry in components.registries():
        for name in used[registry.kind]:
            owner = registry.owners(name)[0]
            used_by_kind.setdefault(registry.kind, {})[name] = f"{owner.distribution} {owner.version}"
    loaded = [str(plugin.owner) for plugin in plugins if plugin.failure is None]
    return RunJson(plugins=loaded, components=used_by_kind)
