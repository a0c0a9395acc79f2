"""Commands that plugins bring: listed from metadata, imported when they are called."""

from __future__ import annotations

import subprocess
import sys

import pytest

from findna_kit.cli.plugin_commands import load_command
from findna_kit.errors import PluginError
from findna_kit.plugins.entry_points import COMMANDS, COMPONENTS, enabled_entries
from tests.building import command
from tests.installing import findna, install_package

LAB = """
import sys
import typer
from findna_kit.errors import FindnaError

app = typer.Typer(add_completion=False, help="What the lab does.")

@app.command()
def weigh(sample: str, times: int = typer.Option(1, "--times")):
    "Weigh a sample."
    print(f"{sample}: weighed {times}x")

@app.command()
def spill(reason: str):
    "Go wrong as the kit does."
    raise FindnaError(f"spilt: {reason}")

single = typer.Typer(add_completion=False)

@single.command()
def alone(words: list[str] = typer.Argument(None)):
    print("alone with", words)

class Foreign:
    "Like a command of a click that is not typer's."
    def main(self, args, prog_name):
        print(prog_name, args)
        sys.exit(4)

foreign = Foreign()
number = 3
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A distribution that brings five commands, one of which has the name of one of ours."""
    commands = {"lab": "lab:app", "alone": "lab:single", "foreign": "lab:foreign", "run": "lab:app", "number": "lab:number"}
    folder = install_package(tmp_path / "site", "findna-lab", {"lab.py": LAB}, {COMMANDS: commands}, version="0.2")
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in ("lab", "broken"):
        sys.modules.pop(name, None)


def listed(stdout):
    return {line.split()[0]: line for line in stdout.partition("Commands:")[2].splitlines() if line.strip()}


def test_help_lists_them_with_their_distribution_and_imports_none(site):
    code, stdout, _ = findna("--help")
    lines = listed(stdout)
    assert code == 0
    assert "(from findna-lab 0.2)" in lines["lab"]
    assert list(lines).index("lab") > list(lines).index("evaluate"), "ours stand first"
    assert "Train a recipe" in lines["run"], "ours is the one that is called"
    assert "lab" not in sys.modules


def test_all_that_follows_the_name_is_its_own(site):
    assert findna("lab", "weigh", "tube", "--times", "3") == (0, "tube: weighed 3x\n", "")
    code, stdout, _ = findna("lab", "--help")
    assert code == 0
    assert "Usage: findna-kit lab" in stdout
    assert "What the lab does." in stdout
    assert "Weigh a sample." in findna("lab", "weigh", "--help")[1]
    assert findna("alone", "a", "--", "-b") == (0, "alone with ['a', '-b']\n", "")
    code, _, stderr = findna("lab", "weight")
    assert (code, "weight" in stderr) == (2, True)


def test_what_only_looks_like_a_click_command_is_given_its_words_and_keeps_its_exit_code(site):
    assert findna("foreign", "-x", "--", "1") == (4, "findna-kit foreign ['-x', '--', '1']\n", "")


def test_its_mistakes_are_told_like_ours(site):
    assert findna("lab", "spill", "tea") == (2, "", "spilt: tea\n")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import a_library_nobody_has", "ModuleNotFoundError: No module named 'a_library_nobody_has'"),
        ("raise SystemExit('needs a licence')", "SystemExit: needs a licence"),
        ("ap = 1", "AttributeError: module 'broken' has no attribute 'app'"),
    ],
)
def test_one_that_cannot_be_imported_is_a_message_and_spoils_no_other(site, code, reason):
    install_package(site, "findna-broken", {"broken.py": code}, {COMMANDS: {"broken": "broken:app"}}, version="3.0")
    exit_code, stdout, stderr = findna("broken", "--whatever")
    assert (exit_code, stdout) == (2, "")
    assert stderr == (
        f"the command 'broken' of findna-broken 3.0 cannot be imported: {reason}; "
        "findna-kit plugins doctor shows the traceback\n"
    )
    assert "(from findna-broken 3.0)" in listed(findna("--help")[1])["broken"]
    assert findna("lab", "weigh", "tube")[0] == 0
    assert findna("components", "encoder")[0] == 0


def test_what_is_no_command_is_said(site):
    code, _, stderr = findna("number")
    assert code == 2
    reason = "is neither a typer app nor a click command (lab:number of findna-lab)"
    assert f"the command 'number' of findna-lab 0.2 {reason}" in stderr


def test_a_class_is_no_command_even_if_it_has_a_main(site):
    install_package(site, "findna-class", {}, {COMMANDS: {"kind": "lab:Foreign"}})
    (offer,) = [offer for offer in enabled_entries(COMMANDS) if offer.owner.plugin == "kind"]
    with pytest.raises(PluginError, match="is neither a typer app nor a click command"):
        load_command(offer)


def test_a_name_of_two_owners_is_called_by_neither(site):
    install_package(site, "findna-twin", {"twin.py": "raise OSError"}, {COMMANDS: {"lab": "twin:app"}}, version="4.0")
    assert "(from findna-lab 0.2 and findna-twin 4.0)" in listed(findna("--help")[1])["lab"]
    code, _, stderr = findna("lab", "weigh", "tube")
    assert code == 2
    assert stderr.startswith("the command 'lab' is claimed by findna-lab 0.2 and findna-twin 4.0; uninstall one")
    assert findna("alone")[0] == 0


def test_the_variable_leaves_them_out(site, monkeypatch):
    monkeypatch.setenv("FINDNA_KIT_PLUGINS", "none")
    assert "lab" not in listed(findna("--help")[1])
    code, _, stderr = findna("lab", "weigh", "tube")
    assert (code, "lab" in stderr) == (2, True)
    monkeypatch.setenv("FINDNA_KIT_PLUGINS", "findna-lab")
    assert findna("lab", "weigh", "tube")[0] == 0
    monkeypatch.setenv("FINDNA_KIT_PLUGINS", "findna-lab,nobody")
    assert "no plugin is called 'nobody'" in findna("lab", "weigh", "tube")[2]


def test_help_comes_without_torch_and_a_command_only_with_what_it_imports(site, tmp_path):
    """In a process of its own, beside a plugin whose import would be seen."""
    trace = tmp_path / "imported"
    seen = {"seen.py": f"open({str(trace)!r}, 'w')\napp = None"}
    install_package(site, "findna-seen", seen, {COMPONENTS: {"seen": "seen"}, COMMANDS: {"seen": "seen:app"}})
    path = {"PYTHONPATH": str(site)}
    assert "(from findna-seen 1.0)" in command("--help", cwd=tmp_path, env=path).stdout
    assert command("lab", "weigh", "tube", cwd=tmp_path, env=path).stdout == "tube: weighed 1x\n"
    assert not trace.exists()
    probe = "import sys, runpy; sys.argv = ['findna-kit', 'lab', 'weigh', 'x']\ntry: runpy.run_module('findna_kit')\n"
    probe = probe.replace("('findna_kit')", "('findna_kit', run_name='__main__')")
    probe += "except SystemExit: print('torch' in sys.modules, 'pluggy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=site)
    assert done.stdout.splitlines()[-1] == "False False"
    assert command("seen", cwd=tmp_path, env=path).returncode == 2
    assert trace.exists(), "the module does tell when it is imported"
