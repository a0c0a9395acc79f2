"""`findna-kit import findna`: the authors' released checkpoint as a run's folder, so that whatever takes a run takes it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from findna_kit import checkpoint
from findna_kit.assemble import assemble
from findna_kit.errors import CheckpointMismatch
from findna_kit.exchange.findna_checkpoint import BRANCHES, Origin, origins, read_released
from findna_kit.recipe import load_recipe, shipped_recipes
from findna_kit.records.paths import RECIPE
from findna_kit.records.run_json import ImportReport, RunJson, RunRecord
from findna_kit.runs.start import origins_of, versions

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from findna_kit.exchange.findna_checkpoint import Released, Sizes
    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.records.run_folder import RunLocation
    from findna_kit.trainer import Experiment

_CENTRE = "zeros: the file has no centre; the first step of a training takes it from its own batch"


@dataclass(frozen=True)
class Imported:
    """The run's folder, and what run.json keeps of the import under `imported`."""

    folder: Path
    report: dict[str, Any]


def import_findna(
    file: Path, place: RunLocation, *, length: int, class_tokens: int, components: Components, plugins: list[Plugin]
) -> Imported:
    """Writes a finished run: step 0 is a random initialisation (evaluation's control), the last step is the file.

    length, class_tokens: of the windows that it was trained on. Nothing is written before everything fits. Raises
    CheckpointMismatch for a file that does not, OutputExists.
    """
    released = read_released(file)
    _refuse_length(released.sizes, length, class_tokens)
    recipe = _recipe(released.sizes, length, class_tokens, components, plugins)
    experiment = assemble(recipe)
    initial = {name: tensor.clone() for name, tensor in experiment.model_tensors().items()}
    report = _fill(experiment, released, file)
    with place.claimed(recipe.name) as (folder, _):
        record = RunRecord(folder, resuming=False)
        with record.recording():
            described = RunJson(
                name=recipe.name,
                seed=recipe.seed,
                steps=recipe.steps,
                versions=versions(),
                genomes=[],  # hg38, by the paper; its training regions are not known
                parameters=sum(parameter.numel() for parameter in experiment.trainable().values()),
                encoder_parameters=sum(parameter.numel() for parameter in experiment.student.encoder.parameters()),
            )
            record.update(described)
            record.update(origins_of(recipe, components, plugins))
            record.update(RunJson(imported=ImportReport.model_validate(report)))
            (folder / RECIPE).write_text(recipe.dump())
            _save(experiment, folder, 0, initial)
            _save(experiment, folder, recipe.steps, experiment.model_tensors())
    return Imported(folder, report)


def _refuse_length(sizes: Sizes, length: int, class_tokens: int) -> None:
    """The authors' mixer has ceil(log2 rows) layers in a block, so that its layers tell what length it can have met."""
    made = math.ceil(math.log2(length + class_tokens))
    if made != sizes.layers:
        first, last = 2 ** (sizes.layers - 1) + 1 - class_tokens, 2**sizes.layers - class_tokens
        raise CheckpointMismatch(
            f"the file has {sizes.layers} layers in a block, and {length} nucleotides with {class_tokens} class tokens make "
            f"{made}; state the --length that it was trained on, {first} to {last}"
        )


def _recipe(sizes: Sizes, length: int, class_tokens: int, components: Components, plugins: list[Plugin]) -> Recipe:
    """The paper's recipe at the file's sizes, with the paper's own head; fp32, since its outputs are to be the reference's."""
    encoder = f"name: chordmixer, dim: {sizes.dim}, hidden: {sizes.hidden}, blocks: {sizes.blocks}, layers: {sizes.layers}"
    overrides = (
        "name=findna-released", "data.genome=hg38.fa", f"data.length={length}", f"class_tokens={class_tokens}",
        f"encoder={{{encoder}}}", "losses.distill={name: self_distillation, head: five_way}", "trainer.precision=fp32",
    )  # fmt: skip
    failed = [plugin for plugin in plugins if plugin.failure]
    return load_recipe(shipped_recipes()["findna"], components, overrides=overrides, failed=failed)


def _fill(experiment: Experiment, released: Released, file: Path) -> dict[str, Any]:
    """Puts the file's tensors into both branches; the coverage report."""
    sources: dict[str, tuple[str, Origin]] = {
        f"{ours}.{name}": (ours, origin) for ours in BRANCHES for name, origin in origins(released.sizes).items()
    }
    tensors = {name: origin.of(released.branches[ours]) for name, (ours, origin) in sources.items()}
    checkpoint.fill(f"{file}: what it holds", experiment.model_tensors(), tensors)
    went: dict[str, list[str]] = {}
    for name, (ours, origin) in sources.items():
        went.setdefault(f"{BRANCHES[ours]}.{origin.key}", []).append(name)
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {
        "format": "findna",
        "file": str(file.absolute()),
        "sha256": digest,
        "epochs_run": released.epochs_run,
        "step": "the paper's number; the file does not tell its own",
        "remarks": list(released.remarks),
        "keys": went,
        "tensors": {name: f"{BRANCHES[ours]}.{origin.key}, {origin.how}" for name, (ours, origin) in sources.items()},
        "made_here": dict.fromkeys(experiment.loss_tensors(), _CENTRE),
    }


def _save(experiment: Experiment, folder: Path, step: int, model: dict[str, Tensor]) -> None:
    """As training does, with an optimizer that has moved nothing yet."""
    rule = checkpoint.prefixed("teacher_update", experiment.teacher_update.state_dict())
    checkpoint.save(folder, step, model, {**experiment.loss_tensors(), **rule}, {"latest": {}, "moved": []})
