"""`findna-kit export`: one branch of a run as a folder to share, in the layout of Hugging Face or as an ONNX graph."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from safetensors import SafetensorError
from safetensors.torch import save_file

from findna_kit import alphabet, checkpoint
from findna_kit.atomic import atomic_write
from findna_kit.errors import OutputExists
from findna_kit.exchange.model_card import model_card
from findna_kit.exchange.onnx_graph import require_onnx, write_onnx
from findna_kit.inference.frozen_model import load
from findna_kit.records.json_files import write_json
from findna_kit.records.paths import AUDIT_JSON, EVALUATION_JSON, PREDICTIONS, RECIPE, RUN_JSON

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from findna_kit.inference.frozen_model import BranchName, FrozenModel

CONFIG, CARD, ONNX = "config.json", "README.md", "model.onnx"
FORMATS = ("huggingface", "onnx")
ExportFormat = Literal["huggingface", "onnx"]
_TYPE = "findna_kit"
_EXPORTED = (
    CONFIG,
    CARD,
    ONNX,
    RECIPE,
    RUN_JSON,
    EVALUATION_JSON,
    PREDICTIONS,
    AUDIT_JSON,
    checkpoint.MODEL,
    checkpoint.FOLDER,
)


@dataclass(frozen=True)
class ExportResult:
    """The branch and step that were exported, and the sizes of the files in bytes."""

    branch: str
    step: int
    files: dict[str, int]


def export_run(
    run: Path, out: Path, *, branch: BranchName | None = None, step: int | None = None, form: ExportFormat = "huggingface",
    overwrite: bool = False, without: Collection[str] = (),
) -> ExportResult:  # fmt: skip
    """Export a run to the folder `out`, completely or not at all.

    The `huggingface` format is also the folder of a run with one checkpoint, whose tensors are a link to model.safetensors, so
    that `findna_kit.load` and `init_from` accept it. Raises OutputExists; FindnaError if the run cannot be exported.
    """
    if form == "onnx":
        # Checked first: loading the model takes longer than finding out that a package is missing.
        require_onnx()
    out = Path(os.path.abspath(out))  # noqa: PTH100 - Path.resolve would follow a link, and `.` has no name
    _check_output(out, overwrite=overwrite)
    model = load(run, branch, step=step, device="cpu", without=without)
    with _new_folder(out) as folder:
        config = _config(model)
        if form == "onnx":
            config |= write_onnx(model, folder / ONNX)
        else:
            _write_tensors(model, folder)
        write_json(folder / CONFIG, config)
        (folder / RECIPE).write_text(model.recipe.dump(), encoding="utf-8")
        # `load` reads the precision and the components' distributions from run.json; the model card shows evaluation.json.
        for name in (RUN_JSON, EVALUATION_JSON):
            if (run / name).is_file():
                shutil.copyfile(run / name, folder / name)
        (folder / CARD).write_text(model_card(run, out, model, graph=form == "onnx"), encoding="utf-8")
        files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    return ExportResult(model.branch, model.step, files)


def _config(model: FrozenModel) -> dict[str, object]:
    """Return config.json: what a program needs to know of the encoder without assembling it."""
    encoder, recipe = model.network.encoder, model.recipe
    return {
        "model_type": _TYPE,
        "findna_kit_version": version("findna-kit"),
        "name": recipe.name,
        "branch": model.branch,
        "step": model.step,
        "encoder": recipe.encoder.plain(),
        "dim": model.dim,
        "depth": encoder.depth,
        "stride": encoder.stride,
        "strand": encoder.strand,
        "max_length": encoder.max_length,
        "trained_length": recipe.data.length,
        "class_tokens": recipe.class_tokens,
        "alphabet": alphabet.LETTERS,
        "mask_token": alphabet.MASK,
        "heads": {label: recipe.losses[label].name for label in model.network.heads},
        "parameters": sum(parameter.numel() for parameter in model.network.parameters()),
        "torch_dtype": "float32",
        "precision": model.precision,
    }


def _write_tensors(model: FrozenModel, folder: Path) -> None:
    """Write model.safetensors, and a checkpoint folder with a link to it."""
    tensors = checkpoint.add_prefix(model.branch, model.network.state_dict())
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / checkpoint.MODEL, {"format": "pt"})
    step = checkpoint.path_of(folder, model.step)
    step.mkdir(parents=True)
    # A link and not a copy: the folder would otherwise hold every tensor twice.
    (step / checkpoint.MODEL).symlink_to(os.path.relpath(folder / checkpoint.MODEL, step))


def _check_output(out: Path, *, overwrite: bool) -> None:
    """Raise OutputExists if `out` exists, unless it is an empty folder, or an export and `overwrite` is given."""
    # Not `exists`, which is false for a link whose target is gone: such a link is refused too, and not replaced.
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        raise OutputExists(f"{out}: already exists and is not a folder; use another --out")
    names = {path.name for path in out.iterdir()}
    if names and not overwrite:
        raise OutputExists(f"{out}: already exists; use another --out, or --overwrite to replace it")
    # A user's own file next to an export would be lost with the folder.
    others = sorted(name for name in names if not _is_exported_file(name))
    if names and (others or not _is_export(out)):
        reason = f"it contains {', '.join(others[:3])}" if others else f"it has no {CONFIG} of FinDNA-Kit"
        raise OutputExists(f"{out}: is not an export ({reason}); nothing in it was changed")


def _is_exported_file(name: str) -> bool:
    """Return whether export or evaluation writes a file of that name, or a temporary one such as `.evaluation.json.lock`."""
    return name in _EXPORTED or any(name.startswith(f".{known}.") for known in _EXPORTED)


def _is_export(folder: Path) -> bool:
    """Return whether a folder has a config.json of ours."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == _TYPE


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Yield a new folder that replaces `out` at the end. Raises OutputExists, with `out` as it was, if it cannot be written."""
    try:
        with atomic_write(out, replace_folder=True) as folder:
            folder.mkdir(parents=True)
            yield folder
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputExists(f"{out}: cannot be written: {reason}; use another --out DIR") from error
