"""Metrics of a run: writing and reading them, collapse signals, and baselines for masked-base prediction."""
