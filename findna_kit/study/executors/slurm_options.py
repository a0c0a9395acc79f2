"""`--slurm KEY=VALUE`: what the scheduler is asked for, a matter of the command and not of the study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from findna_kit.errors import FindnaError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_MINUTES = 60


def read_settings(given: Sequence[str]) -> dict[str, Any]:
    """What submitit's Slurm executor is told. Raises FindnaError for what is none of its settings, or no value of one."""
    settings: dict[str, Any] = {"time": DEFAULT_MINUTES}
    seen = set[str]()
    for pair in given:
        key, equals, value = pair.partition("=")
        key = key.strip().removeprefix("--").replace("-", "_")
        if key in _OURS:
            raise FindnaError(f"--slurm {key}: {_OURS[key]}")
        if key not in KEYS:
            ways = nearest(key, KEYS) or f"; there are {', '.join(KEYS)}"
            raise FindnaError(f"--slurm {key}: no setting of that name{ways}")
        if KEYS[key] is _line:
            settings[key] = [*settings.get(key, []), value]
        elif key in seen:
            raise FindnaError(f"--slurm {key}: is given twice")
        elif not value and not (KEYS[key] is _flag and not equals):
            raise FindnaError(f"--slurm {key}: needs a value, as in --slurm {key}=...")
        else:
            settings[key] = KEYS[key](key, value)
        seen.add(key)
    return settings


def _text(key: str, value: str) -> str:
    return value


def _line(key: str, value: str) -> str:
    return value


def _number(key: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise FindnaError(f"--slurm {key}: must be a whole number above 0, not {value}")
    return int(value)


def _flag(key: str, value: str) -> bool | str:
    return value or True


def _minutes(key: str, value: str) -> int:
    """Slurm's own forms: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; seconds are rounded up."""
    days, dash, rest = value.rpartition("-")
    parts = rest.split(":")
    if not all(part.isdecimal() for part in [*parts, *([days] if dash else [])]) or len(parts) > 3:
        raise FindnaError(f"--slurm {key}: must be minutes, H:M:S or D-H:M:S, not {value}")
    numbers = [int(part) for part in parts]
    if dash:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:
        hours, (minutes, seconds) = 0, [*numbers, 0][:2]
    total = int(days or 0) * 1440 + hours * 60 + minutes + (seconds > 0)
    return _number(key, str(total))


KEYS: dict[str, Callable[[str, str], Any]] = {
    "partition": _text, "account": _text, "qos": _text, "time": _minutes, "mem": _text, "mem_per_cpu": _text,
    "mem_per_gpu": _text, "cpus_per_task": _number, "gpus_per_node": _text, "gres": _text, "constraint": _text,
    "nodelist": _text, "exclude": _text, "exclusive": _flag, "dependency": _text, "comment": _text, "wckey": _text,
    "mail_type": _text, "mail_user": _text, "signal_delay_s": _number, "setup": _line, "srun_args": _line,
}  # fmt: skip
"""submitit's names, which are sbatch's with `_`; what may be given."""
_OURS = {
    "nodes": "follows from trainer.nodes of a cell's recipe",
    "ntasks_per_node": "follows from trainer.devices of a cell's recipe",
    "job_name": "is the cell's name, by which its job is found again",
}
