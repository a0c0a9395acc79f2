"""Tables in every form: the same rows, whatever they are written in."""

import gzip

import pyarrow
import pytest
from pyarrow import parquet

from tests.evaluation.tasks.writing import loaded, refused, rows_of, sizes, task_file, written

ROWS = [("ACGT", "a"), ("GGCC", "b"), ("TTTTN", "a"), ("CCCC", "b")]


def table(path, rows=ROWS, header=("sequence", "label")):
    if path.suffix == ".parquet":
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = zip(*rows, strict=True) if rows else [[] for _ in header]
        parquet.write_table(pyarrow.table({name: list(column) for name, column in zip(header, columns, strict=True)}), path)
        return path
    by = "\t" if ".tsv" in path.suffixes else ","
    return written(path, by.join(header), *(by.join(map(str, row)) for row in rows))


FORMS = [".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet"]


@pytest.mark.parametrize("suffix", FORMS)
@pytest.mark.parametrize("name", ["sequence", "seq", "DNA"])
def test_every_form_holds_the_same_rows(tmp_path, suffix, name):
    for part in ("train", "dev", "test"):
        table(tmp_path / "t" / f"{part}{suffix}", header=(name, "label"))
    task = loaded(tmp_path / "t")
    assert rows_of(task, "test") == ROWS
    assert (sizes(task), task.notes) == ((4, 4, 4), ())


def test_forms_may_be_mixed_and_a_digest_knows_no_form(tmp_path):
    digests = set()
    for suffix in FORMS:
        folder = tmp_path / suffix
        for part, own in (("train", suffix), ("dev", ".csv"), ("test", suffix)):
            table(folder / f"{part}{own}")
        digests.add(loaded(folder).digest)
    assert len(digests) == 1


def test_labels_of_a_parquet_may_be_numbers(tmp_path):
    for part in ("train", "dev", "test"):
        table(tmp_path / f"{part}.parquet", [("ACGT", 10), ("GG", 9)])
    assert loaded(tmp_path).classes == ("9", "10")


@pytest.mark.parametrize("where", ["", "data/"])
def test_parts_of_several_parquet_files_as_hugging_face_writes_them(tmp_path, where):
    for number in (0, 1):
        table(tmp_path / f"{where}train-0000{number}-of-00002.parquet", ROWS[2 * number : 2 * number + 2])
    table(tmp_path / f"{where}test-00000-of-00001.parquet")
    task = loaded(tmp_path)
    assert sizes(task) == (2, 2, 4)
    assert sorted(rows_of(task, "train") + rows_of(task, "validation")) == sorted(ROWS)


@pytest.mark.parametrize("suffix", FORMS)
def test_a_missing_column_is_named_with_those_that_are_there(tmp_path, suffix):
    table(tmp_path / f"train{suffix}")
    table(tmp_path / f"test{suffix}", header=("sequence", "class"))
    message = refused(tmp_path)
    place = f"test{suffix}" if suffix == ".parquet" else f"test{suffix}:1"
    assert f"{place}: no column is called label, target or y; the columns are class: choose one by" in message
    assert "sequence_column or label_column of a task file" in message


@pytest.mark.parametrize("suffix", FORMS)
@pytest.mark.parametrize(("row", "column"), [((" ", "a"), "sequence"), (("ACGT", ""), "label")])
def test_an_empty_cell_is_refused_on_its_row(tmp_path, suffix, row, column):
    table(tmp_path / f"train{suffix}")
    table(tmp_path / f"test{suffix}", [*ROWS, row])
    place = f"test{suffix}: row 5" if suffix == ".parquet" else f"test{suffix}:6"
    assert f"{place}: the {column} is empty: fill it or remove the row" in refused(tmp_path)


def test_a_null_of_a_parquet_is_an_empty_cell(tmp_path):
    table(tmp_path / "train.parquet")
    table(tmp_path / "test.parquet", [("ACGT", "a"), ("GG", None)])
    assert "test.parquet: row 2: the label is empty" in refused(tmp_path)


@pytest.mark.parametrize("suffix", FORMS)
def test_a_protein_is_refused(tmp_path, suffix):
    table(tmp_path / f"train{suffix}")
    table(tmp_path / f"test{suffix}", [("ACGT", "a"), ("MKLVE", "b")])
    place = f"test{suffix}: row 2" if suffix == ".parquet" else f"test{suffix}:3"
    assert f"{place}: 'L' is not a nucleotide letter: use A C G T N, IUPAC codes, or -" in refused(tmp_path)


@pytest.mark.parametrize("suffix", FORMS)
def test_a_label_that_train_lacks_is_refused(tmp_path, suffix):
    table(tmp_path / f"train{suffix}")
    table(tmp_path / f"test{suffix}", [("ACGT", "c")])
    assert f"the label 'c' is not in train{suffix}, whose labels are a, b" in refused(tmp_path)


@pytest.mark.parametrize("suffix", FORMS)
def test_one_class_trains_nothing(tmp_path, suffix):
    table(tmp_path / f"train{suffix}", ROWS[::2])
    table(tmp_path / f"test{suffix}")
    assert f"train{suffix} has only the label 'a': training needs two classes or more" in refused(tmp_path)


