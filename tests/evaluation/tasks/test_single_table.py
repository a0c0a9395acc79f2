"""One table as a task: its split column, the rules of a task file, the digest, and what is refused."""

import random
import re

import pytest

from findna_kit.errors import TaskError
from findna_kit.evaluation import load_task
from findna_kit.evaluation.leakage import audit
from tests.evaluation.tasks.test_sample_tables import FORMS, ROWS, table
from tests.evaluation.tasks.writing import loaded, refused, rows_of, sizes, task_file, written

HEADER = ("sequence", "label", "gene", "chrom")


def drawn(count=200, *, length=60, seed=0):
    """Rows of two classes, 144 to 56, of 25 genes and 12 chromosomes."""
    draw = random.Random(seed)
    return [
        ("".join(draw.choices("ACGT", k=length)), "ab"[n // 12 % 4 == 0], f"g{n % 25}", f"chr{n % 12}") for n in range(count)
    ]  # fmt: skip


def split_table(folder, split, rows=None, name="my.csv", more=""):
    table(folder / name, drawn() if rows is None else rows, HEADER)
    return task_file(folder, f"table: {name}\nsplit: {split}\n{more}", "my.yaml")


def with_splits(rows, words):
    return [(*row, words[number % len(words)]) for number, row in enumerate(rows)]


@pytest.mark.parametrize("suffix", [*FORMS, ".CSV", ".pq"])
@pytest.mark.parametrize(("column", "words"), [("split", "train dev test"), ("SET", "Train VALID Test")])
def test_a_split_column_states_the_splits(tmp_path, suffix, column, words):
    path = tmp_path / f"my{suffix}"
    source = table(tmp_path / ("x.parquet" if suffix == ".pq" else f"x{suffix.lower()}"), [
        (*row, word) for word in words.split() for row in ROWS
    ], ("sequence", "label", column))  # fmt: skip
    source.rename(path)
    task = loaded(path)
    assert (task.name, task.path, sizes(task), task.notes) == ("my", str(path), (4, 4, 4), ())
    assert all(rows_of(task, split) == ROWS for split in task.splits)


@pytest.mark.parametrize("word", ["dev", "validation", "val", "valid", "VALIDATION"])
def test_every_word_for_the_validation_split(tmp_path, word):
    rows = [(*row, split) for split in ("train", word, "test") for row in ROWS]
    assert sizes(loaded(table(tmp_path / "my.csv", rows, ("seq", "y", "partition")))) == (4, 4, 4)


def test_a_table_without_validation_rows_is_a_task_as_a_folder_is(tmp_path):
    rows = with_splits([row[:2] for row in drawn(40)], ("train", "train", "train", "test"))
    task = loaded(table(tmp_path / "my.csv", rows, ("sequence", "label", "split")))
    assert sizes(task) == (24, 6, 10)
    assert "there is no dev split: 20% of train" in task.notes[0]
    assert sizes(load_task(f"{tmp_path / 'my.csv'}@validation"))[2] == 6


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("train", "tset"), "my.csv:3: 'tset' in the column 'split' is no split; did you mean 'test'?; expected train, dev"),
        (("train", ""), "my.csv:3: the split is empty: fill it or remove the row"),
        (("train", "val"), "the column 'split' has no test rows, only train, dev: add them"),
        (("test", "test"), "the column 'split' has no train or dev rows, only test: add them"),
    ],
)
def test_wrong_values_of_the_split_column_are_refused(tmp_path, values, message):
    path = table(tmp_path / "my.csv", with_splits(ROWS, values), ("sequence", "label", "split"))
    assert message in refused(path)


def test_two_split_columns_are_ambiguous(tmp_path):
    path = table(tmp_path / "my.csv", [(*row, "train", "x") for row in ROWS], ("sequence", "label", "split", "set"))
    assert "the columns split, set are ambiguous: keep the one that states the splits" in refused(path)


def test_a_table_without_split_column_is_refused_with_the_task_file_to_write(tmp_path):
    rows = [(sequence, "x", label) for sequence, label, *_ in drawn()]
    path = table(tmp_path / "my data.csv", rows, ("promoter", "label", "class"))
    options = ("--sequence-column", "promoter", "--label-column", "class")
    message = refused(path, *options)
    assert f"{path} has no split column (split, set or partition, with the values train, validation and test)" in message
    # The example of the message is complete: written beside the table, it is a task.
    example = re.search(r"^# my data\.yaml\n(.*?)\n\n", message, re.DOTALL | re.MULTILINE).group(1)
    task = loaded(task_file(tmp_path, example, "my data.yaml"))
    assert (task.name, task.classes, sum(sizes(task))) == ("my data", ("a", "b"), 200)


