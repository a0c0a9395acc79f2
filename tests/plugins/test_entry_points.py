"""What is installed, from metadata alone, and what FINDNA_KIT_PLUGINS lets in."""

from __future__ import annotations

import sys

import pytest

from findna_kit.errors import FindnaError
from findna_kit.plugins.entry_points import (
    COMMANDS,
    COMPONENTS,
    GROUP_LABELS,
    PLUGINS_ENV,
    RECIPES,
    REPORTERS,
    enabled_entries,
    installed,
    unique_entry,
    unknown_names,
)
from findna_kit.plugins.loading import load_plugins
from tests.installing import findna, install, install_package

PLUGIN = """
from findna_kit import hookimpl
from findna_kit.builtin.augmentations.noise import Noise
findna_kit_api = 2
@hookimpl
def findna_kit_register(registry):
    registry.augmentations.add(__name__, type("Own", (Noise,), {}))
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Two plugins of one distribution, which brings a command and recipes too; one of another; a command of a third."""
    folder = tmp_path / "site"
    lab = {COMPONENTS: {"hail": "hail", "sleet": "sleet"}, COMMANDS: {"weather": "hail:app"}, RECIPES: {"lab": "hail"}}
    install_package(folder, "findna.Lab", {"hail.py": PLUGIN, "sleet.py": PLUGIN}, lab, version="2.0")
    install(folder, "findna-other", PLUGIN)
    install_package(folder, "findna-loner", {}, {REPORTERS: {"shout": "loner:shout"}})
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in ("hail", "sleet", "findna_other"):
        sys.modules.pop(name, None)


def enabled():
    """The entry points of this test's distributions that are let in."""
    ours = {"findna.Lab", "findna-other", "findna-loner", "findna-kit"}
    return {offer.owner.plugin for offer in installed() if offer.enabled and offer.owner.distribution in ours}


EVERYTHING = {"builtin", "hail", "sleet", "weather", "lab", "other", "shout"}


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        (None, EVERYTHING),
        ("", EVERYTHING),
        (" ", EVERYTHING),
        ("none", {"builtin"}),
        ("builtin", {"builtin"}),
        ("other", {"builtin", "other"}),
        ("hail", {"builtin", "hail", "weather", "lab"}),
        ("hail, other ,", {"builtin", "hail", "weather", "lab", "other"}),
        ("findna_lab", {"builtin", "hail", "sleet", "weather", "lab"}),
        ("findna-loner", {"builtin", "shout"}),
    ],
)
def test_the_variable_lets_in_plugins_and_what_their_distribution_brings_beside(site, monkeypatch, stated, found):
    if stated is None:
        monkeypatch.delenv(PLUGINS_ENV, raising=False)
    else:
        monkeypatch.setenv(PLUGINS_ENV, stated)
    assert enabled() == found
    assert unknown_names(installed()) == []


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("hali", r"FINDNA_KIT_PLUGINS: no plugin is called 'hali'; did you mean 'hail'\? \(installed: builtin"),
        ("other,none", "no plugin is called 'none'"),
        ("weather", "no plugin is called 'weather'"),
    ],
)
def test_a_name_that_nobody_has_is_an_error_wherever_plugins_are_loaded(site, monkeypatch, stated, said):
    monkeypatch.setenv(PLUGINS_ENV, stated)
    for group in GROUP_LABELS:
        with pytest.raises(FindnaError, match=said):
            enabled_entries(group)
    for words in (("components",), ("check", "self_distill"), ("recipes",)):
        code, stdout, stderr = findna(*words)
        assert (code, stdout) == (2, "")
        assert stderr.startswith("FINDNA_KIT_PLUGINS: no plugin is called")


def test_help_and_the_list_of_plugins_come_all_the_same(site, monkeypatch):
    monkeypatch.setenv(PLUGINS_ENV, "hali")
    assert findna("--help")[0] == findna("--version")[0] == 0
    code, stdout, stderr = findna("plugins", "list")
    assert code == 0
    assert "no plugin is called 'hali'" in stderr
    (line,) = [line for line in stdout.splitlines() if line.startswith("hail ")]
    assert "findna.Lab" in line and "left out by FINDNA_KIT_PLUGINS" in line
    (line,) = [line for line in stdout.splitlines() if line.startswith("builtin ")]
    assert "left out" not in line


def test_only_what_is_let_in_is_imported(site, monkeypatch):
    monkeypatch.setenv(PLUGINS_ENV, "hail")
    components, plugins = load_plugins()
    assert [plugin.owner.plugin for plugin in plugins] == ["builtin", "hail"]
    assert "hail" in components.augmentations and "deletion" in components.augmentations
    assert not {"sleet", "findna_other"} & set(sys.modules)


def test_without_may_name_what_the_variable_leaves_out_already(site, monkeypatch):
    monkeypatch.setenv(PLUGINS_ENV, "hail")
    assert [plugin.owner.plugin for plugin in load_plugins(without=["other", "hail"])[1]] == ["builtin"]
    with pytest.raises(FindnaError, match="--without nobody: no plugin has that name"):
        load_plugins(without=["nobody"])


def test_a_stranger_called_builtin_is_not_let_in_with_the_builtins(site, monkeypatch):
    install(site, "findna-false", PLUGIN, version="6.6")
    install_package(site, "findna-liar", {}, {COMPONENTS: {"builtin": "liar"}})
    monkeypatch.setenv(PLUGINS_ENV, "none")
    assert [offer.owner.distribution for offer in enabled_entries(COMPONENTS)] == ["findna-kit"]


def test_a_name_of_two_owners_is_an_error_that_names_both(site):
    install_package(site, "findna-twin", {}, {REPORTERS: {"shout": "twin:shout"}}, version="4.0")
    offers = enabled_entries(REPORTERS)
    with pytest.raises(
        FindnaError, match=r"'shout' is claimed by findna-loner 1.0 and findna-twin 4.0; uninstall one, or leave"
    ):
        unique_entry(offers, "shout", "the reporter")
    assert unique_entry(offers, "whisper", "the reporter") is None


def test_a_distribution_whose_metadata_are_gone_spoils_nothing(site):
    """As an uninstall that was interrupted leaves it."""
    install_package(site, "findna-half", {}, {COMPONENTS: {"half": "half_gone"}})
    (site / "findna_half-1.0.dist-info" / "METADATA").unlink()
    (offer,) = [offer for offer in installed() if offer.owner.plugin == "half"]
    assert offer.owner.distribution == offer.owner.version == "unknown"
    code, stdout, _ = findna("components", "encoder")
    assert (code, "chordmixer" in stdout) == (0, True)
