"""Contents of run.json and evaluation.json, made by hand: complete, with scores of the test's choice."""

SCORES = ("accuracy", "mcc", "macro_f1", "auroc", "auprc")


def interval(value, width=0.1):
    return {"value": value, "low": value - width / 2, "high": value + width / 2}


def contender(value, seeds=1):
    """The result of the encoder or of a control, every score of the same value."""
    return {"chosen": [{}] * seeds, "seeds": seeds, **{name: interval(value) for name in SCORES}}


def protocol(encoder, **controls):
    """The results of a protocol: the encoder's value, and those of controls by name."""
    values = {"encoder": encoder, **controls}
    return {**{name: contender(value) for name, value in values.items()}, "encoder_minus": {}}


def task_result(protocols, **changes):
    """An entry of evaluation.json. protocols: results by name."""
    return {
        "task": "coding",
        "path": "builtin",
        "digest": "0" * 64,
        "metric": "mcc",
        "sizes": {"train": 7282, "validation": 842, "test": 1590},
        "classes": ["0", "1"],
        "notes": [],
        "seed": 7,
        "interval": {"level": 0.95, "resamples": 2000, "method": "bootstrap"},
        "areas": "auroc and auprc are of the class 1",
        "fitted_on": "train",
        "scored": 1590,
        "protocols": protocols,
        "run": "/runs/one",
        "step": 3,
        "branch": "teacher",
        "weights": "1" * 64,
        "pooling": "mean",
        "layer": None,
        "strand": "forward",
        "precision": "fp32",
        "leakage": {"test_rows": 0, "share": 0.0, "dropped": 0, "conflicting_sequences": 0, "trained_on": []},
        "cells": {},
        "strands": {},
        **changes,
    }