def test_a_task_file_without_split_needs_the_split_column(tmp_path):
    path = split_table(tmp_path, "null")
    assert "add `split: {validation: 0.1, test: 0.2, by: cluster, seed: 0}` to the task file" in refused(path)
    table(tmp_path / "my.csv", with_splits(drawn(), ("train", "val", "test")), (*HEADER, "split"))
    assert sizes(loaded(path)) == (67, 67, 66)


@pytest.mark.parametrize("by", ["", ", by: group, group_column: Gene", ", by: chromosome", ", by: cluster"])
def test_each_rule_meets_shares_keeps_groups_and_forgets_the_order(tmp_path, by):
    path = split_table(tmp_path, f"{{validation: 0.1, test: 0.2{by}}}")
    task = loaded(path)
    # A group or chromosome has at most 17 rows.
    slack = 17 if by and "cluster" not in by else 2
    assert all(abs(size - wanted) <= slack for size, wanted in zip(sizes(task), (140, 20, 40), strict=True))
    column = {"group": 2, "chromosome": 3}.get(by.split(": ")[-1].split(",")[0] if "group" not in by else "group")
    if column is not None:
        of = {row[0]: row[column] for row in drawn()}
        groups = [{of[sequence] for sequence in split.sequences} for split in task.splits.values()]
        assert sum(map(len, groups)) == len(set.union(*groups))
    assert all(abs(split.labels.mean() - 0.28) < 0.12 for split in task.splits.values())
    assert sorted(row for split in task.splits for row in rows_of(task, split)) == sorted(row[:2] for row in drawn())
    rows = drawn()
    random.Random(1).shuffle(rows)
    table(tmp_path / "my.csv", rows, HEADER)
    assert loaded(path).digest == task.digest


def test_the_digest_depends_on_the_file_and_on_the_split(tmp_path):
    stated = [
        "{}",
        "{seed: 1}",
        "{test: 0.3}",
        "{by: chromosome}",
        "{by: chromosome, seed: 1}",
        "{by: group, group_column: gene}",
    ]
    digests = [loaded(split_table(tmp_path, split)).digest for split in stated]
    digests.append(loaded(split_table(tmp_path, "{}", drawn(199))).digest)
    digests.append(loaded(split_table(tmp_path, "{}", more="length: 50\nfit: cut_or_pad\n")).digest)
    assert len(set(digests)) == len(stated) + 2
    assert loaded(split_table(tmp_path, "{seed: 0, dev: 0.2}")).digest == digests[0]


def test_near_duplicates_and_other_strands_stay_together(tmp_path):
    """Every sequence has a mutated copy and a reverse complement; the audit, which is the promise, finds none across splits."""
    rows = drawn(120, length=100)
    near = [(f"{row[0][:50]}{'A' if row[0][50] != 'A' else 'C'}{row[0][51:]}", *row[1:]) for row in rows]
    other = [(row[0][::-1].translate(str.maketrans("ACGT", "TGCA")), *row[1:]) for row in rows[:60]]
    shares = "validation: 0.1, test: 0.2"
    clustered = loaded(split_table(tmp_path, f"{{{shares}, by: cluster}}", rows + near + other))
    assert all(pair.share == 0 for pair in audit(clustered).between)
    assert all(abs(size - wanted) <= 6 for size, wanted in zip(sizes(clustered), (210, 30, 60), strict=True))
    assert (
        "by 120 clusters of near duplicates, the largest with 1.0% of the rows, by class and with seed 0" in clustered.notes[0]
    )
    by_rows = loaded(split_table(tmp_path, f"{{{shares}}}", rows + near + other))
    assert audit(by_rows).leaked.share > 0.5
    assert "copies of one sequence may lie in several splits" in by_rows.notes[0]


