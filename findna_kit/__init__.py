"""FinDNA-Kit: self-supervised learning on DNA. Plugins register components, recipes choose them.

`load_recipe` and `run` train a recipe, `Run` opens the folder of a run and `ablate` runs a study. `load` opens a finished run
as a `FrozenModel`, and a fine-tuned model as a `FinetunedModel`. `hookimpl` marks the hook of a plugin, and `register` adds a
component from a notebook.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from findna_kit.api.recipes import load_recipe
    from findna_kit.api.registration import register
    from findna_kit.api.run import Run
    from findna_kit.api.studies import StudyFrames, ablate
    from findna_kit.api.training import run
    from findna_kit.components import hookimpl
    from findna_kit.finetuned.loading import load
    from findna_kit.finetuned.model import FinetunedModel, Predictions
    from findna_kit.inference.frozen_model import FrozenModel

__all__ = [
    "FinetunedModel", "FrozenModel", "Predictions", "Run", "StudyFrames", "ablate", "hookimpl", "load", "load_recipe",
    "register", "run",
]  # fmt: skip

__version__ = version("findna-kit")

_HOMES = {
    "FinetunedModel": "findna_kit.finetuned.model",
    "Predictions": "findna_kit.finetuned.model",
    "FrozenModel": "findna_kit.inference.frozen_model",
    "Run": "findna_kit.api.run",
    "StudyFrames": "findna_kit.api.studies",
    "ablate": "findna_kit.api.studies",
    "hookimpl": "findna_kit.components",
    "load": "findna_kit.finetuned.loading",
    "load_recipe": "findna_kit.api.recipes",
    "register": "findna_kit.api.registration",
    "run": "findna_kit.api.training",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import findna_kit` and `findna-kit --help` do not import torch.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'findna_kit' has no attribute {name!r}")


def __dir__() -> list[str]:
    # Completion in notebooks and shells lists what has not been imported yet, too.
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
