"""Loading of whatever a folder holds: the frozen model of a run, or a fine-tuned model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit import checkpoint
from findna_kit.assemble import assemble
from findna_kit.distributed import Engine, choose_device, choose_precision
from findna_kit.errors import FindnaError
from findna_kit.evaluation.finetuning.batching import MicroBatching
from findna_kit.evaluation.finetuning.classifier import Classifier
from findna_kit.evaluation.finetuning.settings import FinetuneSettings
from findna_kit.finetuned.folder import read_tensors
from findna_kit.finetuned.model import FinetunedModel
from findna_kit.inference import frozen_model
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from findna_kit.records.finetuned_json import is_finetuned, read_finetuned
from findna_kit.records.json_files import validate
from findna_kit.records.missing_components import refuse_missing_of
from findna_kit.records.paths import FINETUNED_JSON, RECIPE
from findna_kit.trainer.micro_batch import CPU_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection

    from findna_kit.inference.frozen_model import BranchName, FrozenModel
    from findna_kit.records.finetuned_json import FinetunedRecord


def load(
    folder: str | Path,
    branch: BranchName | None = None,
    *,
    step: int | None = None,
    device: str = "auto",
    without: Collection[str] = (),
) -> FrozenModel | FinetunedModel:
    """Load what a folder holds: the frozen model of a run or of an exported one, or a fine-tuned model.

    branch, step: of a run, as `findna_kit.inference.frozen_model.load` takes them; a fine-tuned model has one network. without:
    plugins that are not loaded. Raises FindnaError for another folder, and for a component that is not installed.
    """
    folder = Path(folder)
    if not is_finetuned(folder):
        return frozen_model.load(folder, branch, step=step, device=device, without=without)
    for name, value in (("branch", branch), ("step", step)):
        if value is not None:
            raise FindnaError(f"{name}={value!r}: {folder} is a fine-tuned model, which has one network; leave {name} out")
    return load_finetuned(folder, device=device, without=without)


def load_finetuned(folder: Path, *, device: str = "auto", without: Collection[str] = ()) -> FinetunedModel:
    """Load a fine-tuned model. Raises FindnaError for another folder, and for a component that is not installed."""
    record = read_finetuned(folder)
    components, plugins = load_plugins(without)
    failed = [plugin for plugin in plugins if plugin.failure]
    refuse_missing_of(folder, record.components, components, failed)
    recipe = load_recipe(folder / RECIPE, components, failed=failed)
    with_teacher = record.source.branch == "teacher"
    experiment = assemble(recipe, with_teacher=with_teacher)
    network = experiment.teacher if with_teacher else experiment.student
    settings = validate(folder / FINETUNED_JSON, FinetuneSettings, record.settings, "copy it again", key="settings")
    classifier = Classifier(
        network, len(record.classes), settings, pooling=record.pooling, seed=record.seed, sources={}
    )  # fmt: skip
    checkpoint.fill(f"{folder}: {checkpoint.MODEL}", classifier.state_dict(), read_tensors(folder))
    torch_device = choose_device(device)
    # The precision that it was trained and scored in, so that predictions are the same on another machine.
    engine = Engine(torch_device, choose_precision(record.precision, torch_device))
    return FinetunedModel(folder, record, classifier, engine, _passes(record, classifier, engine))


def _passes(record: FinetunedRecord, classifier: Classifier, engine: Engine) -> MicroBatching:
    """Return how sequences are grouped: as they were scored, or of another device as its memory allows."""
    recorded = MicroBatching(record.passes.class_tokens, record.passes.positions, record.passes.rows)
    if engine.device.type == "cpu" and record.made_with["device"] != "cpu":
        # What filled the memory of a GPU would not suit a CPU.
        return MicroBatching(recorded.class_tokens, CPU_BYTES // (4 * classifier.branch.encoder.dim))
    return recorded
