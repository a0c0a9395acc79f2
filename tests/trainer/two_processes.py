"""Run by torchrun: fifty steps of every loss on this process's share; process 0 writes what came out."""

import sys
from pathlib import Path

import numpy as np
import torch

from findna_kit.distributed import Engine, start_engine
from findna_kit.schedules import Clock
from findna_kit.trainer.forward import training_batch
from findna_kit.trainer.optimizers import ScheduledOptimizer
from findna_kit.trainer.step import accumulate_gradients, train_step
from tests.building import experiment_of, small

STEPS = 50
MICRO_BATCH = 3
"""Of 8 rows: 3, 3 and 2 in one process, 3 and 1 in each of two."""
CHOICES = (
    "views.shifted.see=[student, teacher]", "views.shifted.length=[0.7, 0.95]",
    "losses.contrast={name: info_nce, hidden: 32, output: 16}",
    "trainer.devices=2",
    # At the recipe's own rate, 2e-3, rounding grows to 2e-5 of the gradient's norm; as it does in one process with other
    # micro-batches.
    f"steps={STEPS}", "encoder.dropout=0", "optimizer.learning_rate=3.0e-4", "data.max_unknown=0.6",
)  # fmt: skip


def write_genome(path: Path) -> None:
    """Windows of it hold anything from no N to 0.6 of N, so that the processes count different numbers of items."""
    rng = np.random.default_rng(0)
    bases = np.frombuffer(b"ACGT", dtype=np.uint8)[rng.integers(0, 4, 200_000)].copy()
    for start in rng.integers(0, len(bases) - 40, 2000):
        bases[start : start + rng.integers(1, 40)] = ord("N")
    path.write_bytes(b">one\n" + bases.tobytes() + b"\n")


def steps(engine: Engine, genome: Path) -> dict[str, object]:
    """Of the first step: gradients, counts, and what each process counts. Of every step: metrics. Of the last: all tensors."""
    experiment, data, _ = experiment_of(small("self_distill", *CHOICES, f"data.genome={genome}")[0])
    optimizer = ScheduledOptimizer(experiment)
    batch = training_batch(experiment, data, 0, engine.local_indices(experiment.batch_size))
    _, counts = accumulate_gradients(experiment, data, engine, Clock(0, STEPS), batch, MICRO_BATCH)
    own = experiment.losses["masked"].loss.count(batch.views, {}).reshape(1).float()
    engine.all_reduce_gradients(optimizer.parameters)
    gradients = {name: p.grad.clone() for name, p in optimizer.named.items() if p.grad is not None}
    metrics = [train_step(experiment, data, engine, optimizer, Clock(step, STEPS), {}, MICRO_BATCH) for step in range(STEPS)]
    return {
        "gradients": gradients,
        "counts": {label: float(count) for label, count in counts.items()},
        "masked_items": engine.gather(own).tolist(),
        "metrics": metrics,
        "tensors": {**experiment.model_tensors(), **experiment.loss_tensors(), **optimizer.tensors()},
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    engine: Engine = start_engine("cpu", "fp32")
    assert engine.world_size == 2
    done = steps(engine, Path(sys.argv[1]))
    flat = torch.cat([tensor.flatten().double() for tensor in done["tensors"].values()])
    everybody = engine.gather(flat[None])
    assert torch.equal(everybody[0], everybody[1]), "the processes have parted"
    own = torch.tensor(float(engine.rank))
    done["agree"] = [
        engine.replicas_agree([flat, torch.tensor(1)]),
        engine.replicas_agree([flat, own]),
        engine.replicas_agree([own.bfloat16()[None]]),
    ]
    if engine.rank == 0:
        torch.save(done, sys.argv[2])
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
