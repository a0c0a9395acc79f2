"""Tasks: what is read, what is split off and said, and what is refused with file and line."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import findna_kit
from findna_kit.errors import TaskError
from findna_kit.evaluation import load_task
from findna_kit.evaluation.tasks.splits import VALIDATION_SHARE, held_out

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "tasks"
ROWS = [("ACGT", "0"), ("GGCC", "1"), ("TTTT", "0"), ("CCCC", "1"), ("AAAA", "0"), ("GCGC", "1")]


def write(folder, part, rows=ROWS, suffix=".csv", header="sequence,label", newline="\n", bom=""):
    folder.mkdir(exist_ok=True)
    text = bom + newline.join([header, *(",".join(map(str, row)) for row in rows), ""])
    path = folder / f"{part}{suffix}"
    if suffix.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_bytes(text.encode())
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "toy"
    for part in ("train", "dev", "test"):
        write(folder, part)
    return folder


def real(name):
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"the real task {name} is not beside this checkout")
    return load_task(str(folder))


def sizes(task):
    return {part: len(table.sequences) for part, table in task.splits.items()}


def refused(folder):
    with pytest.raises(TaskError) as caught:
        load_task(str(folder))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_three_parts_are_taken_as_they_are(folder):
    task = load_task(str(folder))
    assert (task.name, task.path) == ("toy", str(folder))
    assert task.classes == ("0", "1")
    assert task.notes == ()
    assert list(task.splits) == ["train", "validation", "test"]
    for table in task.splits.values():
        assert table.sequences == [sequence for sequence, _ in ROWS]
        assert table.labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_a_folder_is_named_by_where_it_is(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert load_task(".").name == "toy"
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load_task("~/toy").name == "toy"


def test_builtin_lies_in_the_package():
    task = load_task("builtin")
    assert task.name == "builtin"
    assert task.classes == ("0", "1")
    assert task.notes == ()
    assert min(sizes(task).values()) > 500
    assert {len(sequence) for table in task.splits.values() for sequence in table.sequences} == {200}


def test_a_task_has_one_path_whatever_was_typed(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder.parent / "link").symlink_to(folder)
    for typed in ("toy", "./toy/", f"../{folder.parent.name}/toy", "link"):
        assert load_task(typed).path == str(folder.resolve())
    assert load_task("link").name == "toy"


def test_builtin_is_known_by_its_folder_too():
    own = Path(findna_kit.__file__).parent / "data" / "builtin" / "coding"
    task = load_task(str(own))
    assert (task.name, task.path) == ("builtin", "builtin")
    assert task.digest == load_task("builtin").digest


def test_a_digest_is_of_the_rows_and_not_of_the_file(folder):
    before = load_task(str(folder)).digest
    (folder / "test.csv").unlink()
    write(folder, "test", suffix=".csv.gz", newline="\r\n")
    assert load_task(str(folder)).digest == before
    (folder / "test.csv.gz").unlink()
    write(folder, "test", [*ROWS[1:], ROWS[0]])
    assert load_task(str(folder)).digest != before


def test_a_path_that_no_folder_can_have_is_refused():
    assert "is not a path of a task (File name too long)" in refused("x" * 300)
    assert "is not a path of a task (Could not determine home directory" in refused("~nobody_of_that_name/task")
    assert "does not exist" in refused("a\0b")


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_bom_line_ends_and_gzip_do_not_matter(tmp_path, suffix, newline, bom):
    for part in ("train", "dev", "test"):
        write(tmp_path / "t", part, suffix=suffix, newline=newline, bom=bom)
    assert load_task(str(tmp_path / "t")).splits["test"].sequences == [sequence for sequence, _ in ROWS]


def test_quotes_spaces_blank_lines_and_other_columns(folder):
    (folder / "test.csv").write_text('label, note ,sequence\n"0","a, ""b""","ACGT"\n\n 1 ,,  acgn \n0,x,GG\n')
    table = load_task(str(folder)).splits["test"]
    assert table.sequences == ["ACGT", "acgn", "GG"]
    assert table.labels.tolist() == [0, 1, 0]


