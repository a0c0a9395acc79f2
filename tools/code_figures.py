"""Print the figures of the code that the project keeps to: `python tools/code_figures.py`.

Each figure is a number with a bound, measured on findna_kit/ and on the packages in plugins/ (not on tests). The exit code is 1
if a bound is broken. tests/test_quality.py checks the same bounds.
"""

from __future__ import annotations

import ast
import io
import math
import re
import sys
import tokenize
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grimp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "findna_kit"
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
_DIRECTIVE = re.compile(r"#\s*(noqa|type:|fmt:|pragma|ruff:)")
"""Comments that speak to a tool and not to a reader."""

VERBS = frozenset((Path(__file__).parent / "verbs.txt").read_text().split())
"""Base forms that a docstring may start with."""


@dataclass(frozen=True)
class Figure:
    """One measured number, its bound and what breaks it."""

    name: str
    value: float
    low: float
    high: float
    examples: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Return whether the value lies within its bounds."""
        return self.low <= self.value <= self.high

    def __str__(self) -> str:
        """Return the figure as one line, with examples if the bound is broken."""
        bound = f"<= {self.high:g}" if self.low == -math.inf else f"{self.low:g} to {self.high:g}"
        line = f"{'ok  ' if self.holds else 'FAIL'} {self.name:<58} {self.value:>8.5g}   ({bound})"
        return "\n".join([line, *(() if self.holds else (f"       {example}" for example in self.examples[:40]))])


def sources() -> dict[str, str]:
    """Return the text of every module of the package and of the plugins, by path from the root."""
    paths = [*ROOT.glob(f"{PACKAGE}/**/*.py"), *ROOT.glob("plugins/*/findna_kit_*/**/*.py")]
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted(paths)}


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the line numbers of every docstring and of every string that documents an attribute."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def line_counts(text: str) -> tuple[int, int, int]:
    """Return the numbers of lines with code, with docstrings and with comments for readers."""
    docstrings = docstring_lines(ast.parse(text))
    code: set[int] = set()
    comments: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _LAYOUT:
            code |= set(range(token.start[0], token.end[0] + 1))
        elif token.type == tokenize.COMMENT and not _DIRECTIVE.match(token.string):
            comments.add(token.start[0])
    return len(code - docstrings), len(docstrings), len(comments)


def function_lengths(text: str) -> Iterator[tuple[str, int]]:
    """Yield the name and the number of lines, without the docstring, of every function."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node, clean=False) is not None
            docstring = (node.body[0].end_lineno or 0) - node.body[0].lineno + 1 if documented else 0
            yield node.name, (node.end_lineno or 0) - node.lineno + 1 - docstring


