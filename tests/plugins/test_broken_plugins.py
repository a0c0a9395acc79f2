"""Five broken plugins, installed as real distributions beside a good one: nobody who does not use them notices."""

from __future__ import annotations

import json

import pytest

from findna_kit.plugins.entry_points import COMPONENTS
from findna_kit.plugins.kinds import KINDS
from tests.building import SMALL, SMALL_HEAD, command, sets
from tests.installing import install

AUGMENTATION = '''
from findna_kit import hookimpl
from findna_kit.builtin.augmentations.noise import Noise

findna_kit_api = 2

class Hail(Noise):
    """Falls on the bases."""

@hookimpl
def findna_kit_register(registry):
    registry.augmentations.add("hail", Hail)
'''
BROKEN = {
    "absent": ("import a_library_nobody_has", "ModuleNotFoundError: No module named 'a_library_nobody_has'"),
    "old": (AUGMENTATION.replace("api = 2", "api = 0"), "written for version 0 of the plugin interface, this FinDNA-Kit has 2"),
    "misspelt": (AUGMENTATION.replace("kit_register", "kit_registre"), "unknown hook 'findna_kit_registre'"),
    "foreign": (AUGMENTATION.replace("Hail)", "dict)"), "<class 'dict'> is not a subclass of Augmentation"),
}
CLASH = AUGMENTATION.replace('"hail"', '"inversion"')
"""`inversion` is a built-in that `self_distill` does not use."""
CLAIMED = "augmentation 'inversion' is claimed by builtin (findna-kit 0.1.0) and clash (findna-clash 5.0)"
CUT = sets(*(o for o in (*SMALL, *SMALL_HEAD) if "every" not in o), "steps=2")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the five, and of a good one."""
    folder = tmp_path_factory.mktemp("world") / "site"
    for number, (name, (code, _)) in enumerate(BROKEN.items(), 1):
        install(folder, f"findna-{name}", code, version=f"{number}.0")
    install(folder, "findna-clash", CLASH, version="5.0")
    install(folder, "findna-good", AUGMENTATION)
    return folder


@pytest.fixture(scope="module")
def called(site):
    """A command beside them, in a process of its own; whatever else is installed here is left out."""
    names = ",".join([*BROKEN, "clash", "good"])

    def called(*words):
        return command(*words, cwd=site.parent, env={"PYTHONPATH": str(site), "FINDNA_KIT_PLUGINS": names})

    return called


@pytest.fixture(scope="module")
def doctor(called):
    return called("plugins", "doctor", *BROKEN, "clash", "good", "--json")


def test_a_recipe_that_uses_none_of_them_runs_without_a_word_about_them(called, site):
    done = called("run", "self_distill", *CUT, "--out", "run", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "failed to load" not in done.stderr + done.stdout
    record = json.loads((site.parent / "run" / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["components"]["masking"] == {"independent": "findna-kit 0.1.0"}
    assert set(record["components"]) == {kind.name for kind in KINDS}
    assert not [one for one in record["plugins"] if one.startswith(tuple(BROKEN))]
    assert "good (findna-good 1.0)" in record["plugins"]


@pytest.mark.parametrize("words", [["--help"], ["plugins"], ["plugins", "list"], ["show", "self_distill"]])
def test_commands_work_beside_them(called, words):
    done = called(*words)
    assert done.returncode == 0, done.stderr
    assert "failed to load" not in done.stderr
    assert done.stdout


def test_components_are_listed_and_the_broken_are_said(called):
    done = called("components", "--wide")
    assert done.returncode == 0, done.stderr
    assert "hail" in done.stdout
    for number, (name, (_, reason)) in enumerate(BROKEN.items(), 1):
        (line,) = [line for line in done.stderr.splitlines() if line.startswith(f"{name} ")]
        assert line.startswith(f"{name} (findna-{name} {number}.0) failed to load: ")
        assert reason in line
    (line,) = [line for line in done.stdout.splitlines() if " inversion " in line]
    assert "findna-kit 0.1.0 and findna-clash 5.0" in line
    assert "claimed twice" in line


def test_a_component_that_nobody_registered_lists_them_as_possible_suppliers(called):
    done = called("check", "self_distill", *sets("views.shifted.augment=[hails]"))
    assert done.returncode == 2
    assert "no augmentation is called 'hails'; did you mean 'hail'?" in done.stderr
    for name in BROKEN:
        assert f"{name} (findna-{name} " in done.stderr
    assert "failed to load, and may contain it: ModuleNotFoundError" in done.stderr
    assert "clash (" not in done.stderr, "it loads"


def test_the_name_that_two_claim_is_an_error_until_one_is_left_out(called):
    uses = sets("views.shifted.augment=[inversion]")
    done = called("check", "self_distill", *uses)
    assert done.returncode == 2
    assert f"{CLAIMED}; leave one out with --without clash" in done.stderr
    assert "Traceback" not in done.stderr
    done = called("check", "self_distill", *uses, "--without", "clash")
    assert done.returncode == 0, done.stderr


def test_the_doctor_names_each_with_its_distribution_and_reason(doctor):
    assert doctor.returncode == 3
    told = json.loads(doctor.stdout)
    found = {one["plugin"]: one for one in told["plugins"] if one["group"] == COMPONENTS}
    for number, (name, (_, reason)) in enumerate(BROKEN.items(), 1):
        one = found[name]
        assert (one["distribution"], one["version"], one["let_in"]) == (f"findna-{name}", f"{number}.0", True)
        assert reason in one["failure"]
        assert "Traceback" in one["trace"]
        assert one["brings"] == {}
    assert [found[name]["api"] for name in ("absent", "old", "foreign", "good")] == [None, 0, 2, 2]
    assert found["good"]["brings"] == {"augmentation": ["hail"]}
    assert found["good"]["failure"] is found["clash"]["failure"] is None
    assert "chordmixer" in found["builtin"]["brings"]["encoder"]
    (clash,) = [clash for clash in told["clashes"] if clash["name"] == "inversion"]
    assert [owner["distribution"] for owner in clash["owners"]] == ["findna-kit", "findna-clash"]


def test_the_doctor_says_so_in_words_too(called):
    done = called("plugins", "doctor", "foreign", "findna-clash")
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    at = lines.index("foreign (findna-foreign 4.0): components, interface 2, BROKEN")
    assert lines[at + 1].startswith("  PluginError: augmentation 'hail': <class 'dict'> is not a subclass")
    assert lines[at + 2].startswith("  | ")
    assert "clash (findna-clash 5.0): components, interface 2" in lines
    assert "  augmentation: inversion" in lines
    assert f"{CLAIMED}; leave one out with --without clash" in lines
    assert lines[-1] == "3 examined: 1 broken, 1 name is claimed twice"
    assert "Traceback" not in done.stderr
