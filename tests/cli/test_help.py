"""The help of every command: whole sentences, whole words, at most 80 columns, and no import of torch."""

import inspect
import subprocess
import sys
import textwrap
from importlib import import_module

import pytest
from typer.main import get_command

from findna_kit.cli.app import app
from findna_kit.cli.groups import CommandEntry
from tests.cli.terminal import WIDTHS, every_command, on_terminal
from tests.installing import findna

EVERY = dict(every_command())
COMMANDS = {path: entry for path, entry in EVERY.items() if isinstance(entry, CommandEntry)}
GROUPS = {path: entry for path, entry in EVERY.items() if path not in COMMANDS}


def joined(text):
    return " ".join(text.split())


def function_of(entry):
    module, _, name = entry.target.partition(":")
    return getattr(import_module(module), name)


def click_command(path):
    """The command with its options."""
    command = get_command(app)
    for name in path:
        command = command.commands[name]
    return command.command


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", [(), *EVERY], ids=" ".join)
def test_help_fits_and_no_word_is_broken(path, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")  # click wraps help at 80 columns even here, between words
    words = set(findna(*path, "--help")[1].split())
    shown = on_terminal(width, *path, "--help")
    assert max(map(len, shown.splitlines())) <= 80
    assert set(shown.split()) == words
    assert shown.startswith("Usage: findna-kit")


@pytest.mark.parametrize("path", [(), *GROUPS], ids=" ".join)
def test_a_list_of_commands_has_their_whole_summaries(path):
    shown = joined(on_terminal(80, *path, "--help"))
    for below, entry in EVERY.items():
        if below[:-1] == path:
            assert f"{below[-1]} {entry.summary}" in shown


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_summary_is_the_first_paragraph_of_the_docstring(path):
    documentation = inspect.getdoc(function_of(COMMANDS[path]))
    assert COMMANDS[path].summary == joined(documentation.partition("\n\n")[0])
    assert joined(documentation) in joined(on_terminal(80, *path, "--help"))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_help_of_an_option_is_a_sentence(path):
    for parameter in click_command(path).params:
        text = parameter.help.partition(" [default")[0]
        assert text[0].isupper() and text.endswith("."), f"{parameter.name}: {text}"


def test_every_summary_is_a_sentence():
    for path, entry in EVERY.items():
        assert entry.summary[0].isupper() and entry.summary.endswith("."), path


def test_the_list_of_commands_imports_none_of_them():
    targets = sorted({entry.target.partition(":")[0] for entry in COMMANDS.values()})
    assert imported_by("--help") & set(targets) == set()
    assert "torch" not in imported_by("--help")


def test_the_help_of_a_command_comes_without_heavy_libraries():
    for path in [("run",), ("evaluate",), ("ablate",), ("plan",), ("embed",), ("components",), ("plugins", "new")]:
        assert not {"torch", "numpy", "sklearn", "pluggy", "jinja2"} & imported_by(*path, "--help"), path


def imported_by(*arguments):
    """The modules that a command has imported at its end."""
    code = f"""
        import sys
        sys.argv = ["findna-kit", *{arguments!r}]
        from findna_kit.cli import main
        try:
            main()
        except SystemExit:
            print("\\n" + " ".join(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())
