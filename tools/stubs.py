"""The page of the public Python interface: declarations and docstrings, read from the sources without importing them."""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
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
        parsed = _parsed(module)
        shown = [_stub(*_home(name, parsed)) for name in CHOSEN.get(module) or _public(parsed.tree)]
        docstring = ast.get_docstring(parsed.tree) or ""
        lines += [f"## {'.'.join(filter(None, ('findna_kit', module)))}", escaped(docstring)]
        lines += [f"```python\n{text}\n```" for text in shown if text]
    return "\n\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Module:
    tree: ast.Module
    lines: list[str]


def _parsed(module: str) -> _Module:
    path = ROOT / "findna_kit" / module.replace(".", "/")
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    return _Module(ast.parse(source), source.splitlines())


def _name(node: ast.stmt) -> str:
    """Return the name that a statement declares, or an empty string."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return targets[0].id if targets and isinstance(targets[0], ast.Name) else getattr(node, "name", "")


def _is_public(name: str) -> bool:
    return name in DUNDERS or (name != "" and name[0] != "_")


def _public(tree: ast.Module) -> list[str]:
    """Return the module's `__all__`, or its names without an underscore."""
    for node in tree.body:
        if _name(node) == "__all__" and isinstance(node, ast.Assign):
            return [str(name) for name in ast.literal_eval(node.value)]
    return list(dict.fromkeys(name for name in map(_name, tree.body) if _is_public(name)))


def _home(name: str, module: _Module) -> tuple[list[ast.stmt], int, _Module]:
    """Return the body that declares the name, the index in it, and its module. Imports are followed."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module and name in [alias.name for alias in node.names]:
            return _home(name, _parsed(node.module.removeprefix("findna_kit").removeprefix(".")))
    return module.tree.body, [_name(node) for node in module.tree.body].index(name), module


def _stub(body: list[ast.stmt], index: int, module: _Module) -> str:
    """Return a declaration without its code: signature, docstring, and the public members of a class."""
    node, lines = body[index], module.lines
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        after = body[index + 1] if index + 1 < len(body) else None
        return _expanded(_text(lines, node.lineno, node.end_lineno), node, module) + (
            f"\n{_statement_text(lines, after)}" if _is_docstring(after) else ""
        )
    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    # Without comments before the body, which explain code that is not shown.
    header = re.sub(r"(\n *#.*)+$", "", _text(lines, first, node.body[0].lineno - 1))
    parts = [_expanded(header, node, module)]
    if _is_docstring(node.body[0]):
        parts.append(_statement_text(lines, node.body[0]) + ("\n" if isinstance(node, ast.ClassDef) else ""))
    if isinstance(node, ast.ClassDef):
        members = [_member_stub(node, *member, module) for member in _members(node, module)]
        attributes = [text for text in members if not re.search(r"^ *(def|class) ", text, re.MULTILINE)]
        parts += attributes + [f"\n{text}" for text in members if text not in attributes]
    elif not _is_docstring(node.body[0]):
        parts[0] += " ..."
    text = re.sub(r"  # (?:noqa|type:|fmt:).*", "", "\n".join(filter(None, parts)))
    return re.sub(r"\n{3,}", "\n\n", text).rstrip()


def _member_stub(node: ast.ClassDef, body: list[ast.stmt], index: int, module: _Module) -> str:
    """Return the declaration of a member of a class, which may be inherited and therefore indented otherwise in the source."""
    member, value = body[index], getattr(body[index], "value", None)
    text, offset = _stub(body, index, module), member.col_offset
    # `Config = _Name`: the declaration of that class, since its parameters are public.
    for at, one in enumerate(module.tree.body):
        if isinstance(one, ast.ClassDef) and isinstance(value, ast.Name) and one.name == value.id and one.name.startswith("_"):
            text, offset = _stub(module.tree.body, at, module).replace(one.name, _name(member), 1), 0
    shift = node.col_offset + 4 - offset
    return textwrap.indent(text, " " * shift) if shift >= 0 else re.sub(rf"^ {{{-shift}}}", "", text, flags=re.MULTILINE)


def _private_bases(node: ast.ClassDef, module: _Module) -> list[ast.ClassDef]:
    """Return the bases of a class that its module declares under a name with an underscore."""
    names = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id.startswith("_")]
    return [one for one in module.tree.body if isinstance(one, ast.ClassDef) and one.name in names]


def _public_bases(node: ast.ClassDef, module: _Module) -> list[str]:
    """Return the bases of a class; in place of a private one, its bases."""
    private = {base.name: base for base in _private_bases(node, module)}
    names = [ast.unparse(base) for base in node.bases]
    return [public for name in names for public in (_public_bases(private[name], module) if name in private else [name])]


def _members(node: ast.ClassDef, module: _Module) -> list[tuple[list[ast.stmt], int]]:
    """Return the public members of a class, each as a body and its index in it, with those inherited from private bases."""
    own = [(node.body, at) for at, one in enumerate(node.body) if _is_public(_name(one))]
    names = {_name(body[at]) for body, at in own}
    inherited = [member for base in _private_bases(node, module) for member in _members(base, module)]
    return own + [(body, at) for body, at in inherited if _name(body[at]) not in names]


def _expanded(text: str, node: ast.stmt, module: _Module) -> str:
    """Return a declaration in which private bases are replaced by their bases, and aliases of `Literal` by their values."""
    # Both are names that the page does not explain, because they are not public.
    replacements: dict[str, str] = {}
    if isinstance(node, ast.ClassDef):
        for base in _private_bases(node, module):
            replacements[base.name] = ", ".join(_public_bases(base, module))
    for name in {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} - {_name(node)}:
        if literal := _literal(name, module):
            replacements[name] = literal
    for name, replacement in replacements.items():
        text = re.sub(rf"(?<![\w.]){name}(?!\w)", lambda _, new=replacement: new, text)
    return text.replace("():", ":") if isinstance(node, ast.ClassDef) else text


def _literal(name: str, module: _Module) -> str:
    """Return the text of the `Literal` that a name of the module stands for, or an empty string."""
    try:
        body, index, home = _home(name, module)
    except (ValueError, OSError):  # a builtin, an argument, or a name of another library
        return ""
    value = getattr(body[index], "value", None)
    is_literal = isinstance(value, ast.Subscript) and ast.unparse(value.value) == "Literal"
    return _statement_text(home.lines, body[index]).partition(" = ")[2] if is_literal else ""


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
