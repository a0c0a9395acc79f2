"""The folder in which the kit caches files for later calls."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_dir

CACHE_VARIABLE = "FINDNA_KIT_CACHE"


def cache_folder() -> Path:
    """Return the folder of `FINDNA_KIT_CACHE`, or the cache folder of the user (XDG)."""
    return Path(os.environ.get(CACHE_VARIABLE) or user_cache_dir("findna-kit")).expanduser().absolute()
