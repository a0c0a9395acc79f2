"""Score simple features on the built-in task: the floor that a learned embedding has to beat.

    python tools/builtin_floor.py [DIR]

Logistic regression on standardised features, fitted on train, its C chosen on dev, the Matthews correlation of
dev and test printed. DIR is the folder with SOURCES.json (default: the package's own).
"""

import csv
import gzip
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from coding_windows import reverse_complement
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

BUILTIN = Path(__file__).resolve().parent.parent / "findna_kit" / "data" / "builtin"
STRENGTHS = [10.0**power for power in range(-5, 3)]

Row = dict[str, str]


def lower_case(row: Row) -> list[float]:
    """Share of soft-masked bases."""
    return [sum(map(str.islower, row["sequence"])) / len(row["sequence"])]


def gc(row: Row) -> list[float]:
    """Share of G and C."""
    return [sum(row["sequence"].upper().count(base) for base in "GC") / len(row["sequence"])]


def place(row: Row) -> list[float]:
    """Where the window lies and which strand is given: nothing a label should follow from."""
    return [float(row["start"]), float(row["strand"] == "+")]


def one_hot(row: Row) -> list[float]:
    """Which base stands at which position."""
    return [float(base == letter) for base in row["sequence"].upper() for letter in "ACGT"]


def counts(size: int) -> Callable[[Row], list[float]]:
    """Return the counts of all k-mers on the given strand."""
    index = {"".join(word): i for i, word in enumerate(itertools.product("ACGT", repeat=size))}

    def features(row: Row) -> list[float]:
        bases, found = row["sequence"].upper(), [0.0] * len(index)
        for i in range(len(bases) - size + 1):
            found[index[bases[i : i + size]]] += 1
        return found

    return features


def both_strands(size: int) -> Callable[[Row], list[float]]:
    """Return the counts of all k-mers on both strands together, because the coding strand is unknown."""
    single = counts(size)

    def features(row: Row) -> list[float]:
        other = row | {"sequence": reverse_complement(row["sequence"])}
        return [here + there for here, there in zip(single(row), single(other), strict=True)]

    return features


FEATURES: dict[str, Callable[[Row], list[float]]] = {
    "start and strand": place,
    "lower-case share": lower_case,
    "GC": gc,
    "GC + lower case": lambda row: gc(row) + lower_case(row),
    "one-hot positions": one_hot,
    "3-mer counts": counts(3),
    "4-mer counts": counts(4),
    "5-mer counts": counts(5),
    "4-mer, both strands": both_strands(4),
    "6-mer, both strands": both_strands(6),
}


def main() -> int:
    """Print one line a feature set."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else BUILTIN
    try:
        parts = {part: read(folder / "coding" / f"{part}.csv.gz") for part in ("train", "dev", "test")}
    except OSError as error:
        print(f"builtin_floor: {error}", file=sys.stderr)
        return 2
    for name, features in FEATURES.items():
        strength, dev, test = score(parts, features)
        print(f"{name:20} dev {dev:.3f}  test {test:.3f}  (C {strength:g})", flush=True)
    return 0


def read(path: Path) -> list[Row]:
    """Read one part."""
    with gzip.open(path, "rt", newline="") as stream:
        return list(csv.DictReader(stream))


def score(parts: dict[str, list[Row]], features: Callable[[Row], list[float]]) -> tuple[float, float, float]:
    """Choose C on dev; give it with the scores on dev and test."""
    inputs = {part: np.asarray([features(row) for row in rows]) for part, rows in parts.items()}
    labels = {part: np.asarray([int(row["label"]) for row in rows]) for part, rows in parts.items()}
    best: tuple[float, float, Any] = (-2.0, 0.0, None)
    for strength in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        model.fit(inputs["train"], labels["train"])
        dev = float(matthews_corrcoef(labels["dev"], model.predict(inputs["dev"])))
        if dev > best[0]:
            best = (dev, strength, model)
    dev, strength, model = best
    return strength, dev, float(matthews_corrcoef(labels["test"], model.predict(inputs["test"])))


if __name__ == "__main__":
    sys.exit(main())
