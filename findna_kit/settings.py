"""Frozen pydantic models of the recipe sections that choose no component.

Each parameter is declared once. Validation, defaults, help, the reference pages and the JSON Schema all come from here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, field_validator, model_validator


class Settings(BaseModel):
    """A frozen section of a recipe; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class HeldOut(Settings):
    """Regions that validation has to itself, stated in exactly one of three forms."""

    share: float | None = Field(None, gt=0, lt=1, description="share of the genome, in seeded blocks")
    contigs: tuple[str, ...] | None = Field(None, min_length=1, description="whole contigs by name")
    bed: str | None = Field(None, description="a BED file of regions")

    @property
    def given(self) -> list[str]:
        """Return the names of the forms that are stated."""
        return [name for name in ("share", "contigs", "bed") if getattr(self, name) is not None]


def _one_form(value: Any) -> Any:
    if isinstance(value, HeldOut) and len(value.given) != 1:
        raise ValueError("expected exactly one of share, contigs, bed")
    return value


HeldOutChoice = Annotated[
    Literal["auto"] | HeldOut,
    AfterValidator(_one_form),
    Field(description="auto (the built-in genome's own region, otherwise {share: 0.05}), or {share}, {contigs} or {bed}"),
]
Include = Annotated[str | None, Field(description="a BED file; only its regions are used")]
Exclude = Annotated[str | None, Field(description="a BED file; its regions are not used")]


class GenomeSettings(Settings):
    """One of several genomes."""

    path: str = Field(description="builtin, or the path of a FASTA (plain, gzip or bgzip)")
    weight: float = Field(1.0, gt=0, description="share of the windows, relative to the weights of the other genomes")
    validation: HeldOutChoice = "auto"
    include: Include = None
    exclude: Exclude = None

    @property
    def files(self) -> dict[str, str]:
        """Return the files that must exist, by their key in this section."""
        held_out = None if self.validation == "auto" else self.validation.bed
        genome = None if self.path == "builtin" else self.path
        stated = {"path": genome, "validation.bed": held_out, "include": self.include, "exclude": self.exclude}
        return {key: path for key, path in stated.items() if path is not None}


class DataSettings(Settings):
    """The genome or genomes, and the windows sampled from them."""

    genome: str | Annotated[tuple[GenomeSettings, ...], Field(min_length=1)] = Field(
        description="builtin, the path of a FASTA (plain, gzip or bgzip), or a weighted list of genomes"
    )
    length: int = Field(gt=0, description="length of a window in nucleotides")
    batch_size: int = Field(gt=0, description="windows in the global batch, over all processes")
    max_unknown: float = Field(0.1, ge=0, lt=1, description="largest share of N in a window")
    validation: HeldOutChoice = "auto"
    include: Include = None
    exclude: Exclude = None

    @model_validator(mode="after")
    def _regions_belong_to_their_genome(self) -> Self:
        stated = [key for key, absent in _REGION_KEYS.items() if getattr(self, key) != absent]
        # With several genomes it would not be clear which of them a BED file refers to.
        if not isinstance(self.genome, str) and stated:
            raise ValueError(f"each of several genomes states its own {' and '.join(stated)}; move it into the list")
        return self

    @property
    def genomes(self) -> tuple[GenomeSettings, ...]:
        """Return every genome with its own regions; those of a single genome are stated in this section."""
        if not isinstance(self.genome, str):
            return self.genome
        # One form for the code that opens genomes, whichever way the recipe states them.
        return (GenomeSettings(path=self.genome, **{key: getattr(self, key) for key in _REGION_KEYS}),)

    @property
    def files(self) -> dict[str, str]:
        """Return the files that must exist, by their key in this section."""
        if not isinstance(self.genome, str):
            return {f"genome.{n}.{key}": path for n, one in enumerate(self.genome) for key, path in one.files.items()}
        return {key if key != "path" else "genome": path for key, path in self.genomes[0].files.items()}


_REGION_KEYS = {"validation": "auto", "include": None, "exclude": None}


class InitialWeights(Settings):
    """A run whose weights both branches start from."""

    run: str = Field(description="folder of the run")
    parts: tuple[Literal["encoder", "heads"], ...] = Field(
        ("encoder",),
        min_length=1,
        description="what is loaded, each completely: the encoder (with its class pooling), the heads of the losses",
    )
    branch: Literal["teacher", "student"] = Field("teacher", description="branch whose weights are loaded")
    step: int | None = Field(None, ge=0, description="step of the checkpoint; null: the newest one")


class TrainerSettings(Settings):
    """How the training loop runs. Results do not depend on it, except for rounding and for `validate_every`.

    The teacher update receives the validation metrics, and the rule `gated` moves the teacher by them.
    """

    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="auto: bf16 where the device computes it natively, else fp32; weights are always fp32"
    )
    micro_batch: Literal["auto"] | Annotated[int, Field(gt=0)] = Field(
        "auto", description="samples per process and forward pass"
    )
    compile: StrictBool | Literal["aot_eager"] = Field(
        False, description="torch.compile of the encoder; aot_eager traces it, but runs the trace without a compiler"
    )
    checkpoint_every: int = Field(500, gt=0, description="steps between checkpoints")
    keep_last: int = Field(2, gt=0, description="number of newest checkpoints kept, in addition to the first and the last")
    validate_every: int = Field(100, gt=0, description="steps between validations")
    validation_windows: int = Field(256, gt=1, description="number of windows in a validation")
    log_every: int = Field(10, gt=0, description="steps between lines of metrics.jsonl")
    devices: int = Field(1, gt=0, description="processes per node; the number of a launcher (torchrun, srun) takes precedence")
    nodes: int = Field(1, gt=0, description="number of nodes; more than one needs torchrun or srun")
    requeue: bool = Field(False, description="in a Slurm job: after a signal, save a checkpoint and queue the job again")

    @field_validator("precision", mode="before")
    @classmethod
    def _no_fp16(cls, value: Any) -> Any:
        if value in ("fp16", "float16", "16", 16):
            # A common choice elsewhere, so it gets a reason instead of a list of the allowed values.
            raise ValueError("fp16 is refused: its range overflows in the losses' logits and needs a loss scaler; use bf16")
        return value


ON_VALIDATION = "@validation"
"""Ends the name of a task that is scored on its validation split instead of its test split."""


class EvaluationSettings(Settings):
    """Labelled tasks that score the run when training ends and, if `every` is set, during training."""

    tasks: tuple[str, ...] = Field(
        (),
        description="builtin, folders of tables, task files, or shipped names; "
        "TASK@validation is scored on the validation split, for the choice of hyperparameters",
    )
    protocols: tuple[Literal["knn", "probe", "few_shot", "finetune"], ...] = Field(
        ("knn", "probe"), min_length=1, description="how the encoder is scored"
    )
    seeds: int = Field(1, ge=1, description="number of seeds of the random parts of a protocol")
    every: int | None = Field(
        None,
        gt=0,
        description="steps between online probes (knn and probe, on a fixed subset of the training samples); null: none",
    )

    @model_validator(mode="after")
    def _every_has_something_to_score(self) -> Self:
        # Online probes embed and classify; fine-tuning inside a run would take longer than the run.
        if self.every is not None and not (self.tasks and {"knn", "probe"} & set(self.protocols)):
            raise ValueError("every scores tasks by knn and probe: name a task and one of the two, or leave every out")
        return self