def test_sequences_of_any_length_and_the_global_limit_is_put_back(folder):
    before = 131_072  # Python's own
    csv.field_size_limit(before)
    write(folder, "test", [("A", 0), ("ACGTN" * 60_000, 1)])
    assert [len(sequence) for sequence in load_task(str(folder)).splits["test"].sequences] == [1, 300_000]
    assert csv.field_size_limit() == before
    (folder / "test.csv").write_text("nothing\n")
    refused(folder)
    assert csv.field_size_limit() == before


def test_lower_case_n_and_u_need_no_note_and_iupac_letters_are_counted(folder):
    write(folder, "test", [("acgtnNuU", 0), ("A", 1)])
    assert load_task(str(folder)).notes == ()
    write(folder, "test", [("ARYn", 0), ("kX", 1)])
    write(folder, "dev", [("A-C", 0), ("Bu", 1)])
    assert load_task(str(folder)).notes == ("6 ambiguous letters (IUPAC codes, gaps) were read as N",)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9", "-1", "0"], ("-1", "0", "9", "10")),
        (["H3K36", "H3K4", "H3"], ("H3", "H3K4", "H3K36")),
        (["intron", "exon", "2b", "10a"], ("2b", "10a", "exon", "intron")),
        (["1", "01", "a"], ("01", "1", "a")),
    ],
)
def test_classes_are_in_natural_order(tmp_path, labels, classes):
    rows = [("ACGT", label) for label in labels]
    for part in ("train", "dev", "test"):
        write(tmp_path / "t", part, rows)
    task = load_task(str(tmp_path / "t"))
    assert task.classes == classes
    assert [task.classes[label] for label in task.splits["test"].labels] == labels


def test_without_train_dev_is_split_and_said(tmp_path):
    rows = [("A" * (n + 1), n % 5 > 0) for n in range(100)]
    write(tmp_path / "t", "dev", rows)
    write(tmp_path / "t", "test", rows[:7])
    task = load_task(str(tmp_path / "t"))
    assert sizes(task) == {"train": 80, "validation": 20, "test": 7}
    assert len(task.notes) == 1
    assert task.notes[0].startswith("there is no train split: dev is used for training, and 20% of it")
    train, validation = task.splits["train"], task.splits["validation"]
    assert sorted(train.sequences + validation.sequences) == [sequence for sequence, _ in rows]
    assert np.bincount(validation.labels).tolist() == [4, 16]
    labels = {sequence: str(label) for sequence, label in rows}
    for table in (train, validation):
        assert [task.classes[label] for label in table.labels] == [labels[sequence] for sequence in table.sequences]
    assert validation.sequences != [sequence for sequence, _ in rows[:20]]


def test_without_dev_train_is_split_the_same_way_every_time(folder):
    (folder / "dev.csv").unlink()
    task, again = load_task(str(folder)), load_task(str(folder))
    assert sizes(task) == {"train": 4, "validation": 2, "test": 6}
    assert task.notes[0].startswith("there is no dev split: 33% of train, by class")
    assert task.splits["validation"].sequences == again.splits["validation"].sequences


def test_a_dev_part_of_one_class_joins_train(folder):
    write(folder, "dev", [("CAT", 1), ("TAC", 1)])
    task = load_task(str(folder))
    assert sizes(task) == {"train": 6, "validation": 2, "test": 6}
    assert task.notes[0].startswith("dev has only the class 1, so nothing can be chosen on it: it was joined to train")
    assert {"CAT", "TAC"} <= {sequence for part in ("train", "validation") for sequence in task.splits[part].sequences}
    assert set(task.splits["validation"].labels.tolist()) == {0, 1}


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80))
@settings(deadline=None, max_examples=60)
def test_a_split_holds_out_a_fifth_of_each_class_but_never_all(labels):
    labels = np.array(labels)
    chosen = held_out(labels, VALIDATION_SHARE, 1)
    for label in range(5):
        rows = labels == label
        count, out = int(rows.sum()), int(chosen[rows].sum())
        assert out == (0 if count < 2 else max(1, round(count / 5)))


