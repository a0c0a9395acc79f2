"""What commands that only list components need around the loading of plugins; it imports no torch by itself."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

from findna_kit.cli.console import log

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from findna_kit.plugins.loading import Plugin


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the collection of cyclic garbage, and keep what was allocated meanwhile out of later collections.

    The objects that importing torch and plugins creates live as long as the process. Scanning them again and again takes half
    of the time of `findna-kit components` that is not the import of torch.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def log_failures(plugins: Sequence[Plugin]) -> None:
    """Log a line for each plugin that failed to load."""
    for plugin in plugins:
        if plugin.failure is not None:
            log(str(plugin))
