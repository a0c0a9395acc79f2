"""The validation split of tasks that are published without one, and tasks that are scored on their validation split."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from findna_kit.errors import TaskError
from findna_kit.evaluation.tasks.raw_samples import RawSamples
from findna_kit.evaluation.tasks.task import Task, TaskSplit
from findna_kit.settings import ON_VALIDATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Labels = NDArray[np.int64]

VALIDATION_SHARE = 0.2
SPLIT_SEED = 20_261_123
"""Fixed, and not the run's seed: the split belongs to the task, so that runs are compared on the same samples."""
_MAX_LISTED = 4


def training_splits(
    raw: Mapping[str, RawSamples], labels: Mapping[str, Labels], path: str
) -> tuple[TaskSplit, TaskSplit, list[str]]:
    """Return the training and validation splits, and a note on how they were made; the test split is never touched.

    Raises TaskError if no validation sample can be split off.
    """
    if "train" in raw and "dev" in raw and np.unique(labels["dev"]).size > 1:
        train, dev = (TaskSplit(raw[name].sequences, labels[name]) for name in ("train", "dev"))
        return train, dev, []
    names = [name for name in ("train", "dev") if name in raw]
    if len(names) > 1:
        # No hyperparameter can be chosen on one class. Joined with train, the samples of dev are still used.
        only = raw["dev"].labels[0]
        note = f"dev has only the class {only}, so nothing can be chosen on it: it was joined to train, and {{}} of both, {{}}"
    elif names == ["train"]:
        note = "there is no dev split: {} of train, {}"
    else:
        note = "there is no train split: dev is used for training, and {} of it, {}"
    whole = RawSamples.concatenate(raw[names[0]].source, [raw[name] for name in names])
    truth = np.concatenate([labels[name] for name in names])
    validation, how = _validation_mask(whole.contigs, truth)
    if not validation.any():
        raise TaskError(f"{path} has one training sample of each class, which leaves none for validation: add samples, or dev")
    note = note.format(f"{validation.mean():.0%}", f"{how}, was split off for validation")
    return _selected(whole, truth, ~validation), _selected(whole, truth, validation), [note]


def scored_on_validation(task: Task) -> Task:
    """Return the task with its validation split as the test split, so that settings can be compared without the test split.

    The penalty of a probe and the like must not be chosen on the samples that are scored, so a fifth of each class of the
    training split, drawn with a fixed seed, becomes the validation split. The test split is dropped.
    """
    train = task.splits["train"]
    chosen = held_out(train.labels, VALIDATION_SHARE, SPLIT_SEED)
    splits = {
        "train": TaskSplit([train.sequences[row] for row in np.flatnonzero(~chosen)], train.labels[~chosen]),
        "validation": TaskSplit([train.sequences[row] for row in np.flatnonzero(chosen)], train.labels[chosen]),
        "test": task.splits["validation"],
    }
    if not chosen.any():
        raise TaskError(f"{task.path} has one training sample of each class, which leaves none for validation: add samples")
    note = (
        f"scored on the validation split, without the test split; {VALIDATION_SHARE:.0%} of train, by class and with a fixed "
        "seed, was split off for choices"
    )
    name, path = task.name + ON_VALIDATION, task.path + ON_VALIDATION
    # A published score is a test score, so it says nothing about this split.
    return replace(task, name=name, path=path, splits=splits, notes=(*task.notes, note), published=None)


def _validation_mask(contigs: Sequence[str], labels: Labels) -> tuple[NDArray[np.bool_], str]:
    """Return True [n] for the validation samples, and how they were chosen.

    They are whole contigs if the contigs are known, so that neighbouring samples stay together; else a share of each class.
    """
    by_contig = held_out_contigs(contigs, labels)
    if by_contig is None:
        return held_out(labels, VALIDATION_SHARE, SPLIT_SEED), "by class and with a fixed seed"
    held, names = by_contig
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return held, f"all samples on {', '.join(names[:_MAX_LISTED])}{more}"


def held_out(labels: Labels, share: float, seed: int) -> NDArray[np.bool_]:
    """Return True [n] for a random share of each class: at least one sample of it, but never its only one."""
    counts = np.bincount(labels)
    quota = np.where(counts > 1, np.clip(np.round(share * counts), 1, counts - 1), 0)
    order = np.lexsort((np.random.default_rng(seed).random(len(labels)), labels))
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[order] = rank < quota[labels[order]]
    return chosen


def held_out_contigs(contigs: Sequence[str], labels: Labels) -> tuple[NDArray[np.bool_], list[str]] | None:
    """Return True [n] for the samples of whole contigs, added in a seeded order up to the share, and the contigs' names.

    Returns None if contigs are not known, or if none of their choices has between 0.5 and 1.5 times the share of the samples
    and every class on both sides.
    """
    names, row = np.unique(np.array(contigs, dtype=np.str_), return_inverse=True)
    size, target = np.bincount(row), VALIDATION_SHARE * len(row)
    added, count = list[int](), 0
    for name in np.random.default_rng(SPLIT_SEED).permutation(len(names)).tolist():
        # A contig that is too large is passed over, not the end of the search: a later, smaller one may still fit.
        if count < target and count + size[name] <= 1.5 * target:
            added.append(name)
            count += size[name]
    chosen: NDArray[np.bool_] = np.isin(row, added)
    classes = np.unique(labels).size
    if not contigs or count < 0.5 * target or any(np.unique(labels[side]).size < classes for side in (chosen, ~chosen)):
        return None
    return chosen, [str(names[name]) for name in sorted(added)]


def _selected(whole: RawSamples, labels: Labels, chosen: NDArray[np.bool_]) -> TaskSplit:
    return TaskSplit([whole.sequences[row] for row in np.flatnonzero(chosen)], labels[chosen])
