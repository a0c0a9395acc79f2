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
    _describe(site, name, version, {"findna_kit": {name.removeprefix("findna-"): target or module}})
    (site / f"{module}.py").write_text(code)
    return site


def install_package(site, name, files, groups, *, version="1.0"):
    """A distribution that brings what `groups` say (entry points by group, then by name); `files` by path in `site`."""
    _describe(site, name, version, groups)
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    return site


def install_project(site, folder):
    """The project in `folder`, installed as its pyproject.toml says; the packages are those of its entry points."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    groups = project["entry-points"]
    _describe(site, project["name"], project["version"], groups)
    for package in {where.partition(":")[0].partition(".")[0] for group in groups.values() for where in group.values()}:
        shutil.copytree(folder / package, site / package, ignore=shutil.ignore_patterns("__pycache__"))
    return site


def _describe(site, name, version, groups):
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        line for group, named in groups.items() for line in [f"[{group}]", *(f"{one} = {at}" for one, at in named.items())]
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


def findna(*arguments):
    """A command in this process: its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        patch.setattr(sys, "argv", ["findna-kit", *map(str, arguments)])
        main()
    return left.value.code or 0, out.getvalue(), err.getvalue()
