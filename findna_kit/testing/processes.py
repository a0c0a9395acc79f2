"""A loss over two real processes; run as a module, this waits for orders and forks the two for each."""

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
from findna_kit.testing.checks import CPU, Case, abbreviate, relative_difference
from findna_kit.testing.loss_harness import CLOCK, LABEL, LossHarness, find_suitable_views

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 120
_TOLERANCE = 1e-5
_SHARE = 0.3
"""Of the largest gradient: what smaller ones are measured by."""
_MICRO_BATCH = 3
"""Of 8 rows: 3, 3 and 2 in one process, 3 and 1 in each of two."""


def processes(case: Case) -> Iterator[str]:
    """Over two processes, each with half of the batch, gradients, metrics and state are those of one process, to 1e-5."""
    reason = _not_found(case.component)
    if reason is not None:
        yield reason
        return
    with TemporaryDirectory() as folder:
        failure = _both(case, Path(folder))
        if failure:
            yield f"two processes, each with half of the batch, did not get to the end of a step: {failure}"
            return
        for number, parameters in enumerate(case.family):
            one = run_step(Case(case.kind, case.component, parameters, case.recipe), Engine(CPU, "fp32"))
            if one is not None:
                two = load_file(Path(folder) / f"{number}.safetensors")
                yield from _apart(one, two, "" if len(case.family) == 1 else f" (with {dict(parameters)})")


def _apart(one: dict[str, Tensor], two: dict[str, Tensor], which: str) -> Iterator[str]:
    largest = max((float(value.abs().max()) for name, value in one.items() if name.startswith("gradient ")), default=0.0)
    found = [f"{name} is there in one case only" for name in sorted(one.keys() ^ two.keys())]
    for name in sorted(one.keys() & two.keys(), key=lambda name: (name != "count", name)):
        size = float(one[name].abs().max()) if one[name].numel() else 0.0
        scale = max(size, _SHARE * largest) if name.startswith("gradient ") else max(size, 1e-6)
        if not relative_difference(two[name], one[name], scale) <= _TOLERANCE:
            found.append(f"{name} ({float(two[name].norm() / one[name].norm().clamp(min=1e-30)):.4g} times as large)")
    if found:
        yield (
            f"over two processes, each with half of the batch, these are not what one process makes{which}: {abbreviate(found)}. "
            "Return a "
            "sum over items and their `count`, nothing that is divided by the size of a batch; in `after_step` take means over "
            "the rows of `carry`"
        )


def run_step(case: Case, engine: Engine) -> dict[str, Tensor] | None:
    """Of one step: gradients, metrics, and the state that the loss is left with; None where no views suit it."""
    found = find_suitable_views(case)
    if isinstance(found, list):
        return None
    tried = LossHarness(found[1], engine)
    gradients, _, counts = tried.step(_MICRO_BATCH)
    named = tried.experiment.trainable()
    engine.all_reduce_gradients([named[name] for name in gradients])
    summed = {f"gradient {name}": named[name].grad.clone() for name in gradients}  # type: ignore[union-attr]
    (metrics,) = tried.train(1, _MICRO_BATCH, first=CLOCK.step)
    numbers = {f"metric {name}": torch.tensor(value) for name, value in metrics.items()}
    state = {f"state {name}": tensor.clone() for name, tensor in tried.loss.state_dict().items()}
    return {**summed, **numbers, **state, "count": counts[LABEL].clone()}


def _not_found(component: type[Any]) -> str | None:
    """Why another process could not import the class."""
    name = f"{component.__module__}.{component.__qualname__}"
    if component.__module__ == "__main__" or "<locals>" in component.__qualname__:
        return (
            f"two processes import the class by name, and {name} has none that can be imported: define it at the top of a "
            "module"
        )
    return None


def _both(case: Case, folder: Path) -> str:
    """Has both run to their end; what the one that failed said, or nothing."""
    order = {
        "module": case.component.__module__, "class": case.component.__qualname__, "folder": str(folder),
        "family": [dict(parameters) for parameters in case.family], "recipe": list(case.recipe),
        "path": [path or str(Path.cwd()) for path in sys.path],
    }  # fmt: skip
    waiting = _waiting()
    assert waiting.stdin is not None
    assert waiting.stdout is not None
    waiting.stdin.write(json.dumps(order) + "\n")
    waiting.stdin.flush()
    answer = waiting.stdout.readline()
    return json.loads(answer)["failure"] if answer else "the process that starts them has ended"


@cache
def _waiting() -> subprocess.Popen[str]:
    """The process that forks two for each order: it has imported torch, which would take longer than all that they do."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    started = subprocess.Popen(
        [sys.executable, "-m", "findna_kit.testing.processes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    atexit.register(_end, started)
    return started


def _end(waiting: subprocess.Popen[str]) -> None:
    for pipe in (waiting.stdin, waiting.stdout):
        if pipe is not None:
            pipe.close()
    waiting.wait()


def _take_part(order: dict[str, Any], rank: int) -> None:
    folder, path = Path(order["folder"]), order["class"].split(".")
    sys.path[:] = order["path"]
    module: Any = importlib.import_module(order["module"])
    component = reduce(getattr, path, module)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    engine = Engine(CPU, "fp32", rank, world_size=2)
    for number, parameters in enumerate(order["family"]):
        made = run_step(Case("loss", component, parameters, tuple(order["recipe"])), engine)
        if made is not None and rank == 0:
            save_file({name: tensor.contiguous() for name, tensor in made.items()}, folder / f"{number}.safetensors")
    distributed.barrier()


def _forked(order: dict[str, Any], rank: int) -> int:
    """The process's number; in the process itself it does not return."""
    child = os.fork()
    return child if child else _be(order, rank)


def _be(order: dict[str, Any], rank: int) -> NoReturn:
    failed = 0
    try:
        _take_part(order, rank)
    # What a stranger's loss raises is told to the process that asked.
    except BaseException as error:  # noqa: BLE001
        failed = 1
        (Path(order["folder"]) / f"failure-{rank}").write_text(f"{type(error).__name__}: {error}")
        traceback.print_exc()
    finally:
        os._exit(failed)


def _carry_out(order: dict[str, Any]) -> str:
    """Forks both, and waits; what went wrong first."""
    left, until, failure = {_forked(order, rank): rank for rank in range(2)}, time.monotonic() + _SECONDS, ""
    while left:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            time.sleep(0.01)
            if time.monotonic() < until:
                continue
            failure = f"they had not finished after {_SECONDS} s; do both take the same steps?"
        elif (rank := left.pop(child)) is not None and status and not failure:
            told = Path(order["folder"]) / f"failure-{rank}"
            failure = told.read_text() if told.is_file() else f"process {rank} ended with status {status}"
        if failure:
            for other in left:
                os.kill(other, signal.SIGKILL)
                os.waitpid(other, 0)
            break
    return failure


def _wait_for_orders() -> None:
    torch.set_num_threads(1)
    # What the two would otherwise import each time; seconds.
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], fused=True)
    load_plugins()
    for line in sys.stdin:
        print(json.dumps({"failure": _carry_out(json.loads(line))}), flush=True)


if __name__ == "__main__":
    _wait_for_orders()