def function_docstrings(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the docstring of every documented function."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (docstring := ast.get_docstring(node)):
            yield node.name, docstring


def undocumented(text: str) -> list[str]:
    """Return the public classes, functions and methods, and `the module`, that have no docstring; locals are not public."""
    tree = ast.parse(text)
    missing = [] if ast.get_docstring(tree) else ["the module"]
    pending: list[tuple[str, ast.stmt]] = [("", node) for node in tree.body]
    while pending:
        prefix, node = pending.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                missing.append(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                pending += [(f"{prefix}{node.name}.", child) for child in node.body]
    return missing


def starts_with_verb(docstring: str) -> bool:
    """Return whether the first word of a docstring is a verb in its base form."""
    first = re.match(r"[A-Za-z-]+", docstring)
    return bool(first) and first.group().lower() in VERBS  # type: ignore[union-attr]


def late_imports(text: str) -> Iterator[tuple[int, bool]]:
    """Yield the line of every import of the package's own modules inside a function, and whether a comment explains it."""
    lines = text.splitlines()
    inside = {
        node
        for function in ast.walk(ast.parse(text))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE)
        or (isinstance(node, ast.Import) and any(name.name.split(".")[0] == PACKAGE for name in node.names))
    }
    for line in sorted({node.lineno for node in inside}):
        above = line - 2
        while lines[above].lstrip().startswith(("from ", "import ")):  # one comment may explain several imports
            above -= 1
        yield line, "#" in lines[line - 1] or lines[above].lstrip().startswith("#")


def class_names(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """Return where each class is defined, by name; `Config` is the nested class of every component and is left out."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, text in texts.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and node.name != "Config":
                places[node.name].append(path)
    return places


def import_cycles() -> list[list[str]]:
    """Return the groups of modules of the package that import each other, directly or not."""
    graph = grimp.build_graph(PACKAGE)
    imports = {module: sorted(graph.find_modules_directly_imported_by(module)) for module in sorted(graph.modules)}
    reached = {module: _reachable(module, imports) for module in imports}
    groups = {tuple(sorted(other for other in reached[module] if module in reached[other])) for module in imports}
    return [list(group) for group in sorted(groups) if group]


def _reachable(start: str, imports: Mapping[str, list[str]]) -> set[str]:
    """Return every module that `start` imports, directly or not; `start` itself only if a cycle leads back to it."""
    found: set[str] = set()
    pending = list(imports[start])
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            pending += imports[module]
    return found


def loose_modules() -> list[str]:
    """Return the modules at the top level of the package that belong to no subpackage."""
    return sorted(path.stem for path in (ROOT / PACKAGE).glob("*.py") if not path.stem.startswith("__"))


def figures() -> list[Figure]:
    """Measure everything."""
    texts = sources()
    lengths = sorted((lines, f"{path}::{name}") for path, text in texts.items() for name, lines in function_lengths(text))
    ninth = lengths[math.ceil(0.9 * len(lengths)) - 1][0]
    modules = sorted(((text.count("\n"), path) for path, text in texts.items()), reverse=True)
    code, docstrings, comments = (sum(column) for column in zip(*map(line_counts, texts.values()), strict=True))
    documented = [(path, name, text) for path, source in texts.items() for name, text in function_docstrings(source)]
    verbless = [f"{path}::{name}: {text.splitlines()[0]}" for path, name, text in documented if not starts_with_verb(text)]
    late = [(f"{path}:{line}", reason) for path, text in texts.items() for line, reason in late_imports(text)]
    loose, cycles = loose_modules(), import_cycles()
    untyped = [f"{path}: {n}" for path, text in texts.items() if (n := text.count("dict[str, Any]"))]
    shared = {name: places for name, places in class_names(texts).items() if len(places) > 1}
    least = -math.inf
    return [
        Figure("loose modules at the top of the package", len(loose), least, 8, tuple(loose)),
        Figure("import cycles", len(cycles), least, 0, tuple(" ".join(cycle) for cycle in cycles)),
        Figure("lines of the longest function", lengths[-1][0], least, 40, tuple(n for size, n in lengths if size > 40)),
        Figure("lines of a function, 90th percentile", ninth, least, 31),
        Figure("lines of the longest module", modules[0][0], least, 300, tuple(f"{p}: {n}" for n, p in modules if n > 300)),
        Figure("lines of docstrings per 100 lines of code", 100 * docstrings / code, 20, 35),
        Figure("lines of comments per 100 lines of code", 100 * comments / code, 5, 12),
        Figure("function docstrings without a verb first, %", 100 * len(verbless) / len(documented), least, 3, tuple(verbless)),
        Figure("imports of own modules inside functions", len(late), least, 15, tuple(place for place, _ in late)),
        Figure(
            "imports of own modules inside functions without a reason", sum(not reason for _, reason in late), least, 0,
            tuple(place for place, reason in late if not reason),
        ),
        Figure("dict[str, Any]", sum(text.count("dict[str, Any]") for text in texts.values()), least, 40, tuple(untyped)),
        Figure("class names used twice", len(shared), least, 0, tuple(f"{n}: {', '.join(p)}" for n, p in shared.items())),
    ]  # fmt: skip


if __name__ == "__main__":
    measured = figures()
    print(*measured, sep="\n")
    sys.exit(not all(figure.holds for figure in measured))
