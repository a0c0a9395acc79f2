"""The command embed."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from findna_kit.cli import loading
from findna_kit.cli.progress import progress_bar, reading_bar
from findna_kit.errors import FindnaError, Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from findna_kit.inference.embedding import EmbeddingPlot, EmbedOptions, Output, Sequences
    from findna_kit.trainer import Reporter

_LINES_APART = 10.0


def embed(
    run: Path, sequences: Sequences, output: Output, way: EmbedOptions, *, picture: EmbeddingPlot | None, projector: Path | None
) -> None:
    """Embeds a file, and shows what came out."""
    from findna_kit.inference.embedding import prepare
    from findna_kit.inference.embedding.plot import PROJECTOR, refuse_existing
    from findna_kit.trainer import Observer

    if output.resume:
        picture = None if picture and _left(picture.path) else picture
        projector = None if projector and _left(*(projector / name for name in PROJECTOR)) else projector
    shown = [*([picture.path] if picture else []), *(projector / name for name in PROJECTOR if projector)]
    refuse_existing(*shown, overwrite=output.overwrite or output.resume)
    with _stopping("nothing has been embedded"), reading_bar() as reading:
        embedding = prepare(run, sequences, output, way, Observer(loading.say, reading))
    if picture is not None:
        picture.check(embedding.source.columns, embedding.source.count)
    with _embedding_bar(embedding.source.count) as report:
        embedding.write(Observer(loading.say, report=report))
    told = embedding.description
    print(
        f"{output.path}: {told['rows']:,} embeddings of {told['dim']} numbers, from the {told['branch']} at step {told['step']}"
    )
    if picture is not None or projector is not None:
        with _stopping(f"{output.path}: is whole; --resume shows it"):
            _show(output.path, picture, projector)


def _show(out: Path, picture: EmbeddingPlot | None, projector: Path | None) -> None:
    from findna_kit.inference.embedding import draw, sample, write_projector

    rows = sample(out)
    if len(rows.ids) < rows.description["rows"]:
        loading.say(f"{len(rows.ids):,} of {rows.description['rows']:,} rows are shown, evenly spaced")
    if projector is not None:
        write_projector(rows, projector)
        print(f"{projector}: `tensorboard --logdir {projector}` shows them in its projector")
    if picture is not None:
        draw(rows, picture)
        print(f"{picture.path}: the picture")


def picture_of(path: Path | None, method: str | None, colour: str | None) -> EmbeddingPlot | None:
    """The picture that is asked for; FindnaError where only its colour or method is."""
    from findna_kit.inference.embedding import EmbeddingPlot

    if path is None:
        if method is not None or colour is not None:
            raise FindnaError("--method and --colour say how a picture is drawn: give --picture FILE.png as well")
        return None
    return EmbeddingPlot(path, method or "pca", colour)  # type: ignore[arg-type]  # typer has compared it with the methods there are


@contextmanager
def _stopping(kept: str) -> Iterator[None]:
    """Inside, Ctrl-C is a sentence that says what there is."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(signal.SIGINT, f"stopped by Ctrl-C; {kept}") from error


def _left(*paths: Path) -> bool:
    """Whether an earlier call made these all; says that they stay."""
    there = all(path.is_file() for path in paths)
    if there:
        loading.say(f"{paths[0]}: is there already and stays")
    return there


@contextmanager
def _embedding_bar(count: int) -> Iterator[Reporter]:
    """Inside, rows show as a bar on a terminal, and as a line now and then in a log."""
    if sys.stderr.isatty():
        with progress_bar("rows") as bar:
            task = bar.add_task("embedding", total=count)
            yield lambda step, metrics: bar.update(task, completed=step)
        return
    spoke = time.monotonic()

    def tell(step: int, metrics: Mapping[str, float]) -> None:
        nonlocal spoke
        if time.monotonic() - spoke > _LINES_APART or step == count:
            spoke = time.monotonic()
            loading.say(f"embedding: {step:,} of {count:,} rows")

    yield tell
