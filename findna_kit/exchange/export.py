"""`findna-kit export`: one branch of a run as a folder to give away, in the layout of Hugging Face or as an ONNX graph."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safetensors import SafetensorError
from safetensors.torch import save_file

from findna_kit import alphabet, checkpoint
from findna_kit.atomic import sync
from findna_kit.errors import OutputExists
from findna_kit.exchange.model_card import model_card
from findna_kit.exchange.onnx_graph import need_onnx, write_onnx
from findna_kit.inference.frozen_model import load
from findna_kit.records.json_files import write_json
from findna_kit.records.paths import AUDIT_JSON, EVALUATION_JSON, PREDICTIONS, RECIPE, RUN_JSON

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from findna_kit.inference.frozen_model import BranchName, FrozenModel

CONFIG, CARD, ONNX = "config.json", "README.md", "model.onnx"
FORMATS = ("huggingface", "onnx")
Format = Literal["huggingface", "onnx"]
_TYPE = "findna_kit"
_OWN = (CONFIG, CARD, ONNX, RECIPE, RUN_JSON, EVALUATION_JSON, PREDICTIONS, AUDIT_JSON, checkpoint.MODEL, checkpoint.FOLDER)


@dataclass(frozen=True)
class Exported:
    """What was written, of which branch and step."""

    branch: str
    step: int
    files: dict[str, int]


def export_run(
    run: Path, out: Path, *, branch: BranchName | None = None, step: int | None = None, form: Format = "huggingface",
    overwrite: bool = False, without: Collection[str] = (),
) -> Exported:  # fmt: skip
    """Writes the folder whole, or nothing. Raises OutputExists, and FindnaError where the run or the format do not allow it.

    `huggingface` is a run's folder too, of one checkpoint, its tensors a link to model.safetensors: `findna_kit.load` and
    `init_from` take it.
    """
    if form == "onnx":
        need_onnx()
    out = Path(os.path.abspath(out))  # noqa: PTH100 - `.` and `..` have no name, and a link is not to be followed
    _refuse_taken(out, overwrite=overwrite)
    model = load(run, branch, step=step, device="cpu", without=without)
    with _folder(out) as beside:
        config = _config(model)
        if form == "onnx":
            config |= write_onnx(model, beside / ONNX)
        else:
            _write_tensors(model, beside)
        write_json(beside / CONFIG, config)
        (beside / RECIPE).write_text(model.recipe.dump(), encoding="utf-8")
        # run.json tells who made the components and in which precision, which `load` asks for; evaluation.json the scores.
        for name in (RUN_JSON, EVALUATION_JSON):
            if (run / name).is_file():
                shutil.copyfile(run / name, beside / name)
        (beside / CARD).write_text(model_card(run, out, model, graph=form == "onnx"), encoding="utf-8")
        files = {path.name: path.stat().st_size for path in sorted(beside.iterdir()) if path.is_file()}
    return Exported(model.branch, model.step, files)


def _config(model: FrozenModel) -> dict[str, Any]:
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
    tensors = checkpoint.prefixed(model.branch, model.network.state_dict())
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / checkpoint.MODEL, {"format": "pt"})
    place = checkpoint.path_of(folder, model.step)
    place.mkdir(parents=True)
    (place / checkpoint.MODEL).symlink_to(os.path.relpath(folder / checkpoint.MODEL, place))


def _refuse_taken(out: Path, *, overwrite: bool) -> None:
    """OutputExists where something is there already, unless it is an export and may be replaced, or an empty folder."""
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        raise OutputExists(f"{out}: is there already and is no folder; take another --out")
    held = {path.name for path in out.iterdir()}
    if held and not overwrite:
        raise OutputExists(f"{out}: is there already; take another --out, or --overwrite it")
    strange = sorted(name for name in held if not _is_own(name))
    if held and (strange or not _is_export(out)):
        why = f"{', '.join(strange[:3])} is not of it" if strange else f"no {CONFIG} of this kit"
        raise OutputExists(f"{out}: holds something that is no export ({why}); nothing there is touched")


def _is_own(name: str) -> bool:
    """Whether an export, or who scores it, leaves a file of that name, or one beside it (`.evaluation.json.lock`)."""
    return name in _OWN or any(name.startswith(f".{one}.") for one in _OWN)


def _is_export(folder: Path) -> bool:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == _TYPE


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, put in its place at the end; removed, and what was there left, where the block fails."""
    beside, old = (out.with_name(f".{out.name}.{what}.{os.getpid()}") for what in ("new", "old"))
    try:
        beside.mkdir(parents=True)
        yield beside
        for path in (*beside.rglob("*"), beside):
            sync(path)
        if out.is_dir():
            out.rename(old)
        beside.rename(out)
        sync(out.parent)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise OutputExists(f"{out}: cannot be written: {why}; name another with --out DIR") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if old.is_dir() and not os.path.lexists(out):
            old.rename(out)
        shutil.rmtree(old, ignore_errors=True)
