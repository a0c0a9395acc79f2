"""Tasks as files for tests, and the sentence of a command that refuses one."""

import gzip

from findna_kit.evaluation import load_task
from tests.installing import findna


def written(path, *lines, gzipped=None):
    """Lines as a text file, packed where the name says so, in folders made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join([*lines, ""]).encode()
    path.write_bytes(gzip.compress(text) if (path.suffix == ".gz" if gzipped is None else gzipped) else text)
    return path


def task_file(folder, text, name="task.yaml"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def refused(task, *options):
    """What `tasks audit` says of a task that it refuses; the exit code is 2, and nothing is on stdout."""
    code, out, err = findna("tasks", "audit", task, *options)
    assert (code, out) == (2, ""), (code, out, err)
    assert "Traceback" not in err
    return err.strip()


def sizes(task):
    return tuple(len(table.sequences) for table in task.splits.values())


def rows_of(task, part):
    """(sequence, class) of each row."""
    table = task.splits[part]
    return [(sequence, task.classes[label]) for sequence, label in zip(table.sequences, table.labels.tolist(), strict=True)]


def loaded(path):
    return load_task(str(path))
