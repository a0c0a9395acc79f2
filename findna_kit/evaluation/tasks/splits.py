"""What is held out of the training rows for validation where nothing was published for it, and how that is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from findna_kit.errors import TaskError
from findna_kit.evaluation.tasks.rows import Rows
from findna_kit.evaluation.tasks.task import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Labels = NDArray[np.int64]

VALIDATION_SHARE = 0.2
SPLIT_SEED = 20_261_123
"""Fixed, not the run's: the split belongs to the task, so that runs with different seeds are compared on the same rows."""
_SHOWN = 4


def training_parts(parts: Mapping[str, Rows], labels: Mapping[str, Labels], path: str) -> tuple[Table, Table, list[str]]:
    """Train, validation, and what was done to get them; the test part is never touched. TaskError where nothing is left."""
    if "train" in parts and "dev" in parts and np.unique(labels["dev"]).size > 1:
        train, dev = (Table(parts[part].sequences, labels[part]) for part in ("train", "dev"))
        return train, dev, []
    if "train" in parts and "dev" in parts:
        # With one class no choice can be made on it; joined to train, its rows are still used.
        whole, of_rows = (
            Rows.concatenate(parts["train"].source, [parts["train"], parts["dev"]]),
            [labels["train"], labels["dev"]],
        )
        only = parts["dev"].labels[0]
        note = f"dev has the one class {only}, on which nothing can be chosen: it was joined to train, and {{}} of both, {{}}"
    elif "train" in parts:
        whole, of_rows = parts["train"], [labels["train"]]
        note = "there is no dev part: {} of train, {}"
    else:
        whole, of_rows = parts["dev"], [labels["dev"]]
        note = "there is no train part: dev is the training part, and {} of it, {}"
    truth = np.concatenate(of_rows)
    held, how = _validation_rows(whole.contigs, truth)
    if not held.any():
        raise TaskError(f"{path} has one training row of each class, which leaves none for validation: add rows, or a dev part")
    said = note.format(f"{held.mean():.0%}", f"{how}, was split off for validation")
    return _take(whole, truth, ~held), _take(whole, truth, held), [said]


def _validation_rows(contigs: Sequence[str], labels: Labels) -> tuple[NDArray[np.bool_], str]:
    """True [n] for the rows to hold out, and how they were chosen.

    Whole contigs where it is known which each row lies on, so that no neighbours are parted; else a share of each class.
    """
    by_contig = held_out_contigs(contigs, labels)
    if by_contig is None:
        return held_out(labels, VALIDATION_SHARE, SPLIT_SEED), "by class and with a fixed seed"
    held, names = by_contig
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return held, f"all that lies on {', '.join(names[:_SHOWN])}{more}"


def held_out(labels: Labels, share: float, seed: int) -> NDArray[np.bool_]:
    """True [n] for the share of each class, at least one row of it, but never its only one."""
    counts = np.bincount(labels)
    quota = np.where(counts > 1, np.clip(np.round(share * counts), 1, counts - 1), 0)
    order = np.lexsort((np.random.default_rng(seed).random(len(labels)), labels))
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[order] = rank < quota[labels[order]]
    return chosen


def held_out_contigs(contigs: Sequence[str], labels: Labels) -> tuple[NDArray[np.bool_], list[str]] | None:
    """True [n] for the rows of whole contigs, taken in a seeded order until the share is met; and their names.

    None where the contigs are not known, or are so large that no choice comes between half the share and half as much again
    with every class on both sides.
    """
    names, row = np.unique(np.array(contigs, dtype=np.str_), return_inverse=True)
    size, wanted = np.bincount(row), VALIDATION_SHARE * len(row)
    taken, held = list[int](), 0
    for name in np.random.default_rng(SPLIT_SEED).permutation(len(names)).tolist():
        if held < wanted and held + size[name] <= 1.5 * wanted:
            taken.append(name)
            held += size[name]
    chosen: NDArray[np.bool_] = np.isin(row, taken)
    every = np.unique(labels).size
    if not contigs or held < 0.5 * wanted or any(np.unique(labels[part]).size < every for part in (chosen, ~chosen)):
        return None
    return chosen, [str(names[name]) for name in sorted(taken)]


def _take(whole: Rows, labels: Labels, chosen: NDArray[np.bool_]) -> Table:
    return Table([whole.sequences[row] for row in np.flatnonzero(chosen)], labels[chosen])
