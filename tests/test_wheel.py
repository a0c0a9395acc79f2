"""The built wheel in an environment and a folder of its own, far from any clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.building import ROOT, SMALL, SMALL_HEAD, sets

pytestmark = pytest.mark.slow  # it builds, installs and runs: two minutes, and longer on a busy machine


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def required(requirements):
    """The distributions that these lines lead to, as pip would install them; those of the running environment."""
    left, found = [(requirements, {""})], {}
    while left:
        lines, extras = left.pop()
        for requirement in map(Requirement, lines or ()):
            wanted = requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras)
            key = (canonicalize_name(requirement.name), *sorted(requirement.extras))
            if wanted and key not in found:
                found[key] = metadata.distribution(requirement.name)
                left.append((found[key].requires, {"", *requirement.extras}))
    return list(found.values())


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """An environment that holds the wheel and what its metadata require, no more: linked, since torch alone is gigabytes."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (own,) = metadata.distributions(name="findna-kit", path=[str(packages)])
    for distribution in required(own.requires):
        for top in {Path(file).parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(distribution.locate_file(top)))
    return folder


@pytest.fixture
def fresh(environment, tmp_path):
    """Runs a program of that environment in an empty folder; gives its stdout, or where it is refused its stderr."""

    def fresh(program, *arguments, code=0):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        done = subprocess.run(
            [environment / "bin" / program, *map(str, arguments)], cwd=tmp_path, env=clean, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        assert code == 1 or "Traceback" not in done.stderr
        return done.stderr if code else done.stdout

    return fresh


def test_it_holds_what_a_user_needs(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    recipes = [path.relative_to(ROOT) for path in (ROOT / "recipes").rglob("*") if path.is_file()]
    assert {f"findna_kit/{path.as_posix()}" for path in recipes} <= held
    assert {"findna_kit/recipes/recipe.schema.json", "findna_kit/py.typed", "findna_kit/data/builtin/genome.fa.gz"} <= held
    templates = {f"findna_kit/cli/templates/{path.name}" for path in (ROOT / "findna_kit" / "cli" / "templates").iterdir()}
    templates |= {f"findna_kit/report/templates/{name}" for name in ("page.html", "blocks.html", "style.css")}
    assert len(templates) > 3 and templates <= held
    assert not [name for name in held if name.startswith(("tests/", "plugins/", "benchmarks/", "tools/", "recipes/"))]


def test_it_is_the_wheel_that_runs(fresh, environment):
    probe = "import findna_kit, sys; print(findna_kit.__file__); print(*sys.path, sep='\\n')"
    where, *path = fresh("python", "-c", probe).splitlines()
    assert where.startswith(str(environment))
    assert str(ROOT) not in path
    assert [plugin["plugin"] for plugin in json.loads(fresh("findna-kit", "plugins", "list", "--json"))] == ["builtin"]
    assert "No module named 'pytest'" in fresh("python", "-c", "import pytest", code=1), "what it does not require is not there"


@pytest.mark.timeout(900)
def test_the_main_job(fresh, tmp_path):
    """As the README has it, but for the steps."""
    said = fresh("findna-kit", "run", "self_distill", "--set", "steps=20")
    assert "collapse signals" in said
    assert "random initialisation" in said, "scored beside its controls"
    assert json.loads((tmp_path / "runs" / "self_distill-1" / "run.json").read_text())["status"] == "finished"


def test_a_copy_is_edited_checked_and_run(fresh, tmp_path):
    fresh("findna-kit", "recipes", "copy", "self_distill")
    assert {path.name for path in tmp_path.iterdir()} == {"self_distill.yaml", "recipe.schema.json"}
    copy = tmp_path / "self_distill.yaml"
    good = copy.read_text().replace("\nname: self_distill\n", "\nname: mine\n").replace("\nsteps: 600\n", "\nsteps: 4\n")
    copy.write_text(good.replace("\nsteps:", "\nstepz:"))
    line = good.splitlines().index("steps: 4") + 1
    said = fresh("findna-kit", "check", "self_distill.yaml", code=2)
    assert f"self_distill.yaml:{line}:1  stepz: unknown key; did you mean 'steps'?" in said
    copy.write_text(good)
    assert fresh("findna-kit", "check", "self_distill.yaml").startswith("mine: valid; ")
    fresh("findna-kit", "run", "self_distill.yaml", *sets(*SMALL, *SMALL_HEAD), "--device", "cpu")
    record = json.loads((tmp_path / "runs" / "mine-1" / "run.json").read_text())
    assert (record["name"], record["status"], record["steps"]) == ("mine", "finished", 4)
