"""Atomic writes of files and folders."""

import os

import pytest

from findna_kit.atomic import atomic_write


def contents(folder):
    """The text of every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_replaced_by_what_was_written(tmp_path):
    (tmp_path / "a.json").write_text("old")
    with atomic_write(tmp_path / "a.json") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "a.json").read_text() == "old"
        assert temporary.parent == tmp_path
    assert (tmp_path / "a.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("there", [True, False])
def test_a_block_that_fails_leaves_things_as_they_were(tmp_path, there):
    if there:
        (tmp_path / "a.json").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "a.json") as temporary:
        temporary.write_text("ne")
        raise KeyboardInterrupt
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"] * there


def test_nothing_written_is_an_error_not_an_empty_file(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.json"):
        pass
    assert not list(tmp_path.iterdir())


def write_folder(path, text, **options):
    with atomic_write(path, **options) as temporary:
        (temporary / "deep").mkdir(parents=True)
        (temporary / "deep" / "a").write_text(text)


def test_a_folder_appears_whole_and_replaces_another_only_if_asked(tmp_path):
    write_folder(tmp_path / "out", "first")
    with pytest.raises(OSError, match="not empty"):
        write_folder(tmp_path / "out", "second")
    assert contents(tmp_path) == {"out/deep/a": "first"}
    (tmp_path / "out" / "more").write_text("of the first")
    write_folder(tmp_path / "out", "second", replace_folder=True)
    assert contents(tmp_path) == {"out/deep/a": "second"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_fails_leaves_things_as_they_were(tmp_path, there):
    if there:
        write_folder(tmp_path / "out", "old")
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "out", replace_folder=True) as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("half")
        raise KeyboardInterrupt
    assert contents(tmp_path) == ({"out/deep/a": "old"} if there else {})
    assert len(list(tmp_path.iterdir())) == there


def test_a_folder_that_cannot_be_renamed_is_put_back(tmp_path, monkeypatch):
    write_folder(tmp_path / "out", "old")
    rename = type(tmp_path).rename

    def fails(path, target):
        if path.name == f".out.{os.getpid()}":
            raise OSError("no")
        return rename(path, target)

    monkeypatch.setattr(type(tmp_path), "rename", fails)
    with pytest.raises(OSError, match="no"):
        write_folder(tmp_path / "out", "new", replace_folder=True)
    assert contents(tmp_path) == {"out/deep/a": "old"}


def test_what_a_killed_process_left_is_removed(tmp_path):
    left = tmp_path / f".out.{os.getpid()}"
    left.mkdir()
    (left / "stale").write_text("half")
    write_folder(tmp_path / "out", "new")
    assert contents(tmp_path) == {"out/deep/a": "new"}
