"""What the layers rest on: a document that is a map, and components where the schema has them."""

from __future__ import annotations

from typing import get_args

import pytest

from findna_kit.recipe import ComponentSpec, Recipe, ViewChoice
from findna_kit.recipe.node_paths import ANY, Grammar


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", "recipe.yaml:1:1  a recipe is a map of keys (got a list)"),
        ("hello\n", "recipe.yaml:1:1  a recipe is a map of keys (got 'hello')"),
        ("---\n", "recipe.yaml:2:1  a recipe is a map of keys (got null)"),
        ("", "recipe.yaml:1:1  empty; a recipe is a map of keys"),
        ("!x {a: 1}\n", "recipe.yaml:1:1  YAML tags are refused (got !x); leave it out"),
        (b"\xff\xfe", "recipe.yaml:1:1  not UTF-8 text (byte 0xff); save it as UTF-8"),
    ],
)
def test_what_is_no_map_is_refused_whole(problems, text, said):
    (problem,) = problems("steps=3", text=text)
    assert problem.startswith(said)


def test_components_stand_where_the_schema_has_them():
    """Whoever adds a `ComponentSpec` field must tell the layers of it: names in strings and dropped parameters depend on it."""

    def chosen(annotation):
        return annotation is ComponentSpec or any(chosen(argument) for argument in get_args(annotation))

    def patterns(model, before):
        for name, field in model.model_fields.items():
            many = (ANY,) if getattr(field.annotation, "__origin__", None) in (dict, tuple) else ()
            if name == "views":
                yield from patterns(ViewChoice, ("views", ANY))
            elif chosen(field.annotation):
                yield (*before, name, *many)

    assert set(patterns(Recipe, ())) == set(Grammar().components)
