"""Cells are read as they were written, whatever is in them."""

import csv
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from findna_kit.data.delimited import unlimited_field_size
from findna_kit.inference.embedding.tsv import read_tsv, tsv

cells = st.text() | st.text(alphabet='\t\n\r" ,a')
tables = st.integers(1, 3).flatmap(lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=5))


@given(tables)
def test_any_text_is_read_as_it_was_written(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ids.tsv"
        path.write_bytes(tsv([["a header"], *rows]))
        assert list(read_tsv(path)) == rows


def test_plain_cells_are_plain():
    assert tsv([["id", "start"], ["a b", "1,5"], ["'", ""]]) == b"id\tstart\na b\t1,5\n'\t\n"


def test_a_cell_longer_than_the_csv_module_takes_is_read(tmp_path):
    before = csv.field_size_limit()
    long = ["A" * (before + 1), "x"]
    (tmp_path / "ids.tsv").write_bytes(tsv([["one", "two"], long]))
    assert list(read_tsv(tmp_path / "ids.tsv")) == [long]
    with unlimited_field_size():
        assert csv.field_size_limit() > before
    assert csv.field_size_limit() == before
