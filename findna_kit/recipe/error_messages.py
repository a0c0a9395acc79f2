"""What pydantic found, in plain sentences."""

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

_WANTED = {
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
_BOUNDS = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_pattern_mismatch": "must match {pattern}",
}


@dataclass(frozen=True)
class Issue:
    """One problem in words. at_key: its key is meant, not its value. unknown: nobody registered the component."""

    path: Path
    message: str
    at_key: bool = False
    unknown: bool = False


@dataclass(frozen=True)
class _Trouble:
    """pydantic's error with the union branches taken out of its path; `union`: the path of the first such union."""

    path: Path
    loc: Path
    union: Path | None
    error: Any

    @property
    def mismatch(self) -> bool:
        """Says no more than that the value is none of a branch's type."""
        return self.path == self.union and (self.error["type"] in _WANTED or self.error["type"] == "literal_error")


def explain(error: ValidationError, model: type[BaseModel] | None, tree: Any, *, also: Sequence[str] = ()) -> list[Issue]:
    """Every problem of `tree` as sentences; alternatives of one value become one. also: keys of the top that are no fields."""
    troubles = [_trouble(one, tree) for one in error.errors(include_url=False) if not _hollow(one)]
    said = [_say(trouble, model, also) for trouble in troubles if trouble.union is None]
    for union in dict.fromkeys(trouble.union for trouble in troubles if trouble.union is not None):
        branches = [trouble for trouble in troubles if trouble.union == union]
        # A branch that looked inside the value knows more than one that does not take values of its type.
        telling = [trouble for trouble in branches if not trouble.mismatch]
        if telling:
            said += [_say(trouble, model, also) for trouble in telling]
        else:
            wanted = " or ".join(dict.fromkeys(_wanted(trouble.error) for trouble in branches))
            said.append(Issue(union, f"{wanted} is wanted (got {display_value(branches[0].error['input'])})"))
    return said


def unknown_key(key: str, known: Sequence[str]) -> str:
    """The sentence for a key that nobody reads."""
    return f"unknown key{nearest(key, known)} (known: {', '.join(known)})"


def _hollow(error: Any) -> bool:
    """A list is also called too short when its items were refused, which is said of each of them."""
    return error["type"] == "too_short" and bool(len(error["input"]) >= error["ctx"]["min_length"])


def _trouble(error: Any, tree: Any) -> _Trouble:
    path: list[str | int] = []
    union: Path | None = None
    here, loc = tree, error["loc"]
    for place, part in enumerate(loc):
        inside = isinstance(here, dict) and part in here
        inside = inside or (isinstance(here, list) and isinstance(part, int) and part < len(here))
        absent = isinstance(here, dict) and place == len(loc) - 1 and error["type"] in ("missing", ISSUE)
        if inside:
            here = here[part]
        if inside or absent:
            path.append(part)
        elif part != "[key]" and union is None:
            union = tuple(path)
    return _Trouble(tuple(path), loc, union, error)


def _wanted(error: Any) -> str:
    return error["ctx"]["expected"] if error["type"] == "literal_error" else _WANTED[error["type"]]


def _say(trouble: _Trouble, model: type[BaseModel] | None, also: Sequence[str]) -> Issue:
    error, context = trouble.error, trouble.error.get("ctx", {})
    kind, shown = error["type"], f" (got {display_value(error['input'])})"
    if kind == ISSUE:
        said: Issue = context["issue"]
        return replace(said, path=trouble.path)
    if kind == "missing":
        return Issue(trouble.path, "missing; it is required")
    if kind == UNKNOWN_KEY:
        return Issue(trouble.path, unknown_key(str(trouble.path[-1]), context["known"]), at_key=True)
    if kind == "extra_forbidden":
        known = [*_known(model, trouble.loc[:-1]), *(also if len(trouble.loc) == 1 else ())]
        return Issue(trouble.path, unknown_key(str(trouble.path[-1]), known), at_key=True)
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        near = nearest(error["input"], known) if isinstance(error["input"], str) else ""
        return Issue(trouble.path, f"{context['expected']} is wanted{shown}{near}")
    if kind in _WANTED:
        quotes = "; put it in quotes" if kind == "string_type" and isinstance(error["input"], (int, float)) else ""
        return Issue(trouble.path, f"{_WANTED[kind]} is wanted{shown}{quotes}")
    if kind in _BOUNDS:
        bounds = {key: f"{value:g}" if isinstance(value, float) else value for key, value in context.items()}
        return Issue(trouble.path, _BOUNDS[kind].format(**bounds) + shown)
    if kind in ("too_short", "too_long"):
        few = kind == "too_short"
        limit = context["min_length" if few else "max_length"]
        return Issue(
            trouble.path, f"at {'least' if few else 'most'} {limit} {'item is' if limit == 1 else 'items are'} wanted{shown}"
        )
    message = (
        str(context["error"]) if kind in ("value_error", "assertion_error") else error["msg"][:1].lower() + error["msg"][1:]
    )
    scalar = isinstance(error["input"], (str, int, float)) or error["input"] is None
    at_key = trouble.loc[-1:] == ("[key]",)
    return Issue(trouble.path, message + (shown if scalar else ""), at_key)


def _known(model: type[BaseModel] | None, loc: Path) -> list[str]:
    """The keys that a section at `loc` takes; labels, indices and union branches in `loc` are no fields, and passed over."""
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
