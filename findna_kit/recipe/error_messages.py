"""Messages for pydantic's errors: each becomes an `Issue`, a sentence with the path of the key that it is about."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from findna_kit.errors import nearest
from findna_kit.recipe.yaml_nodes import display_value
from findna_kit.schedules import UNKNOWN_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import ValidationError

ISSUE = "issue"
"""Type of the pydantic errors that carry an Issue: `ctx["issue"]`."""

Path = tuple[str | int, ...]

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
    "dataclass_type": "a map",
    "path_type": "a path",
    "none_required": "null",
}
_TYPES = {"int_type": int, "int_from_float": int, "string_type": str}
_BOUNDS = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_pattern_mismatch": "must match {pattern}",
}


_GROUPED = re.compile(r"\d{1,3}(,\d{3})+")
"""A number with commas between its thousands."""


@dataclass(frozen=True)
class Issue:
    """One problem in words.

    path: the keys that lead to it. at_key: it is about the key and not its value. unknown: no plugin registers the component.
    wants: the types that the value may have, if it has none of them.
    """

    path: Path
    message: str
    at_key: bool = False
    unknown: bool = False
    wants: frozenset[type] = frozenset()


@dataclass(frozen=True)
class _LocatedError:
    """An error of pydantic, with the branches of unions taken out of its path. union: the path of the first such union."""

    path: Path
    loc: Path
    union: Path | None
    error: Any

    @property
    def is_type_mismatch(self) -> bool:
        """Return whether it says no more than that the value does not have the type of a branch."""
        return self.path == self.union and (self.error["type"] in _EXPECTED or self.error["type"] == "literal_error")


def explain(error: ValidationError, model: type[BaseModel] | None, tree: Any, *, also: Sequence[str] = ()) -> list[Issue]:
    """Return an issue for every problem of `tree`; the alternatives of one value become one issue.

    model: what `tree` was read as, for the names of known keys. also: further keys of the top level.
    """
    # pydantic reports every branch of a union; a reader wants one message for each value.
    errors = [_locate(one, tree) for one in error.errors(include_url=False) if not _is_redundant(one)]
    issues = [_issue(one, model, also) for one in errors if one.union is None]
    for union in dict.fromkeys(one.union for one in errors if one.union is not None):
        branches = [one for one in errors if one.union == union]
        # A branch that read into the value says more than one that does not take values of its type.
        specific = [one for one in branches if not one.is_type_mismatch]
        if specific:
            issues += [_issue(one, model, also) for one in specific]
        else:
            expected = " or ".join(dict.fromkeys(_expected(one.error) for one in branches))
            message = f"expected {expected} (got {display_value(branches[0].error['input'])})"
            issues.append(Issue(union, message, wants=_types(*(branch.error for branch in branches))))
    return issues


def unknown_key(key: str, known: Sequence[str], elsewhere: Sequence[str] = ()) -> str:
    """Return the message for a key that does not exist, with its path `elsewhere` if it has one, or the nearest known key."""
    near = f"; did you mean {' or '.join(map(repr, elsewhere))}?" if elsewhere else nearest(key, known)
    return f"unknown key{near} (known: {', '.join(known)})"


def _sections(model: type[BaseModel] | None, key: str) -> list[str]:
    """Return the paths of the sections' keys of that name, as `data.batch_size` for `batch_size`."""
    fields = {} if model is None else {name: field.annotation for name, field in model.model_fields.items()}
    sections = {name: kind for name, kind in fields.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}
    return [f"{name}.{key}" for name, section in sections.items() if key in section.model_fields]


def _is_redundant(error: Any) -> bool:
    """Return whether a list is called too short only because its items were refused, which other errors report."""
    return error["type"] == "too_short" and bool(len(error["input"]) >= error["ctx"]["min_length"])


