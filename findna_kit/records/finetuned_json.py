"""The typed record of a fine-tuned model's folder, finetuned.json: what it predicts, and how it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, JsonValue

from findna_kit.errors import FindnaError
from findna_kit.records.json_files import JsonModel, read_model
from findna_kit.records.paths import FINETUNED_JSON

if TYPE_CHECKING:
    from pathlib import Path


class SeedScore(JsonModel):
    """One of the networks that were fine-tuned with different seeds, and its score on the validation split."""

    seed: int
    validation: float


class ForwardPasses(JsonModel):
    """How sequences are grouped for a forward pass: `rows` of them, or as many as have `positions` tokens."""

    class_tokens: int
    positions: int
    rows: int | None


class FinetunedSource(JsonModel):
    """The network that was fine-tuned. weights: SHA-256 of its checkpoint."""

    run: str
    name: str
    step: int
    branch: Literal["student", "teacher"]
    weights: str


class FinetunedRecord(JsonModel):
    """A fine-tuned model.

    task, path, digest: of the task, as evaluation.json has them. classes: in the order of the outputs. weights: SHA-256 of
    model.safetensors. chosen: the epoch chosen on the validation split, its score, and the settings. seeds: of every network
    that was trained, of which the one with the best validation score, the first of equals, is kept. components: the
    distribution of each component that the network needs, by kind. made_with: device, threads and versions.
    """

    format: int = Field(1, le=1)
    task: str
    path: str
    digest: str
    classes: list[str]
    source: FinetunedSource
    weights: str
    pooling: Literal["mean", "mean_std", "class"]
    strand: Literal["forward", "both"]
    precision: str
    passes: ForwardPasses
    settings: dict[str, JsonValue]
    seed: int
    seeds: list[SeedScore]
    chosen: dict[str, JsonValue]
    components: dict[str, dict[str, str]]
    made_with: dict[str, str | int]


def is_finetuned(folder: Path) -> bool:
    """Return whether a folder is that of a fine-tuned model."""
    return (folder / FINETUNED_JSON).is_file()


def read_finetuned(folder: Path) -> FinetunedRecord:
    """Return the record of a fine-tuned model. Raises FindnaError for another folder, and for a damaged record."""
    record = read_model(folder / FINETUNED_JSON, FinetunedRecord, "fine-tune again with `findna-kit finetune`")
    if record is None:
        raise FindnaError(
            f"{folder}: is not a fine-tuned model (it has no {FINETUNED_JSON}); `findna-kit finetune RUN TASK --out DIR` "
            "makes one"
        )
    return record


def refuse_finetuned(folder: Path) -> None:
    """Raise FindnaError if a run's folder is needed, and this is that of a fine-tuned model."""
    if is_finetuned(folder):
        raise FindnaError(
            f"{folder}: is a fine-tuned model, not a run: it predicts, with `findna-kit predict` or "
            "`findna_kit.load(...).predict(sequences)`; give the folder of a run here"
        )
