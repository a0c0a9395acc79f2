"""The built wheel in an environment and a folder of its own, far from any clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

from tests.building import ROOT, SMALL, SMALL_HEAD, sets

pytestmark = pytest.mark.slow  # it builds, installs and runs: half a minute, and longer on a busy machine


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """An environment that holds the wheel and sees the running one's dependencies, but none of its editable installs."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # A .pth file inside a folder that a .pth file names is not read.
    (packages / "dependencies.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    return folder


@pytest.fixture
def fresh(environment, tmp_path):
    """Runs a program of that environment in an empty folder; gives its stdout."""

    def fresh(program, *arguments):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        done = subprocess.run(
            [environment / "bin" / program, *map(str, arguments)], cwd=tmp_path, env=clean, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return fresh


def test_it_holds_what_a_user_needs(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {f"findna_kit/recipes/{path.name}" for path in (ROOT / "recipes").iterdir()} <= held
    assert {"findna_kit/recipes/recipe.schema.json", "findna_kit/py.typed", "findna_kit/data/builtin/genome.fa.gz"} <= held
    assert not [name for name in held if name.startswith(("tests/", "plugins/", "benchmarks/", "tools/", "recipes/"))]


def test_it_is_the_wheel_that_runs(fresh, environment):
    probe = "import findna_kit, sys; print(findna_kit.__file__); print(*sys.path, sep='\\n')"
    where, *path = fresh("python", "-c", probe).splitlines()
    assert where.startswith(str(environment))
    assert str(ROOT) not in path


def test_a_shipped_recipe_runs(fresh, tmp_path):
    cut = sets(*SMALL, *SMALL_HEAD, "steps=20")
    assert "collapse signals" in fresh("findna-kit", "run", "self_distill", *cut, "--device", "cpu")
    assert json.loads((tmp_path / "runs" / "self_distill-1" / "run.json").read_text())["status"] == "finished"


def test_a_copy_is_edited_checked_and_run(fresh, tmp_path):
    fresh("findna-kit", "recipes", "copy", "masked_only")
    assert {path.name for path in tmp_path.iterdir()} == {"masked_only.yaml", "recipe.schema.json"}
    subprocess.run(["sed", "-i", "s/^name: .*/name: mine/", "masked_only.yaml"], check=True, cwd=tmp_path)
    assert fresh("findna-kit", "check", "masked_only.yaml").startswith("mine: good; ")
    fresh("findna-kit", "run", "masked_only.yaml", *sets(*SMALL, "steps=4"), "--device", "cpu")
    assert json.loads((tmp_path / "runs" / "mine-1" / "run.json").read_text())["status"] == "finished"
