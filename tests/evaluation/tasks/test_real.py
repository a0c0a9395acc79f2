"""The real tasks that lie beside this checkout, by shipped name, by folder and by task file."""

import gzip

import numpy as np
import pytest

from findna_kit.evaluation import load_task
from tests.building import SHARED
from tests.evaluation.tasks.writing import loaded, sizes, task_file

REAL = SHARED / "tasks"

SHIPPED = {
    "gue/H3": (1497, 1497, 500), "gue/H4": (1461, 1461, 500), "gue/H3K36me3": (3488, 3488, 500),
    "gue/H3K4me3": (3680, 3680, 500),
    "gue/prom_core_tata": (4904 + 613, 613, 70), "gue/prom_300_tata": (4904 + 613, 613, 300),
    "gue/prom_core_all": (47356 + 5920, 5920, 70), "gue/tf_1": (30672 + 1000, 1000, 101), "gue/splice": (4562, 4562, 400),
}  # fmt: skip
FOLDERS = {
    "GUE/tf/0": (33378, 1000), "GUE/tf/4": (20000, 1000), "GUE/mouse/0": (7288, 810), "GUE/mouse/4": (16947, 1883),
    "GenomicBenchmarks_slice/human_ensembl_regulatory": (6262, 1535), "GenomicBenchmarks_slice/human_ocr_ensembl": (3375, 905),
    "GenomicBenchmarks_slice/human_enhancers_ensembl": (3393, 826), "nucleosome/H_sapiens": (4254, 319),
    "nucleosome/C_elegans": (4632, 543), "CNNProm/arabidopsis_tata": (3951, 425), "UCI_splice": (2860, 330),
    "UCI_promoters": (98, 8), "iDNA_MS/4mC_C.equisetifolia": (366, 366),
}  # fmt: skip


def there(folder):
    if not folder.is_dir():
        pytest.skip(f"{folder.relative_to(SHARED)} is not beside this checkout")
    return folder


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_tasks_find_their_real_data(name):
    there(REAL)
    task = load_task(name, REAL)
    train, validation, test = sizes(task)
    rows, expected, length = SHIPPED[name]
    assert (train + validation, test) == (rows, expected)
    assert {len(sequence) for sequence in task.splits["test"].sequences} == {length}
    assert not any("published with" in note for note in task.notes)


@pytest.mark.parametrize("name", FOLDERS)
def test_real_folders_load_with_every_row(name):
    task = loaded(there(REAL / name))
    train, validation, test = sizes(task)
    assert (train + validation, test) == FOLDERS[name]
    for table in task.splits.values():
        assert np.unique(table.labels).tolist() == list(range(len(task.classes)))


def test_a_cleaned_training_part_is_named_by_a_task_file(tmp_path):
    folder = there(REAL / "GenomicBenchmarks_slice/human_enhancers_ensembl")
    path = task_file(tmp_path, f"tables: {{train: {folder}/train.clean.csv.gz, test: {folder}/test.csv.gz}}\nmetric: accuracy")
    train, validation, test = sizes(loaded(path))
    lines = gzip.decompress((folder / "train.clean.csv.gz").read_bytes()).count(b"\n") - 1
    assert (train + validation, test) == (lines, 826)
    assert lines < 3393
