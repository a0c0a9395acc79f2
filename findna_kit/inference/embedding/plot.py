"""What embeddings look like: files for TensorBoard's projector, and a picture in two dimensions."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from findna_kit.atomic import atomic_write
from findna_kit.errors import FindnaError, OutputExists, require_extra
from findna_kit.inference.embedding import formats

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from findna_kit.inference.projection import Method

MOST = 10_000
"""Rows that are shown: a browser and t-SNE are quick with so many."""
PROJECTOR = ("tensors.tsv", "metadata.tsv", "projector_config.pbtxt")
_SUFFIXES = (".png", ".svg", ".pdf")
_COLOURS, _NUMERIC_FROM, _LONGEST = 20, 11, 32
"""The most categories with a colour of their own; how many different numbers are a scale rather than categories; letters of
a name."""
_CONFIG = """embeddings {
  tensor_name: "%s"
  tensor_path: "tensors.tsv"
  metadata_path: "metadata.tsv"
}
"""


@dataclass(frozen=True)
class Sample:
    """Rows of an output that is whole: all, or MOST of them, evenly spaced."""

    embeddings: NDArray[np.float32]
    ids: list[tuple[str, ...]]
    description: dict[str, Any]

    def column(self, name: str) -> list[str]:
        """The cells of a column of the ids."""
        at = self.description["columns"].index(name)
        return [row[at] for row in self.ids]

    @property
    def title(self) -> str:
        """Which embeddings these are."""
        told = self.description
        layer = "" if told["layer"] is None else f", layer {told['layer']}"
        strands = ", both strands" if told["strand"] == "both" else ""
        share = f"{len(self.ids):,} of " if len(self.ids) < told["rows"] else ""
        which = f"{told['branch']}, {told['pooling']} pooling{layer}{strands}"
        return f"{told['name']}, step {told['step']} ({which})\n{share}{told['rows']:,} sequences"


@dataclass(frozen=True)
class Picture:
    """A picture to be drawn; `colour` is a column of the ids."""

    path: Path
    method: Method = "pca"
    colour: str | None = None

    def __post_init__(self) -> None:
        """Raises FindnaError for another suffix, and a package that is missing."""
        if self.path.suffix not in _SUFFIXES:
            raise FindnaError(f"--picture {self.path}: give it one of the suffixes {', '.join(_SUFFIXES)}")
        require_extra("matplotlib", "plots", "--picture")
        if self.method == "umap":
            require_extra("umap", "umap", "--method umap")

    def refuse(self, columns: Sequence[str], rows: int) -> None:
        """FindnaError where the ids have no such column, or where there are too few of them."""
        from findna_kit.inference.projection import refuse_few

        refuse_few(rows)
        if self.colour is not None and self.colour not in columns:
            raise FindnaError(f"--colour {self.colour}: the ids have no such column, but {', '.join(columns)}")


def refuse_what_is_there(*paths: Path, overwrite: bool) -> None:
    """OutputExists for a picture, or a file of a projector's folder, that nobody said may be replaced."""
    file = next((path.parent for path in paths if path.parent.is_file()), None)
    if file is not None:
        raise OutputExists(f"{file}: is a file where a folder is wanted; name another")
    there = next((path for path in paths if path.is_dir() or (path.exists() and not overwrite)), None)
    if there is not None:
        raise OutputExists(f"{there}: is there already; name another, or --overwrite it")


def sample(out: Path) -> Sample:
    """The rows of an output that are shown."""
    told = formats.read_description(out)
    assert told is not None  # it has just been made, or found whole
    count = told["rows"]
    rows = np.arange(count) if count <= MOST else np.linspace(0, count - 1, MOST).round().astype(np.int64)
    return Sample(*formats.format_of(out).read(out, told["columns"], rows), told)


