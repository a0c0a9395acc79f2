"""The one reader of tables: which columns are found, and what a row holds."""

import pytest

from findna_kit.data.table_columns import ColumnNames
from findna_kit.data.tables import TableRow, open_table
from findna_kit.errors import FindnaError


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "some.csv"
    path.write_text(",Seq,expression,Methylation,gene\n7,AC-GT,-0.448,1,abc\n9,acg,2e-3,0,\n")
    return path


def test_label_columns_are_kept_as_read(table):
    opened = open_table(table, ColumnNames(labels=("expression", "methylation")), labelled=True)
    assert (opened.sequence, opened.labels, opened.others) == ("Seq", ("expression", "Methylation"), ("index", "gene"))
    assert list(opened.rows()) == [
        TableRow(f"{table}:2", "AC-GT", ("-0.448", "1"), ("7", "abc")),
        TableRow(f"{table}:3", "acg", ("2e-3", "0"), ("9", "")),
    ]


def test_without_labels_they_are_other_columns(table):
    assert open_table(table).others == ("index", "expression", "Methylation", "gene")


def test_semicolons_and_a_missing_label(tmp_path):
    path = tmp_path / "some.csv"
    path.write_text("DNA;Target\nACGT;1,5\nAC;\n")
    opened = open_table(path, labelled=True)
    with pytest.raises(FindnaError, match=r"some.csv:3: the label is empty") as refused:
        list(opened.rows())
    assert refused.value.exit_code == 2
    assert next(opened.rows()).labels == ("1,5",)


def test_a_listing_of_columns_is_short(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"c{number}" for number in range(400)) + "\n")
    with pytest.raises(FindnaError, match=r"the columns are c0, .*, c11 and 388 more: choose one"):
        open_table(path)
