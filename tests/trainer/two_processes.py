"""Run by torchrun: three steps of every loss on this process's share; process 0 writes what came out."""

import os
import sys

import torch

from findna_kit.engine import Engine, start_engine
from findna_kit.schedules import Clock
from findna_kit.trainer.optimizer import ScheduledAdamW
from findna_kit.trainer.step import train_step
from tests.building import experiment_of, small

LOSSES = (
    "views.shifted.see=[student, teacher]", "losses.contrast={name: info_nce, hidden: 32, output: 16}",
    "losses.distill.hidden=32", "losses.distill.bottleneck=16", "losses.distill.prototypes=24", "trainer.devices=2",
)  # fmt: skip


def steps(engine, count=3):
    """What `count` steps leave: tensors by name, and each step's metrics."""
    experiment, data, _ = experiment_of(small("self_distill", *LOSSES)[0])
    optimizer = ScheduledAdamW(experiment)
    metrics = [train_step(experiment, data, engine, optimizer, Clock(1 + s, 5), {}, 3) for s in range(count)]
    return {**experiment.model_tensors(), **experiment.loss_tensors()}, metrics


if __name__ == "__main__":
    torch.set_num_threads(1)
    engine: Engine = start_engine("cpu", "fp32", devices=int(os.environ["WORLD_SIZE"]))
    assert engine.processes == 2
    tensors, metrics = steps(engine)
    flat = torch.cat([tensor.flatten().float() for tensor in tensors.values()])
    everybody = engine.gather(flat[None])
    assert torch.equal(everybody[0], everybody[1]), "the processes have parted"
    if engine.rank == 0:
        torch.save({"tensors": tensors, "metrics": metrics}, sys.argv[1])
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
