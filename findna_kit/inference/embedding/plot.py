"""Views of embeddings: files for the TensorBoard projector, and a scatter plot in two dimensions."""

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

    from findna_kit.inference.embedding.description import EmbeddingDescription
    from findna_kit.inference.projection import Method

MAX_POINTS = 10_000
"""Largest number of rows shown: a browser and t-SNE stay fast."""
PROJECTOR = ("tensors.tsv", "metadata.tsv", "projector_config.pbtxt")
_SUFFIXES = (".png", ".svg", ".pdf")
_MAX_COLOURS, _MIN_NUMBERS, _MAX_NAME = 20, 11, 32
"""Largest number of categories with their own colour; smallest number of distinct numbers drawn as a continuous scale; longest
name of a category, in letters."""
_CONFIG = """embeddings {
  tensor_name: "%s"
  tensor_path: "tensors.tsv"
  metadata_path: "metadata.tsv"
}
"""


@dataclass(frozen=True)
class EmbeddingSample:
    """Rows of a complete output: all of them, or MAX_POINTS that are evenly spaced."""

    embeddings: NDArray[np.float32]
    ids: list[tuple[str, ...]]
    description: EmbeddingDescription

    def column(self, name: str) -> list[str]:
        """Return the cells of the id column `name`."""
        column = self.description["columns"].index(name)
        return [row[column] for row in self.ids]

    @property
    def title(self) -> str:
        """Return a title that identifies the embeddings."""
        description = self.description
        layer = "" if description["layer"] is None else f", layer {description['layer']}"
        strands = ", both strands" if description["strand"] == "both" else ""
        share = f"{len(self.ids):,} of " if len(self.ids) < description["rows"] else ""
        which = f"{description['branch']}, {description['pooling']} pooling{layer}{strands}"
        return f"{description['name']}, step {description['step']} ({which})\n{share}{description['rows']:,} sequences"


@dataclass(frozen=True)
class EmbeddingPlot:
    """A plot to draw; `colour` names a column of the ids."""

    path: Path
    method: Method = "pca"
    colour: str | None = None

    def __post_init__(self) -> None:
        """Raise FindnaError for an unknown suffix or a missing package."""
        if self.path.suffix not in _SUFFIXES:
            raise FindnaError(f"--picture {self.path}: the suffix must be one of {', '.join(_SUFFIXES)}")
        require_extra("matplotlib", "plots", "--picture")
        if self.method == "umap":
            require_extra("umap", "umap", "--method umap")

    def check(self, columns: Sequence[str], rows: int) -> None:
        """Raise FindnaError if the ids have no column `colour`, or there are too few rows."""
        from findna_kit.inference.projection import check_enough_rows  # scikit-learn takes a second to import

        check_enough_rows(rows)
        if self.colour is not None and self.colour not in columns:
            raise FindnaError(f"--colour {self.colour}: there is no such id column, only {', '.join(columns)}")


def refuse_existing(*paths: Path, overwrite: bool) -> None:
    """Raise OutputExists if a plot or projector file exists and `overwrite` is not given."""
    file = next((path.parent for path in paths if path.parent.is_file()), None)
    if file is not None:
        raise OutputExists(f"{file}: is a file, but a folder is needed; use another path")
    existing = next((path for path in paths if path.is_dir() or (path.exists() and not overwrite)), None)
    if existing is not None:
        raise OutputExists(f"{existing}: already exists; use another path, or --overwrite to replace it")


def sample(out: Path) -> EmbeddingSample:
    """Read the rows of a complete output that are plotted."""
    description = formats.read_description(out)
    assert description is not None  # the output has just been written, or found complete
    count = description["rows"]
    # Evenly spaced and not random: the plot is the same each time and covers the whole genome.
    rows = np.arange(count) if count <= MAX_POINTS else np.linspace(0, count - 1, MAX_POINTS).round().astype(np.int64)
    return EmbeddingSample(*formats.format_of(out, formats.FORMATS).read(out, description["columns"], rows), description)