NO_CLASSES = {
    "decimals": (lambda n: f"{n / 7 - 3:.4f}", "its labels are measurements, such as -2.8571, and regression is not supported"),
    "one decimal": (lambda n: "0.5" if n == 7 else str(n % 2), "its labels are measurements, such as 0.5, and regression"),
    "exponents": (lambda n: f"{n % 3}.1e-2", "its labels are measurements, such as 0.1e-2, and regression is not supported"),
    "lists of 0 and 1": (lambda n: f"{n % 2} 0 1", "its cells hold several labels, such as '0 0 1', and multi-label tasks are"),
    "lists of indices": (lambda n: "2;5" if n % 2 else "5", "its cells hold several labels, such as '2;5', and multi-label"),
    "one for each sample": (lambda n: f"read{n}", "each of its 20 samples has a label of its own, such as 'read0'"),
}


@pytest.mark.parametrize("name", NO_CLASSES)
def test_labels_that_name_no_classes_are_refused_in_one_sentence(folder, name):
    label, sentence = NO_CLASSES[name]
    rows = "".join(f"{'ACGTT' * (n + 1)},{label(n)}\n" for n in range(20))
    (folder / "train.csv").write_text(f"sequence,label\n{rows}")
    said = refused(folder)
    assert f"train.csv: {sentence}" in said
    assert "; a task has one class per sample: " in said
    assert len(said) < 400


@pytest.mark.parametrize(
    "labels", [("0.0", "1.0"), ("-1", "+1"), ("open chromatin", "closed chromatin"), ("a, weak", "a, strong")]
)
def test_labels_of_classes_may_be_numbers_or_several_words(folder, labels):
    for part in ("train", "dev", "test"):
        rows = "".join(f'{"ACGTT" * (n + 1)},"{labels[n % 2]}"\n' for n in range(8))
        (folder / f"{part}.csv").write_text(f"sequence,label\n{rows}")
    assert set(load_task(str(folder)).classes) == set(labels)


def test_a_missing_folder_says_what_a_task_is(tmp_path):
    message = refused(tmp_path / "absent")
    assert "absent does not exist, and no shipped task has that name" in message
    assert "`builtin`" in message
    assert "findna-kit tasks" in message


def test_a_file_is_no_task(folder):
    assert "test.csv is a file: give `builtin`, a shipped name, a task file (.yaml), or a folder with train.csv" in refused(
        folder / "test.csv"
    )


def test_a_missing_test_part_says_what_was_looked_for(folder):
    (folder / "test.csv").unlink()
    assert refused(folder) == f"{folder} has no test split: looked for test.csv (.csv.gz, .tsv, .tsv.gz, .parquet) or test/"


def test_test_alone_is_no_task(folder):
    (folder / "train.csv").unlink()
    (folder / "dev.csv").unlink()
    assert "has no samples to train on: looked for train.csv (.csv.gz, .tsv, .tsv.gz, .parquet) or train/" in refused(folder)


def test_two_files_for_one_part_are_ambiguous(folder):
    write(folder, "train", suffix=".csv.gz")
    assert "has both train.csv and train.csv.gz" in refused(folder)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("sequence,class", "no column is called label, target or y; the columns are class"),
        ("promoter,label", "no column is called sequence, seq or dna; the columns are promoter, label"),
        ("sequence,label,label", "column names must be unique and not empty, but 'label' is repeated"),
        (
            "sequence,label,Y",
            "the columns label, Y are ambiguous: choose one by sequence_column or label_column of a task file",
        ),
    ],
)
def test_a_header_without_the_two_columns_is_refused(folder, header, message):
    write(folder, "dev", header=header)
    assert f"dev.csv:1: {message}" in refused(folder)


def test_an_empty_file_has_no_header(folder):
    (folder / "dev.csv").write_text("")
    assert "the columns are none" in refused(folder)


@pytest.mark.parametrize(("row", "column"), [((" ", 1), "sequence"), (("ACGT", ""), "label")])
def test_an_empty_cell_is_named_by_its_line(folder, row, column):
    write(folder, "test", [*ROWS[:2], row])
    assert f"test.csv:4: the {column} is empty" in refused(folder)


@pytest.mark.parametrize("row", [("ACGT",), ("ACGT", 1, 2)])
def test_a_row_with_another_number_of_cells_is_refused(folder, row):
    write(folder, "test", [*ROWS[:2], row])
    assert f"test.csv:4: has {len(row)} cells, and the header 2 columns" in refused(folder)


def test_a_line_number_counts_blank_and_quoted_lines(folder):
    (folder / "test.csv").write_text('sequence,label,note\nAC,0,"two\nlines"\n\n,1,\n')
    assert "test.csv:5: the sequence is empty" in refused(folder)


