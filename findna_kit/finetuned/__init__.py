"""Fine-tuned models: keeping them in a folder, loading them, and predicting sequences and files with them."""

from findna_kit.finetuned.loading import load
from findna_kit.finetuned.model import FinetunedModel, Predictions

__all__ = ["FinetunedModel", "Predictions", "load"]
