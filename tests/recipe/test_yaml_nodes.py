# ruff: noqa: E501 - the rows of a table are read across
"""YAML 1.2 in and out: what is read, what is refused, and where it says that it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from findna_kit.errors import RecipeError
from findna_kit.recipe.yaml_nodes import DEPTH, NODES, LocatedIssue, Location, display_value, dump, parse, read_text, refusal


def read(text):
    """The plain tree of a text, and what was wrong as `line:column  path: message`."""
    found = []
    root = parse(text, lambda line, column: Location(0, "f", line, column), Path(), found)
    said = refusal(found).problems
    return None if root is None else root.plain(), [str(problem).removeprefix("f:") for problem in said]


VALUES = [
    ("1e-3", 1e-3),
    ("3.0E4", 3e4),
    (".5", 0.5),
    ("1_000", 1000),
    ("0o17", 15),
    ("0x1F", 31),
    ("010", 10),
    ("-7", -7),
    ("true", True),
    ("False", False),
    ("yes", "yes"),
    ("no", "no"),
    ("off", "off"),
    ("~", None),
    ("null", None),
    ("", None),
    ("2001-01-01", "2001-01-01"),
    ("12:30", "12:30"),
    ("=", "="),
    ("<<", "<<"),
    ("chr2R:2,000-7,000", "chr2R:2,000-7,000"),
    ("'5'", "5"),
    ("!!str 5", "5"),
    ("!!float 1", 1.0),
    ("[a, {b: 1}]", ["a", {"b": 1}]),
    ("[]", []),
    ("{}", {}),
    ("é", "é"),
    ('"x\\ty"', "x\ty"),
]


@pytest.mark.parametrize(("text", "value"), VALUES, ids=[repr(one[0]) for one in VALUES])
def test_values_are_those_of_yaml_1_2(text, value):
    tree, said = read(f"a: {text}\n")
    assert said == []
    assert tree == {"a": value}
    assert type(tree["a"]) is type(value)


REFUSED = [
    ("a: !!python/object:os.system x", "1:4  a: YAML tags are refused (got !!python/object:os.system); leave it out"),
    ("a: !!python/object/apply:os.system [ls]", "1:4  a: YAML tags are refused (got !!python/object/apply:os.system); leave it out"),
    ("a: [1, !mine {x: 1}]", "1:8  a.1: YAML tags are refused (got !mine); leave it out"),
    ("a: !!set {x, y}", "1:4  a: YAML tags are refused (got !!set); leave it out"),
    ("a: !!binary aGk=", "1:4  a: YAML tags are refused (got !!binary); leave it out"),
    ("a: !!int x", "1:4  a: 'x' cannot be read as int"),
    ("a: !!bool x", "1:4  a: 'x' cannot be read as bool"),
    ('a: !!int ""', "1:4  a: '' cannot be read as int"),
    ("a: .nan", "1:4  a: expected a finite number (got .nan)"),
    ("a: -.inf", "1:4  a: expected a finite number (got -.inf)"),
    ("a: 1e999", "1:4  a: expected a finite number (got 1e999)"),
    ("a: 9223372036854775808", "1:4  a: expected a number of at most 64 bits (got '9223372036854775808')"),
    ('a: "\\ud800"', "1:4  a: half a character (a lone surrogate); write the character itself"),
    ('"\\ud800": 1', "1:1  half a character (a lone surrogate); write the character itself"),
    ("a: {x: 1, x: 2}", "1:11  a.x: duplicate key, first written in line 1; keep one of them"),
    ("a: 1\nb: 2\na: 3", "3:1  a: duplicate key, first written in line 1; keep one of them"),
    ("a: {5: 1}", "1:5  a: a key is a word; put others in quotes"),
    ("a: {true: 1}", "1:5  a: a key is a word; put others in quotes"),
    ("a: {[1]: 1}", "1:5  a: a key is a word; put others in quotes"),
    ("x: &x {k: 1}\na:\n  <<: *x", "3:3  a: merge keys (<<) are no part of YAML 1.2; write the keys out, or use base:"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[repr(one[0]) for one in REFUSED])
def test_what_a_recipe_may_not_hold_is_refused_in_its_place(text, said):
    assert read(text)[1] == [said]


UNREADABLE = [
    ("", "1:1  empty; a recipe is a map of keys"),
    ("# nothing\n", "1:1  empty"),
    ("a:\n\tb: 1", "2:1  a tab; YAML is indented with spaces"),
    ("a:\n  b: 1\n\tc: 2", "3:1  a tab; YAML is indented with spaces"),
    ("a: [1, 2", "1:9  not valid YAML: while parsing a flow sequence, expected ',' or ']'"),
    ("a: b: c", "1:5  not valid YAML: mapping values are not allowed here"),
    ("a: *b", "1:4  not valid YAML: found undefined alias 'b'"),
    ("@a: 1", "1:1  not valid YAML: while scanning for the next token, found character '@'"),
    ("a: 'x", "1:6  not valid YAML: while scanning a quoted scalar"),
    ("a: 1\n---\nb: 2", "2:1  a second document starts here; a recipe is one document"),
    ("a: 1\nb: \x00", "2:4  the character '\\x00' is not allowed in YAML"),
    ("# x\n%YAML 1.1\n---\na: no", "1:1  recipes are YAML 1.2 (got 1.1); leave the %YAML line out"),
    ("a: &a [*a]", "1:4  a.0.0: nested more than 50 levels deep; does an alias (*) stand for itself?"),
    ("a: " + "[" * 60 + "]" * 60, "1:54  a.0.0: nested more than 50 levels deep"),
    ("a: " + "[" * 1000, "1:1  nested more than 50 levels deep"),
]


@pytest.mark.parametrize(("text", "said"), UNREADABLE, ids=[repr(one[0][:20]) for one in UNREADABLE])
def test_what_cannot_be_read_is_said_in_one_sentence(text, said):
    tree, problems = read(text)
    assert tree is None
    assert len(problems) == 1
    assert problems[0].startswith(said)


def test_the_version_that_is_read_may_be_stated():
    assert read("%YAML 1.2\n---\na: no") == ({"a": "no"}, [])


def test_several_refusals_are_all_said_in_order():
    assert [line.split("  ")[0] for line in read("a: .inf\nb: !x 1\na: 2\nc: {1: 2}")[1]] == ["1:4", "2:4", "3:1", "4:5"]


def test_anchors_and_aliases_stand_for_values_of_their_own():
    tree, said = read("a: &x {k: [1]}\nb: *x\n")
    assert said == []
    assert tree == {"a": {"k": [1]}, "b": {"k": [1]}}
    assert tree["a"]["k"] is not tree["b"]["k"]


def test_an_anchor_may_be_used_again():
    assert read("a: &x 1\nb: &x 2\nc: *x\n") == ({"a": 1, "b": 2, "c": 2}, [])


def test_a_bomb_of_aliases_is_refused_quickly():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    tree, said = read("\n".join(lines))
    assert tree is None
    assert f"more than {NODES} values" in said[0]


def test_nesting_up_to_the_limit_is_read():
    tree, said = read("a: " + "[" * (DEPTH - 1) + "1" + "]" * (DEPTH - 1))
    assert said == []
    assert display_value(tree) == "a map"


def test_a_value_that_was_not_written_stands_at_its_key():
    found = []
    root = parse("a:\n  b:\n\n  c: 1\n", lambda line, column: Location(0, "f", line, column), Path(), found)
    assert str(root.below("a").below("b").where) == "f:2:3"
    assert str(root.below("a").below("c").where) == "f:4:6"
    assert root.below("x") is None
    assert root.below("a").below("c").below(0) is None


def test_problems_come_in_the_order_of_the_layers_and_lines():
    places = [
        Location(2, "--set b", column=1),
        Location(2, "--set c", column=0),
        Location(1, "a", 1, 1),
        Location(0, "z", 10, 1),
        Location(0, "z", 9, 5),
    ]
    error = refusal([LocatedIssue(where, "", "x") for where in places] + [LocatedIssue(places[0], "", "x")], ["note"])
    assert [one.where for one in error.problems] == ["z:9:5", "z:10:1", "a:1:1", "--set c", "--set b"]
    assert str(error).endswith("\nnote")


def test_a_file_may_start_with_a_byte_order_mark(tmp_path):
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_text(tmp_path / "f", "f", 0) == "a: 1"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: 1\nb: \xe9\xff", "f:2:4  not UTF-8 text (byte 0xe9); save it as UTF-8"),
        ("é: é\n".encode() + b"\xff", "f:2:1  not UTF-8 text (byte 0xff); save it as UTF-8"),
        ("a: 1".encode("utf-16"), "f:1:1  not UTF-8 text (byte 0xff); save it as UTF-8"),
    ],
)
def test_a_file_that_is_not_utf_8_is_refused(tmp_path, content, said):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        read_text(tmp_path / "f", "f", 0)
    assert str(caught.value) == said


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        read_text(tmp_path, "f", 0)


def test_what_was_got_is_short():
    assert display_value("x" * 200) == "'" + "x" * 76 + "..."
    assert [display_value(one) for one in (None, True, 1.5, {}, [], {"a": 1}, [1])] == [
        "null",
        "true",
        "1.5",
        "{}",
        "[]",
        "a map",
        "a list",
    ]


TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(
        [
            "null",
            "yes",
            "1e3",
            "~",
            "- a",
            "a: b",
            "#x",
            "2001-01-01",
            "<<",
            "=",
            " x ",
            "a\n\nb",
            "0x1",
            "1_0",
            "\x85",
            "a\u2028b",
            "\ufeff",
            "é",
        ]
    ),
    lambda below: (
        st.lists(below, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), below, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200)
@given(TREES)
def test_what_is_written_reads_back_equal_and_in_order(tree):
    text = dump({"tree": tree})
    again, said = read(text)
    assert said == []
    assert again == {"tree": tree}
    assert dump(again) == text


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from("ab:-[]{},&*!|>%@\"'#? \n\t\\<~0.é\x07\ufeff"), max_size=30) | st.text(max_size=20))
def test_whatever_the_text_the_answer_is_a_tree_or_a_sentence(text):
    found = []
    root = parse(text, lambda line, column: Location(0, "f", line, column), Path(), found)
    assert (root is None) <= bool(found)
    assert all("\n" not in one.message for one in found)
