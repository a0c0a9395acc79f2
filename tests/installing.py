"""Distributions for tests, put where Python finds them; and commands in this process, which finds what it is shown."""

from __future__ import annotations

import io
import shutil
import sys
import tomllib
from contextlib import redirect_stderr, redirect_stdout

import pytest

from findna_kit.cli import main


def install(site, name, code, *, version="1.0", target=None):
    """A module, installed as pip would; its one plugin is named as the distribution is, without `findna-`."""
    module = name.replace("-", "_")
    _describe(site, name, version, {name.removeprefix("findna-"): target or module})
    (site / f"{module}.py").write_text(code)
    return site


def install_project(site, folder):
    """The project in `folder`, installed as its pyproject.toml says; the packages are those of its entry points."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    plugins = project["entry-points"]["findna_kit"]
    _describe(site, project["name"], project["version"], plugins)
    for module in plugins.values():
        shutil.copytree(folder / module, site / module, ignore=shutil.ignore_patterns("__pycache__"))
    return site


def _describe(site, name, version, plugins):
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("\n".join(["[findna_kit]", *(f"{one} = {where}" for one, where in plugins.items())]))


def findna(*arguments):
    """A command in this process: its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        patch.setattr(sys, "argv", ["findna-kit", *map(str, arguments)])
        main()
    return left.value.code or 0, out.getvalue(), err.getvalue()
