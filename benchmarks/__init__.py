"""Benchmarks: speed and memory relative to plain implementations of the reference's formulas (docs/benchmarks.md)."""
