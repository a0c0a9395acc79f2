"""torch.compile of both branches' encoders, and the sentence where this machine has no compiler for it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.trainer.experiment import Experiment

_VARIANTS = 64
"""Graphs of one encoder: two branches, training and looking, whole and last micro-batches, padded or not, views' lengths.
Beyond torch's own limit, 8, it would go on without compiling."""


@contextmanager
def compiled_encoders(experiment: Experiment) -> Iterator[None]:
    """Inside, both encoders run as `trainer.compile` says. FindnaError where inductor finds no compiler that works."""
    chosen = experiment.trainer.compile
    if not chosen:
        yield
        return
    # Imported here: it takes as long as torch itself.
    from torch._dynamo.exc import BackendCompilerFailed
    from torch._inductor.exc import CppCompileError, GPUTooOldForTriton, InvalidCxxCompiler, TritonMissing

    no_compiler = (CppCompileError, GPUTooOldForTriton, InvalidCxxCompiler, TritonMissing)
    for branch in (experiment.student, experiment.teacher):
        branch.encoder.compile(backend="inductor" if chosen is True else chosen)
    try:
        with torch._dynamo.config.patch(recompile_limit=_VARIANTS):
            yield
    except (BackendCompilerFailed, *no_compiler) as error:
        cause = getattr(error, "inner_exception", error)
        if not isinstance(cause, no_compiler):
            raise  # the encoder's own trouble: a traceback is what its author needs
        what = f"{type(cause).__name__}: {str(cause).strip().splitlines()[0]}"
        ways = "install one (g++ and Python's headers; on a GPU, triton too), or set trainer.compile to false or aot_eager"
        raise FindnaError(f"trainer.compile: true needs a compiler that works here ({what}); {ways}") from error
