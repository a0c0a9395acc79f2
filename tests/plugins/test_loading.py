"""Plugins as installed distributions: found through their metadata, each loaded apart, none spoiling what does not use it."""

from __future__ import annotations

import json
import sys

import pytest

from findna_kit.builtin import findna_kit_api
from findna_kit.components.interfaces import API_VERSION
from findna_kit.errors import ComponentClash, FindnaError
from findna_kit.plugins.entry_points import COMPONENTS, installed
from findna_kit.plugins.loading import load_plugins
from tests.building import command, sets
from tests.installing import findna, install

OWN = '''
from pydantic import Field
from findna_kit import hookimpl
from findna_kit.builtin.encoders.transformer import Transformer
from findna_kit.components.interfaces import ComponentConfig

findna_kit_api = 2

class Own(Transformer):
    """An encoder of our own."""
'''
HOOK = """
@hookimpl
def findna_kit_register(registry):
    registry.encoders.add("own_mixer", Own)
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed distributions that this process finds; what was imported from there is forgotten again."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def plugin_of(name, plugins):
    (found,) = [plugin for plugin in plugins if plugin.owner.plugin == name]
    return found


# What a plugin is


def test_the_builtins_come_by_the_same_way():
    offer = installed()[0]
    owner = offer.owner
    assert (owner.plugin, owner.distribution, offer.group) == ("builtin", "findna-kit", COMPONENTS)
    assert offer.entry.value == "findna_kit.builtin"
    components, plugins = load_plugins()
    assert plugin_of("builtin", plugins).failure is None
    assert components.encoders.owners("chordmixer") == (owner,)
    assert findna_kit_api == API_VERSION


def test_an_installed_distribution_is_found_and_credited(site):
    install(site, "findna-own", OWN + HOOK, version="2.3")
    components, plugins = load_plugins()
    assert components.encoders["own_mixer"].__name__ == "Own"
    assert str(components.encoders.owners("own_mixer")[0]) == str(plugin_of("own", plugins)) == "own (findna-own 2.3)"


def test_the_builtins_can_be_left_out_too(site):
    install(site, "findna-own", OWN + HOOK)
    components, _ = load_plugins(without=["builtin"])
    assert "own_mixer" in components.encoders
    assert "chordmixer" not in components.encoders


def test_without_leaves_a_plugin_out_unimported(site):
    install(site, "findna-own", OWN + HOOK)
    components, plugins = load_plugins(without=["own"])
    assert "own_mixer" not in components.encoders
    assert "own" not in [plugin.owner.plugin for plugin in plugins]
    assert "findna_own" not in sys.modules


def test_leaving_out_who_is_not_there_names_the_nearest(site):
    install(site, "findna-own_mixers", OWN + HOOK)
    with pytest.raises(FindnaError, match=r"--without own_mixer: no plugin has that name; did you mean 'own_mixers'\?"):
        load_plugins(without=["own_mixer"])
    code, _, stderr = findna("check", "self_distill", "--without", "nobody")
    assert code == 2
    assert "--without nobody: no plugin has that name (installed: builtin" in stderr


# What may go wrong in one

FAILURES = {
    "raises": ("raise RuntimeError('no licence\\nwas found')", "RuntimeError: no licence was found"),
    "lacks": ("import a_library_nobody_has", "ModuleNotFoundError: No module named 'a_library_nobody_has'"),
    "exits": ("raise SystemExit('needs a driver')", "SystemExit: needs a driver"),
    "unreadable": ("def", "SyntaxError: invalid syntax"),
    "misspelt": (OWN + HOOK.replace("_register", "_registre"), "unknown hook 'findna_kit_registre'"),
    "argument": (OWN + HOOK.replace("(registry)", "(components)"), "'components'"),
    "unmarked": (OWN + HOOK.replace("@hookimpl", ""), "implements no hook of FinDNA-Kit; define findna_kit_register(registry)"),
    "newer": (
        OWN.replace("findna_kit_api = 2", "findna_kit_api = 99") + HOOK,
        f"written for version 99 of the plugin interface, this FinDNA-Kit has {API_VERSION}: install a release of findna-newer",
    ),
    "older": (
        "from findna_kit.interfaces import Encoder\nfrom findna_kit import hookimpl\n\nfindna_kit_api = 1\n",
        f"written for version 1 of the plugin interface, this FinDNA-Kit has {API_VERSION}: install a release of findna-older",
    ),
    "silent": (
        OWN.replace("findna_kit_api = 2", "") + HOOK,
        "findna_silent does not state the version of the plugin interface that it was written for: "
        f"add `findna_kit_api = {API_VERSION}` to it, beside the hook",
    ),
    "foreign": (OWN + HOOK.replace("Own)", "dict)"), "encoder 'own_mixer': <class 'dict'> is not a subclass of Encoder"),
    "undescribed": (
        OWN + "\n    class Config(ComponentConfig):\n        width: int = 3\n" + HOOK,
        "Own.Config.width: has no description; write Field(..., description=...)",
    ),
    "reserved": (
        OWN
        + "\n    class Config(ComponentConfig):\n        weight: int = Field(3, description='what the recipe means')\n"
        + HOOK,
        "Own.Config.weight: the recipe uses this key itself; take another name",
    ),
    "halfway": (OWN + HOOK + "    registry.losses.add('agree', Own)\n", "loss 'agree'"),
    "twice": (OWN + HOOK + HOOK.splitlines()[-1], "encoder 'own_mixer': registered twice by one plugin"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_plugin_that_fails_is_kept_with_its_reason_and_registers_nothing(site, name):
    code, reason = FAILURES[name]
    install(site, f"findna-{name}", code, version="0.3")
    components, plugins = load_plugins()
    failed = plugin_of(name, plugins)
    assert reason in str(failed)
    assert str(failed).startswith(f"{name} (findna-{name} 0.3) failed to load: ")
    assert "\n" not in str(failed)
    assert "Traceback" in failed.trace
    assert "own_mixer" not in components.encoders
    assert "chordmixer" in components.encoders
    assert plugin_of("builtin", plugins).failure is None


def test_an_entry_point_that_leads_nowhere_is_a_failure_as_well(site):
    install(site, "findna-lost", "", target="findna_elsewhere")
    assert "No module named 'findna_elsewhere'" in str(plugin_of("lost", load_plugins()[1]))


def test_a_plugin_that_is_no_module_may_state_its_version_in_one(site):
    holder = "class Holder:\n    @hookimpl\n    def findna_kit_register(self, registry):\n        "
    holder += "registry.encoders.add('own_mixer', Own)\nplugin = Holder()\n"
    install(site, "findna-own", OWN + holder, target="findna_own:plugin")
    components, plugins = load_plugins()
    assert plugin_of("own", plugins).failure is None
    assert "own_mixer" in components.encoders


def test_what_a_plugin_prints_does_not_mix_with_results(site):
    install(site, "findna-loud", "print('hello from a plugin')" + OWN + HOOK)
    code, stdout, stderr = findna("components", "own_mixer", "--json")
    assert (code, json.loads(stdout)[0]["name"]) == (0, "own_mixer")
    assert "hello from a plugin" in stderr


def test_one_failure_leaves_the_other_plugins_alone(site):
    install(site, "findna-broken", "raise OSError")
    install(site, "findna-own", OWN + HOOK)
    components, plugins = load_plugins()
    assert "own_mixer" in components.encoders
    assert [plugin.owner.plugin for plugin in plugins if plugin.failure] == ["broken"]


def test_being_interrupted_is_no_failure_of_a_plugin(site):
    install(site, "findna-slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_plugins()


# One name, two owners


def test_a_clash_names_both_owners_and_without_solves_it(site):
    install(site, "findna-rival", OWN + HOOK.replace("own_mixer", "chordmixer"), version="4.0")
    code, _, stderr = findna("check", "lejepa")
    assert code == 2
    assert "encoder 'chordmixer' is claimed by builtin (findna-kit " in stderr
    assert "and rival (findna-rival 4.0); leave one out with --without rival" in stderr
    assert findna("check", "lejepa", "--without", "rival")[0] == 0
    assert findna("check", "self_distill", *sets("encoder=transformer"))[0] == 0, "other names still work"
    listed = findna("components", "chordmixer")[1]
    assert "findna-rival 4.0" in listed
    assert "claimed twice" in listed


def test_without_takes_a_distribution_too(site):
    install(site, "findna-rival", OWN + HOOK.replace("own_mixer", "chordmixer"), version="4.0")
    assert findna("check", "lejepa", "--without", "findna-rival")[0] == 0


def test_two_strangers_clash_in_their_own_name_only(site):
    install(site, "findna-first", OWN + HOOK)
    install(site, "findna-second", OWN + HOOK + "    registry.encoders.add('second_mixer', Own)\n")
    components, _ = load_plugins()
    with pytest.raises(ComponentClash, match=r"first \(findna-first 1\.0\) and second \(findna-second 1\.0\)"):
        components.encoders["own_mixer"]
    assert components.encoders["second_mixer"].__module__ == "findna_second"
    assert load_plugins(without=["first"])[0].encoders["own_mixer"].__module__ == "findna_second"


# The command line beside a plugin that fails


def test_commands_that_do_not_use_a_failed_plugin_work(site):
    install(site, "findna-broken", "raise RuntimeError('no licence')")
    code, stdout, stderr = findna("check", "self_distill")
    assert (code, "self_distill: valid" in stdout, "broken" in stderr) == (0, True, False)
    code, stdout, stderr = findna("components", "encoder")
    assert (code, "chordmixer" in stdout) == (0, True)
    assert "broken (findna-broken 1.0) failed to load: RuntimeError: no licence" in stderr


def test_components_shows_a_strangers_beside_ours(site):
    undocumented = OWN.replace('    """An encoder of our own."""', "    __doc__ = None")
    install(site, "findna-own", OWN + HOOK)
    install(site, "findna-quiet", undocumented + HOOK.replace("own_mixer", "quiet_mixer"))
    described = {one["name"]: one for one in json.loads(findna("components", "encoder", "--json")[1])}
    assert described["own_mixer"]["from"] == "findna-own 1.0"
    assert described["own_mixer"]["does"] == "An encoder of our own."
    assert [parameter["name"] for parameter in described["own_mixer"]["parameters"]][:2] == ["dim", "hidden"]
    assert described["quiet_mixer"]["does"] == ""


def test_a_recipe_that_names_what_nobody_registers_lists_who_failed(tmp_path):
    install(tmp_path / "site", "findna-broken", "raise RuntimeError('no licence')", version="0.7")
    install(tmp_path / "site", "findna-own", OWN + HOOK)
    (tmp_path / "mine.yaml").write_text("base: self_distill\nname: mine\nencoder:\n  name: own_mixers\n")
    done = command("check", "mine.yaml", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")})
    assert done.returncode == 2
    assert "mine.yaml:4:9  encoder.name: no encoder is called 'own_mixers'; did you mean 'own_mixer'?" in done.stderr
    supplier = "broken (findna-broken 0.7) failed to load, and may contain it: RuntimeError: no licence"
    assert supplier in done.stderr.splitlines()
    assert "own (findna-own" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", ["run", "check", "show"])
def test_only_a_component_that_nobody_registered_brings_up_who_failed(site, tmp_path, verb):
    install(site, "findna-broken", "raise RuntimeError('no licence')", version="0.7")
    told = "broken (findna-broken 0.7) failed to load, and may contain it: RuntimeError: no licence"
    out = ["--out", tmp_path / "run"] if verb == "run" else []
    code, _, stderr = findna(verb, "self_distill", *out, *sets("encoder=own_mixer"))
    assert (code, told in stderr.splitlines()) == (2, True)
    code, _, stderr = findna(verb, "self_distill", *out, *sets("encoder.dim=no_number"))
    assert (code, "broken" in stderr) == (2, False), "what else is wrong has nothing to do with it"
    assert not (tmp_path / "run").exists()


def test_listing_plugins_imports_none(tmp_path):
    site, trace = tmp_path / "site", tmp_path / "imported"
    install(site, "findna-marks", f"open({str(trace)!r}, 'w')", version="3.2")
    listed = command("plugins", "list", "--json", cwd=tmp_path, env={"PYTHONPATH": str(site)})
    who = {"plugin": "marks", "distribution": "findna-marks", "version": "3.2", "module": "findna_marks"}
    assert who | {"brings": "components", "let_in": True} in json.loads(listed.stdout)
    for words in (["--help"], ["--version"], ["plugins"], ["plugins", "list"], ["recipes"], ["run", "--help"]):
        done = command(*words, cwd=tmp_path, env={"PYTHONPATH": str(site)})
        assert done.stdout, done.stderr
    assert not trace.exists()
    command("components", "masking", cwd=tmp_path, env={"PYTHONPATH": str(site)})
    assert trace.exists(), "the module does tell when it is imported"