def test_near_duplicates_are_searched_among_what_the_models_read(tmp_path):
    shared = "".join(random.Random(5).choices("ACGT", k=40))
    rows = [(shared[:36] + row[0], *row[1:]) for row in drawn(40)]
    path = split_table(tmp_path, "{by: cluster}", rows, more="length: 36\nfit: cut_or_pad\n")
    assert "it cannot be split by 1 clusters of near duplicates, the largest with 100.0% of the rows" in refused(path)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("{by: group, group_column: gen}", "there is no column 'gen'; did you mean 'gene'?; the columns are gene, chrom"),
        ("{validation: 0.01, test: 0.3, by: chromosome}", "the closest split found has 8.5% and 25.0%"),
    ],
)
def test_groups_that_are_missing_or_too_large_are_refused(tmp_path, split, message):
    assert message in refused(split_table(tmp_path, split))


def test_a_chromosome_column_is_needed_and_complete(tmp_path):
    path = task_file(tmp_path, "table: my.csv\nsplit: {by: chromosome}", "my.yaml")
    rows = drawn()
    table(tmp_path / "my.csv", [row[:3] for row in rows], HEADER[:3])
    assert "split by chromosome: no column is called contig or chromosome or chrom; the columns are gene" in refused(path)
    table(tmp_path / "my.csv", [*rows, (*rows[0][:3], "")], HEADER)
    assert "my.csv:202: the chrom is empty: fill it or remove the row" in refused(path)
    table(tmp_path / "my.csv", [(*row, "1") for row in rows], (*HEADER, "contig"))
    assert "the columns chrom, contig are ambiguous" in refused(path)


def test_classes_must_be_where_they_are_needed(tmp_path):
    rows = [(sequence, label, f"g{label}{number % 3}", "chr1") for number, (sequence, label, *_) in enumerate(drawn())]
    message = refused(split_table(tmp_path, "{validation: 0.3, test: 0.3, by: group, group_column: gene}", [
        row for row in rows if row[1] == "a" or row[2] == "gb0"
    ]))  # fmt: skip
    assert re.search(r"the (train|validation|test) split has 1 of 2 classes, and needs 2: add samples", message)
    few = [("ACGT", "a", "g", "c"), ("ACGA", "b", "g", "c")] * 2
    assert "cannot be split by rows" in refused(split_table(tmp_path, "{}", few))


def test_a_split_column_beside_a_stated_split_is_noted(tmp_path):
    path = split_table(tmp_path, "{}")
    table(tmp_path / "my.csv", with_splits(drawn(), ("train", "test")), (*HEADER, "split"))
    assert loaded(path).notes[0].endswith("; the table's column split was not used")


def test_columns_are_chosen_for_tables_and_folders_of_tables(tmp_path):
    rows = [(*row[:2], "TTTT", f"{row[1]}2", word) for word in ("train", "val", "test") for row in ROWS]
    path = table(tmp_path / "my.csv", rows, ("mine", "class", "sequence", "label", "split"))
    task = load_task(str(path), sequence_column="MINE", label_column="class")
    assert rows_of(task, "test") == ROWS
    # Results are kept by path: those of another label column do not replace them.
    assert (task.name, task.path) == tuple(f"{name}[sequence_column=MINE, label_column=class]" for name in ("my", path))
    assert task.digest != loaded(path).digest
    for split in ("train", "dev", "test"):
        table(tmp_path / "folder" / f"{split}.csv", [(*row, "x") for row in ROWS], ("sequence", "class", "label"))
    assert load_task(str(tmp_path / "folder"), label_column="class").classes == ("a", "b")
    assert "there is no column 'clas'; did you mean 'class'?" in refused(tmp_path / "folder", "--label-column", "clas")
    with pytest.raises(TaskError, match="the columns are mine, class, label, split"):
        load_task(str(path), label_column="y")


def test_columns_are_refused_for_tasks_that_are_no_tables(tmp_path):
    said = "leave out --sequence-column and --label-column, for tables and folders of tables only"
    options = ("--sequence-column", "a", "--label-column", "b")
    assert refused("builtin", *options) == f"builtin: {said}"
    assert refused("gue/H3", *options) == f"gue/H3: {said}"
    path = split_table(tmp_path, "{}")
    assert refused(path, *options) == f"{path}: {said}; state columns in the task file"
    written(tmp_path / "texts" / "train" / "a" / "1.txt", "ACGT")
    assert "leave out label_column, for tables only: there are none in" in refused(tmp_path / "texts", "--label-column", "b")
