"""The task file: a small YAML document with the paths of a task's data and its published settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from findna_kit.data.table_columns import IN_TASK_FILE, ColumnNames
from findna_kit.errors import RecipeError, TaskError
from findna_kit.recipe.error_messages import explain
from findna_kit.recipe.load import locate
from findna_kit.recipe.yaml_nodes import LocatedIssue, Location, display_value, parse, read_text, refusal
from findna_kit.records.evaluation_json import ScoreName
from findna_kit.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

Metric = ScoreName
Mark = Literal["certain", "configured", "ours"]
SOURCES = ("folder", "tables", "table", "bed", "fasta")
_SHARE = 0.2


class SplitFiles(Settings):
    """A file for each split."""

    train: str | None = Field(None, description="training samples; if left out, dev is used for training")
    dev: str | None = Field(None, description="validation samples; if left out, a share of train is split off")
    test: str = Field(description="test samples")

    @model_validator(mode="after")
    def _has_training_samples(self) -> Self:
        if self.train is None and self.dev is None:
            raise ValueError("train or dev is required: there are no samples to train on")
        return self

    @property
    def stated(self) -> dict[str, str]:
        """Return the paths that were given, by split."""
        return {split: path for split in ("train", "dev", "test") if (path := getattr(self, split)) is not None}


class SplitShares(Settings):
    """The split of samples that come without one: random and stratified by label; with `by`, groups stay together."""

    validation: float | None = Field(None, gt=0, lt=1, description="share of all samples for validation, by default 0.2")
    dev: float | None = Field(None, gt=0, lt=1, description="another name of validation")
    test: float | None = Field(None, gt=0, lt=1, description="share of all samples for the test split, by default 0.2")
    by: Literal["group", "chromosome", "cluster"] | None = Field(
        None,
        description="what is not divided between splits, for `table`: the samples of a group, of a chromosome, or near "
        "duplicates of each other; by default each sample is drawn by itself",
    )
    group_column: str | None = Field(None, description="for `by: group`: the column that names the group of each sample")
    seed: int | None = Field(None, ge=0, description="seed of the split, by default 0, and 1 for `fasta`")

    @property
    def of_validation(self) -> float:
        """Return the share of the validation split."""
        stated = self.dev if self.validation is None else self.validation
        return _SHARE if stated is None else stated

    @property
    def of_test(self) -> float:
        """Return the share of the test split."""
        return _SHARE if self.test is None else self.test

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        name = "validation" if self.dev is None else "dev"
        total = self.of_validation + self.of_test
        if self.dev is not None and self.validation is not None:
            raise ValueError("validation and dev are the same share: state one of them")
        if total >= 1:
            raise ValueError(f"{name} and test add up to {total:g}, which leaves no samples to train on")
        if self.by == "group" and self.group_column is None:
            raise ValueError("by: group needs group_column: the column that names the group of each sample")
        if self.by != "group" and self.group_column is not None:
            raise ValueError("group_column applies to by: group only: add it, or remove group_column")
        return self


class Published(Settings):
    """The publication of a task."""

    suite: str = Field(description="the benchmark suite that it belongs to")
    status: Literal["certain", "configured"] = Field(
        description="certain: one of the paper's 20 tasks; configured: the reference code has settings for it"
    )
    where: str = Field(description="where the data are published")


class PublishedFinetuning(Settings):
    """Settings of full fine-tuning. `marked` names their source; `ours` lists the exceptions."""

    batch_size: int = Field(ge=1, description="sequences per step")
    epochs: int = Field(ge=1, description="passes over the training split")
    learning_rate: float = Field(gt=0, description="peak learning rate after the warm-up; cosine decay follows")
    warmup: float = Field(ge=0, lt=1, description="share of the steps in which the learning rate rises from 0")
    weight_decay: float = Field(ge=0, description="weight decay of AdamW")
    blocks: int = Field(ge=1, description="number of the encoder's blocks that are used, counted from the input")
    dropout: float = Field(ge=0, lt=1, description="dropout inside the encoder's blocks")
    marked: Mark = Field("ours", description="certain: from the paper; configured: from the reference code; ours: neither")
    ours: tuple[str, ...] = Field((), description="settings above that are ours, whatever `marked` is")

    @model_validator(mode="after")
    def _names_settings(self) -> Self:
        unknown = [name for name in self.ours if name not in self.settings]
        if unknown:
            raise ValueError(f"ours has unknown settings: {', '.join(unknown)} (settings: {', '.join(self.settings)})")
        return self

    @property
    def settings(self) -> dict[str, float]:
        """Return the settings by name."""
        return {name: getattr(self, name) for name in type(self).model_fields if name not in ("marked", "ours")}

    def mark(self, name: str) -> Mark:
        """Return the source of a setting's value."""
        return "ours" if name in self.ours else self.marked


