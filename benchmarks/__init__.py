"""Ratios, measured in one run, of the kit against plain implementations of the reference's formulas (docs/benchmarks.md)."""
