"""The example plugin: installed, it runs in a recipe; gone, what was made with it says what is missing."""

from __future__ import annotations

import json
import shutil
from importlib import metadata

import pytest

import findna_kit
from findna_kit.errors import FindnaError
from tests.building import ROOT, command, sets
from tests.installing import findna, install, install_project

EXAMPLE = ROOT / "plugins" / "findna-kit-example"
RECIPE = EXAMPLE / "findna_kit_example" / "recipes" / "example.yaml"
PIP = "pip install findna-kit-example"
PLUGIN_OF_NOTHING = """
from findna_kit import hookimpl
findna_kit_api = 2
@hookimpl
def findna_kit_register(registry):
    pass
"""
TINY = ("steps=2", "data.length=64", "data.batch_size=4", "evaluation.tasks=[]", "trainer.validation_windows=8")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder that holds `site`, with the example and a broken plugin installed, and `run`, made there."""
    folder = tmp_path_factory.mktemp("world")
    site = install(folder / "site", "findna-broken", "raise RuntimeError('no licence')")
    install_project(site, EXAMPLE)
    done = command("run", RECIPE, *sets(*TINY), "--out", folder / "run", cwd=folder, env={"PYTHONPATH": str(site)})
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def without_example():
    """Where the example is installed for good, as in CI, it is left out; elsewhere it is not there."""
    try:
        metadata.distribution("findna-kit-example")
    except metadata.PackageNotFoundError:
        return []
    return ["example"]


def test_a_run_knows_the_owners_of_its_components(world):
    record = json.loads((world / "run" / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["components"]["encoder"] == {"depthwise_conv": "findna-kit-example 0.1.0"}
    assert record["components"]["loss"]["pooled_agreement"] == "findna-kit-example 0.1.0"
    assert "example (findna-kit-example 0.1.0)" in record["plugins"]
    assert not [plugin for plugin in record["plugins"] if plugin.startswith("broken")]


def test_a_run_is_loaded_where_its_plugin_is_installed(world, monkeypatch):
    monkeypatch.syspath_prepend(world / "site")
    assert findna_kit.load(world / "run", device="cpu").embed(["ACGTN"]).shape == (1, 64)


def test_a_recipe_whose_plugin_is_gone_says_what_is_missing(without_example):
    left_out = [word for name in without_example for word in ("--without", name)]
    code, stdout, stderr = findna("check", RECIPE, *left_out)
    assert (code, stdout) == (2, "")
    assert "encoder.name: no encoder is called 'depthwise_conv'" in stderr
    assert "losses.agree.name: no loss is called 'pooled_agreement'" in stderr


def test_a_run_whose_plugin_is_gone_names_the_distribution(world, without_example):
    missing = "encoder 'depthwise_conv' of findna-kit-example 0.1.0; loss 'pooled_agreement' of findna-kit-example 0.1.0"
    with pytest.raises(FindnaError, match=missing.replace(".", r"\.")):
        findna_kit.load(world / "run", device="cpu", without=without_example)
    left_out = [word for name in without_example for word in ("--without", name)]
    code, _, stderr = findna("evaluate", world / "run", "builtin", *left_out)
    assert code == 2
    assert f"uses components that no installed plugin provides: {missing}\n" in stderr
    left_out = "findna-kit-example 0.1.0 is installed, but excluded by --without or FINDNA_KIT_PLUGINS"
    assert stderr.splitlines()[1] == (left_out if without_example else f"{PIP}    (the run was made with 0.1.0)")


@pytest.mark.parametrize("installed", [None, "2.0"])
def test_what_to_install_is_said(world, tmp_path, monkeypatch, installed):
    """A run whose plugin is nowhere, or here in a version that has lost the component."""
    run = tmp_path / "run"
    shutil.copytree(world / "run", run)
    record = json.loads((run / "run.json").read_text())
    record["components"]["masking"] = {"by_codon": "findna-gone 3.1"}
    (run / "run.json").write_text(json.dumps(record))
    monkeypatch.syspath_prepend(world / "site")
    if installed:
        monkeypatch.syspath_prepend(install(tmp_path / "site", "findna-gone", PLUGIN_OF_NOTHING, version=installed))
    with pytest.raises(FindnaError) as caught:
        findna_kit.load(run, device="cpu")
    first, second, *_ = str(caught.value).splitlines()
    assert first == f"{run}: uses components that no installed plugin provides: masking 'by_codon' of findna-gone 3.1"
    assert second == (
        "findna-gone 2.0 is installed and does not provide it, or is excluded: pip install findna-gone==3.1"
        if installed
        else "pip install findna-gone    (the run was made with 3.1)"
    )


def test_a_run_whose_plugin_does_not_load_any_more_says_why(world, tmp_path, monkeypatch, without_example):
    monkeypatch.syspath_prepend(install(tmp_path / "site", "findna-outdated", "raise ImportError('needs torch 9')"))
    with pytest.raises(FindnaError) as caught:
        findna_kit.load(world / "run", device="cpu", without=without_example)
    *_, last = str(caught.value).splitlines()
    assert last == "outdated (findna-outdated 1.0) failed to load: ImportError: needs torch 9"


def test_a_plugin_of_the_run_that_fails_says_so_and_asks_for_no_install(world, tmp_path, monkeypatch):
    """What is installed but broken is not mended by being installed."""
    run = tmp_path / "run"
    shutil.copytree(world / "run", run)
    record = json.loads((run / "run.json").read_text())
    record["components"]["masking"] = {"by_codon": "findna-outdated 1.0"}
    (run / "run.json").write_text(json.dumps(record))
    monkeypatch.syspath_prepend(world / "site")
    monkeypatch.syspath_prepend(install(tmp_path / "site", "findna-outdated", "raise ImportError('needs torch 9')"))
    with pytest.raises(FindnaError) as caught:
        findna_kit.load(run, device="cpu")
    assert "pip install" not in str(caught.value)
    assert "outdated (findna-outdated 1.0) failed to load: ImportError: needs torch 9" in str(caught.value)
