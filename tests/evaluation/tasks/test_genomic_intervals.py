"""BED with a label column: each line a row, cut from the genome, on its strand; and what is wrong on which line."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from findna_kit.data.genome import builtin_genome, open_store
from findna_kit.evaluation.tasks.genomic_intervals import TaskGenomes, read_bed_rows
from tests.evaluation.tasks.writing import loaded, refused, rows_of, sizes, task_file, written

A, B = "AACCGGTTNNACGTACGTTT", "GATTACAGATTACA"
FASTA = (">a", A, ">b", B)
LINES = ("a\t0\t4\tpeak", "a\t2\t6\tnone", "b\t0\t7\tpeak", "b\t7\t14\tnone")


def task(folder, *test, extra="", fasta=FASTA):
    written(folder / "genome.fa", *fasta)
    written(folder / "train.bed", *LINES)
    written(folder / "test.bed", *test)
    return task_file(folder, f"bed: {{train: train.bed, test: test.bed}}\ngenome: genome.fa\n{extra}")


def test_lines_are_rows(tmp_path):
    read = loaded(task(tmp_path, "# a comment", "track name=x", "", *LINES))
    assert rows_of(read, "test") == [("AACC", "peak"), ("CCGG", "none"), ("GATTACA", "peak"), ("GATTACA", "none")]
    assert read.classes == ("none", "peak")


def test_the_sixth_column_is_the_strand(tmp_path):
    lines = ("a\t0\t4\tpeak\t0\t-", "a\t8\t12\tnone\t0\t+", "a\t8\t13\tpeak\t0\t-", "b\t0\t3\tnone\t.\t.")
    assert rows_of(loaded(task(tmp_path, *lines)), "test") == [
        ("GGTT", "peak"), ("NNAC", "none"), ("CGTNN", "peak"), ("GAT", "none"),
    ]  # fmt: skip


def test_the_label_may_stand_in_any_later_column(tmp_path):
    written(tmp_path / "genome.fa", *FASTA)
    for part in ("train", "test"):
        written(
            tmp_path / f"{part}.bed.gz", "a\t0\t4\tx\t0\tyes", "b\t0\t4\ty\t1\tno", "a\t4\t8\tx\t0\tyes", "b\t4\t8\ty\t1\tno"
        )
    text = "bed: {train: train.bed.gz, test: test.bed.gz}\ngenome: genome.fa\nlabel_column: 6"
    read = loaded(task_file(tmp_path, text))
    assert rows_of(read, "test") == [("AACC", "yes"), ("GATT", "no"), ("GGTT", "yes"), ("ACAG", "no")]


def test_windows_around_the_middle_reach_beyond_the_contig_with_n(tmp_path):
    read = loaded(task(tmp_path, "b\t0\t4\tpeak", "b\t12\t14\tnone", "b\t6\t8\tpeak", extra="length: 6\nfit: center"))
    assert rows_of(read, "test") == [("NGATTA", "peak"), ("TACANN", "none"), ("ACAGAT", "peak")]


def test_rows_are_cut_or_padded_to_a_length(tmp_path):
    read = loaded(task(tmp_path, *LINES, extra="length: 5\nfit: cut_or_pad"))
    assert rows_of(read, "test") == [("AACCN", "peak"), ("CCGGN", "none"), ("GATTA", "peak"), ("GATTA", "none")]


def test_the_genome_may_be_the_builtin_one(tmp_path):
    for part in ("train", "test"):
        written(tmp_path / f"{part}.bed", *(f"chr2R_2000000_7000000\t{n * 50}\t{n * 50 + 20}\t{n % 2}" for n in range(8)))
    read = loaded(task_file(tmp_path, "bed: {train: train.bed, test: test.bed}\ngenome: builtin"))
    store = open_store(builtin_genome())
    expected = ["".join("ACGTN"[token] for token in store.tokens(0, n * 50, n * 50 + 20)) for n in range(8)]
    assert read.splits["test"].sequences == expected


def test_a_bed_is_split_by_contig(tmp_path):
    contigs = [line for n in range(8) for line in (f">c{n}", "ACGT" * 20)]
    written(tmp_path / "genome.fa", *contigs)
    for part in ("train", "test"):
        written(tmp_path / f"{part}.bed", *(f"c{n % 8}\t{n}\t{n + 9}\t{n // 8 % 2}" for n in range(64)))
    read = loaded(task_file(tmp_path, "bed: {train: train.bed, test: test.bed}\ngenome: genome.fa"))
    assert sizes(read) == (48, 16, 64)
    assert read.notes[0].startswith("there is no dev split: 25% of train, all samples on c")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a\t15\t21\tpeak", "15-21 ends beyond 'a', which has 20 bases; is "),
        ("a\t5\t5\tpeak", "invalid interval '5' to '5'; start is counted from 0 and must be below end"),
        ("a\t-1\t5\tpeak", "invalid interval '-1' to '5'"),
        ("a\tx\t5\tpeak", "invalid interval 'x' to '5'"),
        ("c\t1\t5\tpeak", "has no contig 'c'"),
        ("a\t1\t5\t ", "the label is empty: fill it or remove the row"),
        ("a\t1\t5", "3 columns, but label_column is 4; columns are separated by tabs"),
        ("a 1 5 peak", "1 columns, but label_column is 4; columns are separated by tabs"),
        ("a\t1\t5\tpeak\t0\t?", "invalid strand '?'; expected + - or ."),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    found = refused(task(tmp_path, *LINES, line))
    assert f"{tmp_path}/test.bed:5: " in found
    assert message in found


def test_labels_and_rows_are_checked_as_those_of_tables(tmp_path):
    strange = task(tmp_path, "a\t0\t4\tdip")
    assert "test.bed:1: the label 'dip' is not in train.bed, whose labels are none, peak" in refused(strange)
    assert "test.bed has no samples: fill it or remove it" in refused(task(tmp_path, "# nothing"))
    task(tmp_path, *LINES)
    written(tmp_path / "train.bed", *LINES[::2])
    assert "train.bed has only the label 'peak'" in refused(tmp_path / "task.yaml")


def test_a_bed_that_cannot_be_read_is_named(tmp_path):
    path = task(tmp_path, *LINES)
    (tmp_path / "test.bed").write_bytes(b"\xff\xfe\x00")
    assert "test.bed cannot be read as a list of intervals (" in refused(path)
    written(tmp_path / "test.bed.gz", gzipped=False)
    gz = task_file(tmp_path, "bed: {train: train.bed, test: test.bed.gz}\ngenome: genome.fa", "gz.yaml")
    (tmp_path / "test.bed.gz").write_bytes(gzip.compress(b"a\t0\t4\tpeak\n")[:-9])
    assert "test.bed.gz cannot be read as a list of intervals (" in refused(gz)


def test_a_genome_that_is_not_there_or_is_none(tmp_path):
    path = task(tmp_path, *LINES)
    (tmp_path / "genome.fa").unlink()
    assert refused(path) == f"{path}: its data are missing: looked for {tmp_path}/genome.fa"
    (tmp_path / "genome.fa").write_text("sequence,label\n")
    message = refused(path)
    assert "train.bed holds intervals, but its genome cannot be used: " in message
    assert "genome.fa is no FASTA: its first line must be '>name'" in message


@given(st.data())
def test_a_row_is_what_a_slice_of_the_contig_is(tmp_path_factory, data):
    """Against slices of Python strings: any interval, either strand."""
    folder = tmp_path_factory.mktemp("bed")
    contigs = data.draw(st.lists(st.text("ACGTN", min_size=1, max_size=30), min_size=1, max_size=4))
    chosen = []
    for _ in range(data.draw(st.integers(1, 6))):
        number = data.draw(st.integers(0, len(contigs) - 1))
        start = data.draw(st.integers(0, len(contigs[number]) - 1))
        end = data.draw(st.integers(start + 1, len(contigs[number])))
        chosen.append((number, start, end, data.draw(st.sampled_from("+-"))))
    fasta = written(folder / "g.fa", *(line for n, letters in enumerate(contigs) for line in (f">c{n}", letters)))
    bed = written(folder / "x.bed", *(f"c{n}\t{start}\t{end}\tlabel\t0\t{strand}" for n, start, end, strand in chosen))
    rows = read_bed_rows(bed, 4, TaskGenomes(fasta), None)
    expected = [contigs[n][start:end] for n, start, end, _ in chosen]
    turned = [row[::-1].translate(str.maketrans("ACGT", "TGCA")) for row in expected]
    both = zip(chosen, expected, turned, strict=True)
    assert rows.sequences == [other if one[3] == "-" else row for one, row, other in both]
    assert rows.contigs == [f"c{n}" for n, *_ in chosen]
    assert np.unique(rows.labels).tolist() == ["label"]
