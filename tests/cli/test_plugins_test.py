"""findna-kit plugins test PACKAGE."""

import json

import pytest

from tests.installing import findna, install

HEAD = """
import torch
from findna_kit import alphabet, hookimpl
from findna_kit.components.interfaces import Augmentation, ComponentConfig

findna_kit_api = 2


class Kept(Augmentation):
    class Config(ComponentConfig):
        pass

    def __call__(self, view, draw):
        return view


class Broken(Kept):
    def __call__(self, view, draw):
        return view.with_tokens(view.tokens.masked_fill(draw.uniform(view.tokens.shape[1]) < 0.2, alphabet.N))


class Bare(Kept):
    examples = ()


@hookimpl
def findna_kit_register(registry):
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    def put(name, *registered):
        body = "".join(f'    registry.augmentations.add("{one.lower()}_one", {one})\n' for one in registered) or "    pass\n"
        monkeypatch.syspath_prepend(install(tmp_path, name, HEAD + body))

    return put


def test_one_that_conforms(installed):
    installed("findna-kept", "Kept", "Bare")
    code, out, err = findna("plugins", "test", "kept")
    assert code == 0, out + err
    assert "all 9 checks pass" in out
    assert "not checked, because they have no `examples`: augmentation bare_one" in out
    assert [line.split() for line in out.splitlines() if "vectorised" in line] == [
        ["augmentation", "kept_one", "vectorised", "passes"]
    ]


def test_one_that_does_not_by_the_name_of_its_distribution(installed):
    installed("findna-bad", "Broken")
    code, out, _ = findna("plugins", "test", "findna_BAD")
    assert code == 3
    assert "are N although the window has no N at their origin" in out
    assert "of 9 checks fail" in out


def test_for_machines(installed):
    installed("findna-odd", "Broken", "Bare")
    code, out, _ = findna("plugins", "test", "odd", "--json")
    rows = json.loads(out)
    assert code == 3
    assert [row["result"] for row in rows if row["name"] == "bare_one"] == ["not checked"]
    (unknown,) = [row for row in rows if row["check"] == "unknown"]
    assert (unknown["result"], unknown["parameters"]) == ("fails", {})
    assert "are N although the window has no N" in unknown["faults"][0]
    assert {row["result"] for row in rows if row["check"] == "composes"} == {"passes"}


def test_a_package_that_is_not_there():
    code, out, err = findna("plugins", "test", "findna-kit-exampel")
    assert (code, out) == (2, "")
    assert "no installed plugin or distribution is called 'findna-kit-exampel'; did you mean 'findna-kit-example'?" in err


def test_a_package_that_does_not_load(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(install(tmp_path, "findna-gone", "import no_such_module"))
    code, out, err = findna("plugins", "test", "gone")
    assert (code, out) == (3, "")
    assert "gone (findna-gone 1.0) failed to load: ModuleNotFoundError: No module named 'no_such_module'" in err


def test_a_package_that_registers_nothing(installed):
    installed("findna-empty")
    code, _, err = findna("plugins", "test", "empty")
    assert code == 3
    assert "empty: registers no component" in err
