"""Lazy modules: each stands for a module that exists, the one that the type checker sees under its name."""

import ast
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

from findna_kit.cli.lazy import LazyModule
from tests.building import ROOT

FILES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in sorted((ROOT / "findna_kit/cli").rglob("*.py"))
}


def imported(body):
    """The module of each name that import statements bind."""
    found = {}
    for node in body:
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def lazy(body):
    """The module of each name that is bound to a LazyModule."""
    found = {}
    for node in body:
        assert isinstance(node, ast.Assign), ast.dump(node)
        (target,) = node.targets
        pairs = zip(target.elts, node.value.elts, strict=True) if isinstance(target, ast.Tuple) else [(target, node.value)]
        found |= {name.id: call.args[0].value for name, call in pairs}
    return found


BLOCKS = [
    pytest.param(node, id=path)
    for path, tree in FILES.items()
    for node in tree.body
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and node.orelse
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_lazy_module_is_the_one_that_is_imported_for_the_type_checker(block):
    assert lazy(block.orelse).items() <= imported(block.body).items()
    for name in lazy(block.orelse).values():
        assert find_spec(name) is not None


def test_it_is_imported_when_an_attribute_is_read():
    module = LazyModule("wave")
    sys.modules.pop("wave", None)
    assert "wave" not in sys.modules
    assert module.Error is import_module("wave").Error
    with pytest.raises(AttributeError):
        _ = module.nothing_of_that_name
