"""What can be embedded: the rows of every kind of file, in their order, and what is refused."""

import csv
import tracemalloc
from itertools import islice, pairwise

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from findna_kit.data.genome import builtin_genome, open_store
from findna_kit.data.table_columns import ColumnNames
from findna_kit.errors import FindnaError
from findna_kit.inference.embedding.inputs import Tiling, open_source, tiling

from .conftest import dna, fasta, turned, written

GENOME = [("one", dna(150)), ("two", dna(30, 1) + "N" * 10), ("three", dna(61, 2))]
ONE = GENOME[0][1]
BED = f"one\t10\t20\tpeak\t5\t-\ntwo\t0\t40\none\t0\t{len(ONE)}\t\t\t+\n"
TABLE = 'id,sequence,label\nfirst,ACGTT,1\n"a, b",ggcu,\n\n"three\nlines",NNRY,x\n'


def rows(source, first=0):
    return list(source.rows(first))


@given(st.integers(1, 30), st.data(), st.integers(1, 100))
def test_windows_cover_a_contig_with_the_overlap_that_is_asked_for(length, data, bases):
    overlap = data.draw(st.integers(0, length - 1))
    cut = Tiling(length, overlap)
    (count,) = cut.count(np.array([bases]))
    places = [cut.region(number, bases) for number in range(count)]
    assert {position for start, end in places for position in range(start, end)} == set(range(bases))
    assert {end - start for start, end in places} == {min(length, bases)}
    assert [start for start, _ in places[:-1]] == [number * (length - overlap) for number in range(count - 1)]
    assert places[-1][1] == bases
    assert all(start < after for (start, _), (after, _) in pairwise(places)), "none stands twice"


@pytest.mark.parametrize("name", ["some.fa", "some.fasta.gz", "some.FNA", "some"])
def test_records_of_a_fasta(tmp_path, name):
    source = open_source(fasta(tmp_path / name, GENOME))
    assert source.columns == ("id", "contig", "start", "end")
    assert rows(source) == [((name, name, "0", str(len(text))), text) for name, text in GENOME]
    assert (source.count, source.longest, source.integers) == (3, 150, {"start", "end"})


def test_windows_of_a_fasta(tmp_path):
    source = open_source(fasta(tmp_path / "some.fa", GENOME), windows=Tiling(60, 20))
    places = [
        ("one", 0, 60),
        ("one", 40, 100),
        ("one", 80, 140),
        ("one", 90, 150),
        ("two", 0, 40),
        ("three", 0, 60),
        ("three", 1, 61),
    ]
    texts = dict(GENOME)
    assert rows(source) == [
        ((f"{name}:{start}-{end}", name, str(start), str(end)), texts[name][start:end]) for name, start, end in places
    ]
    assert (source.count, source.longest) == (7, 60)


def test_a_bed_is_read_on_its_strand(tmp_path):
    source = open_source(written(tmp_path / "some.bed.gz", BED), genome=str(fasta(tmp_path / "genome.fa", GENOME)))
    assert source.columns == ("id", "contig", "start", "end", "score", "strand")
    assert rows(source) == [
        (("peak", "one", "10", "20", "5", "-"), turned(ONE[10:20])),
        (("two:0-40", "two", "0", "40", "", ""), GENOME[1][1]),
        (("one:0-150", "one", "0", "150", "", "+"), ONE),
    ]


def test_a_bed_on_the_builtin_genome(tmp_path):
    store = open_store(builtin_genome())
    contig = store.contigs[0].name
    source = open_source(written(tmp_path / "some.bed", f"{contig}\t100\t130\tx\t0\t-\n{contig}\t100\t130\n"), genome="builtin")
    (_, back), (_, there) = rows(source)
    assert len(there) == 30
    assert back == turned(there)


@pytest.mark.parametrize("change", [
    lambda text: text, lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n"),
], ids=["plain", "byte-order mark", "CRLF"])  # fmt: skip
@pytest.mark.parametrize("name", ["some.csv", "some.csv.gz", "table"])
def test_a_table_keeps_its_other_columns(tmp_path, name, change):
    source = open_source(written(tmp_path / name, change(TABLE)))
    assert source.columns == ("id", "label")
    lines = "three\r\nlines" if change("\n") == "\r\n" else "three\nlines"
    assert rows(source) == [(("first", "1"), "ACGTT"), (("a, b", ""), "ggcu"), ((lines, "x"), "NNRY")]
    assert (source.count, source.longest) == (3, 5)


