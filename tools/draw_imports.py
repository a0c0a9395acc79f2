"""Draw the import diagram of docs/architecture.md from the code: `python tools/draw_imports.py`.

Boxes are the modules and packages at the top level, rows are the layers of the import contract in pyproject.toml. An arrow that
follows from others (a imports b, b imports c, so a -> c) is left out, to keep the diagram readable.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = "findna_kit"
BEGIN, END = "<!-- imports: tools/draw_imports.py writes what follows -->\n", "<!-- end of imports -->"


def layers() -> list[list[str]]:
    """Return the rows of names, the highest layer first, as the contract lists them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (tower,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[part.strip().removeprefix(f"{PACKAGE}.") for part in re.split("[|:]", row)] for row in tower]


def imports() -> dict[str, set[str]]:
    """Return what each module or package imports, without what its other imports import as well."""
    graph = grimp.build_graph(PACKAGE)
    parts = sorted(name.removeprefix(f"{PACKAGE}.") for name in graph.find_children(PACKAGE))
    for part in parts:
        graph.squash_module(f"{PACKAGE}.{part}")
    direct = {
        part: {name.removeprefix(f"{PACKAGE}.") for name in graph.find_modules_directly_imported_by(f"{PACKAGE}.{part}")}
        - {PACKAGE, part}
        for part in parts
    }
    reached = {part: _reached(part, direct) for part in parts}
    return {part: {one for one in into if not any(one in reached[other] for other in into)} for part, into in direct.items()}


def _reached(part: str, direct: dict[str, set[str]]) -> set[str]:
    found, left = set[str](), list(direct[part])
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += direct[one]
    return found


def drawing() -> str:
    """Return a Mermaid flowchart."""
    arrows = imports()
    rows = layers()
    lines = ["```mermaid", "flowchart TB"]
    for number, row in enumerate(rows):
        boxes = "; ".join(f'{name}["{name.strip("_")}"]' for name in row)
        lines.append(f'  subgraph layer{len(rows) - number}[" "]\n    direction LR\n    {boxes}\n  end')
    lines.append('  builtin(["builtin: loaded like a plugin"])')
    lines += [f"  {part} --> {into}" for part in sorted(arrows) for into in sorted(arrows[part])]
    return "\n".join([*lines, "```", ""])


def page(text: str) -> str:
    """Return the page with an updated diagram."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + drawing() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
