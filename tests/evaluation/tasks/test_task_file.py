"""Task files: what is refused, on its line and column, with the nearest name."""

import pytest

from findna_kit.errors import TaskError
from findna_kit.evaluation.tasks.task_file import PublishedFinetuning, read_task_file
from tests.evaluation.tasks.writing import refused, task_file

TABLES = "tables: {train: a.csv, test: b.csv}\n"
TUNED = """finetune: {batch_size: 8, epochs: 1, learning_rate: 1.0e-3, warmup: 0, weight_decay: 0,
           blocks: 1, dropout: 2}
"""


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (TABLES + "lenght: 70\n", "2:1", "did you mean 'length'?"),
        ("tabels: {train: a.csv, test: b.csv}\n", "1:1", "did you mean 'tables'?"),
        ("tables: {train: a.csv, tset: b.csv}\n", "1:1", "task.yaml:1:24  tables.tset: unknown key; did you mean 'test'?"),
        (TABLES + "metric: mmc\n", "2:9", "did you mean 'mcc'?"),
        (TABLES + "length: '70'\n", "2:9", "got '70'"),
        (TABLES + "classes: 1\n", "2:10", "must be at least 2 (got 1)"),
        ("folder: []\n", "1:9", "folder: "),
        (TABLES + TUNED, "3:32", "finetune.dropout: must be less than 1 (got 2)"),
        ("tables: {train: a.csv, test: b.csv\n", "2:1", "not valid YAML"),
        ("- a\n", "1:1", "a task file must be a map"),
        ("tables: {test: b.csv}\n", "1:9", "train or dev is required: there are no samples to train on"),
        ("fasta: {a: [a.fa], b: [b.fa]}\nsplit: {dev: 0.5, test: 0.5}\n", "2:8", "dev and test add up to 1"),
        ("table: a.csv\nsplit: {validation: 0.5, test: 0.6}\n", "2:8", "validation and test add up to 1.1"),
        ("table: a.csv\nsplit: {validation: 0.1, dev: 0.1}\n", "2:8", "validation and dev are the same share"),
        ("table: a.csv\nsplit: {by: group}\n", "2:8", "by: group needs group_column: the column that names the group"),
        ("table: a.csv\nsplit: {by: cluster, group_column: x}\n", "2:8", "group_column applies to by: group only"),
        ("table: a.csv\nsplit: {by: cromosome}\n", "2:13", "did you mean 'chromosome'?"),
        ("table: a.csv\nsplit: {test: 0}\n", "2:15", "must be greater than 0"),
        (TABLES + "split: {test: 0.5}\n", "1:1", "split applies to table and fasta only: tables states a file or folder"),
        ("fasta: {a: [a.fa], b: [b.fa]}\nsplit: {by: cluster}\n", "1:1", "split.by applies to table only"),
        ("metric: mcc\n", "1:1", "exactly one of folder, tables, table, bed, fasta is required (got none)"),
        (TABLES + "folder: [a]\n", "1:1", "exactly one of folder, tables, table, bed, fasta is required (got folder, tables)"),
        ("bed: {train: a.bed, test: b.bed}\n", "1:1", "bed needs genome"),
        (TABLES + "fit: cut_or_pad\n", "1:1", "fit: cut_or_pad needs length"),
        (TABLES + "fit: center\nlength: 5\n", "1:1", "fit: center applies to bed"),
    ],
)  # fmt: skip
def test_what_is_wrong_stands_on_its_line(tmp_path, text, place, message):
    path = task_file(tmp_path, text)
    found = refused(path)
    assert found.startswith(f"{path}:{place}  "), found
    assert message in found


def test_all_problems_at_once(tmp_path):
    path = task_file(tmp_path, TABLES + "lenght: 70\nmetric: mmc\n")
    assert [line.split("  ")[0] for line in refused(path).splitlines()] == [f"{path}:2:1", f"{path}:3:9"]


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = task_file(tmp_path, "")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TaskError) as caught:
        read_task_file(path)
    assert str(path) in str(caught.value)
    assert "Traceback" not in refused(path)


def test_ours_names_settings_alone():
    stated = {"batch_size": 8, "epochs": 1, "learning_rate": 1e-3, "warmup": 0, "weight_decay": 0, "blocks": 1, "dropout": 0}
    marked = PublishedFinetuning(**stated, marked="configured", ours=("epochs",))
    assert {name: marked.mark(name) for name in ("epochs", "dropout")} == {"epochs": "ours", "dropout": "configured"}
    assert list(marked.settings) == list(stated)
    with pytest.raises(ValueError, match="ours has unknown settings: epoch"):
        PublishedFinetuning(**stated, ours=("epoch",))
