"""plugins doctor: each plugin in a process of its own, so that the worst of them cannot spoil the others."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest

from findna_kit.plugins.entry_points import COMMANDS, COMPONENTS, RECIPES, REPORTERS
from tests.installing import findna, install, install_package

GOOD = """
from findna_kit import hookimpl
from findna_kit.builtin.augmentations.noise import Noise
findna_kit_api = 2
@hookimpl
def findna_kit_register(registry):
    registry.augmentations.add("hail", type("Hail", (Noise,), {}))
"""
HANGS = """
import subprocess, sys, time
def wait_for_a_licence(seconds):
    time.sleep(seconds)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
open({pids!r}, "w").write(str(child.pid))
wait_for_a_licence(300)
"""
LATE = GOOD + "\nimport atexit, os\natexit.register(lambda: os._exit(5))\n"
WORST = {
    "exits": ("import os; print('farewell', flush=True); os._exit(0)", "ended Python while it was imported, with exit code 0"),
    "leaves": ("raise SystemExit(7)", "SystemExit: 7"),
    "crashes": ("import ctypes\nctypes.string_at(0)", "the process was killed by SIGSEGV"),
    "late": (LATE, "could be imported, but then the process ended with exit code 5"),
}
POLLUTES = (
    GOOD.replace("hail", "mud")
    + """
import builtins, os, sys
builtins.open = None
sys.modules["findna_good"] = None
os.environ["FINDNA_KIT_PLUGINS"] = "none"
sys.path.clear()
"""
)


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def examined(*words):
    """Exit code, what is told by plugin and group, and all of it."""
    code, stdout, stderr = findna("plugins", "doctor", *words, "--json")
    assert "Traceback" not in stderr
    told = json.loads(stdout)
    return code, {(one["plugin"], one["group"]): one for one in told["plugins"]}, told


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


def test_the_worst_are_named_and_the_good_one_is_good(site):
    for name, (code, _) in WORST.items():
        install(site, f"findna-{name}", code)
    install(site, "findna-pollutes", POLLUTES)
    install(site, "findna-good", GOOD)
    code, found, _ = examined(*WORST, "pollutes", "good")
    assert code == 3
    for name, (_, reason) in WORST.items():
        assert found[name, COMPONENTS]["failure"] == reason
    assert "farewell" in found["exits", COMPONENTS]["output"]
    assert "findna_crashes.py" in found["crashes", COMPONENTS]["output"], "where it crashed"
    for name, brings in (("good", "hail"), ("pollutes", "mud"), ("builtin", "noise")):
        assert found[name, COMPONENTS]["failure"] is None
        assert brings in found[name, COMPONENTS]["brings"]["augmentation"]
    assert not {f"findna_{name}" for name in (*WORST, "pollutes", "good")} & set(sys.modules)


def test_one_that_hangs_is_ended_at_the_limit_with_what_it_started(site, tmp_path):
    pids = tmp_path / "pids"
    hangs = {"hangs.py": HANGS.format(pids=str(pids))}
    install_package(site, "findna-hangs", hangs, {COMMANDS: {"hangs": "hangs:app"}})
    started = time.monotonic()
    code, found, _ = examined("hangs", "--timeout", "5")
    assert time.monotonic() - started < 60
    assert (code, found.keys()) == (3, {("hangs", COMMANDS)})
    hung = found["hangs", COMMANDS]
    assert hung["failure"] == "had not finished after 5 s"
    assert "wait_for_a_licence" in hung["output"], "where it hung"
    time.sleep(0.2)
    assert not is_running(int(pids.read_text())), "what it had started is ended with it"


SEAMS = """
import typer
app, empty = typer.Typer(), typer.Typer()
@app.command()
def weigh():
    pass
def rows(run, recipe):
    return print
