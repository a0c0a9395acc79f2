"""The sections of a recipe that choose no component: each parameter stated once, for the recipe and for who uses it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from findna_kit.schedules import Cosine, Schedule, _Schedule, within


class Settings(BaseModel):
    """A frozen section; unknown keys are refused."""

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


class DataSettings(Settings):
    """The genome and the windows drawn from it."""

    genome: str = Field(description="builtin, or the path of a FASTA (plain, gzip or bgzip)")
    length: int = Field(gt=0, description="nucleotides in a window")
    batch_size: int = Field(gt=0, description="windows in the global batch, whatever the number of processes")
    max_unknown: float = Field(0.1, ge=0, lt=1, description="largest share of N in a window")
    validation: Literal["auto"] | HeldOut = Field(
        "auto",
        description="auto (the builtin genome's own stretch, elsewhere {share: 0.05}), or {share}, {contigs} or {bed}",
    )

    @field_validator("validation")
    @classmethod
    def _one_form(cls, value: Any) -> Any:
        if isinstance(value, HeldOut) and len(value.given) != 1:
            raise ValueError("exactly one of share, contigs, bed is wanted")
        return value


class OptimizerSettings(Settings):
    """AdamW (Loshchilov and Hutter 2019); biases, norms and other vectors are not decayed."""

    name: Literal["adamw"] = Field("adamw", description="the optimizer")
    learning_rate: Annotated[Schedule, within(0)] = Field(
        default_factory=lambda: _Schedule(cosine=Cosine(start=3e-4, end=0.0, warmup=0.3)), description="per step"
    )
    weight_decay: Annotated[Schedule, within(0)] = Field(
        default_factory=lambda: _Schedule(constant=3e-4), description="decoupled decay of matrices"
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay of the second moment")
    clip_norm: float | None = Field(0.5, gt=0, description="largest norm of the whole gradient; null: not clipped")


class TrainerSettings(Settings):
    """How the loop runs; nothing here changes what is computed, but for rounding."""

    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="auto: bf16 where the device computes it natively, else fp32; weights are always fp32"
    )
    micro_batch: Literal["auto"] | Annotated[int, Field(gt=0)] = Field("auto", description="rows per process and pass")
    compile: bool = Field(False, description="torch.compile of the encoder")
    checkpoint_every: int = Field(500, gt=0, description="steps between checkpoints")
    keep_last: int = Field(2, gt=0, description="newest checkpoints kept, beside the first and the last")
    validate_every: int = Field(100, gt=0, description="steps between looks at the held-out windows")
    validation_windows: int = Field(256, gt=1, description="held-out windows looked at")
    log_every: int = Field(10, gt=0, description="steps between rows of metrics.jsonl")
    devices: int = Field(1, gt=0, description="processes per node")
    nodes: int = Field(1, gt=0, description="nodes")

    @field_validator("precision", mode="before")
    @classmethod
    def _no_fp16(cls, value: Any) -> Any:
        if value in ("fp16", "float16", "16", 16):
            raise ValueError("fp16 is refused: its range overflows in the losses' logits and needs a loss scaler; use bf16")
        return value


class EvaluationSettings(Settings):
    """Which labelled tasks score the run when training ends."""

    tasks: tuple[str, ...] = Field((), description="builtin, or folders of train/dev/test tables")
    protocols: tuple[Literal["knn", "probe"], ...] = Field(
        ("knn", "probe"), min_length=1, description="how frozen embeddings are scored"
    )
