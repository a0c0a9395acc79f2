"""The records of runs, read without torch: run.json and evaluation.json, lists of runs, the best run, comparisons."""
