"""The errors that the kit raises on purpose.

    FindnaError                      exit code 2: wrong input of the user; shown without a traceback
    ├── RecipeError                  a recipe, its base or a --set; lists all problems at once
    ├── UnknownComponent             a name that no plugin registers (also a KeyError)
    ├── ComponentClash               a name that two plugins register
    ├── PluginError                  a fault in a plugin, for its author to fix
    ├── GenomeError                  a FASTA or BED that cannot be used
    ├── TaskError                    a labelled task that cannot be read
    ├── OutputExists                 an output that would be overwritten
    └── CheckpointMismatch           a checkpoint that does not fit; lists the differences
    RunStopped                       exit code 3: a run that stopped itself
    ├── NotFinite                    a loss or gradient that is not finite
    └── ProcessLost                  another process of the run died or hangs

`Interrupted` (exit codes 130 and 143) is raised when a signal asked the run to save and stop.

An error whose `silent` is true is printed by another process of the same run.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class FindnaError(Exception):
    """Wrong input of the user. The message says what is wrong and what to do. silent: another process prints it."""

    exit_code = 2
    silent = False


@dataclass(frozen=True)
class Problem:
    """One problem in a recipe. where: `file:line:column`, or `--set`. path: of the key, such as `encoder.dim`."""

    where: str
    path: str
    message: str

    def __str__(self) -> str:
        """Return `file:line:column  path: message`."""
        path = f"{self.path}: " if self.path else ""
        return f"{self.where}  {path}{self.message}"


class RecipeError(FindnaError):
    """All problems of one recipe, and notes such as plugins that failed to load."""

    def __init__(self, problems: Sequence[Problem], notes: Sequence[str] = ()) -> None:
        self.problems = tuple(problems)
        self.notes = tuple(notes)
        super().__init__("\n".join([*map(str, self.problems), *self.notes]))


# A KeyError too: the `in` and `get` of a registry, which is a Mapping, catch it and take the name for absent.
class UnknownComponent(FindnaError, KeyError):
    """A name that no component of its kind has."""

    def __str__(self) -> str:
        """Return the message without the quotes that KeyError puts around it."""
        return str(self.args[0])


class ComponentClash(FindnaError):
    """A name that two plugins register; the message lists both."""


class PluginError(FindnaError):
    """A plugin that breaks the rules of the plugin interface, or fails."""


class GenomeError(FindnaError):
    """A FASTA or BED file that cannot be used."""


class TaskError(FindnaError):
    """A labelled task that cannot be read."""


class OutputExists(FindnaError):
    """An output that exists and may not be replaced, or that cannot be written."""


class CheckpointMismatch(FindnaError):
    """A checkpoint, or a part of one, that does not fit the networks into which it is loaded."""


class RunStopped(Exception):
    """A run stopped itself, for the reason in the message. silent: another process prints it."""

    exit_code = 3
    silent = False


class NotFinite(RunStopped):
    """A loss or the gradient is not finite."""


class ProcessLost(RunStopped):
    """Another process of the run died or hangs."""


class Interrupted(Exception):
    """A signal asked the run to stop, and its state has been saved. silent: another process prints it."""

    silent = False

    def __init__(self, signal_number: int, message: str) -> None:
        # 128 plus the number is how shells report a process that a signal ended: 130 for SIGINT, 143 for SIGTERM.
        self.signal_number, self.exit_code = signal_number, 128 + signal_number
        super().__init__(message)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` with the most similar known name, or an empty string if none is similar."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def require_extra(module: str, extra: str, feature: str) -> None:
    """Raise FindnaError with the command that installs `extra` if `module`, which `feature` needs, is not installed."""
    if find_spec(module) is None:
        raise FindnaError(f"{feature} needs {module}, which is not installed: pip install 'findna-kit[{extra}]'")
