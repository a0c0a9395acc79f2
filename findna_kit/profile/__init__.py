"""Measurements before a run: parameters, FLOPs, memory, maximum batch size and throughput."""
