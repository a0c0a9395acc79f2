"""`findna-kit import findna`: the checkpoint released by the authors, as the folder of a run that every command accepts."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from findna_kit import checkpoint
from findna_kit.assemble import assemble
from findna_kit.errors import CheckpointMismatch
from findna_kit.exchange.findna_checkpoint import BRANCHES, TensorSource, read_released, tensor_sources
from findna_kit.recipe import load_recipe, shipped_recipes
from findna_kit.records.paths import RECIPE
from findna_kit.records.run_json import ImportReport, RunJson, RunRecord
from findna_kit.runs.provenance import origins_of, versions

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from findna_kit.exchange.findna_checkpoint import NetworkSizes, ReleasedCheckpoint
    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe
    from findna_kit.records.run_folder import RunLocation
    from findna_kit.trainer import Experiment

_CENTRE = "zeros: the file contains no centre; training sets it from its first batch"


class ImportCoverage(TypedDict):
    """What run.json records of an import. keys: our tensors by those of the file; tensors: how each of ours was made."""

    format: str
    file: str
    sha256: str
    epochs_run: int | None
    step: str
    remarks: list[str]
    keys: dict[str, list[str]]
    tensors: dict[str, str]
    made_here: dict[str, str]


@dataclass(frozen=True)
class ImportResult:
    """The folder of the run, and the report on the import that run.json records as `imported`."""

    folder: Path
    report: ImportCoverage


def import_findna(
    file: Path, place: RunLocation, *, length: int, class_tokens: int, components: Components, plugins: list[Plugin]
) -> ImportResult:
    """Write the folder of a finished run: step 0 is a random initialisation (a control), the last step is the file.

    length, class_tokens: of the windows that the network was trained on. Raises CheckpointMismatch for a file that does not
    fit, before anything is written; OutputExists.
    """
    released = read_released(file)
    _check_length(released.sizes, length, class_tokens)
    recipe = _recipe(released.sizes, length, class_tokens, components, plugins)
    experiment = assemble(recipe)
    # Copied before the tensors of the file replace them: step 0 is the untrained control.
    initial = {name: tensor.clone() for name, tensor in experiment.model_tensors().items()}
    report = _fill(experiment, released, file)
    with place.claimed(recipe.name) as (folder, _):
        record = RunRecord(folder, resuming=False)
        with record.recording():
            facts = RunJson(
                name=recipe.name,
                seed=recipe.seed,
                steps=recipe.steps,
                versions=versions(),
                genomes=[],  # hg38, according to the paper; its regions are unknown
                parameters=sum(parameter.numel() for parameter in experiment.trainable().values()),
                encoder_parameters=sum(parameter.numel() for parameter in experiment.student.encoder.parameters()),
            )
            record.update(facts)
            record.update(origins_of(recipe, components, plugins))
            record.update(RunJson(imported=ImportReport.model_validate(report)))
            (folder / RECIPE).write_text(recipe.dump())
            _save(experiment, folder, 0, initial)
            _save(experiment, folder, recipe.steps, experiment.model_tensors())
    return ImportResult(folder, report)


def _check_length(sizes: NetworkSizes, length: int, class_tokens: int) -> None:
    """Raise CheckpointMismatch if `length` does not fit: a block of the authors' mixer has ceil(log2(positions)) layers."""
    # The number of layers decides which positions a block can mix, so that another length is another network.
    layers = math.ceil(math.log2(length + class_tokens))
    if layers != sizes.layers:
        # ceil(log2(n)) = layers holds for 2^(layers - 1) < n <= 2^layers positions, class tokens included.
        first, last = 2 ** (sizes.layers - 1) + 1 - class_tokens, 2**sizes.layers - class_tokens
        raise CheckpointMismatch(
            f"the file has {sizes.layers} layers in a block, and {length} nucleotides with {class_tokens} class tokens need "
            f"{layers}; give the --length of the training windows, {first} to {last}"
        )


def _recipe(sizes: NetworkSizes, length: int, class_tokens: int, components: Components, plugins: list[Plugin]) -> Recipe:
    """Return the paper's recipe and head with the sizes of the file; fp32, so that outputs equal the reference's."""
    encoder = f"name: chordmixer, dim: {sizes.dim}, hidden: {sizes.hidden}, blocks: {sizes.blocks}, layers: {sizes.layers}"
    overrides = (
        "name=findna-released", "data.genome=hg38.fa", f"data.length={length}", f"class_tokens={class_tokens}",
        f"encoder={{{encoder}}}", "losses.distill={name: self_distillation, head: five_way}", "trainer.precision=fp32",
    )  # fmt: skip
    failed = [plugin for plugin in plugins if plugin.failure]
    return load_recipe(shipped_recipes()["findna"], components, overrides=overrides, failed=failed)


def _fill(experiment: Experiment, released: ReleasedCheckpoint, file: Path) -> ImportCoverage:
    """Copy the tensors of the file into both branches; return the report for run.json."""
    sources: dict[str, tuple[str, TensorSource]] = {
        f"{ours}.{name}": (ours, origin) for ours in BRANCHES for name, origin in tensor_sources(released.sizes).items()
    }
    tensors = {name: origin.extract(released.branches[ours]) for name, (ours, origin) in sources.items()}
    checkpoint.fill(f"{file}: the checkpoint", experiment.model_tensors(), tensors)
    used: dict[str, list[str]] = {}
    for name, (ours, origin) in sources.items():
        used.setdefault(f"{BRANCHES[ours]}.{origin.key}", []).append(name)
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {
        "format": "findna",
        "file": str(file.absolute()),
        "sha256": digest,
        "epochs_run": released.epochs_run,
        "step": "the number of the paper; the file does not contain its own",
        "remarks": list(released.remarks),
        "keys": used,
        "tensors": {name: f"{BRANCHES[ours]}.{origin.key}, {origin.how}" for name, (ours, origin) in sources.items()},
        "made_here": dict.fromkeys(experiment.loss_tensors(), _CENTRE),
    }


def _save(experiment: Experiment, folder: Path, step: int, model: dict[str, Tensor]) -> None:
    """Save a checkpoint like the trainer does, with an optimizer that has no state yet."""
    rule = checkpoint.add_prefix("teacher_update", experiment.teacher_update.state_dict())
    checkpoint.save(folder, step, model, {**experiment.loss_tensors(), **rule}, {"latest": {}, "moved": []})
