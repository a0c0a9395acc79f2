"""Settings of fine-tuning: the published ones of the task, the user's changes, and the source of each value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, ValidationError, model_serializer

from findna_kit.errors import FindnaError, nearest
from findna_kit.recipe.error_messages import explain
from findna_kit.recipe.yaml_nodes import LocatedIssue, Location, dotted, parse
from findna_kit.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.evaluation.tasks import Task
    from findna_kit.records.json_files import JsonObject


DEFAULT_OPTIMIZER = "adamw"


class FinetuneSettings(Settings):
    """Settings of fine-tuning. The defaults are ours, for tasks that are published without settings."""

    batch_size: int = Field(32, ge=1, description="largest number of sequences per step; an epoch is divided evenly")
    epochs: int = Field(20, ge=1, description="largest number of passes over the training split")
    learning_rate: float = Field(
        5e-4, gt=0, allow_inf_nan=False, description="peak learning rate after the warm-up; cosine decay to 0 follows"
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps in which the learning rate rises from 0")
    weight_decay: float = Field(0.01, ge=0, allow_inf_nan=False, description="decoupled weight decay of matrices")
    blocks: int | None = Field(
        None, ge=1, description="number of the encoder's blocks that are used, from the input; null: all, and its output"
    )
    dropout: float | None = Field(None, ge=0, lt=1, description="dropout inside the encoder; null: as in pretraining")
    scope: Literal["full", "head"] = Field("full", description="what is trained: the whole network, or the linear head alone")
    patience: int | None = Field(
        5, ge=1, description="epochs without a better validation score before training stops; null: no early stopping"
    )
    micro_batch: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto", description="sequences per forward pass; affects only rounding and dropout masks"
    )
    optimizer: str = Field(DEFAULT_OPTIMIZER, min_length=1, description="name of a registered optimizer")

    @model_serializer(mode="wrap")
    def _without_default_optimizer(self, handler: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        """Leave the default optimizer out, so that results from before there was a choice keep their identity."""
        plain: dict[str, JsonValue] = handler(self)
        # Left out, so that digests of version 0.1, which had no such key, stay valid.
        if self.optimizer == DEFAULT_OPTIMIZER:
            del plain["optimizer"]
        return plain


def settings_for(task: Task, changes: Sequence[str]) -> tuple[FinetuneSettings, dict[str, str]]:
    """Return the task's published settings with `KEY=VALUE` changes applied, and the source of each value.

    Sources are `certain` or `configured` (see the task file), `ours`, and `given` by the user. Values are YAML, as after
    `--set`; the last of several changes to a key counts. Raises FindnaError for an invalid change, an unknown key and a value
    out of bounds.
    """
    published = task.finetune
    values: JsonObject = {} if published is None else dict(published.settings)
    # A result lists where each value comes from: published settings were chosen for another network.
    sources: dict[str, str] = dict.fromkeys(FinetuneSettings.model_fields, "ours")
    if published is not None:
        sources |= {name: published.mark(name) for name in values}
    for change in changes:
        name, value = _read(change)
        values[name], sources[name] = value, "given"
    try:
        settings = FinetuneSettings.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        issues = explain(error, FinetuneSettings, values)
        raise FindnaError("\n".join(f"fine-tuning's {dotted(issue.path)}: {issue.message}" for issue in issues)) from error
    return settings, {name: source for name, source in sources.items() if name in settings.model_dump()}


def _read(change: str) -> tuple[str, JsonValue]:
    """Return the key and the value of a change. Raises FindnaError if it is not valid."""
    name, equals, text = change.partition("=")
    name, known = name.strip(), list(FinetuneSettings.model_fields)
    if not equals or not name or not text.strip():
        raise FindnaError(f"{change!r}: expected KEY=VALUE with a setting of fine-tuning, such as epochs=10")
    if name not in known:
        raise FindnaError(f"fine-tuning has no setting {name!r}{nearest(name, known)} (settings: {', '.join(known)})")
    issues: list[LocatedIssue] = []
    node = parse(text, lambda line, column: Location(2, change), Path.cwd(), issues)
    if node is None or issues:
        raise FindnaError("\n".join(f"fine-tuning's {name}: {issue.message}" for issue in issues))
    value: JsonValue = node.plain()
    return name, value
