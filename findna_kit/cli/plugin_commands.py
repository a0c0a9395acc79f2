"""Commands that plugins provide: listed from package metadata, imported when they are called."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from typer import Typer
from typer.core import TyperCommand
from typer.main import get_command

from findna_kit.cli.command_table import COMMANDS
from findna_kit.cli.groups import LazyGroup
from findna_kit.errors import PluginError
from findna_kit.plugins.entry_points import COMMANDS as COMMANDS_GROUP
from findna_kit.plugins.entry_points import enabled_entries, installed, unique_entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from findna_kit.plugins.entry_points import PluginEntry


class RootGroup(LazyGroup):
    """The commands of the kit, followed by those of plugins. If both define a name, the command of the kit is called."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(entries=COMMANDS, **attrs)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names for the help. An unknown name in FINDNA_KIT_PLUGINS does not prevent the help."""
        return [*self.commands, *sorted({entry.owner.plugin for entry in self._entries} - set(self.commands))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by name. The command of a plugin is not imported before it is invoked."""
        # Package metadata are read only for names that the kit does not know, so its own commands start without them.
        return self.commands.get(cmd_name) or PluginCommand.named(self._entries, cmd_name)

    @cached_property
    def _entries(self) -> list[PluginEntry]:
        """Read from package metadata which commands the enabled plugins provide."""
        return [entry for entry in installed() if entry.group == COMMANDS_GROUP and entry.enabled]


class PluginCommand(TyperCommand):
    """The command of a plugin, which receives all arguments after its name unchanged."""

    @classmethod
    def named(cls, entries: list[PluginEntry], name: str) -> PluginCommand | None:
        """Return the command of that name, or None if no plugin provides one."""
        matches = [entry for entry in entries if entry.owner.plugin == name]
        if not matches:
            return None
        sources = " and ".join(f"{entry.owner.distribution} {entry.owner.version}" for entry in matches)
        return cls(name, help=f"(from {sources})", add_help_option=False)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep all arguments: options and --help belong to the plugin."""
        ctx.args = args
        return args

    def invoke(self, ctx: Any) -> Any:
        """Import and call the command.

        Raises FindnaError if two plugins provide the name, PluginError if the command cannot be imported.
        """
        entry = unique_entry(enabled_entries(COMMANDS_GROUP), str(self.name), "the command")
        if entry is None:
            raise PluginError(f"the command {self.name!r} is no longer installed")
        return load_command(entry)(ctx.args, prog_name=f"findna-kit {self.name}")


def load_command(entry: PluginEntry) -> Callable[..., Any]:
    """Import the command of a plugin and return the function that runs it with a list of arguments.

    Raises PluginError if it cannot be imported, or if it is neither a typer app nor a click command.
    """
    owner = entry.owner
    command_name = f"the command {owner.plugin!r} of {owner.distribution} {owner.version}"
    try:
        loaded = entry.entry.load()
        command = get_command(loaded) if isinstance(loaded, Typer) else loaded
    except (Exception, SystemExit) as error:  # the code of a plugin may raise anything, or exit
        hint = "findna-kit plugins doctor shows the traceback"
        raise PluginError(f"{command_name} cannot be imported: {type(error).__name__}: {error}; {hint}") from error
    # Typer may bring its own copy of click, so isinstance does not recognise a click command; its method `main` does.
    run: Callable[..., Any] | None = getattr(command, "main", None)
    if isinstance(command, type) or not callable(run):
        raise PluginError(
            f"{command_name} is neither a typer app nor a click command ({entry.entry.value} of {owner.distribution})"
        )
    return run
