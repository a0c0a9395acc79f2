"""How a network is fine-tuned: the task's published settings, what the user changes, and whose each value is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from findna_kit.errors import FindnaError, nearest
from findna_kit.recipe.error_messages import explain
from findna_kit.recipe.yaml_nodes import LocatedIssue, Location, dotted, parse
from findna_kit.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.evaluation.tasks import Task


DEFAULT_OPTIMIZER = "adamw"


class FinetuneSettings(Settings):
    """Settings of fine-tuning; the defaults are ours, for a task that is published without any."""

    batch_size: int = Field(32, ge=1, description="sequences in a step, at most; an epoch is cut evenly")
    epochs: int = Field(20, ge=1, description="passes over the training part, at most")
    learning_rate: float = Field(
        5e-4, gt=0, allow_inf_nan=False, description="after the warm-up; falls to 0 along half a cosine"
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps in which the rate rises from 0")
    weight_decay: float = Field(0.01, ge=0, allow_inf_nan=False, description="decoupled decay of matrices")
    blocks: int | None = Field(
        None, ge=1, description="blocks of the encoder that are used, from the first; null, or all of them: what it gives"
    )
    dropout: float | None = Field(None, ge=0, lt=1, description="of every dropout inside the encoder; null: as trained")
    scope: Literal["full", "head"] = Field("full", description="what is moved: everything, or the linear head alone")
    patience: int | None = Field(
        5, ge=1, description="epochs without a better validation score before it stops; null: it never does"
    )
    micro_batch: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto", description="sequences in a pass; changes nothing but rounding and dropout's draws"
    )
    optimizer: str = Field(DEFAULT_OPTIMIZER, min_length=1, description="name of a registered optimizer")

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave the default optimizer out: results of before there was a choice keep their identity."""
        plain: dict[str, Any] = handler(self)
        if self.optimizer == DEFAULT_OPTIMIZER:
            del plain["optimizer"]
        return plain


def settings_for(task: Task, changes: Sequence[str]) -> tuple[FinetuneSettings, dict[str, str]]:
    """The task's published settings with `KEY=VALUE` changes on top, and whose each value is.

    That is `certain` or `configured` as the task says, `ours`, or `given`. Values are YAML's, as after `--set`; of two changes
    of one key the last counts. Raises FindnaError for what is no change, an unknown key and a value out of bounds.
    """
    published = task.finetune
    stated: dict[str, Any] = {} if published is None else dict(published.settings)
    marks: dict[str, str] = dict.fromkeys(FinetuneSettings.model_fields, "ours")
    if published is not None:
        marks |= {name: published.mark(name) for name in stated}
    for change in changes:
        name, value = _read(change)
        stated[name], marks[name] = value, "given"
    try:
        settings = FinetuneSettings.model_validate_json(json.dumps(stated), strict=True)
    except ValidationError as error:
        said = explain(error, FinetuneSettings, stated)
        raise FindnaError("\n".join(f"fine-tuning's {dotted(one.path)}: {one.message}" for one in said)) from error
    return settings, {name: mark for name, mark in marks.items() if name in settings.model_dump()}


def _read(change: str) -> tuple[str, Any]:
    name, equals, text = change.partition("=")
    name, known = name.strip(), list(FinetuneSettings.model_fields)
    if not equals or not name or not text.strip():
        raise FindnaError(f"{change!r} changes no setting of fine-tuning: KEY=VALUE is wanted, such as epochs=10")
    if name not in known:
        raise FindnaError(f"fine-tuning has no setting {name!r}{nearest(name, known)} (settings: {', '.join(known)})")
    found: list[LocatedIssue] = []
    node = parse(text, lambda line, column: Location(2, change), Path.cwd(), found)
    if node is None or found:
        raise FindnaError("\n".join(f"fine-tuning's {name}: {one.message}" for one in found))
    return name, node.plain()
