"""Shell completion, by the protocol that the shells speak."""

import json
import os
import subprocess
import sys
import time

import pytest

from findna_kit.cli import completion
from findna_kit.data.cache_folder import cache_folder
from findna_kit.plugins.entry_points import COMPONENTS
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import shipped_recipes, shipped_task_files
from findna_kit.recipe.shipped import shipped_studies
from tests.cli.test_plugins_doctor import GOOD
from tests.installing import findna, install, install_package

CODE = "import sys\nsys.argv = ['findna-kit']\nfrom findna_kit.cli import main\nmain()"


def completions(*words):
    """What bash offers for the last word, by a process of its own, and whether the process imported torch."""
    code = CODE.replace("main()", "try: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)")
    bare = {**os.environ, "FINDNA_KIT_PLUGINS": "none"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**bare, **protocol(words)}
    )  # fmt: skip
    return done.stdout.split(), done.stderr.split()[-1] == "True"


def protocol(words):
    line = " ".join(["findna-kit", *words])
    return {"_FINDNA_KIT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}


def offered(monkeypatch, *words):
    """The same in this process."""
    for name, value in protocol(words).items():
        monkeypatch.setenv(name, value)
    code, out, err = findna()
    assert (code, err) == (0, ""), err
    return out.split()


@pytest.fixture(scope="module", autouse=True)
def index(tmp_path_factory):
    """The index, built by a first completion in a process of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINDNA_KIT_CACHE", str(tmp_path_factory.mktemp("completion")))
        assert completions("run", "self") == (["self_distill"], True)
        yield


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch):
    monkeypatch.setenv("FINDNA_KIT_PLUGINS", "none")


@pytest.mark.parametrize(("words", "expected"), [
    (["run", "mas"], ["masked_only"]),
    (["check", "methods/simc"], ["methods/simclr"]),
    (["plan", "ablations/"], None),
    (["ablate", "ablations/"], None),
    (["components", "chord"], ["chordmixer"]),
    (["components", "teacher_u"], ["teacher_update"]),
    (["evaluate", "runs/a", "gue/tf_"], ["gue/tf_1", "gue/tf_2", "gue/tf_3"]),
    (["tasks", "audit", "buil"], ["builtin"]),
    (["run", "self_distill", "--set", "losses.distill.w"], ["losses.distill.weight="]),
    (["run", "masked_only", "--set", "losses.distill.w"], []),
    (["run", "--set", "losses.distill.w"], ["losses.distill.weight="]),
    (["run", "self_distill", "--set", "steps=2", "--set", "trainer.log"], ["trainer.log_every="]),
    (["plugins", "new", "x", "--kind", "enc"], ["encoder"]),
    (["plugins", "new", "x", "--kind", "encoder,teach"], ["encoder,teacher_update"]),
    (["runs", ""], ["list", "best", "compare"]),
    (["ev"], ["evaluate"]),
    (["run", "--over"], ["--overwrite"]),
    (["run", "self_distill", "--without", "built"], ["builtin"]),
])  # fmt: skip
def test_names_are_offered(monkeypatch, words, expected):
    shown = offered(monkeypatch, *words)
    if expected is None:
        assert shown and all(name.startswith(words[-1]) for name in shown)
    else:
        assert shown == expected


def test_everything_that_there_is_is_offered(monkeypatch):
    components, _ = load_plugins(())
    names = {name for registry in components.registries() for name in [registry.kind, *registry]}
    assert set(offered(monkeypatch, "components", "")) == names
    assert set(offered(monkeypatch, "show", "")) == {*shipped_recipes(), *shipped_studies()}
    assert set(offered(monkeypatch, "run", "")) == set(shipped_recipes())
    assert set(offered(monkeypatch, "evaluate", "run", "")) == {"builtin", *shipped_task_files()}


def test_a_completion_is_quick_and_imports_no_torch():
    started = time.process_time()
    assert completions("components", "chord") == (["chordmixer"], False)
    assert time.process_time() - started < 2
    assert completions("run", "self_distill", "--set", "encoder.di") == (["encoder.dim="], False)


def test_it_follows_a_plugin_that_is_installed(monkeypatch, tmp_path):
    monkeypatch.delenv("FINDNA_KIT_PLUGINS")
    monkeypatch.setenv("FINDNA_KIT_CACHE", str(tmp_path / "cache"))
    assert "hail" not in offered(monkeypatch, "components", "h")
    install(tmp_path, "findna-weather", "print('hello')\n" + GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    assert "hail" in offered(monkeypatch, "components", "h")
    assert "hello" not in offered(monkeypatch, "components", "he")


def test_nothing_that_goes_wrong_is_an_error(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("no folder")
    monkeypatch.setenv("FINDNA_KIT_CACHE", str(file))
    assert offered(monkeypatch, "components", "chord") == ["chordmixer"], "without a cache"
    monkeypatch.setenv("FINDNA_KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FINDNA_KIT_PLUGINS", "nobody")
    assert offered(monkeypatch, "components", "chord") == []
    monkeypatch.setenv("FINDNA_KIT_PLUGINS", "none")
    assert offered(monkeypatch, "components", "chord") == ["chordmixer"]
    index = cache_folder() / completion.INDEX
    for text in ("{", "[]", json.dumps({"fingerprint": "of something else"})):
        index.write_text(text)
        assert offered(monkeypatch, "components", "chord") == ["chordmixer"]


def test_a_broken_plugin_spoils_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("FINDNA_KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FINDNA_KIT_PLUGINS")
    install_package(tmp_path / "site", "findna-broken", {"broken.py": "raise OSError"}, {COMPONENTS: {"broken": "broken"}})
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert "chordmixer" in offered(monkeypatch, "components", "chord")
