"""What the house asks of every file: sizes, names, docstrings, and more tests than code.

A module is counted in lines as they stand. A function is counted from `def` to its last line without its docstring; one inside
another counts on its own as well. For the share of tests a line counts if it holds code: no comment, no docstring, no blank.
"""

import ast
import io
import math
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LONGEST_MODULE, LONGEST_FUNCTION, NINE_IN_TEN = 300, 40, 31
SHARE_OF_TESTS = 1.1
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
"""Names that say nothing, so that anything fits in."""
_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def modules(*patterns):
    """Files of the working tree that git does not ignore, by path from the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a clone: git says which files are the project's")
    found = [name for name in listed.stdout.split("\0") if name.endswith(".py") and (ROOT / name).is_file()]
    assert found, patterns
    return {name: (ROOT / name).read_text() for name in found}


CODE = ("findna_kit", ":(glob)plugins/*/findna_kit_*/**")
TESTS = ("tests", ":(glob)plugins/*/tests/**")
BESIDE = ("benchmarks", "tools")


def functions(text):
    """(name, lines without the docstring) of every function."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node, clean=False) is not None
            docstring = node.body[0].end_lineno - node.body[0].lineno + 1 if documented else 0
            yield node.name, node.end_lineno - node.lineno + 1 - docstring


def lines_of_code(text):
    docstrings = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    held = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in _NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(held - docstrings)


def undocumented(text):
    """Public classes, functions and methods, and the module itself, without a docstring; in a function nothing is public."""
    tree = ast.parse(text)
    kept = [] if ast.get_docstring(tree) else ["the module"]
    left = [("", node) for node in tree.body]
    while left:
        owner, node = left.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                kept.append(owner + node.name)
            if isinstance(node, ast.ClassDef):
                left += [(f"{owner}{node.name}.", below) for below in node.body]
    return kept


SAMPLE = '''"""Said
twice."""

# why
def f(a,
      b):
    """One.

    Two.
    """

    def g():
        return """no
        docstring"""

    x = 1; return x  # two on one line
class Open:
    def shown(self):
        class Inside: ...
    def _hidden(self): ...
class _Shut:
    def inside(self): ...
'''


def test_the_counting_is_right():
    assert dict(functions(SAMPLE)) == {"f": 8, "g": 3, "shown": 2, "_hidden": 1, "inside": 1}
    assert lines_of_code(SAMPLE) == 2 + 3 + 1 + 4 + 2
    assert sorted(undocumented(SAMPLE)) == ["Open", "Open.shown"]
    assert undocumented("x = 1") == ["the module"]


def test_no_module_is_longer_than_300_lines():
    long = {name: text.count("\n") for name, text in modules(*CODE, *BESIDE).items() if text.count("\n") > LONGEST_MODULE}
    assert long == {}


def test_no_function_is_longer_than_40_lines():
    long = {
        f"{name}::{function}": lines
        for name, text in modules(*CODE, *BESIDE).items()
        for function, lines in functions(text)
        if lines > LONGEST_FUNCTION
    }
    assert long == {}


def test_nine_functions_in_ten_are_at_most_31_lines():
    lengths = sorted(lines for text in modules(*CODE).values() for _, lines in functions(text))
    assert lengths[math.ceil(0.9 * len(lengths)) - 1] <= NINE_IN_TEN


def test_no_module_is_a_drawer():
    parts = {part.removesuffix(".py") for name in modules(*CODE, *TESTS, *BESIDE) for part in name.split("/")}
    assert parts & DRAWERS == set()


def test_what_is_public_has_a_docstring():
    bare = {name: missing for name, text in modules(*CODE).items() if (missing := undocumented(text))}
    assert bare == {}


def test_there_are_more_lines_of_tests_than_of_code():
    code, tests = (sum(lines_of_code(text) for text in modules(*patterns).values()) for patterns in (CODE, TESTS))
    assert tests >= SHARE_OF_TESTS * code, f"{tests} lines of tests for {code} of code: {tests / code:.2f}"