def _locate(error: Any, tree: Any) -> _LocatedError:
    """Follow the error's location through the document; what is no key of it names the branch of a union."""
    path: list[str | int] = []
    union: Path | None = None
    here, loc = tree, error["loc"]
    for index, part in enumerate(loc):
        inside = isinstance(here, dict) and part in here
        inside = inside or (isinstance(here, list) and isinstance(part, int) and part < len(here))
        # The key of these errors is not in the document, and yet it is part of the path and names no branch.
        absent = isinstance(here, dict) and index == len(loc) - 1 and error["type"] in ("missing", ISSUE)
        # What is no key of the document is the name that pydantic gives to a branch of a union.
        if inside:
            here = here[part]
        if inside or absent:
            path.append(part)
        # pydantic adds [key] where the key of a map is wrong; that is no branch either.
        elif part != "[key]" and union is None:
            union = tuple(path)
    return _LocatedError(tuple(path), loc, union, error)


def _expected(error: Any) -> str:
    return error["ctx"]["expected"] if error["type"] == "literal_error" else _EXPECTED[error["type"]]


def _issue(located: _LocatedError, model: type[BaseModel] | None, also: Sequence[str]) -> Issue:
    """Return the issue that an error of pydantic stands for."""
    error, context = located.error, located.error.get("ctx", {})
    kind = error["type"]
    if kind == ISSUE:
        issue: Issue = context["issue"]
        return replace(issue, path=located.path)
    if kind == "missing":
        return Issue(located.path, "missing; it is required")
    if kind in ("extra_forbidden", UNKNOWN_KEY):
        top = also if len(located.loc) == 1 else ()
        known = context["known"] if kind == UNKNOWN_KEY else [*_known(model, located.loc[:-1]), *top]
        sections = _sections(model, str(located.path[-1])) if len(located.loc) == 1 else []
        return Issue(located.path, unknown_key(str(located.path[-1]), known, sections), at_key=True)
    if (message := _message_about_value(error)) is not None:
        return Issue(located.path, message, wants=_types(error))
    # A message of a validator of ours or of a plugin's. It shows the value itself where that is a map or a list.
    own = kind in ("value_error", "assertion_error")
    message = str(context["error"]) if own else error["msg"][:1].lower() + error["msg"][1:]
    scalar = isinstance(error["input"], (str, int, float)) or error["input"] is None
    at_key = located.loc[-1:] == ("[key]",)
    return Issue(located.path, message + (f" (got {display_value(error['input'])})" if scalar else ""), at_key)


def _types(*errors: Any) -> frozenset[type]:
    """Return the types of values that the errors say were expected, of those that a scalar of another type may stand for."""
    return frozenset(_TYPES[error["type"]] for error in errors if error["type"] in _TYPES)


def _message_about_value(error: Any) -> str | None:
    """Return the message for a value of the wrong type, out of bounds, or of the wrong length; None for other errors."""
    kind, context, shown = error["type"], error.get("ctx", {}), f" (got {display_value(error['input'])})"
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        # pydantic lists the literals as text only.
        near = nearest(error["input"], known) if isinstance(error["input"], str) else ""
        return f"expected {context['expected']}{shown}{near}"
    if kind in _EXPECTED:
        given = error["input"]
        grouped = _TYPES.get(kind) is int and isinstance(given, str) and _GROUPED.fullmatch(given)
        meant = f"; write {given.replace(',', '')}" if grouped else ""
        return f"expected {_EXPECTED[kind]}{shown}{meant}"
    if kind in _BOUNDS:
        bounds = {key: f"{value:g}" if isinstance(value, float) else value for key, value in context.items()}
        return _BOUNDS[kind].format(**bounds) + shown
    if kind in ("too_short", "too_long"):
        few = kind == "too_short"
        limit = context["min_length" if few else "max_length"]
        return f"expected at {'least' if few else 'most'} {limit} {'item' if limit == 1 else 'items'}{shown}"
    return None


def _known(model: type[BaseModel] | None, loc: Path) -> list[str]:
    """Return the keys of the section at `loc`. Labels, indices and branches of unions in `loc` are no fields, and skipped."""
    models = [] if model is None else [model]
    for part in loc:
        fields = [one.model_fields[part].annotation for one in models if isinstance(part, str) and part in one.model_fields]
        models = [inner for annotation in fields for inner in _models(annotation)] or models
    return list(dict.fromkeys(field for one in models for field in one.model_fields))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
