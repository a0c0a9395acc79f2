"""Ratios, measured in one session, of the kit and plain implementations of the paper's formulas (docs/benchmarks.md)."""