def test_tabs_separate_too_and_a_table_of_sequences_alone_is_numbered(tmp_path):
    source = open_source(written(tmp_path / "some.tsv", "label\tsequence\n1\tACG\na,b\tTT\n"))
    assert rows(source) == [(("1",), "ACG"), (("a,b",), "TT")]
    source = open_source(written(tmp_path / "alone.csv", "sequence\nACG\nTT\n"))
    assert (source.columns, source.integers) == (("row",), {"row"})
    assert rows(source) == [(("0",), "ACG"), (("1",), "TT")]


@pytest.mark.parametrize("header", ["{}sequence,label", "{}Seq,Label", "{}DNA,y", "{}dna,target"])
@pytest.mark.parametrize(
    ("index", "first"), [("", ()), (",", ("0",)), ("Unnamed: 0,", ("0",))], ids=["plain", "pandas", "reread"]
)
def test_names_of_columns_as_people_write_them(tmp_path, header, index, first):
    row = ",".join([*first, "AC-GT", "1"])
    source = open_source(written(tmp_path / "some.csv", f"{header.format(index)}\n{row}\n"))
    assert source.columns == (("index",) if first else ()) + (header.split(",")[-1],)
    assert rows(source) == [((*first, "1"), "AC-GT")]


def test_a_parquet_is_a_table_and_a_column_may_be_chosen(tmp_path):
    path = tmp_path / "some.parquet"
    parquet.write_table(pyarrow.table({"sequence": ["A", "C"], "promoter": ["ACG", "TT"], "score": [0.5, None]}), path)
    source = open_source(path, columns=ColumnNames("promoter"))
    assert source.columns == ("sequence", "score")
    assert rows(source) == [(("A", "0.5"), "ACG"), (("C", ""), "TT")]
    assert rows(open_source(path), 1) == [(("TT", ""), "C")]


def test_a_sequence_longer_than_the_csv_module_takes(tmp_path):
    long = dna(csv.field_size_limit() + 1)
    source = open_source(written(tmp_path / "some.csv", f"sequence,label\n{long},1\n"))
    assert rows(source) == [(("1",), long)]


@pytest.mark.parametrize("kind", ["records", "windows", "bed", "table"])
def test_rows_are_read_from_any_of_them_on_as_often_as_wanted(tmp_path, kind):
    genome = fasta(tmp_path / "genome.fa", GENOME)
    source = {
        "records": lambda: open_source(genome),
        "windows": lambda: open_source(genome, windows=Tiling(40)),
        "bed": lambda: open_source(written(tmp_path / "some.bed", BED), genome=str(genome)),
        "table": lambda: open_source(written(tmp_path / "some.csv", TABLE)),
    }[kind]()
    everything = rows(source)
    assert len(everything) == source.count >= 3
    assert max(len(sequence) for _, sequence in everything) == source.longest
    for first in range(source.count + 1):
        assert rows(source, first) == everything[first:]


@pytest.mark.parametrize("kind", ["bed", "table"])
def test_a_row_is_held_and_not_the_file(tmp_path, kind):
    if kind == "bed":
        genome, path = (
            str(fasta(tmp_path / "genome.fa", GENOME)),
            written(tmp_path / "some.bed", "one\t10\t20\tx\t5\t-\n" * 10_000),
        )
    else:
        genome, path = None, written(tmp_path / "some.csv", "sequence,label\n" + f"{ONE},1\n" * 10_000)
    tracemalloc.start()
    source = open_source(path, genome=genome)
    count = sum(1 for _ in source.rows(0))
    peak = tracemalloc.get_traced_memory()[1]
    held = list(islice(source.rows(0), 2000))
    more = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == source.count == 10_000
    assert len(held) == 2000
    assert peak < 700_000
    assert more - peak > 200_000 or more > 2 * peak, "holding a fifth of the rows would have shown"


