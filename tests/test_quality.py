"""Bounds that every file keeps: sizes, names, docstrings, comments, and more tests than code.

tools/code_figures.py measures most of them, and this module checks that its counting is right.
"""

import sys

import pytest

from tests.building import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import code_figures

sys.path.remove(str(ROOT / "tools"))

SHARE_OF_TESTS = 1.1
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
"""Names of modules and packages that could contain anything."""


def modules(*patterns):
    """Return the text of every module that matches one of the patterns, by its path from the root."""
    paths = [path for pattern in patterns for path in ROOT.glob(pattern)]
    assert paths, patterns
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}


CODE = ("findna_kit/**/*.py", "plugins/*/findna_kit_*/**/*.py")
TESTS = ("tests/**/*.py", "plugins/*/tests/**/*.py")
SCRIPTS = ("benchmarks/**/*.py", "tools/**/*.py")

SAMPLE = '''"""Docstring of
two lines."""

# why
def f(a,
      b):
    """Do one.

    Two.
    """

    def g():
        return """no
        docstring"""

    x = 1; return x  # trailing comment

    import findna_kit.rng
    # lazily, since it is slow
    from findna_kit import alphabet
class Open:
    def shown(self):
        """The shown."""
        class Inside: ...
    def _hidden(self): ...
class _Shut:
    def inside(self): ...
'''


def test_lines_are_counted():
    assert code_figures.line_counts(SAMPLE) == (2 + 3 + 3 + 4 + 2, 2 + 4 + 1, 3)
    lengths = dict(code_figures.function_lengths(SAMPLE))
    assert lengths == {"f": 12, "g": 3, "shown": 2, "_hidden": 1, "inside": 1}


def test_docstrings_and_their_first_words_are_read():
    assert dict(code_figures.function_docstrings(SAMPLE)) == {"f": "Do one.\n\nTwo.", "shown": "The shown."}
    assert code_figures.starts_with_verb("Return the mean.")
    assert code_figures.starts_with_verb("Re-initialise the weights.")
    assert not code_figures.starts_with_verb("Returns the mean.")
    assert not code_figures.starts_with_verb("The mean.")
    assert not code_figures.starts_with_verb("[B, D]: the mean.")


def test_late_imports_and_their_reasons_are_found():
    assert [reason for _, reason in code_figures.late_imports(SAMPLE)] == [False, True]


def test_class_names_are_collected():
    assert code_figures.class_names({"a": SAMPLE, "b": "class Open: ..."}) == {
        "Open": ["a", "b"], "Inside": ["a"], "_Shut": ["a"],
    }  # fmt: skip


def test_a_cycle_is_found(tmp_path, monkeypatch):
    package = tmp_path / "ringed"
    package.mkdir()
    for name, text in {
        "__init__": "",
        "a": "import ringed.b",
        "b": "from ringed import c",
        "c": "import ringed.a",
        "d": "",
    }.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(code_figures, "PACKAGE", "ringed")
    assert code_figures.import_cycles() == [["ringed.a", "ringed.b", "ringed.c"]]


@pytest.mark.parametrize("figure", code_figures.figures(), ids=lambda figure: figure.name)
def test_figure(figure):
    assert figure.holds, str(figure)


def test_no_module_has_a_vague_name():
    parts = {part.removesuffix(".py") for name in modules(*CODE, *TESTS, *SCRIPTS) for part in name.split("/")}
    assert parts & VAGUE_NAMES == set()


def test_scripts_keep_the_bounds_of_sizes():
    long = {name: text.count("\n") for name, text in modules(*SCRIPTS).items() if text.count("\n") > 300}
    functions = [n for text in modules(*SCRIPTS).values() for n, lines in code_figures.function_lengths(text) if lines > 40]
    assert (long, functions) == ({}, [])


def test_what_is_public_has_a_docstring():
    bare = {name: missing for name, text in modules(*CODE).items() if (missing := code_figures.undocumented(text))}
    assert bare == {}


def test_there_are_more_lines_of_tests_than_of_code():
    code, tests = (sum(code_figures.line_counts(text)[0] for text in modules(*patterns).values()) for patterns in (CODE, TESTS))
    assert tests >= SHARE_OF_TESTS * code, f"{tests} lines of tests for {code} of code: {tests / code:.2f}"
