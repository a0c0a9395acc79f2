"""torch.compile of both branches' encoders, and the error for a machine without a working compiler."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from findna_kit.errors import FindnaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.trainer.experiment import Experiment

_MAX_GRAPHS = 64
"""Graphs of one encoder: two branches; training and validation; full and last micro-batches; padded or not; view lengths.
Beyond torch's own limit, 8, it would silently run uncompiled."""


@contextmanager
def compiled_encoders(experiment: Experiment) -> Iterator[None]:
    """Compile both encoders as `trainer.compile` says. Raises FindnaError if inductor finds no working compiler."""
    backend = experiment.trainer.compile
    if not backend:
        yield
        return
    # Imported here because these modules take as long to import as torch itself.
    from torch._dynamo.exc import BackendCompilerFailed
    from torch._inductor.exc import CppCompileError, GPUTooOldForTriton, InvalidCxxCompiler, TritonMissing

    no_compiler = (CppCompileError, GPUTooOldForTriton, InvalidCxxCompiler, TritonMissing)
    for branch in (experiment.student, experiment.teacher):
        # In place: the wrapper that torch.compile(module) returns would prefix the names in a checkpoint with `_orig_mod.`.
        branch.encoder.compile(backend="inductor" if backend is True else backend)
    try:
        with torch._dynamo.config.patch(recompile_limit=_MAX_GRAPHS):
            yield
    except (BackendCompilerFailed, *no_compiler) as error:
        cause = getattr(error, "inner_exception", error)
        if not isinstance(cause, no_compiler):
            raise  # a fault of the encoder: its author needs the traceback
        reason = f"{type(cause).__name__}: {str(cause).strip().splitlines()[0]}"
        advice = "install one (g++ and Python's headers; on a GPU, triton too), or set trainer.compile to false or aot_eager"
        raise FindnaError(f"trainer.compile: true needs a working compiler on this machine ({reason}); {advice}") from error
