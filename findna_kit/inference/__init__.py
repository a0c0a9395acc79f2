"""Inference with a trained encoder: the frozen model, embeddings of files, and zero-shot scores of variants."""
