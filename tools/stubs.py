"""The page of the public Python interface: declarations and docstrings, read from the sources without importing them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = ("", "components", "alphabet", "rng", "model.branch", "model.reverse_complement", "errors", "testing")
"""Public modules of `findna_kit`."""
CHOSEN = {"model.branch": ["Branch"], "model.reverse_complement": ["RCAverage", "RCEquivariant"]}
"""The public names of a module that is only partly public."""
DUNDERS = ("__init__", "__call__")
"""Names with underscores that are public."""


def python_page() -> str:
    """Return the Markdown page: signatures and docstrings of every public name, copied from the sources."""
    lines = [
        "# Python for plugin authors",
        "Look up everything that a plugin may import: declarations and docstrings, copied from the sources. Other modules of "
        "`findna_kit` may change without notice. [Component contracts](../component-contracts.md) explains how these classes "
        "are used.",
    ]
    for module in MODULES:
        tree, source = _parsed(module)
        shown = [_stub(*_home(name, tree, source)) for name in CHOSEN.get(module) or _public(tree)]
        docstring = ast.get_docstring(tree) or ""
        lines += [f"## {'.'.join(filter(None, ('findna_kit', module)))}", escaped(docstring)]
        lines += [f"```python\n{text}\n```" for text in shown if text]
    return "\n\n".join(lines) + "\n"


def _parsed(module: str) -> tuple[ast.Module, str]:
    path = ROOT / "findna_kit" / module.replace(".", "/")
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    return ast.parse(source), source


def _name(node: ast.stmt) -> str:
    """Return the name that a statement declares, or an empty string."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return targets[0].id if targets and isinstance(targets[0], ast.Name) else getattr(node, "name", "")


def _is_public(name: str) -> bool:
    return name in DUNDERS or (name != "" and name[0] != "_")


def _public(tree: ast.Module) -> list[str]:
    """Return the module's `__all__`, or its names without an underscore and the base classes of its other classes."""
    for node in tree.body:
        if _name(node) == "__all__" and isinstance(node, ast.Assign):
            return [str(name) for name in ast.literal_eval(node.value)]
    bases = {ast.unparse(base) for node in tree.body if isinstance(node, ast.ClassDef) for base in node.bases}
    return list(dict.fromkeys(name for name in map(_name, tree.body) if _is_public(name) or name in bases))


def _home(name: str, tree: ast.Module, source: str) -> tuple[list[ast.stmt], int, str]:
    """Return the body that declares the name, the index in it, and its source text. Imports are followed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and name in [alias.name for alias in node.names]:
            return _home(name, *_parsed(node.module.removeprefix("findna_kit").removeprefix(".")))
    return tree.body, [_name(node) for node in tree.body].index(name), source


def _stub(body: list[ast.stmt], index: int, source: str) -> str:
    """Return a declaration without its code: signature, docstring, and the public members of a class."""
    node, lines = body[index], source.splitlines()
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        after = body[index + 1] if index + 1 < len(body) else None
        return _text(lines, node.lineno, node.end_lineno) + (
            f"\n{_statement_text(lines, after)}" if _is_docstring(after) else ""
        )
    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    last = node.body[0].lineno - 1
    # A comment may stand between the signature and the first statement.
    while lines[last - 1].lstrip().startswith("#"):
        last -= 1
    parts = [_text(lines, first, last)]
    if _is_docstring(node.body[0]):
        parts.append(_statement_text(lines, node.body[0]) + ("\n" if isinstance(node, ast.ClassDef) else ""))
    if isinstance(node, ast.ClassDef):
        members = [_stub(node.body, at, source) for at, one in enumerate(node.body) if _is_public(_name(one))]
        parts += [f"\n{text}" if "def " in text or "class " in text else text for text in members]
    elif not _is_docstring(node.body[0]):
        parts[0] += " ..."
    text = re.sub(r"  # (?:noqa|type:|fmt:).*", "", "\n".join(filter(None, parts)))
    return re.sub(r"\n{3,}", "\n\n", text).rstrip()


def _is_docstring(node: ast.stmt | None) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _statement_text(lines: list[str], node: ast.stmt | None) -> str:
    return _text(lines, node.lineno, node.end_lineno) if node else ""


def _text(lines: list[str], first: int, last: int | None) -> str:
    return "\n".join(lines[first - 1 : last]).rstrip()


def escaped(text: str) -> str:
    """Return a docstring as Markdown. Text in backticks, and indented paragraphs, are code; elsewhere signs are escaped."""
    paragraphs = re.split(r"\n\n", text)
    return "\n\n".join(one if one.startswith("    ") else _escaped_paragraph(one) for one in paragraphs)


def _escaped_paragraph(text: str) -> str:
    pieces = re.split(r"(`[^`]*`)", text)
    pieces[::2] = (re.sub(r"([*<\[\\]|(?<!\w)_|_(?!\w))", r"\\\1", piece) for piece in pieces[::2])
    return re.sub(r"^(\s*)([-+#>]|\d+(?=[.)]))(?=[\s.)])", r"\1\\\2", "".join(pieces), flags=re.MULTILINE)
