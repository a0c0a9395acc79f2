"""The task file: a small YAML that says where the rows of a task lie, and what its publisher says of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from findna_kit.errors import RecipeError, TaskError
from findna_kit.recipe.error_messages import explain
from findna_kit.recipe.load import locate
from findna_kit.recipe.yaml_nodes import LocatedIssue, Location, display_value, parse, read_text, refusal
from findna_kit.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

Metric = Literal["accuracy", "mcc", "macro_f1", "auroc", "auprc"]
Mark = Literal["certain", "configured", "ours"]
SOURCES = ("folder", "tables", "bed", "fasta")


class PartFiles(Settings):
    """A file for each part."""

    train: str | None = Field(None, description="rows to train on; without it dev takes its place")
    dev: str | None = Field(None, description="rows to choose on; without it a share of train is split off")
    test: str = Field(description="rows to score on")

    @model_validator(mode="after")
    def _has_something_to_train_on(self) -> Self:
        if self.train is None and self.dev is None:
            raise ValueError("train or dev is wanted: there is nothing to train on")
        return self

    @property
    def stated(self) -> dict[str, str]:
        """The files that were given, by part."""
        return {part: path for part in ("train", "dev", "test") if (path := getattr(self, part)) is not None}


class Shares(Settings):
    """What a task without published parts is cut into, by class and seed."""

    dev: float = Field(0.2, gt=0, lt=1, description="share of all rows to choose on")
    test: float = Field(0.2, gt=0, lt=1, description="share of all rows to score on")
    seed: int = Field(1, ge=0, description="of the cut")

    @model_validator(mode="after")
    def _leaves_training_rows(self) -> Self:
        if self.dev + self.test >= 1:
            raise ValueError(f"dev and test add up to {self.dev + self.test:g}, which leaves nothing to train on; 1 is all")
        return self


class Published(Settings):
    """What is known of a task in its suite."""

    suite: str = Field(description="the collection it belongs to")
    status: Literal["certain", "configured"] = Field(
        description="certain: one of the paper's 20 tasks; configured: the reference's code has settings for it"
    )
    where: str = Field(description="where the data are published")


class Finetune(Settings):
    """Settings of full fine-tuning. `marked` says whose they are; `ours` names those that are not."""

    batch_size: int = Field(ge=1, description="sequences in a step")
    epochs: int = Field(ge=1, description="passes over the training part")
    learning_rate: float = Field(gt=0, description="after the warm-up; falls along a cosine")
    warmup: float = Field(ge=0, lt=1, description="share of the steps in which the rate rises from 0")
    weight_decay: float = Field(ge=0, description="of AdamW")
    blocks: int = Field(ge=1, description="blocks of the encoder that are used, from the first")
    dropout: float = Field(ge=0, lt=1, description="inside the encoder's blocks")
    marked: Mark = Field("ours", description="certain: by the paper; configured: by the reference's code; ours: neither")
    ours: tuple[str, ...] = Field((), description="settings above that are ours, whatever `marked` says")

    @model_validator(mode="after")
    def _names_settings(self) -> Self:
        strange = [name for name in self.ours if name not in self.settings]
        if strange:
            raise ValueError(f"ours names what is no setting: {', '.join(strange)} (settings: {', '.join(self.settings)})")
        return self

    @property
    def settings(self) -> dict[str, float]:
        """Name and value of each."""
        return {name: getattr(self, name) for name in type(self).model_fields if name not in ("marked", "ours")}

    def mark(self, name: str) -> Mark:
        """Whose value a setting has."""
        return "ours" if name in self.ours else self.marked


class TaskFile(Settings):
    """A task file. Relative paths start from its folder; in the files that come with the package, from the data folder."""

    folder: tuple[str, ...] | None = Field(
        None, min_length=1, description="folders to look for, the first that is there counts"
    )
    tables: PartFiles | None = Field(None, description="a table of sequences and labels for each part")
    bed: PartFiles | None = Field(None, description="BED files with a label column, for each part; needs a genome")
    fasta: dict[str, tuple[str, ...]] | None = Field(None, min_length=2, description="FASTA files of each class, without parts")
    genome: str | dict[str, str] | None = Field(
        None,
        description="builtin, or the FASTA that intervals of `bed` or `folder` are cut from; one for each class if they differ",
    )
    label_column: int = Field(4, ge=4, description="of `bed`, counted from 1")
    longer_than: int = Field(0, ge=0, description="of `fasta`: shorter records and those of just this length are left out")
    split: Shares | None = Field(None, description="of `fasta`: the parts it is cut into")
    length: int | None = Field(None, ge=1, description="bases of a sequence, of the longest where they differ")
    fit: Literal["as_stated", "cut_or_pad", "center"] = Field(
        "as_stated",
        description="to reach `length`: nothing is done; the end is cut, or N added; of `bed`: a window around each middle",
    )
    classes: int | None = Field(None, ge=2, description="how many classes the task is published with")
    metric: Metric = Field("mcc", description="the score that the task is published with")
    published: Published | None = Field(None, description="what is known of it in its suite")
    finetune: Finetune | None = Field(None, description="settings of full fine-tuning")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        stated = [name for name in SOURCES if getattr(self, name) is not None]
        if len(stated) != 1:
            raise ValueError(f"exactly one of {', '.join(SOURCES)} is wanted (got {', '.join(stated) or 'none'})")
        if self.bed is not None and not isinstance(self.genome, str):
            raise ValueError("bed needs genome: the path of the FASTA that its intervals are cut from")
        if self.fit != "as_stated" and self.length is None:
            raise ValueError(f"fit: {self.fit} needs length")
        if self.fit == "center" and self.bed is None:
            raise ValueError("fit: center is of bed; elsewhere sequences have no surroundings")
        return self


def read_task_file(path: Path) -> TaskFile:
    """A task file, validated. TaskError with every problem as `file:line:column`."""
    try:
        return _read(path)
    except RecipeError as error:
        raise TaskError(str(error)) from error


def _read(path: Path) -> TaskFile:
    found: list[LocatedIssue] = []
    root = parse(read_text(path, str(path), 0), lambda line, column: Location(0, str(path), line, column), path.parent, found)
    if root is None or found:
        raise refusal(found)
    tree: Any = root.plain()
    if not isinstance(tree, dict):
        raise refusal([LocatedIssue(root.where, "", f"a task file is a map of keys (got {display_value(tree)})")])
    try:
        return TaskFile.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        places = [locate(root, said) for said in explain(error, TaskFile, tree)]
        raise refusal([place for place in places if place is not None]) from error