@pytest.mark.parametrize("suffix", FORMS)
def test_a_table_without_rows_is_refused(tmp_path, suffix):
    table(tmp_path / f"train{suffix}")
    table(tmp_path / f"test{suffix}", [])
    assert f"test{suffix} has no samples: fill it or remove it" in refused(tmp_path)


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    table(tmp_path / "train.parquet")
    (tmp_path / "test.parquet").write_bytes(b"sequence,label\nACGT,a\n")
    assert "test.parquet cannot be read as a parquet table (" in refused(tmp_path)


def test_a_broken_gzip_is_named(tmp_path):
    table(tmp_path / "train.tsv.gz")
    (tmp_path / "test.tsv.gz").write_bytes(gzip.compress(b"sequence\tlabel\nACGT\ta\n")[:-9])
    assert "test.tsv.gz is a broken or truncated gzip file (" in refused(tmp_path)


def test_a_task_file_names_a_table_of_each_part(tmp_path):
    for part, name in (("train", "mine.csv"), ("dev", "inner/chosen.tsv.gz"), ("test", "other.parquet")):
        table(tmp_path / name, ROWS if part != "dev" else ROWS[:2])
    stated = "tables: {train: mine.csv, dev: inner/chosen.tsv.gz, test: other.parquet}\nmetric: auroc\n"
    task = loaded(task_file(tmp_path, stated, "marks.yaml"))
    assert (task.name, task.path, sizes(task)) == ("marks", str(tmp_path / "marks.yaml"), (4, 2, 4))
    assert (task.metric, task.published, task.finetune) == ("auroc", None, None)


def test_paths_of_a_task_file_start_from_its_folder_or_are_absolute(tmp_path, monkeypatch):
    away = table(tmp_path / "away" / "test.csv")
    table(tmp_path / "here" / "train.csv")
    path = task_file(tmp_path / "here", f"tables: {{train: train.csv, test: {away}}}")
    monkeypatch.chdir(tmp_path / "away")
    assert sizes(loaded(path)) == sizes(loaded("../here/task.yaml")) == (2, 2, 4)


def test_a_table_that_a_task_file_names_and_that_is_not_there(tmp_path):
    table(tmp_path / "train.csv")
    path = task_file(tmp_path, "tables: {train: train.csv, test: gone.csv}")
    assert refused(path) == f"{path}: its data are missing: looked for {tmp_path / 'gone.csv'}"


def test_coordinates_in_a_table_keep_a_chromosome_together(tmp_path):
    rows = [("ACGT" * (n + 1), "ab"[n % 2], f"chr{n % 7}") for n in range(70)]
    table(tmp_path / "train.csv", rows, ("sequence", "label", "chrom"))
    table(tmp_path / "test.csv", rows, ("sequence", "label", "chrom"))
    task = loaded(tmp_path)
    on = {sequence: contig for sequence, _, contig in rows}
    train, validation = ({on[sequence] for sequence in task.splits[part].sequences} for part in ("train", "validation"))
    assert train.isdisjoint(validation)
    assert len(train | validation) == 7
    assert 7 <= sizes(task)[1] <= 21
    assert f"all samples on {', '.join(sorted(validation))}, was split off" in task.notes[0]
    assert sizes(task)[2] == 70


@pytest.mark.parametrize("suffix", FORMS)
def test_a_task_file_names_the_columns_of_its_tables(tmp_path, suffix):
    rows = [("TTTT", sequence, "x", label) for sequence, label in ROWS]
    for split in ("train", "dev", "test"):
        table(tmp_path / f"{split}{suffix}", rows, ("sequence", "promoter", "label", "class"))
    stated = "folder: [.]\nsequence_column: promoter\nlabel_column: class\n"
    assert rows_of(loaded(task_file(tmp_path, stated)), "test") == ROWS
    message = refused(task_file(tmp_path, stated.replace("promoter", "promotor")))
    assert "there is no column 'promotor'" in message
    assert "the columns are sequence, promoter, label, class" in message


def test_a_bed_has_a_number_as_label_column(tmp_path):
    path = task_file(tmp_path, "bed: {train: a.bed, test: b.bed}\ngenome: builtin\nlabel_column: class\n")
    assert "label_column of a bed is a number, counted from 1 (got 'class')" in refused(path)


@pytest.mark.parametrize("stated", ["tables: {train: a.csv, test: b.csv}", "table: a.csv", "folder: [a]"])
def test_a_table_has_a_name_as_label_column(tmp_path, stated):
    said = refused(task_file(tmp_path, f"{stated}\nlabel_column: 5\n"))
    assert "label_column 5 is a number, which only a bed has: state the name of a column" in said


def test_a_listing_of_labels_is_short(tmp_path):
    table(tmp_path / "train.csv", [("ACGT", f"class{number}") for number in range(80)] * 2)
    table(tmp_path / "test.csv", [("ACGT", "other")])
    assert "class11 and 68 more: a class without training samples" in refused(tmp_path)
