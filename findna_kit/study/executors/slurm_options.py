"""Options `--slurm KEY=VALUE`: the resources that jobs request. They belong to the command line, not to the study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from findna_kit.errors import FindnaError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SettingValue = str | int | list[str]
SlurmSettings = dict[str, SettingValue]
"""Parameters of submitit's Slurm executor; a flag without a value is True."""
DEFAULT_MINUTES = 60
"""Time limit of a job."""


def read_settings(pairs: Sequence[str]) -> SlurmSettings:
    """Return the settings for submitit's Slurm executor. Raise FindnaError for unknown keys and invalid values."""
    settings: SlurmSettings = {"time": DEFAULT_MINUTES}
    lines: dict[str, list[str]] = {}
    seen = set[str]()
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip().removeprefix("--").replace("-", "_")  # so that sbatch's spelling works, too
        if key in _SET_BY_RECIPE:
            raise FindnaError(f"--slurm {key}: {_SET_BY_RECIPE[key]}")
        if key not in KEYS:
            hint = nearest(key, KEYS) or f"; known: {', '.join(KEYS)}"
            raise FindnaError(f"--slurm {key}: unknown setting{hint}")
        if KEYS[key] is _line:  # may be given several times
            settings[key] = lines.setdefault(key, [])
            lines[key].append(value)
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
        raise FindnaError(f"--slurm {key}: must be an integer above 0, not {value}")
    return int(value)


def _flag(key: str, value: str) -> bool | str:
    return value or True


def _minutes(key: str, value: str) -> int:
    """Return the minutes of a time in Slurm's formats: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S. Seconds are rounded up."""
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


KEYS: dict[str, Callable[[str, str], SettingValue]] = {
    "partition": _text, "account": _text, "qos": _text, "time": _minutes, "mem": _text, "mem_per_cpu": _text,
    "mem_per_gpu": _text, "cpus_per_task": _number, "gpus_per_node": _text, "gres": _text, "constraint": _text,
    "nodelist": _text, "exclude": _text, "exclusive": _flag, "dependency": _text, "comment": _text, "wckey": _text,
    "mail_type": _text, "mail_user": _text, "signal_delay_s": _number, "setup": _line, "srun_args": _line,
}  # fmt: skip
"""Settings that may be given, by submitit's names (those of sbatch with `_`), and how their values are read."""
_SET_BY_RECIPE = {
    "nodes": "follows from trainer.nodes of a cell's recipe",
    "ntasks_per_node": "follows from trainer.devices of a cell's recipe",
    "job_name": "is derived from the cell's name, by which its job is found again",
}