number = 3
"""


def test_seams_are_looked_at_as_well(site):
    files = {
        "lab/__init__.py": "", "lab/all.py": SEAMS, "lab/torn.py": "raise OSError('torn')",
        "lab/recipes/small.yaml": "base: self_distill\n",
    }  # fmt: skip
    groups = {
        COMMANDS: {"lab": "lab.all:app", "torn": "lab.torn:app", "run": "lab.all:app", "empty": "lab.all:empty"},
        REPORTERS: {"rows": "lab.all:rows", "number": "lab.all:number"},
        RECIPES: {"lab": "lab", "bare": "lab:nowhere"},
    }
    install_package(site, "findna-lab", files, groups, version="0.2")
    install_package(site, "findna-twin", {}, {REPORTERS: {"rows": "lab.all:rows"}, RECIPES: {"lab": "lab"}}, version="4.0")
    code, found, told = examined("findna-lab", "findna-twin")
    assert code == 3
    failures = {key: one["failure"] for key, one in found.items() if one["failure"] is not None}
    assert failures.keys() == {("torn", COMMANDS), ("empty", COMMANDS), ("number", REPORTERS), ("bare", RECIPES)}
    assert "the command 'torn' of findna-lab 0.2 cannot be imported: OSError: torn" in failures["torn", COMMANDS]
    assert "lab/torn.py" in found["torn", COMMANDS]["trace"]
    assert found["lab", RECIPES]["brings"] == {"recipes": ["lab:small"]}
    assert found["lab", COMMANDS]["brings"] == {"command": ["lab"]}
    said = [clash["said"] for clash in told["clashes"]]
    owners = "(findna-lab 0.2) and {} (findna-twin 4.0); uninstall one"
    assert sorted(said) == sorted([
        "command 'run' is claimed by run (findna-lab 0.2); "
        "findna-kit has a command of that name, and its own is the one that is called",
        f"recipes 'lab' is claimed by lab {owners.format('lab')}",
        f"reporter 'rows' is claimed by rows {owners.format('rows')}",
    ])  # fmt: skip


def test_all_is_well_is_exit_code_0(site):
    install(site, "findna-good", GOOD, version="0.9")
    code, stdout, stderr = findna("plugins", "doctor", "good")
    assert code == 0
    assert "good (findna-good 0.9): components, interface 2\n  augmentation: hail\n" in stdout
    assert stdout.splitlines()[-1] == "2 examined: 0 broken, 0 names are claimed twice"
    assert stderr == "importing 2 plugins, each in its own process and for at most 60 s\n"


def test_two_plugins_of_one_name_are_a_clash(site):
    install(site, "findna-good", GOOD)
    install_package(site, "findna-rival", {"rival.py": GOOD.replace("hail", "sleet")}, {COMPONENTS: {"good": "rival"}})
    code, _, told = examined("good")
    assert (code, [clash["kind"] for clash in told["clashes"]]) == (3, ["plugin"])
    assert told["clashes"][0]["said"].endswith("good (findna-good 1.0) and good (findna-rival 1.0); uninstall one")


def test_what_the_variable_leaves_out_is_looked_at_all_the_same_and_its_mistakes_are_said(site, monkeypatch):
    install(site, "findna-good", "raise OSError('gone')")
    monkeypatch.setenv("FINDNA_KIT_PLUGINS", "goood")
    code, stdout, _ = findna("plugins", "doctor", "good")
    assert code == 3
    lines = stdout.splitlines()
    at = lines.index("good (findna-good 1.0): components, BROKEN")
    assert lines[at + 1 : at + 3] == ["  left out by FINDNA_KIT_PLUGINS, but examined all the same", "  OSError: gone"]
    assert "FINDNA_KIT_PLUGINS: no plugin is called 'goood'; did you mean 'good'?" in stdout


def test_asking_for_who_is_not_there_names_the_nearest(site):
    install(site, "findna-good", GOOD)
    code, stdout, stderr = findna("plugins", "doctor", "god")
    assert (code, stdout) == (2, "")
    assert stderr == "no plugin is called 'god'; did you mean 'good'? (findna-kit plugins list shows all)\n"
