"""docs/architecture.md agrees with the code."""

import re
import sys

from findna_kit.builtin import __file__ as builtin
from tests.building import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()


def test_the_diagram_is_up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import draw_imports

    monkeypatch.delitem(sys.modules, "draw_imports")
    assert draw_imports.page(PAGE) == PAGE, "imports have changed: python tools/draw_imports.py"


def test_the_table_of_packages_is_complete():
    cells = re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE)
    listed = {name for cell in cells for name in re.findall(r"`([a-z_]+)/?`", cell)}
    package = ROOT / "findna_kit"
    existing = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    assert listed == existing - {"__init__", "__main__"}


def test_files_named_on_the_page_exist():
    for name in re.findall(r"`((?:findna_kit|tests|tools|plugins)/[\w./-]+)`", PAGE):
        assert (ROOT / name).exists() or "my_loss" in name, name
    for name in re.findall(r"`((?:builtin|recipe|genome|trainer|evaluation|cli)/[\w./-]+\.py)`", PAGE):
        assert (ROOT / "findna_kit" / name).is_file(), name


def test_the_line_that_adds_an_encoder_is_the_one_shown():
    (shown,) = re.findall(r"^    registry\.encoders\.add.*$", PAGE, re.MULTILINE)
    with open(builtin) as code:
        assert shown in code.read().splitlines()