class TaskFile(Settings):
    """A task file. Relative paths start from its folder; in shipped task files, from the data folder."""

    folder: tuple[str, ...] | None = Field(None, min_length=1, description="candidate folders; the first that exists is used")
    tables: SplitFiles | None = Field(None, description="a table of sequences and labels for each split")
    table: str | None = Field(None, description="one table of all samples, with a split column or with `split`")
    bed: SplitFiles | None = Field(None, description="BED files with a label column, for each split; needs a genome")
    fasta: dict[str, tuple[str, ...]] | None = Field(
        None, min_length=2, description="FASTA files of each class, published without splits"
    )
    genome: str | dict[str, str] | None = Field(
        None,
        description="builtin, or the FASTA that the intervals of `bed` or `folder` refer to; one for each class if they differ",
    )
    label_column: Annotated[int, Field(ge=4)] | str = Field(
        4, description="label column: of `bed` its number, counted from 1; of tables its name, by default label, target or y"
    )
    sequence_column: str | None = Field(None, description="column of sequences of tables, by default sequence, seq or dna")
    longer_than: int = Field(0, ge=0, description="for `fasta`: only records longer than this many bases are used")
    split: SplitShares | None = Field(
        None, description="for `table` and `fasta`: shares of the splits, and what stays together"
    )
    length: int | None = Field(None, ge=1, description="length of the sequences in bases; of the longest if they differ")
    fit: Literal["as_stated", "cut_or_pad", "center"] = Field(
        "as_stated",
        description="as_stated: sequences are not changed; cut_or_pad: cut or padded with N to `length`; center (for `bed`): a "
        "window of `length` around the middle of each interval",
    )
    classes: int | None = Field(None, ge=2, description="published number of classes")
    metric: Metric = Field("mcc", description="the published metric")
    published: Published | None = Field(None, description="suite and source of the data")
    finetune: PublishedFinetuning | None = Field(None, description="published settings of full fine-tuning")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        stated = [name for name in SOURCES if getattr(self, name) is not None]
        if len(stated) != 1:
            raise ValueError(f"exactly one of {', '.join(SOURCES)} is required (got {', '.join(stated) or 'none'})")
        if self.bed is not None and not isinstance(self.genome, str):
            raise ValueError("bed needs genome: the path of the FASTA that its intervals refer to")
        if self.bed is not None and isinstance(self.label_column, str):
            raise ValueError(f"label_column of a bed is a number, counted from 1 (got {self.label_column!r})")
        # The default is the number that most beds have.
        if self.bed is None and isinstance(self.label_column, int) and "label_column" in self.model_fields_set:
            raise ValueError(f"label_column {self.label_column} is a number, which only a bed has: state the name of a column")
        if self.split is not None and self.table is None and self.fasta is None:
            raise ValueError(f"split applies to table and fasta only: {stated[0]} states a file or folder for each split")
        if self.split is not None and self.split.by is not None and self.table is None:
            raise ValueError("split.by applies to table only: the records of fasta are drawn by class")
        if self.fit != "as_stated" and self.length is None:
            raise ValueError(f"fit: {self.fit} needs length")
        if self.fit == "center" and self.bed is None:
            raise ValueError("fit: center applies to bed only: other sources have no bases around their sequences")
        return self


def columns_of(file: TaskFile) -> ColumnNames:
    """Return the columns that a task file names for its tables."""
    labels = (file.label_column,) if isinstance(file.label_column, str) else ()
    return ColumnNames(file.sequence_column, labels, IN_TASK_FILE)


def read_task_file(path: Path) -> TaskFile:
    """Return a validated task file. Raises TaskError that lists every problem as `file:line:column`."""
    try:
        return _read(path)
    except RecipeError as error:
        raise TaskError(str(error)) from error


def _read(path: Path) -> TaskFile:
    issues: list[LocatedIssue] = []
    root = parse(read_text(path, str(path), 0), lambda line, column: Location(0, str(path), line, column), path.parent, issues)
    if root is None or issues:
        raise refusal(issues)
    tree: Any = root.plain()
    if not isinstance(tree, dict):
        raise refusal([LocatedIssue(root.where, "", f"a task file must be a map (got {display_value(tree)})")])
    try:
        # By way of JSON, because strict validation of Python objects would refuse lists where the schema has tuples.
        return TaskFile.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        located = [locate(root, issue) for issue in explain(error, TaskFile, tree)]
        raise refusal([issue for issue in located if issue is not None]) from error
