"""The example plugin: installed, it runs in a recipe; gone, what was made with it says what is missing."""

from __future__ import annotations

import json
from importlib import metadata

import pytest

import findna_kit
from findna_kit.errors import FindnaError
from tests.building import ROOT, command, sets
from tests.installing import findna, install, install_project

EXAMPLE = ROOT / "plugins" / "findna-kit-example"
RECIPE = EXAMPLE / "recipes" / "example.yaml"
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
    assert f"was made with what nobody registers now: {missing}; install it" in stderr


def test_a_run_whose_plugin_does_not_load_any_more_says_why(world, tmp_path, monkeypatch, without_example):
    monkeypatch.syspath_prepend(install(tmp_path / "site", "findna-outdated", "raise ImportError('needs torch 9')"))
    with pytest.raises(FindnaError) as caught:
        findna_kit.load(world / "run", device="cpu", without=without_example)
    assert str(caught.value).splitlines()[1:] == ["outdated (findna-outdated 1.0) failed to load: ImportError: needs torch 9"]
