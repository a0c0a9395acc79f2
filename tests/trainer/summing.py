"""Run by torchrun: steps of a batch-coupled loss and others; process 0 writes the collectives that they called."""

import json
import sys
from hashlib import blake2b
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from findna_kit.distributed import start_engine
from findna_kit.schedules import Clock
from findna_kit.trainer.optimizers import ScheduledOptimizer
from findna_kit.trainer.step import train_step
from tests.building import experiment_of, small
from tests.trainer.two_processes import CHOICES

STEPS, MICRO_BATCH, PARTS = 4, 2, 3
"""PARTS micro-batches in each process, whatever their number."""


class Collectives(TorchDispatchMode):
    """Inside, every collective of torch.distributed is seen on its way: its name, and how many numbers this process gives."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        if function.namespace == "c10d":
            given = next(one for one in torch.utils._pytree.tree_leaves(arguments[::-1]) if isinstance(one, torch.Tensor))
            self.seen.append((str(function), given.numel()))
        return function(*arguments, **(named or {}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    engine = start_engine("cpu", "fp32")
    rows = f"data.batch_size={MICRO_BATCH * PARTS * engine.world_size}"
    experiment, data, _ = experiment_of(small("self_distill", *CHOICES, rows, f"trainer.devices={engine.world_size}")[0])
    optimizer, steps = ScheduledOptimizer(experiment), []
    for step in range(STEPS):
        with Collectives() as collectives:
            train_step(experiment, data, engine, optimizer, Clock(step, STEPS), {}, MICRO_BATCH)
        steps.append(collectives.seen)
    kept = {**experiment.model_tensors(), **experiment.loss_tensors(), **optimizer.tensors()}
    digest = blake2b(b"".join(tensor.numpy().tobytes() for tensor in kept.values())).hexdigest()
    done = {
        "collectives": steps, "digest": digest, "agree": engine.replicas_agree(kept.values()),
        "parameters": len(optimizer.parameters), "numbers": sum(parameter.numel() for parameter in optimizer.parameters),
        "marginal": experiment.losses["distill"].loss.tokens * experiment.losses["distill"].loss.config.prototypes,
        "coupled": [label for label, term in experiment.losses.items() if term.loss.coupling == "batch"],
    }  # fmt: skip
    if engine.is_main_process:
        Path(sys.argv[1]).write_text(json.dumps(done))
    engine.close()
