"""A run's folder in Python: its status, curves, scores and model."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from findna_kit.api import frames
from findna_kit.api.recipes import override_texts
from findna_kit.api.terminal import log
from findna_kit.errors import FindnaError
from findna_kit.evaluation import EvaluationRequest
from findna_kit.finetuned.loading import load_finetuned
from findna_kit.inference.frozen_model import load
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from findna_kit.records.evaluation_json import read_evaluation
from findna_kit.records.missing_components import refuse_missing
from findna_kit.records.paths import RECIPE
from findna_kit.records.run_json import read_run_json
from findna_kit.records.run_status import current_status
from findna_kit.runs import Scoring, evaluate_run, finetune_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from pandas import DataFrame

    from findna_kit.data.sequences import SequenceData
    from findna_kit.finetuned.model import FinetunedModel
    from findna_kit.inference.frozen_model import BranchName, FrozenModel, Pooling, Strand
    from findna_kit.recipe import Recipe
    from findna_kit.records.evaluation_json import TaskResult
    from findna_kit.records.run_json import RunJson


class Run:
    """A run's folder. Everything is read when it is asked for, so that a run in progress can be followed.

    device: where the model computes. without: plugins that are not loaded. Raises FindnaError if the folder holds no run.
    """

    def __init__(self, folder: str | Path, *, device: str = "auto", without: Sequence[str] = ()) -> None:
        self.folder = Path(folder)
        self._device, self._without = device, tuple(without)
        if not (self.folder / RECIPE).is_file():
            raise FindnaError(f"{self.folder}: is not a run folder (it has no {RECIPE}); give the folder that `run` made")

    @property
    def record(self) -> RunJson:
        """Return the content of run.json: versions, genomes, baselines, timings and more."""
        return read_run_json(self.folder)

    @property
    def status(self) -> str:
        """Return `finished`, `running`, `interrupted`, `stopped`, `failed` or `killed`; `unknown` if nothing recorded it."""
        return current_status(self.folder, self.record.status) or "unknown"

    @cached_property
    def recipe(self) -> Recipe:
        """Return the recipe that the run was started with, with every default filled in."""
        components, plugins = load_plugins(self._without)
        failed = [plugin for plugin in plugins if plugin.failure]
        refuse_missing(self.folder, components, failed)
        return load_recipe(self.folder / RECIPE, components, failed=failed)

    @cached_property
    def model(self) -> FrozenModel:
        """Return the frozen model of the newest checkpoint, as `findna_kit.load` does; it is loaded once."""
        return load(self.folder, device=self._device, without=self._without)

    @property
    def metrics(self) -> DataFrame:
        """Return metrics.jsonl: a row for each logged step, which is the index, and a column for each metric.

        A metric that was not measured at a step is NaN there. Needs pandas.
        """
        return frames.metrics_frame(self.folder)

    @property
    def results(self) -> dict[str, TaskResult]:
        """Return everything that `evaluate` found, as typed records by the path of the task."""
        return read_evaluation(self.folder, "remove it, and evaluate the run again")

    @property
    def scores(self) -> DataFrame:
        """Return the scores of all tasks: a row for the encoder and one for each control, by task and protocol.

        `score` is the task's own metric with the ends `low` and `high` of its interval; `difference` is the encoder's to the
        control, paired, with its interval and verdict. Needs pandas.
        """
        return frames.scores_frame(self.results.values())

    def evaluate(
        self, tasks: str | Path | Sequence[str | Path], *, protocols: Sequence[str] = ("knn", "probe"), seeds: int = 1,
        pooling: Pooling = "mean_std", layer: int | None = None, strand: Strand | Literal["auto"] = "auto",
        branch: BranchName | None = None, step: int | None = None, finetune: Mapping[str, Any] | None = None,
        shuffled_labels: bool = False, cnn: bool = False, drop_leaked: bool = False, sequence_column: str | None = None,
        label_column: str | None = None, data: str | Path | None = None,
    ) -> DataFrame:  # fmt: skip
        """Score the run on labelled tasks, next to its controls, and return their rows of `scores`.

        The arguments are the options of `findna-kit evaluate`. finetune: settings of fine-tuning. Predictions are kept in the
        folder, and those of an earlier call are not computed again. Needs pandas; `results` has the scores without it.
        """
        frames.require_pandas("Run.evaluate")  # before hours of work
        named = [tasks] if isinstance(tasks, (str, Path)) else list(tasks)
        request = EvaluationRequest(
            (protocols,) if isinstance(protocols, str) else tuple(protocols), seeds, shuffled_labels, cnn
        )
        scoring = Scoring(
            request, pooling, layer, strand, branch, step, tuple(override_texts(finetune or {})), drop_leaked,
            None if data is None else Path(data), self._device, self._without, sequence_column, label_column,
        )  # fmt: skip
        return frames.scores_frame(self.score([str(task) for task in named], scoring))

    def score(self, tasks: Sequence[str], scoring: Scoring) -> list[TaskResult]:
        """Score the run on tasks and return the typed results; `evaluate` is the call for everyday use."""
        return evaluate_run(self.folder, tasks, scoring, say=log)

    def finetune(
        self, task: str | Path, out: str | Path, *, seeds: int = 1, settings: Mapping[str, Any] | None = None,
        pooling: Pooling = "mean_std", strand: Strand | Literal["auto"] = "auto", branch: BranchName | None = None,
        step: int | None = None, shuffled_labels: bool = False, cnn: bool = False, drop_leaked: bool = False,
        sequence_column: str | None = None, label_column: str | None = None, data: str | Path | None = None,
        overwrite: bool = False,
    ) -> FinetunedModel:  # fmt: skip
        """Fine-tune the run on a labelled task, score it next to its controls, and return the model kept in the folder `out`.

        The arguments are the options of `findna-kit finetune`; settings: such as `{"epochs": 5}`. `results` has the scores.
        Raises FindnaError for an `out` that exists, without overwrite, and for a task that cannot be scored.
        """
        request = EvaluationRequest(("finetune",), seeds, shuffled_labels, cnn)
        scoring = Scoring(
            request, pooling, None, strand, branch, step, tuple(override_texts(settings or {})), drop_leaked,
            None if data is None else Path(data), self._device, self._without, sequence_column, label_column,
        )  # fmt: skip
        made = finetune_run(self.folder, str(task), Path(out), scoring, overwrite=overwrite, say=log)
        # From the folder, so that the caller gets what another process will load.
        return load_finetuned(made.folder, device=self._device, without=self._without)

    def embed(
        self, sequences: SequenceData, pooling: Pooling = "mean", *, layer: int | None = None, strand: Strand = "forward"
    ) -> NDArray[np.float32]:
        """Return the embeddings [n, D] of sequences, as `model.embed` does."""
        return self.model.embed(sequences, pooling, layer=layer, strand=strand)

    def plot(self, metrics: Sequence[str] = ()) -> Figure:
        """Return a figure of matplotlib with the curves of the run, a panel for each kind of metric.

        metrics: names, or their beginnings, such as `held_out`; by default bits per masked base, losses, probes and collapse
        signals. Dotted lines are the best counting baseline. Needs matplotlib.
        """
        # Imported here: reading scores needs no plots.
        from findna_kit.api.plotting import draw

        return draw(self.folder, metrics)

    def report(self, out: str | Path | None = None, *, overwrite: bool = False) -> Path:
        """Write the HTML report of the run and return its path: by default report.html in the folder of the run."""
        # Imported here: it brings the templates of the page.
        from findna_kit.report import ReportRequest, write_report

        return write_report(ReportRequest([self.folder], None if out is None else Path(out), overwrite))

    def __repr__(self) -> str:
        """Return `Run('runs/x'): finished, 800 steps`."""
        return f"Run({str(self.folder)!r}): {self.status}, {self.record.steps or 0} steps"

    def _repr_html_(self) -> str:
        # Imported here: only notebooks ask for it.
        from findna_kit.api.card import card

        return card(self.folder, self.status, self.record, self.results)
