"""The folder of a fine-tuned model: finetuned.json, recipe.yaml, model.safetensors and the scores in evaluation.json."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file

from findna_kit import checkpoint
from findna_kit.atomic import atomic_write
from findna_kit.errors import CheckpointMismatch, OutputExists
from findna_kit.records.finetuned_json import is_finetuned, read_finetuned
from findna_kit.records.json_files import write_json
from findna_kit.records.paths import EVALUATION_JSON, FINETUNED_JSON, RECIPE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from findna_kit.records.evaluation_json import TaskResult
    from findna_kit.records.finetuned_json import FinetunedRecord

FILES = (FINETUNED_JSON, RECIPE, checkpoint.MODEL, EVALUATION_JSON)


def digest_of(weights: Path) -> str:
    """Return the SHA-256 of a file of weights."""
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_existing(out: Path, *, overwrite: bool) -> None:
    """Raise OutputExists if `out` exists, unless it is a fine-tuned model and `overwrite` is given."""
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir() or not is_finetuned(out):
        raise OutputExists(f"{out}: already exists and is not a fine-tuned model; use another --out")
    if not overwrite:
        raise OutputExists(f"{out}: already exists; use another --out, or --overwrite to replace it")
    others = sorted(path.name for path in out.iterdir() if path.name not in FILES)
    if others:
        # A user's own file would be lost with the folder.
        raise OutputExists(f"{out}: contains {others[0]}, which finetune did not write; move it away, or use another --out")


def write(out: Path, record: FinetunedRecord, result: TaskResult, *, weights: Path, recipe: str) -> None:
    """Write the folder, completely or not at all. weights: the file of tensors, which is copied. recipe: of the run."""
    with _disk_errors(out), atomic_write(out, replace_folder=True) as folder:
        folder.mkdir(parents=True)
        shutil.copyfile(weights, folder / checkpoint.MODEL)
        (folder / RECIPE).write_text(recipe, encoding="utf-8")
        write_json(folder / EVALUATION_JSON, {result.path: result.to_json()})
        write_json(folder / FINETUNED_JSON, record.to_json())


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a fine-tuned model. Raises CheckpointMismatch if they are damaged."""
    path = folder / checkpoint.MODEL
    try:
        if digest_of(path) != read_finetuned(folder).weights:
            raise CheckpointMismatch(f"{path}: is damaged, or not the file that {FINETUNED_JSON} describes; copy it again")
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointMismatch(f"{path}: cannot be read ({error}); copy it again") from error


@contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    """Turn an OSError into OutputExists with the reason."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise OutputExists(f"{out}: cannot be written ({error.strerror}); free some space, or use another --out") from error
