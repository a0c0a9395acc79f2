"""FinDNA-Kit: self-supervised learning on DNA. Plugins register components, recipes choose them.

`load` opens a finished run as a `FrozenModel`, and a fine-tuned model as a `FinetunedModel`; `hookimpl` marks the hook of a
plugin.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from findna_kit.components import hookimpl
    from findna_kit.finetuned.loading import load
    from findna_kit.finetuned.model import FinetunedModel, Predictions
    from findna_kit.inference.frozen_model import FrozenModel

__all__ = ["FinetunedModel", "FrozenModel", "Predictions", "hookimpl", "load"]

__version__ = version("findna-kit")

_HOMES = {
    "FinetunedModel": "findna_kit.finetuned.model",
    "Predictions": "findna_kit.finetuned.model",
    "FrozenModel": "findna_kit.inference.frozen_model",
    "hookimpl": "findna_kit.components",
    "load": "findna_kit.finetuned.loading",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import findna_kit` and `findna-kit --help` do not import torch.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'findna_kit' has no attribute {name!r}")