@pytest.mark.parametrize(("sequence", "letter"), [("ACGTZ", "'Z'"), ("0", "'0'"), ("ACG\u0416", "'\u0416'"), ("A C", "' '")])
def test_what_is_no_nucleotide_letter_is_refused(folder, sequence, letter):
    write(folder, "test", [("ACGTRYKM", 0), ("A", 1), (sequence, 1), ("ACGT", 0)])
    assert f"test.csv:4: {letter} is not a nucleotide letter" in refused(folder)


@pytest.mark.parametrize("part", ["dev", "test"])
def test_a_label_that_train_does_not_know_is_refused(folder, part):
    write(folder, part, [*ROWS, ("ACGT", "7")])
    message = refused(folder)
    assert f"{part}.csv:8: the label '7' is not in train.csv" in message
    assert "0, 1" in message


def test_a_label_of_test_is_looked_for_in_dev_where_dev_trains(folder):
    (folder / "train.csv").unlink()
    write(folder, "test", [("ACGT", "x")])
    assert "the label 'x' is not in dev.csv" in refused(folder)


def test_one_class_trains_nothing(folder):
    write(folder, "train", [("ACGT", "0"), ("GG", "0")])
    assert "train.csv has only the label '0': training needs two classes or more" in refused(folder)


@pytest.mark.parametrize("part", ["train", "dev", "test"])
def test_a_part_without_rows_is_refused(folder, part):
    write(folder, part, [])
    assert f"{part}.csv has no samples: fill it or remove it" in refused(folder)


def test_too_few_rows_to_split(folder):
    (folder / "dev.csv").unlink()
    write(folder, "train", ROWS[:2])
    assert "has one training sample of each class, which leaves none for validation" in refused(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test.csv.gz", gzip.compress(b"sequence,label\nACGT,0\n")[:-12], "is a broken or truncated gzip file ("),
        ("test.csv.gz", gzip.compress(b"sequence,label\nACGT,0\n")[:12] + b"\xff" * 20, "is not UTF-8 text; save it as UTF-8"),
        ("test.csv", "sequence,label\nACGT,0\n".encode("utf-16"), "is not UTF-8 text; save it as UTF-8"),
        ("test.csv", b'sequence,label\n"ACGT"x,0\n', "cannot be read as a table ("),
    ],
    ids=["cut off", "damaged", "UTF-16", "bad quotes"],
)
def test_an_unreadable_file_is_named(folder, name, content, message):
    (folder / "test.csv").unlink()
    (folder / name).write_bytes(content)
    assert f"{name} {message}" in refused(folder)


def test_gzip_is_recognised_by_the_content_and_not_by_the_name(folder):
    (folder / "test.csv").rename(folder / "test.csv.gz")
    assert len(load_task(str(folder)).splits["test"].sequences) > 0


@pytest.mark.parametrize(
    ("name", "rows", "classes", "note"),
    [
        ("UCI_splice", (2500, 360, 330), 3, "4 ambiguous letters"),
        ("UCI_promoters", (78, 20, 8), 2, "dev has the one class 1"),
        ("GUE/EMP/H3", (1198, 299, 1497), 2, "there is no train part"),
        ("GenomicBenchmarks_slice/human_enhancers_ensembl", (2715, 678, 826), 2, "there is no dev part"),
        ("nucleosome/H_sapiens", (3890, 364, 319), 2, None),
    ],
)
def test_real_tasks_load_with_every_row(name, rows, classes, note):
    task = real(name)
    assert tuple(sizes(task).values()) == rows
    assert len(task.classes) == classes
    assert len(task.notes) == (note is not None)
    if note:
        assert task.notes[0].startswith(note)
    in_files = sum(gzip.decompress((REAL / name / f"{part}.csv.gz").read_bytes()).count(b"\n") - 1 for part in files_of(name))
    assert sum(rows) == in_files


def files_of(name):
    return [part for part in ("train", "dev", "test") if (REAL / name / f"{part}.csv.gz").is_file()]


def test_the_shortest_and_longest_real_sequences_are_kept():
    task = real("GenomicBenchmarks_slice/human_enhancers_ensembl")
    lengths = [len(sequence) for table in task.splits.values() for sequence in table.sequences]
    assert (min(lengths), max(lengths)) == (2, 571)
