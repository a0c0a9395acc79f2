"""Command groups that know their commands by name and import a command's module only when it is needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from typer import Typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class CommandEntry:
    """A command: the function that runs it as `module:function`, and its summary in the list of commands."""

    target: str
    summary: str


@dataclass(frozen=True)
class GroupEntry:
    """A group of commands. `default` is the command that runs when none is named; without it the group prints its help."""

    summary: str
    commands: Mapping[str, CommandEntry] = field(default_factory=dict)
    default: str | None = None


class LazyCommand(TyperCommand):
    """A command by name and summary; its module is imported when it is called or its help is requested."""

    def __init__(self, name: str, entry: CommandEntry) -> None:
        # The list of commands shows the summary of the table, so that it needs no import.
        super().__init__(name, help=entry.summary, rich_markup_mode=None)
        self._target = entry.target

    @cached_property
    def command(self) -> Any:
        """Build the command with its options from the signature of its function."""
        module, _, function = self._target.partition(":")
        # A Typer with one command gives that command itself, not a group. Completion is an option of the whole program.
        app = Typer(add_completion=False, rich_markup_mode=None)
        app.command(self.name)(getattr(import_module(module), function))
        return get_command(app)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the arguments with the real command, which the context then names as its command."""
        # Arguments, completion and --help of one command are the real command's, which is imported here.
        return self.command.make_context(info_name, args, parent=parent, **extra)


class LazyGroup(TyperGroup):
    """A group whose help lists every command with its whole summary, wrapped and never cut."""

    def __init__(self, *, entries: Mapping[str, CommandEntry | GroupEntry], default: str | None = None, **attrs: Any) -> None:
        super().__init__(**attrs)
        self._default = default
        for name, entry in entries.items():
            self.add_command(_command(name, entry), name)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the group's own arguments; without any, go on with the default command."""
        # While a shell completes, an empty command line is to be completed to any command of the group.
        if not args and self._default is not None and not ctx.resilient_parsing:
            args = [self._default]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands. The method of click would cut each summary to one line."""
        # click cuts summaries at 45 characters; a definition list wraps them instead.
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help or "") for name, command in commands if command is not None])


def _command(name: str, entry: CommandEntry | GroupEntry) -> TyperCommand | LazyGroup:
    """Return the command or group that an entry describes."""
    if isinstance(entry, CommandEntry):
        return LazyCommand(name, entry)
    return LazyGroup(
        name=name, help=entry.summary, entries=entry.commands, default=entry.default, no_args_is_help=entry.default is None,
        rich_markup_mode=None,
    )  # fmt: skip
