"""Command groups of plugins: listed from metadata, imported when they are called."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from typer import Typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from findna_kit.errors import PluginError
from findna_kit.plugins.entry_points import COMMANDS, enabled_entries, installed, unique_entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from findna_kit.plugins.entry_points import PluginEntry


class CommandsOfPlugins(TyperGroup):
    """The kit's own commands, then the plugins'. Where both have a name, the kit's is meant."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names for the help. A name in FINDNA_KIT_PLUGINS that nobody has is no reason to refuse help."""
        return [*self.commands, *sorted({offer.owner.plugin for offer in self._offers} - set(self.commands))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by name; a plugin's is not imported before it is invoked."""
        own = self.commands.get(cmd_name)
        # Metadata are read for names that the kit does not know, so its own commands do not wait for that.
        return own or _Late.of(self._offers, cmd_name)

    @cached_property
    def _offers(self) -> list[PluginEntry]:
        return [offer for offer in installed() if offer.group == COMMANDS and offer.enabled]


class _Late(TyperCommand):
    """Stands for a plugin's command, and gives it every word that follows its name."""

    @classmethod
    def of(cls, offers: list[PluginEntry], name: str) -> _Late | None:
        """The command of that name, None where nobody brings one."""
        named = [offer for offer in offers if offer.owner.plugin == name]
        if not named:
            return None
        brought_by = " and ".join(f"{offer.owner.distribution} {offer.owner.version}" for offer in named)
        return cls(name, help=f"(from {brought_by})", add_help_option=False)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Nothing is parsed here: options and --help are the plugin's."""
        ctx.args = args
        return args

    def invoke(self, ctx: Any) -> Any:
        """Imports and calls. Raises FindnaError where two plugins claim the name, PluginError where it cannot be imported."""
        offer = unique_entry(enabled_entries(COMMANDS), str(self.name), "the command")
        if offer is None:
            raise PluginError(f"the command {self.name!r} is no longer installed")
        return load_command(offer)(ctx.args, prog_name=f"findna-kit {self.name}")


def load_command(offer: PluginEntry) -> Callable[..., Any]:
    """What runs a plugin's command, given the words that follow its name. Raises PluginError where there is none."""
    owner, said = offer.owner, f"the command {offer.owner.plugin!r} of {offer.owner.distribution} {offer.owner.version}"
    try:
        loaded = offer.entry.load()
        command = get_command(loaded) if isinstance(loaded, Typer) else loaded
    except (Exception, SystemExit) as error:  # a stranger's code may raise anything, or exit
        more = "findna-kit plugins doctor shows the traceback"
        raise PluginError(f"{said} cannot be imported: {type(error).__name__}: {error}; {more}") from error
    # A click command is told by its `main`: typer may bring a click of its own, of which it is no instance.
    run: Callable[..., Any] | None = getattr(command, "main", None)
    if isinstance(command, type) or not callable(run):
        raise PluginError(f"{said} is no typer app and no click command ({offer.entry.value} of {owner.distribution})")
    return run
