"""Whole or absent."""

import pytest

from findna_kit.atomic import atomic_write


def test_a_file_is_replaced_by_what_was_written(tmp_path):
    (tmp_path / "a.json").write_text("old")
    with atomic_write(tmp_path / "a.json") as beside:
        beside.write_text("new")
        assert (tmp_path / "a.json").read_text() == "old"
        assert beside.parent == tmp_path
    assert (tmp_path / "a.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("there", [True, False])
def test_what_fails_leaves_things_as_they_were(tmp_path, there):
    if there:
        (tmp_path / "a.json").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "a.json") as beside:
        beside.write_text("ne")
        raise KeyboardInterrupt
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"] * there


def test_nothing_written_is_an_error_not_an_empty_file(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.json"):
        pass
    assert not list(tmp_path.iterdir())
