"""Typed JSON records: the base of their models, and functions that read and write the files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from findna_kit.atomic import atomic_write
from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

JsonObject = dict[str, JsonValue]


class JsonModel(BaseModel):
    """Base of the records that are kept as JSON: immutable, and unknown keys are kept.

    Unknown keys come from later versions of the kit, and must survive when an older version rewrites the file.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    def to_json(self) -> JsonObject:
        """Return the record as plain values: the keys that were set, in the order of the fields."""
        # Keys that were never set stay absent, so that rewriting a file adds nothing to it.
        return self.model_dump(exclude_unset=True)


Model = TypeVar("Model", bound=BaseModel)


def read_json(path: Path, remedy: str) -> Any:
    """Return the parsed content of a JSON file; None if there is no such file.

    Raises FindnaError, which ends with `remedy`, if the file cannot be read or is not valid JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FindnaError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FindnaError(f"{path}: not valid JSON ({error}); {remedy}") from error


def read_model(path: Path, model: type[Model], remedy: str) -> Model | None:
    """Return the validated content of a JSON file; None if there is no such file.

    Raises FindnaError, which names the offending key and ends with `remedy`, if the file is damaged.
    """
    content = read_json(path, remedy)
    if content is None and not path.exists():
        return None
    return validate(path, model, content, remedy)


def validate(path: Path, model: type[Model], content: Any, remedy: str, key: str = "") -> Model:
    """Return `content`, read from `path` (below `key`), as a model; raise FindnaError if it does not fit."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(map(str, (*([key] if key else []), *first["loc"]))) or "the whole file"
        raise FindnaError(f"{path}: unexpected content ({location}: {first['msg']}); {remedy}") from error


def read_entries(path: Path, remedy: str) -> dict[str, JsonObject]:
    """Return the entries of evaluation.json or audit.json by the task's path, unvalidated; empty if there is no such file.

    Writers use it: entries of other tasks, or of later versions, are written back as they were. Raises FindnaError,
    which ends with `remedy`, if the file is not a map of maps.
    """
    # Looked up before it is read: another process may write the first entry in between.
    if not path.exists():
        return {}
    content = read_json(path, remedy)
    if not (isinstance(content, dict) and all(isinstance(entry, dict) for entry in content.values())):
        raise FindnaError(f"{path}: unexpected content (expected one map per task); {remedy}")
    return content


def write_json(path: Path, content: JsonValue | Mapping[str, Any]) -> None:
    """Write a JSON file atomically: readers see the old content or the new, never a part of it."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
