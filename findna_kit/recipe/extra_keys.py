"""Keys beside a component's name and parameters that the recipe itself reads: `weight`, `rc`, `clip_norm`.

The table of kinds says which kind has which. They belong to the trainer or the model, and no component sees them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from findna_kit.model.reverse_complement import RC
from findna_kit.recipe.error_messages import Issue, explain
from findna_kit.schedules import Schedule, within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from findna_kit.plugins.kinds import Kind


@dataclass(frozen=True)
class ExtraKey:
    """A key that every component of some kinds has.

    default: its value where it is not stated. conflict: returns why a value does not fit the component of that name, or None.
    last: it is written after the parameters.
    """

    name: str
    adapter: TypeAdapter[Any]
    default: Any
    conflict: Callable[[str, type[Any], Any], str | None] = lambda name, component, value: None
    last: bool = False

    def read(self, stated: Mapping[str, Any], context: Any, issues: list[Issue]) -> Any:
        """Return the value that a recipe states, or the default. Add to `issues` what is wrong with it."""
        # The default is read like a stated value: a weight of 1.0 becomes a schedule.
        value = stated.get(self.name, self.default)
        try:
            return self.adapter.validate_json(json.dumps(value), strict=True, context=context)
        except ValidationError as error:
            below = explain(error, None, value)
            issues += [Issue((self.name, *issue.path), issue.message, issue.at_key) for issue in below]
            return None

    def plain(self, value: Any) -> Any:
        """Return the value as a recipe states it."""
        return self.adapter.dump_python(value, mode="json")


def _rc_conflict(name: str, component: type[Any], value: Any) -> str | None:
    """Return why an encoder cannot be wrapped: it handles both strands itself."""
    conflict = value not in (None, "none") and component.strand != "none"
    return f"{name} is strand-{component.strand} by itself; leave rc out" if conflict else None


_WEIGHT = Annotated[Schedule, within(0), Field(1.0, description="multiplies the term in the objective")]
_CLIP_NORM = Annotated[float | None, Field(0.5, gt=0, description="largest norm of the whole gradient; null: not clipped")]
EXTRA_KEYS: dict[str, ExtraKey] = {
    "weight": ExtraKey("weight", TypeAdapter(_WEIGHT), 1.0),
    "rc": ExtraKey("rc", TypeAdapter(RC), "none", _rc_conflict),
    "clip_norm": ExtraKey("clip_norm", TypeAdapter(_CLIP_NORM), 0.5, last=True),
}
"""The keys by name."""


def keys_of(kind: Kind) -> list[ExtraKey]:
    """Return the extra keys of a kind."""
    return [EXTRA_KEYS[name] for name in kind.keys]


def refuse_foreign(kind: Kind, kinds: Sequence[Kind], stated: Mapping[str, Any], parameters: Sequence[str]) -> list[Issue]:
    """Return an issue for each extra key of other kinds that is stated here and is no parameter either."""
    issues = []
    # Without this, `weight` on an encoder would be reported as an unknown key, and the reader would not learn where it belongs.
    for name in EXTRA_KEYS:
        if name in stated and name not in kind.keys and name not in parameters:
            owners = [f"{'an' if other.name[0] in 'aeo' else 'a'} {other.name}" for other in kinds if name in other.keys]
            issues.append(Issue((name,), f"only {' or '.join(owners)} has {_article(name)}; leave it out", at_key=True))
    return issues


def _article(name: str) -> str:
    return f"a {name}" if name == "weight" else name
