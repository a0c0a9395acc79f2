"""What a run is judged by: collapse signals, baselines for masked bases, and where the numbers are written."""
