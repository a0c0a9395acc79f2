"""Every error that the kit raises on purpose, drawn at the door.

    FindnaError                      exit code 2: what the user gave is wrong; shown without a traceback
    ├── RecipeError                  a recipe, its base or a --set; carries every problem at once
    ├── UnknownComponent             a name nobody registered (also a KeyError)
    ├── ComponentClash               two plugins claim one name
    ├── PluginError                  a package that a plugin's author must mend
    ├── GenomeError                  a FASTA or BED that cannot be used
    ├── TaskError                    a labelled task that cannot be read
    ├── OutputExists                 an output folder that would be overwritten
    └── CheckpointMismatch           a checkpoint that does not fit; lists what differs
    RunStopped                       exit code 3: a run that stopped itself
    ├── NotFinite                    a loss or gradient that is not a number
    └── ProcessLost                  one of the processes that train together is gone

`Interrupted` (exit codes 130 and 143) is no error: a signal asked the run to save and stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class FindnaError(Exception):
    """What the user gave is wrong. The message is a sentence that says what to do; `silent`: another process says it."""

    exit_code = 2
    silent = False


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a recipe: `where` is `file:line:column`, or `--set`."""

    where: str
    path: str
    message: str

    def __str__(self) -> str:
        """`file:line:column  path: message`."""
        path = f"{self.path}: " if self.path else ""
        return f"{self.where}  {path}{self.message}"


class RecipeError(FindnaError):
    """All problems of one recipe."""

    def __init__(self, problems: Sequence[Problem], notes: Sequence[str] = ()) -> None:
        self.problems = tuple(problems)
        self.notes = tuple(notes)
        super().__init__("\n".join([*map(str, self.problems), *self.notes]))


class UnknownComponent(FindnaError, KeyError):
    """No component of that kind has that name."""

    def __str__(self) -> str:
        """Without the quotes that KeyError would put around the sentence."""
        return str(self.args[0])


class ComponentClash(FindnaError):
    """Two plugins claim one name; names both owners."""


class PluginError(FindnaError):
    """A plugin that does what a plugin may not."""


class GenomeError(FindnaError):
    """A FASTA or BED that cannot be used as it is."""


class TaskError(FindnaError):
    """A labelled task that cannot be read."""


class OutputExists(FindnaError):
    """The output is already there, and nobody said that it may be replaced."""


class CheckpointMismatch(FindnaError):
    """A checkpoint, or a part of one, that does not fit what it is loaded into."""


class RunStopped(Exception):
    """The run stopped itself, for the reason in the message; `silent`: another process says it."""

    exit_code = 3
    silent = False


class NotFinite(RunStopped):
    """A loss term or the gradient is not finite."""


class ProcessLost(RunStopped):
    """One of the processes that train together is gone."""


class Interrupted(Exception):
    """A signal asked the run to stop; its state has been saved. `silent`: another process says it."""

    silent = False

    def __init__(self, signal_number: int, message: str) -> None:
        self.signal_number, self.exit_code = signal_number, 128 + signal_number
        super().__init__(message)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no known name is near."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def require_extra(module: str, extra: str, feature: str) -> None:
    """Raise FindnaError with the command that installs `extra` if `module`, which `feature` needs, is not installed."""
    if find_spec(module) is None:
        raise FindnaError(f"{feature} needs {module}, which is not installed: pip install 'findna-kit[{extra}]'")
