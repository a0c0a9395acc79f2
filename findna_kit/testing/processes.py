"""The conformance check of a loss over two real processes.

Run as a module, this is a server that has imported torch: it reads orders from stdin and forks two workers for each.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from functools import cache, reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed

from findna_kit.distributed import Engine
from findna_kit.plugins.loading import load_plugins
from findna_kit.testing.checks import CPU, Case, abbreviate, differing_tensors, largest_number
from findna_kit.testing.loss_harness import CLOCK, LABEL, LossHarness, find_suitable_views

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT = 120
"""Seconds after which the two workers are stopped."""
_TOLERANCE = 1e-5
_SHARE = 0.3
"""Smallest scale of a gradient, as a share of the largest one."""
_MICRO_BATCH = 3
"""The 8 samples are split into 3, 3 and 2 in one process, and into 3 and 1 in each of two."""


def processes(case: Case) -> Iterator[str]:
    """Require that over two processes with half of the batch each, gradients, metrics and state equal those of one process."""
    reason = _import_problem(case.component)
    if reason is not None:
        yield reason
        return
    with TemporaryDirectory() as folder:
        failure = _run_two_processes(case, Path(folder))
        if failure:
            yield f"two processes with half of the batch each did not complete a step: {failure}"
            return
        for index, parameters in enumerate(case.family):
            single = run_step(Case(case.kind, case.component, parameters, case.recipe), Engine(CPU, "fp32"))
            if single is not None:
                double = load_file(Path(folder) / f"{index}.safetensors")
                yield from _differences(single, double, "" if len(case.family) == 1 else f" (with {dict(parameters)})")


def _differences(single: dict[str, Tensor], double: dict[str, Tensor], which: str) -> Iterator[str]:
    """Yield a message if two processes give other numbers than one."""
    largest = largest_number(value for name, value in single.items() if name.startswith("gradient "))
    # 0.3 times 1e-5 is 3e-6 of the largest gradient: the same absolute bound for small gradients as in `loss_inputs`.
    scales = {name: _SHARE * largest if name.startswith("gradient ") else 1e-6 for name in single}
    differing = differing_tensors(double, single, scales, _TOLERANCE)
    # The count first: a wrong count explains wrong gradients.
    differing.sort(key=lambda message: not message.startswith("count "))
    if differing:
        yield (
            f"over two processes with half of the batch each, these differ from one process{which}: {abbreviate(differing)}. "
            "Return a sum over items and their `count`, and divide nothing by the size of a batch; in `after_step` average "
            "over the rows of `state_inputs`"
        )


def run_step(case: Case, engine: Engine) -> dict[str, Tensor] | None:
    """Return the gradients, metrics and count of one step and the loss's state after it; None if no views suit the loss."""
    suitable = find_suitable_views(case)
    if isinstance(suitable, list):
        return None
    harness = LossHarness(suitable[1], engine)
    gradients, _, counts = harness.step(_MICRO_BATCH)
    named = harness.experiment.trainable()
    engine.all_reduce_gradients([named[name] for name in gradients])
    summed = {f"gradient {name}": named[name].grad.clone() for name in gradients}  # type: ignore[union-attr]
    (metrics,) = harness.train(1, _MICRO_BATCH, first=CLOCK.step)
    numbers = {f"metric {name}": torch.tensor(value) for name, value in metrics.items()}
    state = {f"state {name}": tensor.clone() for name, tensor in harness.loss.state_dict().items()}
    return {**summed, **numbers, **state, "count": counts[LABEL].clone()}


def _import_problem(component: type[Any]) -> str | None:
    """Return a message if another process could not import the class, else None."""
    name = f"{component.__module__}.{component.__qualname__}"
    if component.__module__ == "__main__" or "<locals>" in component.__qualname__:
        return f"two processes import the class by name, and {name} cannot be imported: define it at the top level of a module"
    return None


def _run_two_processes(case: Case, folder: Path) -> str:
    """Run both workers to their end; return the error of the first that failed, or an empty string."""
    order = {
        "module": case.component.__module__, "class": case.component.__qualname__, "folder": str(folder),
        "family": [dict(parameters) for parameters in case.family], "recipe": list(case.recipe),
        "path": [path or str(Path.cwd()) for path in sys.path],
    }  # fmt: skip
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    return json.loads(answer)["failure"] if answer else "the process that starts the workers has ended"


@cache
def _server() -> subprocess.Popen[str]:
    """Start the process that forks the workers. Importing torch once takes longer than all steps of a test session."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    server = subprocess.Popen(
        [sys.executable, "-m", "findna_kit.testing.processes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    atexit.register(_close, server)
    return server


def _close(server: subprocess.Popen[str]) -> None:
    for pipe in (server.stdin, server.stdout):
        if pipe is not None:
            pipe.close()
    server.wait()


def _work(order: dict[str, Any], rank: int) -> None:
    """Run one step for each example; rank 0 writes the results."""
    folder, path = Path(order["folder"]), order["class"].split(".")
    sys.path[:] = order["path"]
    module: Any = importlib.import_module(order["module"])
    component = reduce(getattr, path, module)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=2)
    engine = Engine(CPU, "fp32", rank, world_size=2)
    for index, parameters in enumerate(order["family"]):
        results = run_step(Case("loss", component, parameters, tuple(order["recipe"])), engine)
        if results is not None and rank == 0:
            save_file({name: tensor.contiguous() for name, tensor in results.items()}, folder / f"{index}.safetensors")
    distributed.barrier()


def _fork_worker(order: dict[str, Any], rank: int) -> int:
    """Fork a worker; return its process id. In the worker itself this does not return."""
    child = os.fork()
    return child if child else _run_worker(order, rank)


def _run_worker(order: dict[str, Any], rank: int) -> NoReturn:
    status = 0
    try:
        _work(order, rank)
    # Third-party code may raise anything; the error is written for the process that ordered the run.
    except BaseException as error:  # noqa: BLE001
        status = 1
        (Path(order["folder"]) / f"failure-{rank}").write_text(f"{type(error).__name__}: {error}")
        traceback.print_exc()
    finally:
        # Without cleanup handlers: those belong to the server that was forked.
        os._exit(status)


def _carry_out(order: dict[str, Any]) -> str:
    """Fork both workers and wait for them; return the first failure, or an empty string."""
    running, deadline, failure = {_fork_worker(order, rank): rank for rank in range(2)}, time.monotonic() + _TIMEOUT, ""
    while running:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            time.sleep(0.01)
            if time.monotonic() < deadline:
                continue
            failure = f"they did not finish within {_TIMEOUT} s; do both take the same steps?"
        elif (rank := running.pop(child)) is not None and status and not failure:
            file = Path(order["folder"]) / f"failure-{rank}"
            failure = file.read_text() if file.is_file() else f"process {rank} ended with status {status}"
        if failure:
            # The other worker may wait for the failed one in a collective.
            for other in running:
                os.kill(other, signal.SIGKILL)
                os.waitpid(other, 0)
            break
    return failure


def _serve() -> None:
    """Read orders from stdin and answer each with a line of JSON."""
    # A fork copies only the calling thread: with a pool in the server, a worker could wait for threads that it does not have.
    torch.set_num_threads(1)
    # What every worker would otherwise import again, which takes seconds.
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], fused=True)
    load_plugins()
    for line in sys.stdin:
        print(json.dumps({"failure": _carry_out(json.loads(line))}), flush=True)


if __name__ == "__main__":
    _serve()
