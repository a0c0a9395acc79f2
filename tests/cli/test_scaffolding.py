"""plugins new: what it writes passes its own tests, keeps the laws and runs in a recipe, whatever kinds are asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from itertools import combinations

import pytest
from ruamel.yaml import YAML

from findna_kit.cli.scaffolding import files
from findna_kit.components.interfaces import API_VERSION
from findna_kit.plugins.kinds import KINDS as TABLE
from findna_kit.plugins.loading import load_plugins
from findna_kit.plugins.registry import Components
from tests.building import ROOT, command, sets
from tests.installing import findna, install, install_project

KINDS = [kind.name for kind in TABLE]
REGISTRIES = {kind.name: kind.plural for kind in TABLE}
SUBSETS = [subset for size in range(1, len(KINDS) + 1) for subset in combinations(KINDS, size)]
TINY = sets("steps=2", "data.length=64", "data.batch_size=4", "trainer.validation_windows=8", "evaluation.tasks=[]")
MINUTES = "processes or compiled or resume"
"""Checks that take half a minute between them; the slow stage makes them too."""


def written(folder, name, kinds):
    """The package as the command writes it."""
    code, stdout, stderr = findna("plugins", "new", name, "--kind", ",".join(kinds), "--out", folder)
    assert (code, stderr) == (0, ""), stderr
    return stdout


def own_tests(folder, *arguments):
    """The package's tests, in a process that finds it installed."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(folder / "site")},
    )  # fmt: skip


