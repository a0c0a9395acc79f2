"""Output formats that the commands about runs share."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Any, Literal

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OutputFormat = Literal["text", "csv", "json"]


def output_format(*, as_csv: bool, as_json: bool) -> OutputFormat:
    """Return the requested format. Raises FindnaError if both are requested."""
    if as_csv and as_json:
        raise FindnaError("--csv and --json exclude each other: give one of them")
    return "csv" if as_csv else "json" if as_json else "text"


def write_csv(rows: Sequence[Mapping[str, Any]], first: Sequence[str]) -> None:
    """Write rows with the columns of all of them to stdout, those named in `first` first. A missing value is an empty cell."""
    columns = list(dict.fromkeys([*first, *(name for row in rows for name in row)]))
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def value_text(value: Any) -> str:
    """Return a value as text, and `-` for None."""
    return "-" if value is None else str(value)


def number_text(value: float | None, digits: int = 4) -> str:
    """Return a number with this many significant digits, and `-` for None."""
    return "-" if value is None else f"{value:.{digits}g}"