def write_projector(shown: EmbeddingSample, folder: Path) -> None:
    """Write the three files that the projector of `tensorboard --logdir FOLDER` reads. Raises FindnaError if it cannot."""
    columns = shown.description["columns"]
    rows = (
        [columns, *shown.ids] if len(columns) > 1 else shown.ids
    )  # TensorBoard reads the header as data if there is only one column
    # The projector splits at tabs, ignores quotes and strips each line: an empty cell would shift those after it.
    cells = "".join("\t".join(" ".join(cell.split()) or "-" for cell in row) + "\n" for row in rows)
    config = _CONFIG % shown.description["name"].replace("\\", "").replace('"', "")
    tensors, metadata, pbtxt = (folder / name for name in PROJECTOR)
    with _written(tensors) as beside:
        np.savetxt(beside, shown.embeddings, fmt="%.9g", delimiter="\t")
    for path, text in ((metadata, cells), (pbtxt, config)):
        with _written(path) as beside:
            beside.write_text(text, encoding="utf-8")


def draw(shown: EmbeddingSample, picture: EmbeddingPlot) -> None:
    """Draw the scatter plot: named axes, a legend of categories with their counts or a colour bar, the run in the title.

    Raises FindnaError for fewer than 4 rows, embeddings that are all equal or not finite, and if the file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from findna_kit.inference.projection import project  # scikit-learn takes a second to import

    points, axes_names = project(shown.embeddings, picture.method)
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.add_subplot()
    # Fewer points are drawn larger.
    size = float(np.clip(16_000 / len(points), 4, 40))
    if picture.colour is None:
        axes.scatter(points[:, 0], points[:, 1], s=size, linewidths=0, alpha=0.7)
    else:
        cells = shown.column(picture.colour)
        numbers = _numbers(cells)
        if numbers is None:
            _categories(figure, axes, points, cells, size, picture.colour)
        else:
            scatter = axes.scatter(points[:, 0], points[:, 1], c=numbers, s=size, linewidths=0, alpha=0.8, cmap="viridis")
            figure.colorbar(scatter, ax=axes, label=picture.colour)
    axes.set(xlabel=axes_names[0], ylabel=axes_names[1], title=shown.title)
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # dollar signs in names are not mathematics
    with _written(picture.path) as beside:
        figure.savefig(beside, format=picture.path.suffix[1:], dpi=150)


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block succeeds; turn an OSError into a FindnaError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as beside:
            yield beside
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror}); the embeddings are complete"
        raise FindnaError(f"{message}: give another path, and --resume draws them there") from error


def _numbers(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """Return the cells as numbers if all are finite and there are too many distinct ones for categories, else None."""
    if len(set(cells)) < _MIN_NUMBERS:
        return None
    try:
        numbers = np.array([float(cell) for cell in cells])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _categories(figure: Any, axes: Any, points: NDArray[np.float32], cells: Sequence[str], size: float, name: str) -> None:
    """Draw the most frequent categories in colours, in the order of their names; draw the others first, in grey."""
    from matplotlib import colormaps

    counts = Counter(cells)
    coloured = (
        sorted(counts)
        if len(counts) <= _MAX_COLOURS
        else sorted(sorted(counts, key=lambda cell: -counts[cell])[: _MAX_COLOURS - 1])
    )
    kinds = np.array([coloured.index(cell) if cell in coloured else -1 for cell in cells])
    palette = colormaps["tab10" if len(coloured) <= 10 else "tab20"]
    handles = []
    if (kinds < 0).any():
        members = points[kinds < 0]
        # Other categories come first in the figure, so that they do not cover those in colour.
        label = f"{len(counts) - len(coloured)} others ({len(members):,})"
        handles.append((axes.scatter(members[:, 0], members[:, 1], s=size, linewidths=0, alpha=0.4, color="lightgrey"), label))
    for number, cell in enumerate(coloured):
        members = points[kinds == number]
        label = f"{_short(cell)} ({counts[cell]:,})"
        handles.append(
            (axes.scatter(members[:, 0], members[:, 1], s=size, linewidths=0, alpha=0.7, color=palette(number)), label)
        )
    figure.legend(
        *zip(*handles, strict=True), title=name, loc="outside right upper", frameon=False, fontsize="small",
        markerscale=(40 / size) ** 0.5,
    )  # fmt: skip


def _short(cell: str) -> str:
    """Shorten a long name in its middle."""
    half = _MAX_NAME // 2
    return (cell if len(cell) <= _MAX_NAME else f"{cell[:half]}...{cell[-half:]}") or "(empty)"