def write_projector(shown: Sample, folder: Path) -> None:
    """The three files that `tensorboard --logdir FOLDER` reads for its projector; FindnaError where they cannot be written."""
    columns = shown.description["columns"]
    rows = [columns, *shown.ids] if len(columns) > 1 else shown.ids  # TensorBoard takes a first line for data if it is alone
    # The projector splits at tabs, knows no quotes, and strips each line: an empty cell would move those after it.
    cells = "".join("\t".join(" ".join(cell.split()) or "-" for cell in row) + "\n" for row in rows)
    config = _CONFIG % shown.description["name"].replace("\\", "").replace('"', "")
    tensors, metadata, pbtxt = (folder / name for name in PROJECTOR)
    with _written(tensors) as beside:
        np.savetxt(beside, shown.embeddings, fmt="%.9g", delimiter="\t")
    for path, text in ((metadata, cells), (pbtxt, config)):
        with _written(path) as beside:
            beside.write_text(text, encoding="utf-8")


def draw(shown: Sample, picture: Picture) -> None:
    """The picture: axes named, a legend of categories with their counts or a scale of numbers, the run in the title.

    Raises FindnaError for fewer than 4 rows, rows that are all the same or not finite, and where it cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from findna_kit.inference.projection import project

    places, axes_names = project(shown.embeddings, picture.method)
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.add_subplot()
    size = float(np.clip(16_000 / len(places), 4, 40))
    if picture.colour is None:
        axes.scatter(places[:, 0], places[:, 1], s=size, linewidths=0, alpha=0.7)
    else:
        cells = shown.column(picture.colour)
        numbers = _numbers(cells)
        if numbers is None:
            _categories(figure, axes, places, cells, size, picture.colour)
        else:
            drawn = axes.scatter(places[:, 0], places[:, 1], c=numbers, s=size, linewidths=0, alpha=0.8, cmap="viridis")
            figure.colorbar(drawn, ax=axes, label=picture.colour)
    axes.set(xlabel=axes_names[0], ylabel=axes_names[1], title=shown.title)
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a dollar sign is one
    with _written(picture.path) as beside:
        figure.savefig(beside, format=picture.path.suffix[1:], dpi=150)


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Whole or absent; what the disk refuses is a sentence."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as beside:
            yield beside
    except OSError as error:
        told = f"{path}: cannot be written to: {error.strerror}"
        raise FindnaError(f"{told}; the embeddings are whole: name another, and --resume shows them there") from error


def _numbers(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """The cells as numbers, where all are finite ones and too many to be categories."""
    if len(set(cells)) < _NUMERIC_FROM:
        return None
    try:
        numbers = np.array([float(cell) for cell in cells])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _categories(figure: Any, axes: Any, places: NDArray[np.float32], cells: Sequence[str], size: float, name: str) -> None:
    """A colour for each of the most frequent, in the order of their names; the others grey and below."""
    from matplotlib import colormaps

    counts = Counter(cells)
    own = sorted(counts) if len(counts) <= _COLOURS else sorted(sorted(counts, key=lambda cell: -counts[cell])[: _COLOURS - 1])
    kinds = np.array([own.index(cell) if cell in own else -1 for cell in cells])
    palette = colormaps["tab10" if len(own) <= 10 else "tab20"]
    drawn = []
    if (kinds < 0).any():
        its = places[kinds < 0]
        label = f"{len(counts) - len(own)} others ({len(its):,})"
        drawn.append((axes.scatter(its[:, 0], its[:, 1], s=size, linewidths=0, alpha=0.4, color="lightgrey"), label))
    for number, cell in enumerate(own):
        its = places[kinds == number]
        label = f"{_short(cell)} ({counts[cell]:,})"
        drawn.append((axes.scatter(its[:, 0], its[:, 1], s=size, linewidths=0, alpha=0.7, color=palette(number)), label))
    figure.legend(
        *zip(*drawn, strict=True), title=name, loc="outside right upper", frameon=False, fontsize="small",
        markerscale=(40 / size) ** 0.5,
    )  # fmt: skip


def _short(cell: str) -> str:
    half = _LONGEST // 2
    return (cell if len(cell) <= _LONGEST else f"{cell[:half]}...{cell[-half:]}") or "(empty)"
