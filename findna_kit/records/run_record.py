"""A run's own files: what they are called, its record, its scores, and whether a process has it."""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from findna_kit.errors import FindnaError
from findna_kit.plugins.entry_points import PLUGINS_ENV, installed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from findna_kit.plugins.loading import Plugin
    from findna_kit.plugins.registry import Components
    from findna_kit.recipe import Recipe

RECIPE, RECORD, LOCK = "recipe.yaml", "run.json", ".lock"
EVALUATION = "evaluation.json"
KILLED = "killed"


def precision_of(run: Path, recipe: Recipe) -> str:
    """What the run computed in, so that its embeddings are the same on another machine; `auto` only where it says nothing."""
    told: str | None = read_record(run).get("resolved", {}).get("precision")
    return told or recipe.trainer.precision


def read_record(run: Path) -> dict[str, Any]:
    """What run.json holds; nothing where there is none: a folder may be put together by hand. FindnaError for damage."""
    path = run / RECORD
    try:
        told = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise FindnaError(f"{path}: is no JSON ({error}); restore it from a copy") from error
    if not isinstance(told, dict):
        raise FindnaError(f"{path}: is not what a run writes; restore it from a copy")
    return told


def read_by_task(path: Path, anew: str) -> dict[str, dict[str, Any]]:
    """What stands in a run's evaluation.json or audit.json, by the task's path; nothing where there is no such file.

    anew: what makes it again. FindnaError where it is damaged.
    """
    try:
        kept = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise FindnaError(f"{path}: is no JSON ({error}); remove it, {anew}") from error
    if not (isinstance(kept, dict) and all(isinstance(entry, dict) for entry in kept.values())):
        raise FindnaError(f"{path}: does not hold one entry for each task; remove it, {anew}")
    return kept


def is_locked(path: Path) -> bool:
    """Whether a process has taken this lock: one of this machine, or of one that shares its locks. It only looks."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def current_status(run: Path, status: str | None) -> str | None:
    """What has become of a run whose record has that status: whoever holds its folder runs it, whatever was told before.

    KILLED, or running where its machine does not share its locks, if it has told no end and no process holds it.
    """
    if status is None or status == "finished":
        return status
    if is_locked(run / LOCK):
        return "running"
    return KILLED if status == "running" else status


def refuse_missing(run: Path, components: Components, failed: Sequence[Plugin]) -> None:
    """FindnaError that names the distribution of every component which the run used and nobody registers now."""
    known = {registry.kind: registry for registry in components.registries()}
    used: dict[str, dict[str, str]] = read_record(run).get("components", {})
    lost = {
        (kind, name): owner for kind, names in used.items() for name, owner in names.items() if name not in known.get(kind, ())
    }
    if lost:
        told = "; ".join(f"{kind} {name!r} of {owner}" for (kind, name), owner in lost.items())
        broken = {plugin.owner.distribution for plugin in failed}
        ways = [way for owner in dict.fromkeys(lost.values()) if (way := _remedy(owner, broken))]
        raise FindnaError("\n".join([f"{run}: was made with what nobody registers now: {told}", *ways, *map(str, failed)]))


def _remedy(owner: str, broken: Collection[str]) -> str | None:
    """What brings a run's plugin back: `owner` is its distribution and version. None where it failed, which says enough."""
    name, _, then = owner.rpartition(" ")
    now = next((offer.owner.version for offer in installed() if offer.owner.distribution == name), None)
    if now is None:
        return f"pip install {name}    (the run was made with {then})"
    if name in broken:
        return None
    if now == then:
        return f"{owner} is installed, but left out: by --without, or by {PLUGINS_ENV}"
    return f"{name} {now} is installed and does not bring it, or is left out: pip install {name}=={then}"