REFUSED = {
    "empty FASTA": ("x.fa", "", {}, "x.fa is empty; a FASTA with at least one sequence is wanted"),
    "a record without bases": ("x.fa", ">one\nACGT\n>none\n>two\nAC\n", {}, "x.fa: 'none' has no bases"),
    "no record has bases": ("x.fa", ">one\n>two\n", {}, "x.fa holds no bases"),
    "protein FASTA": ("x.fa", ">p\nMKTAYIAKQRQISFVKSHFSRQ\n", {}, "looks like protein"),
    "protein CSV": ("x.csv", "sequence\nACGT\nMKTAYEQL\n", {}, "x.csv:3: 'E' is not a nucleotide letter: use A C G T N, "),
    "two columns of sequences": ("x.csv", "seq,DNA\nACGT,AC\n", {}, "columns seq, DNA are ambiguous: choose one by --"),
    "no header": ("x.csv", "ACGTACGT,0\nACGT,1\n", {}, "x.csv:1: there is no header: .* ACGTACGT;"),
    "no such column": ("x.csv", "sequence\nACGT\n", {"columns": ColumnNames("promoter")}, "1: there is no column 'promoter'"),
    "columns of a FASTA": ("x.fa", ">a\nACGT\n", {"columns": ColumnNames("a")}, "-column is for a table, and .*x.fa"),
    "ragged CSV": ("x.csv", "sequence,label\nACGT,1\nACGT\n", {}, "x.csv:3: has 1 cells, and the header 2 columns"),
    "a cell too many": ("x.csv", "sequence,label\nACGT,1,2\n", {}, "x.csv:2: has 3 cells, and the header 2 columns"),
    "no column sequence": ("x.csv", "gene,label\nACGT,1\n", {}, "is called sequence, seq or dna; the columns are gene, label"),
    "an empty table": ("x.csv", "", {}, "x.csv:1: no column is called sequence, seq or dna; the columns are none"),
    "a header alone": ("x.csv", "sequence,label\n", {}, "x.csv has no rows below its header"),
    "an empty cell": ("x.csv", "sequence,label\n ,1\n", {}, "x.csv:2: the sequence is empty"),
    "a column twice": ("x.csv", "sequence,a,a\nACGT,1,2\n", {}, "x.csv:1: column names must be unique and not empty, but 'a'"),
    "a column without a name": ("x.csv", "sequence,\nACGT,1\n", {}, "x.csv:1: column names must be unique and not empty"),
    "an open quote": ("x.csv", 'sequence,label\n"ACGT,1\n', {}, "x.csv cannot be read as a table"),
    "Latin-1": ("x.csv", b"sequence,label\nACGT,\xe9\n", {}, "x.csv is not UTF-8 text"),
    "half a gzip": ("x.csv", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", {}, "x.csv is a broken or truncated gzip file"),
    "BED without a genome": ("x.bed", "one\t0\t5\n", {}, "x.bed is a BED, which contains no bases: give --genome FASTA"),
    "BED beyond a contig": ("x.bed", "one\t0\t5\none\t9\t151\n", {"genome": "g.fa"}, "x.bed:2: 9-151 ends beyond 'one'"),
    "BED of another genome": ("x.bed", "chrOne\t0\t5\n", {"genome": "g.fa"}, "x.bed:1: .* has no contig 'chrOne'"),
    "BED of a strange strand": ("x.bed", "one\t0\t5\tx\t0\tplus\n", {"genome": "g.fa"}, "x.bed:1: the strand is 'plus'"),
    "an empty BED": ("x.bed", "# none\n", {"genome": "g.fa"}, "x.bed contains no interval"),
    "no such genome": ("x.bed", "one\t0\t5\n", {"genome": "none.fa"}, "there is no file none.fa"),
    "a genome for a table": ("x.csv", "sequence\nACGT\n", {"genome": "g.fa"}, "--genome is for a BED, and .*x.csv is not one"),
    "windows of a BED": ("x.bed", "one\t0\t5\n", {"genome": "g.fa", "windows": Tiling(5)}, "--window is for a FASTA"),
    "windows of a table": ("x.csv", "sequence\nACGT\n", {"windows": Tiling(5)}, "--window is for a FASTA, and .*x.csv is not"),
    "none of these": ("x.txt", "hello there\n", {}, "x.txt is not a format .* FASTA .*; its first line is 'hello there'"),
    "nothing at all": ("x.txt", "", {}, "x.txt is not a format that can be embedded"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "given", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(tmp_path, monkeypatch, name, content, given, sentence):
    monkeypatch.chdir(tmp_path)
    fasta(tmp_path / "g.fa", GENOME)
    with pytest.raises(FindnaError, match=sentence) as refused:
        open_source(written(tmp_path / name, content), **given)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("name", ["none.fa", "none.bed", "none.csv", "none"])
def test_a_file_that_is_not_there_is_a_sentence(tmp_path, name):
    with pytest.raises(FindnaError, match=f"no file .*{name}|{name} cannot be read .No such file"):
        open_source(tmp_path / name, genome=str(fasta(tmp_path / "g.fa", GENOME)) if name.endswith("bed") else None)


@pytest.mark.parametrize(("window", "overlap", "sentence"), [
    (None, 5, "--overlap 5 needs --window N as well"),
    (10, 10, "--overlap 10 of windows of 10: it must be at least 0 and less than --window"),
    (10, -1, "--overlap -1 of windows of 10"),
])  # fmt: skip
def test_windows_that_are_refused(window, overlap, sentence):
    with pytest.raises(FindnaError, match=sentence):
        tiling(window, overlap)


def test_windows_that_are_not():
    assert tiling(None, 0) is None
    assert tiling(10, 9) == Tiling(10, 9)
