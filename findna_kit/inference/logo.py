"""Sequence logos: the bases of a sequence as letters, whose heights are numbers such as how much each base matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from findna_kit.atomic import atomic_write
from findna_kit.errors import FindnaError, require_extra

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

PICTURES = (".png", ".svg", ".pdf")
LINE, MAX_LINES = 100, 40
"""Bases in a line of a logo; largest number of lines, beyond which letters would be too small to read."""


@dataclass(frozen=True)
class LogoLine:
    """A sequence to draw: its name, its letters, and their heights [L]; NaN draws nothing."""

    name: str
    letters: str
    heights: NDArray[np.float32]


def check_picture(path: Path) -> None:
    """Raise FindnaError for an unknown suffix or a missing package."""
    if path.suffix not in PICTURES:
        raise FindnaError(f"--picture {path}: the suffix must be one of {', '.join(PICTURES)}")
    require_extra("matplotlib", "logos", "--picture")
    require_extra("logomaker", "logos", "--picture")


def check_size(sequences: int, longest: int) -> None:
    """Raise FindnaError if sequences of at most `longest` bases are too much for one picture."""
    lines = sequences * -(-longest // LINE)
    if lines > MAX_LINES:
        raise FindnaError(
            f"--picture: {sequences:,} sequences of up to {longest:,} bases need {lines:,} lines of {LINE} bases, and a "
            f"picture has at most {MAX_LINES}; give fewer or shorter sequences, or leave --picture out"
        )


def draw(path: Path, lines: Sequence[LogoLine], *, title: str, height: str) -> None:
    """Draw the logos below each other, with one scale for all, long sequences in lines of LINE bases.

    height: the label of the axis. Raises FindnaError if the file cannot be written.
    """
    import logomaker
    import pandas as pd
    from matplotlib.figure import Figure

    parts = [(line, start) for line in lines for start in range(0, len(line.letters), LINE)]
    widest = max(min(LINE, len(line.letters)) for line in lines)
    figure = Figure(figsize=(max(6.0, 0.16 * widest + 1), 1.5 * len(parts) + 0.8), layout="constrained")
    figure.suptitle(title, fontsize="medium", parse_math=False)
    figure.supylabel(height, fontsize="small")
    # One scale for all lines, so that the letters of different sequences can be compared.
    heights = np.concatenate([np.nan_to_num(line.heights) for line in lines])
    low, high = min(0.0, float(heights.min())), max(0.0, float(heights.max()))
    margin = 0.05 * (high - low) or 1.0
    for number, (line, start) in enumerate(parts):
        axes = figure.add_subplot(len(parts), 1, number + 1)
        letters = np.array(list(line.letters[start : start + LINE]))
        shown = np.nan_to_num(line.heights[start : start + LINE])[:, None] * (letters[:, None] == np.array(list("ACGT")))
        frame = pd.DataFrame(shown, columns=list("ACGT"), index=range(start, start + len(letters)))
        if shown.any():  # it cannot scale an axis without letters
            logomaker.Logo(frame, ax=axes, color_scheme="classic", flip_below=False, show_spines=False)
        # As wide as the longest line, so that letters have one width in all lines.
        axes.set_xlim(start - 0.5, start + widest - 0.5)
        axes.set_ylim(low - margin, high + margin)
        axes.set_title(line.name, loc="left", fontsize="small", parse_math=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as beside:
            figure.savefig(beside, format=path.suffix[1:], dpi=150)
    except OSError as error:
        raise FindnaError(f"{path}: cannot be written ({error.strerror}); the table is complete") from error
