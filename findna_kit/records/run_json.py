"""The typed model of run.json: status, seed, versions, provenance, genomes, sizes and timings of one run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from findna_kit.errors import Interrupted, RunStopped
from findna_kit.records.json_files import JsonModel, JsonObject, read_json, read_model, validate, write_json
from findna_kit.records.paths import RUN_JSON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from findna_kit.recipe import Recipe

_REMEDY = "restore the file from a copy"


class GenomeRecord(JsonModel):
    """A genome that the run trains on. `parts` is a digest of the regions for training and validation."""

    path: str
    weight: float
    digest: str
    parts: str = ""
    bases: int
    training_bases: int
    validation_bases: int


class ResolvedSettings(JsonModel):
    """The values that `auto` settings resolved to, and what else must stay the same for a bit-for-bit resume."""

    device: str | None = None
    precision: str | None = None
    micro_batch: int | None = None
    processes: int | None = None
    threads: int | None = None
    torch: str | None = None


class BaselineScore(JsonModel):
    """The score of a context model at the masked validation positions; `fitted_on_bases` counts its training bases."""

    accuracy: float
    bits_per_base: float
    fitted_on_bases: int = 0
    strengths: list[float] = Field(default_factory=list)
    """Of the model with back-off: the strength at each width of context."""


class Timings(JsonModel):
    """Wall-clock seconds, summed over resumed runs."""

    training_seconds: float | None = None


class PeakMemory(JsonModel):
    """The largest memory use of the main process, in bytes; `of` names the kind of memory."""

    bytes: int
    of: str


class ImportReport(JsonModel):
    """The source of an imported checkpoint, with the coverage report of the import as further keys."""

    file: str | None = None
    sha256: str | None = None


class RunJson(JsonModel):
    """The content of run.json. A key is absent until the run knows its value.

    The fields stand in the order in which a run writes them, which is the order of the keys in the file.
    """

    plugins: list[str] = Field(default_factory=list)
    components: dict[str, dict[str, str]] = Field(default_factory=dict)
    """By kind and name: the distribution and version that registered the component."""
    status: str | None = None
    name: str | None = None
    seed: int | None = None
    steps: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    resolved: ResolvedSettings = ResolvedSettings()
    genomes: list[GenomeRecord] = Field(default_factory=list)
    parameters: int | None = None
    encoder_parameters: int | None = None
    baselines: dict[str, BaselineScore] = Field(default_factory=dict)
    timings: Timings = Timings()
    peak_memory: PeakMemory | None = None
    imported: ImportReport | None = None
    reason: str | None = None


def read_run_json(run: Path) -> RunJson:
    """Return the content of the run's run.json; an empty record if there is none, as in a folder put together by hand.

    Raises FindnaError if the file is damaged.
    """
    return read_model(run / RUN_JSON, RunJson, _REMEDY) or RunJson()


def precision_of(run: Path, recipe: Recipe) -> str:
    """Return the precision that the run computed in, so that its embeddings are the same on every machine.

    Returns the recipe's setting, which may be `auto`, if it was not recorded.
    """
    return read_run_json(run).resolved.precision or recipe.trainer.precision


class RunRecord:
    """Writer of a run's run.json. Each update rewrites the file atomically; only the main process writes."""

    def __init__(self, folder: Path, *, resuming: bool, writes: bool = True) -> None:
        self.folder, self._path, self._writes = folder, folder / RUN_JSON, writes
        self.replace(read_json(self._path, _REMEDY) or {} if resuming else {})

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record in `status` and `reason` how the block ended."""
        status, reason = "finished", None
        try:
            yield
        # Also KeyboardInterrupt and SystemExit, which are no Exceptions: a run that they end must not stay `running`.
        except BaseException as error:
            by_type = {Interrupted: "interrupted", KeyboardInterrupt: "interrupted", RunStopped: "stopped"}
            status = next((name for kind, name in by_type.items() if isinstance(error, kind)), "failed")
            reason = str(error) or type(error).__name__
            raise
        finally:
            self.update(RunJson(status=status, reason=reason))

    def update(self, changes: RunJson) -> None:
        """Take over the keys that are set in `changes`, and write the file."""
        self.replace({**self._document, **changes.to_json()})
        if self._writes:
            write_json(self._path, self._document)

    def document(self) -> JsonObject:
        """Return the content as plain values, for the broadcast to the other processes."""
        return self._document

    def replace(self, document: JsonObject) -> None:
        """Replace the whole content, without writing the file: with what the main process has read."""
        # The document keeps the order in which keys were first written; a model would put them into the order of its fields.
        self.content = validate(self._path, RunJson, document, _REMEDY)
        self._document = document
