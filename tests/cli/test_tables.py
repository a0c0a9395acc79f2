"""The layout of tables, and of lines on a terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from findna_kit.cli import console
from findna_kit.cli.tables import lay_out, select
from tests.cli.terminal import Terminal

ROWS = [["name", "what it is"], ["one", "a sentence of some length that is wrapped"], ["another_one", ""]]


def test_without_a_width_every_row_is_one_line():
    assert lay_out(ROWS, None) == (
        ["name         what it is"],
        ["one          a sentence of some length that is wrapped", "another_one"],
    )
    long = [["x"], ["word " * 100]]
    assert len(lay_out(long, None)[1]) == 1


def test_cells_are_wrapped_at_spaces():
    assert lay_out(ROWS, 35) == (
        ["name         what it is"],
        ["one          a sentence of some", "             length that is wrapped", "another_one"],
    )


def test_what_does_not_fit_next_to_each_other_becomes_blocks():
    rows = [["task", "path"], ["a", "x" * 30], ["b", ""], ["c", "some words that are wrapped here"]]
    assert lay_out(rows, 30) == ([], [
        "task  a", "path  " + "x" * 30, "", "task  b", "", "task  c", "path  some words that are", "      wrapped here",
    ])  # fmt: skip


def test_columns_are_selected_in_the_given_order():
    assert select(ROWS, 1, 0)[0] == ["what it is", "name"]
    assert select(ROWS, -1)[1] == [ROWS[1][1]]


words = st.lists(st.text("abc-/", min_size=1, max_size=12), max_size=8).map(" ".join)


@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(words, min_size=n, max_size=n), min_size=1, max_size=4)))
def test_any_table_fits_with_its_words_whole(rows):
    rows = [[f"title{n}" for n in range(len(rows[0]))], *rows]
    header, body = lay_out(rows, 60)
    assert all(len(line) <= 60 for line in [*header, *body])
    assert {word for line in body for word in line.split()} >= {
        word for row in rows[1:] for cell in row for word in cell.split()
    }


def test_a_line_is_wrapped_on_a_terminal_only(monkeypatch):
    line = "  " + "word " * 30 + "path/" * 30
    for stream, lines in ((Terminal(), 3), (io.StringIO(), 1)):
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr("sys.stderr", stream)
        console.log(line)
        shown = stream.getvalue().splitlines()
        assert len(shown) == lines
        assert shown[-1].endswith("path/" * 30)
    assert shown == [line]


@pytest.mark.parametrize("text", ["", "\n", "first\n\nsecond"])
def test_empty_lines_are_kept(text, monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    console.print_line(text)
    assert stream.getvalue() == text + "\n"