def package(folder, name, kinds):
    """Written and installed; commands in its environment."""
    written(folder, name, kinds)
    install_project(folder / "site", folder)
    return lambda *words: command(*words, cwd=folder, env={"PYTHONPATH": str(folder / "site")})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A package with a component of every kind, and its commands."""
    folder = tmp_path_factory.mktemp("whole") / "findna-two-words"
    return folder, package(folder, "two-words", KINDS)


def test_it_passes_its_own_tests(whole):
    folder, _ = whole
    done = own_tests(folder, "-k", f"not ({MINUTES})", "-vv")
    assert done.returncode == 0, done.stdout + done.stderr
    for kind in KINDS:
        assert f"tests/test_{kind}.py::" in done.stdout
        assert f"test_conforms[{kind}-two_words_{kind}-" in done.stdout
    assert "skipped" not in done.stdout


def test_its_tests_fail_where_the_component_is_wrong(whole, tmp_path):
    """They can: a sign, a mean and a share are changed."""
    wrong = {
        "x + F.glu": "x - F.glu", "alphabet.T).masked": "alphabet.G).masked", "< wanted": "<= wanted", "gc.mean()": "gc.sum()",
        "1 / averaged": "0.5 / averaged", "alpha=self": "alpha=0.5 * self", "drops + 1": "drops + 2",
    }  # fmt: skip
    text = (whole[0] / "findna_two_words" / "__init__.py").read_text()
    for was, becomes in wrong.items():
        assert text.count(was) == 1, was
        text = text.replace(was, becomes)
    written(tmp_path / "wrong", "two-words", KINDS)
    (tmp_path / "wrong" / "findna_two_words" / "__init__.py").write_text(text)
    install_project(tmp_path / "wrong" / "site", tmp_path / "wrong")
    done = own_tests(tmp_path / "wrong", "--deselect", "tests/test_conformance.py")
    assert done.returncode == 1
    for kind in KINDS:
        assert f"FAILED tests/test_{kind}.py" in done.stdout


def test_it_runs_in_its_recipe(whole):
    folder, call = whole
    done = call("run", "two-words:example", *TINY, "--out", "run", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    record = json.loads((folder / "run" / "run.json").read_text())
    assert record["status"] == "finished"
    for kind in KINDS:
        assert record["components"][kind][f"two_words_{kind}"] == "findna-two-words 0.1.0"


def test_its_next_commands_are_said_and_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, stdout, _ = findna("plugins", "new", "motif", "--kind", "loss, encoder")
    assert code == 0
    first, *commands = stdout.splitlines()
    assert first == "findna-motif: the plugin 'motif' with an encoder and a loss, in 10 files. Next:"
    assert commands == [
        "  pip install -e './findna-motif[dev]'",
        "  pytest ./findna-motif",
        "  findna-kit run motif:example --set steps=20",
    ]
    assert len([path for path in (tmp_path / "findna-motif").rglob("*") if path.is_file()]) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["findna-motif"], "nothing is left beside it"
    said = written(tmp_path / "a place", "motif", ["masking"])
    assert f"  pip install -e '{tmp_path}/a place[dev]'" in said.splitlines()


# Every subset of the kinds, as text


@pytest.mark.parametrize("kinds", SUBSETS, ids="-".join)
def test_its_files_are_what_was_asked_for(kinds):
    made = files("motif", reversed(kinds))
    for path, text in made.items():
        assert "$" not in text or path == ".github/workflows/test.yml"
        assert not [line for line in text.splitlines() if line.startswith("@") and line != "@hookimpl"]
        if path.endswith(".py"):
            compile(text, path, "exec")
    project = tomllib.loads(made["pyproject.toml"])
    assert project["project"]["entry-points"] == {
        "findna_kit": {"motif": "findna_motif"}, "findna_kit.recipes": {"motif": "findna_motif:recipes"},
    }  # fmt: skip
    assert project["tool"]["pytest"]["ini_options"]["findna_kit_plugin"] == "motif"
    recipe = YAML(typ="safe").load(made["findna_motif/recipes/example.yaml"])
    for kind in KINDS:
        asked = kind in kinds
        assert (f"tests/test_{kind}.py" in made) == asked
        assert (f'registry.{REGISTRIES[kind]}.add("motif_{kind}"' in made["findna_motif/__init__.py"]) == asked
        assert (f"`motif_{kind}`" in made["README.md"]) == asked
        assert (f"'motif_{kind}'" in str(recipe)) == asked
    assert yaml_of(made)["jobs"]["test"]["steps"][2]["run"] == 'pip install "$KIT"'


def yaml_of(made):
    return YAML(typ="safe").load(made[".github/workflows/test.yml"])


def test_ruff_finds_nothing_by_the_kits_own_rules_or_by_the_packages(tmp_path):
    """Of every subset, and of the shortest and the longest name."""
    of_tests = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["per-file-ignores"]["**/tests/**"]
    rules = f"extend = '{ROOT / 'pyproject.toml'}'\nlint.per-file-ignores = {{'tests/**' = {of_tests}}}\n"
    named = [("motif", subset) for subset in SUBSETS] + [(name, KINDS) for name in ("a", "a-name-of-the-greatest-length-3")]
    for number, (name, kinds) in enumerate(named):
        folder = tmp_path / str(number)
        for path, text in files(name, kinds).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        (folder / "ruff.toml").write_text(rules)
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache", "--quiet", tmp_path], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_it_needs_has_a_range_that_holds_what_is_here():
    from importlib.metadata import version

    from packaging.requirements import Requirement

    project = tomllib.loads(files("motif", KINDS)["pyproject.toml"])["project"]
    needs = [Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["dev"]]
    assert [one.name for one in needs] == ["findna-kit", "pydantic", "torch", "pytest"]
    for one in needs:
        assert one.specifier.contains(version(one.name))
        assert {part.operator for part in one.specifier} == {">=", "<"}


def test_it_is_written_for_the_interfaces_that_are_here():
    assert f"findna_kit_api = {API_VERSION} " in files("motif", KINDS)["findna_motif/__init__.py"]
    assert set(KINDS) == {registry.kind for registry in Components().registries()}
    for kind, attribute in REGISTRIES.items():
        assert getattr(Components(), attribute).kind == kind


# What is refused

REFUSED = {
    ("Motif", "loss"): "'Motif': a name is made of lower-case letters and digits, with single hyphens between, a letter first",
    ("3d", "loss"): "'3d': a name is made of",
    ("a_b", "loss"): "'a_b': a name is made of",
    ("a--b", "loss"): "'a--b': a name is made of",
    ("../up", "loss"): "'../up': a name is made of",
    ("x" * 31, "loss"): "and is at most 30 long",
    ("findna-motif", "loss"): "'findna-motif': the package is called findna-NAME by itself; take 'motif'",
    ("kit", "loss"): "'kit': is taken by findna-kit ",
    ("builtin", "loss"): "'builtin': is taken by builtin (findna-kit ",
    ("motif", "los"): "--kind: no kind is called 'los'; did you mean 'loss'? (kinds: augmentation, masking, encoder, loss",
    ("motif", ""): "--kind: no kind is called '' (kinds: ",
    ("motif", "loss,,encoder"): "--kind: no kind is called '' (kinds: ",
}


@pytest.mark.parametrize(("name", "kinds"), REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence(tmp_path, monkeypatch, name, kinds):
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = findna("plugins", "new", name, "--kind", kinds)
    assert (code, stdout) == (2, "")
    assert REFUSED[name, kinds] in stderr
    assert "\n" not in stderr.strip()
    assert [*tmp_path.iterdir()] == []


def test_a_kind_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, stderr = findna("plugins", "new", "motif")
    assert (code, "--kind" in stderr, [*tmp_path.iterdir()]) == (2, True, [])


def test_a_name_that_is_somebodys_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(install(tmp_path / "site", "other-dist", "", target="other_dist"))
    (tmp_path / "site" / "findna_lonely.py").write_text("raise RuntimeError('nobody imports me')")
    install(tmp_path / "site", "findna-there", "")
    for name, said in {
        "other-dist": "is taken by other-dist (other-dist 1.0); take another name",
        "there": "is taken by there (findna-there 1.0); take another name",
        "lonely": "is taken by the module findna_lonely, which can be imported here; take another name",
    }.items():
        code, _, stderr = findna("plugins", "new", name, "--kind", "loss", "--out", tmp_path / "out")
        assert (code, stderr) == (2, f"{name!r}: {said}\n")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path):
    (tmp_path / "mine").mkdir()
    code, _, stderr = findna("plugins", "new", "motif", "--kind", "loss", "--out", tmp_path / "mine")
    assert (code, stderr) == (2, f"{tmp_path / 'mine'}: is there already; take another --out DIR\n")
    assert [*(tmp_path / "mine").iterdir()] == []


def test_where_it_cannot_be_written_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, _, stderr = findna("plugins", "new", "motif", "--kind", "loss", "--out", tmp_path / "file" / "motif")
    assert code == 2
    assert "cannot be written: Not a directory; name another with --out DIR" in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_it_imports_neither_torch_nor_plugins(tmp_path):
    install(tmp_path / "site", "findna-marks", f"open({str(tmp_path / 'imported')!r}, 'w')")
    probe = (
        "import sys; from findna_kit.cli import scaffolding; from pathlib import Path;"
        f"scaffolding.new('motif', 'loss', Path({str(tmp_path / 'motif')!r})); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    )
    assert done.stdout.splitlines()[-1] == "False", done.stderr
    assert not (tmp_path / "imported").exists()


def test_two_packages_do_not_claim_one_name(tmp_path, monkeypatch):
    for name in ("one", "two"):
        written(tmp_path / name, name, KINDS)
        install_project(tmp_path / "site", tmp_path / name)
    monkeypatch.syspath_prepend(tmp_path / "site")
    components, plugins = load_plugins()
    assert not [plugin for plugin in plugins if plugin.owner.plugin in ("one", "two") and plugin.failure]
    for registry in components.registries():
        for name in ("one", "two"):
            assert [owner.plugin for owner in registry.owners(f"{name}_{registry.kind}")] == [name]
    for module in ("findna_one", "findna_two"):
        sys.modules.pop(module, None)


# Minutes


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kinds", [*([kind] for kind in KINDS), KINDS], ids="-".join)
def test_a_package_of_these_kinds_tests_checks_and_runs(tmp_path, kinds):
    folder = tmp_path / "findna-motif"
    call = package(folder, "motif", kinds)
    done = own_tests(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (["check", "motif:example"], ["run", "motif:example", *TINY, "--device", "cpu"], ["plugins", "test", "motif"]):
        done = call(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    for kind in kinds:
        assert f"motif_{kind}" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_its_types_hold_strictly(tmp_path):
    written(tmp_path / "findna-motif", "motif", KINDS)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", "findna_motif"],
        cwd=tmp_path / "findna-motif", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
