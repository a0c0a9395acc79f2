"""The command `schema`: print the JSON Schema of recipes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from findna_kit.cli.lazy import LazyModule
from findna_kit.cli.options import Without
from findna_kit.cli.plugin_failures import log_failures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from findna_kit.plugins import loading
    from findna_kit.recipe import json_schema
else:
    loading = LazyModule("findna_kit.plugins.loading")
    json_schema = LazyModule("findna_kit.recipe.json_schema")


def schema(without: Without = None) -> None:
    """Print the JSON Schema of recipes for editors, including the installed plugins."""
    print(schema_text(without or []), end="")


def schema_text(without: Sequence[str]) -> str:
    """Return the JSON Schema of recipes that use the installed plugins, as text."""
    components, plugins = loading.load_plugins(without)
    log_failures(plugins)
    return json.dumps(json_schema.recipe_schema(components), indent=1) + "\n"
