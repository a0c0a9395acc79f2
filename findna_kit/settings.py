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
    """Stretches kept from training for validation; exactly one of the three."""

    share: float | None = Field(None, gt=0, lt=1, description="share of the genome, in seeded blocks")
    contigs: tuple[str, ...] | None = Field(None, min_length=1, description="whole contigs by name")
    bed: str | None = Field(None, description="a BED file of stretches")

    @property
    def given(self) -> list[str]:
        """The names of the forms that were given."""
        return [name for name in ("share", "contigs", "bed") if getattr(self, name) is not None]


def _one_form(value: Any) -> Any:
    if isinstance(value, HeldOut) and len(value.given) != 1:
        raise ValueError("exactly one of share, contigs, bed is wanted")
    return value


HeldOutChoice = Annotated[
    Literal["auto"] | HeldOut,
    AfterValidator(_one_form),
    Field(description="auto (the builtin genome's own stretch, elsewhere {share: 0.05}), or {share}, {contigs} or {bed}"),
]
Include = Annotated[str | None, Field(description="a BED file; nothing outside of its stretches is used")]
Exclude = Annotated[str | None, Field(description="a BED file; nothing inside of its stretches is used")]


class GenomeSettings(Settings):
    """One genome of several."""

    path: str = Field(description="builtin, or the path of a FASTA (plain, gzip or bgzip)")
    weight: float = Field(1.0, gt=0, description="its share of the windows, relative to the other genomes'")
    validation: HeldOutChoice = "auto"
    include: Include = None
    exclude: Exclude = None

    @property
    def files(self) -> dict[str, str]:
        """The files that are to be there, by their key."""
        held_out = None if self.validation == "auto" else self.validation.bed
        genome = None if self.path == "builtin" else self.path
        stated = {"path": genome, "validation.bed": held_out, "include": self.include, "exclude": self.exclude}
        return {key: path for key, path in stated.items() if path is not None}


class DataSettings(Settings):
    """The genome, or genomes, and the windows drawn from them."""

    genome: str | Annotated[tuple[GenomeSettings, ...], Field(min_length=1)] = Field(
        description="builtin, the path of a FASTA (plain, gzip or bgzip), or a weighted list of genomes"
    )
    length: int = Field(gt=0, description="nucleotides in a window")
    batch_size: int = Field(gt=0, description="windows in the global batch, whatever the number of processes")
    max_unknown: float = Field(0.1, ge=0, lt=1, description="largest share of N in a window")
    validation: HeldOutChoice = "auto"
    include: Include = None
    exclude: Exclude = None

    @model_validator(mode="after")
    def _stated_where_it_belongs(self) -> Self:
        stated = [key for key, absent in _STRETCHES.items() if getattr(self, key) != absent]
        if not isinstance(self.genome, str) and stated:
            raise ValueError(f"of several genomes each states its own {' and '.join(stated)}; move it into the list")
        return self

    @property
    def genomes(self) -> tuple[GenomeSettings, ...]:
        """Every genome with its own stretches; a single one has those stated beside it."""
        if not isinstance(self.genome, str):
            return self.genome
        return (GenomeSettings(path=self.genome, **{key: getattr(self, key) for key in _STRETCHES}),)

    @property
    def files(self) -> dict[str, str]:
        """The files that are to be there, by their key."""
        if not isinstance(self.genome, str):
            return {f"genome.{n}.{key}": path for n, one in enumerate(self.genome) for key, path in one.files.items()}
        return {key if key != "path" else "genome": path for key, path in self.genomes[0].files.items()}


_STRETCHES = {"validation": "auto", "include": None, "exclude": None}


class InitialWeights(Settings):
    """A run whose weights both branches begin with."""

    run: str = Field(description="a run's folder")
    parts: tuple[Literal["encoder", "heads"], ...] = Field(
        ("encoder",),
        min_length=1,
        description="what is taken, each whole: the encoder (with its class pooling), the losses' heads",
    )
    branch: Literal["teacher", "student"] = Field("teacher", description="whose weights")
    step: int | None = Field(None, ge=0, description="which checkpoint; null: the newest")


class TrainerSettings(Settings):
    """How the loop runs. Results do not depend on it, except for rounding and for `validate_every`.

    The teacher update receives the validation metrics, and the rule `gated` moves the teacher by them.
    """

    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="auto: bf16 where the device computes it natively, else fp32; weights are always fp32"
    )
    micro_batch: Literal["auto"] | Annotated[int, Field(gt=0)] = Field("auto", description="rows per process and pass")
    compile: StrictBool | Literal["aot_eager"] = Field(
        False, description="torch.compile of the encoder; aot_eager traces it, and runs the trace without a compiler"
    )
    checkpoint_every: int = Field(500, gt=0, description="steps between checkpoints")
    keep_last: int = Field(2, gt=0, description="newest checkpoints kept, beside the first and the last")
    validate_every: int = Field(100, gt=0, description="steps between looks at the held-out windows")
    validation_windows: int = Field(256, gt=1, description="held-out windows looked at")
    log_every: int = Field(10, gt=0, description="steps between rows of metrics.jsonl")
    devices: int = Field(1, gt=0, description="processes per node; a launcher's own number takes its place")
    nodes: int = Field(1, gt=0, description="nodes; more than one needs torchrun or srun")
    requeue: bool = Field(False, description="in a Slurm job: once saved after a signal, the job is queued again")

    @field_validator("precision", mode="before")
    @classmethod
    def _no_fp16(cls, value: Any) -> Any:
        if value in ("fp16", "float16", "16", 16):
            raise ValueError("fp16 is refused: its range overflows in the losses' logits and needs a loss scaler; use bf16")
        return value


class EvaluationSettings(Settings):
    """Which labelled tasks score the run when training ends, and now and then before."""

    tasks: tuple[str, ...] = Field((), description="builtin, folders of tables, task files, or shipped names")
    protocols: tuple[Literal["knn", "probe", "few_shot", "finetune"], ...] = Field(
        ("knn", "probe"), min_length=1, description="how the encoder is scored"
    )
    seeds: int = Field(1, ge=1, description="how often what is random in a protocol is repeated")
    every: int | None = Field(
        None, gt=0, description="steps between cheap looks (knn and probe, on a fixed subset of the training rows); null: none"
    )

    @model_validator(mode="after")
    def _looks_at_something(self) -> Self:
        if self.every is not None and not (self.tasks and {"knn", "probe"} & set(self.protocols)):
            raise ValueError("every looks by knn and probe at tasks: name a task and one of the two, or leave every out")
        return self
