"""Shortening of the absolute paths in a page: a report is given to others, and the layout of the machine is not part of it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Mapping

_ABSOLUTE = re.compile(r"""(?<![\w.~/:<…-])/[^\s/'"`<>]+(?:/[^\s/'"`<>]+)+""")
"""An absolute path of at least two parts. The characters before it exclude relative paths, URLs and HTML's closing tags."""
_KEPT_PARTS = 2


@dataclass(frozen=True)
class PathShortener:
    """Replaces absolute paths in text.

    Paths below the working directory become relative to it; those below one of the page's folders begin with that folder's
    label; those below the home directory begin with `~`. Of all others only the last two parts are shown, as `…/parent/name`.
    """

    prefixes: tuple[tuple[str, str], ...]
    """Absolute prefixes without a trailing slash, longest first, and what replaces them (empty: the working directory)."""

    @classmethod
    def of_page(cls, labels: Mapping[Path, str]) -> PathShortener:
        """Return the shortener for a page of these folders."""
        working_directory = Path.cwd()
        prefixes = {str(Path.home()): "~", str(working_directory): ""}
        for folder, label in labels.items():
            for path in {folder.absolute(), folder.resolve()}:  # a folder may be given by a symbolic link
                relative = path.is_relative_to(working_directory)
                shown = path.relative_to(working_directory).as_posix() if relative else label
                # Commands have the path as a shell quotes it, which is another text where a name has an apostrophe.
                prefixes |= {str(path): shown, _quoted(str(path)): _quoted(shown)}
        prefixes.pop("/", None)  # of a home or working directory that is the root of the file system
        # The working directory is often below the home directory, so longer prefixes are replaced first.
        return cls(tuple(sorted(prefixes.items(), key=lambda pair: -len(pair[0]))))

    def shorten(self, value: object) -> object:
        """Return a value of a template with its paths shortened; what is not text is returned as it is."""
        if isinstance(value, Markup):  # drawings, whose text is escaped already
            return Markup(self._shorten_text(str(value), escaped=True))  # noqa: S704 - only paths were made shorter
        return self._shorten_text(value) if isinstance(value, str) else value

    def _shorten_text(self, text: str, *, escaped: bool = False) -> str:
        if "/" not in text:
            return text
        for prefix, shown in self.prefixes:
            pattern = re.escape(str(escape(prefix)) if escaped else prefix)
            replacement = str(escape(shown)) if escaped else shown
            # First what lies below the prefix, then the prefix itself, unless it is only the beginning of another name.
            text = re.sub(rf"(?<![\w.~/-]){pattern}/", lambda _: f"{replacement}/" if replacement else "", text)  # noqa: B023
            text = re.sub(rf"(?<![\w.~/-]){pattern}(?![\w.~-])", lambda _: replacement or ".", text)  # noqa: B023
        return _ABSOLUTE.sub(_last_parts, text)


def _quoted(path: str) -> str:
    """Return a path as it stands within the quotes of a shell command."""
    return shlex.quote(f" {path}")[2:-1]  # the space makes sure that there are quotes


def _last_parts(match: re.Match[str]) -> str:
    return "/".join(["…", *match[0].split("/")[-_KEPT_PARTS:]])
