"""Device, precision, micro-batch: what auto chooses, and what is refused."""

import ctypes
import subprocess
import sys

import pytest
import torch

from findna_kit.distributed import (
    Engine,
    Launch,
    choose_device,
    choose_precision,
    halve_until_fits,
    search_batch_size,
    start_engine,
)
from findna_kit.distributed.devices import local_device
from findna_kit.errors import FindnaError
from findna_kit.trainer.micro_batch import choose_micro_batch
from tests.building import experiment_of, small

CPU = torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_without_a_gpu():
    assert choose_device("auto") == CPU
    with pytest.raises(FindnaError, match="torch sees no CUDA device here; use --device cpu"):
        choose_device("cuda")


def test_an_unknown_device_is_refused():
    with pytest.raises(FindnaError, match="must be auto, cpu or cuda"):
        choose_device("tpu")


def test_precision():
    assert choose_precision("fp32", CPU) == "fp32"
    assert choose_precision("bf16", CPU) == "bf16"
    native = torch.cpu._is_amx_tile_supported()
    assert choose_precision("auto", CPU) == ("bf16" if native else "fp32")


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_autocast_follows_the_precision(precision, dtype):
    with Engine(CPU, precision).autocast():
        assert torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype == dtype


def test_one_process_sums_and_gathers_itself():
    engine = start_engine("cpu", "fp32")
    assert (engine.rank, engine.world_size, engine.local_indices(3).tolist()) == (0, 1, [0, 1, 2])
    value = torch.ones(2)
    assert engine.all_reduce_sum(value) is value
    assert engine.gather(value) is value


def test_a_batch_that_does_not_divide_is_refused():
    engine = Engine(CPU, "fp32", rank=1, world_size=3)
    assert engine.local_indices(6).tolist() == [2, 3]
    with pytest.raises(FindnaError, match="batch_size 8 is not divisible by the number of processes, 3"):
        engine.local_indices(8)


def test_collectives_of_one_process():
    engine = start_engine("cpu", "fp32")
    assert engine.is_main_process
    assert engine.all_reduce_max(3) == 3
    assert engine.replicas_agree([torch.ones(2)])
    assert engine.broadcast_object(lambda: {"a": [1]}) == {"a": [1]}
    assert engine.gather_objects("here") == ["here"]


def test_another_precision_of_the_same_processes():
    assert start_engine("cpu", "fp32").with_precision("bf16").precision == "bf16"


GPU = torch.device("cuda")


@pytest.mark.parametrize(("visible", "launch", "index"), [
    (4, Launch(4, 1, 3, "torchrun", 3), 3),
    (2, Launch(4, 2, 3, "findna-kit", 1), 1),
    (1, Launch(4, 2, 3, "srun", 1), 0),  # srun --gpus-per-task=1 shows every task one GPU
])  # fmt: skip
def test_every_process_has_its_own_gpu(visible, launch, index, monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert local_device(GPU, launch) == torch.device("cuda", index)
    assert chosen == [torch.device("cuda", index)]
    assert local_device(CPU, launch) == CPU


@pytest.mark.parametrize("rank", [0, 1])
def test_fewer_gpus_than_processes_are_refused_once(rank, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(FindnaError, match=r"trainer.devices 2: torch sees 1 GPUs on this machine; start fewer") as refused:
        local_device(GPU, Launch(2, 1, rank, "torchrun", rank))
    assert refused.value.silent is (rank > 0)


def test_halving_until_a_batch_fits():
    tried = []

    def attempt(rows):
        tried.append(rows)
        if rows > 9:
            raise torch.OutOfMemoryError("no memory")

    assert halve_until_fits(65, attempt) == 9
    assert tried == [65, 33, 17, 9]
    with pytest.raises(FindnaError, match="not even one sample fits"):
        halve_until_fits(3, lambda rows: (_ for _ in ()).throw(torch.OutOfMemoryError("none")))


@pytest.mark.parametrize(("stated", "dim", "chosen"), [("auto", 22, 8), ("3", 22, 3), ("99", 22, 8)])
def test_micro_batch(stated, dim, chosen):
    experiment, data, engine = experiment_of(small("masked_only", f"trainer.micro_batch={stated}")[0])
    assert choose_micro_batch(experiment, data, engine) == chosen


def test_wide_long_rows_are_taken_few_at_a_time_on_a_cpu():
    wide = ("encoder.dim=308", "data.length=1000", "data.batch_size=64", "trainer.micro_batch=auto", "class_tokens=10")
    experiment, data, engine = experiment_of(small("masked_only", *wide)[0])
    assert choose_micro_batch(experiment, data, engine) == 8


def test_doubling_while_a_batch_fits():
    def memory_for(most):
        def attempt(rows):
            tried.append(rows)
            if rows > most:
                raise torch.OutOfMemoryError("full")

        tried = []
        return attempt, tried

    attempt, tried = memory_for(50)
    assert search_batch_size(8, 1000, attempt) == 32
    assert tried == [8, 16, 32, 64]
    attempt, tried = memory_for(50)
    assert search_batch_size(65, 1000, attempt) == 33
    assert tried == [65, 33], "half of it fits, and more was not to be had"
    attempt, tried = memory_for(50)
    assert search_batch_size(8, 20, attempt) == 16


ALLOCATED = """
import ctypes, sys
import torch
from findna_kit.distributed import start_engine
if sys.argv[1] == "started":
    start_engine("cpu", "fp32")
class Info(ctypes.Structure):  # malloc.h
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks mapped x y used free top".split()]
ask = ctypes.CDLL(None).mallinfo2
ask.restype = Info
before = ask().mapped
held = torch.ones(2**22)
mapped = ask().mapped - before
del held
print(mapped >= 2**24, ask().free >= 2**24)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="this C library does not say what it holds")
@pytest.mark.parametrize(("how", "printed"), [("started", "False True"), ("alone", "True False")])
def test_freed_memory_of_a_step_is_kept_for_the_next(how, printed):
    """16 MiB: from the heap, which keeps them, rather than from the system, which has them back."""
    done = subprocess.run([sys.executable, "-c", ALLOCATED, how], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == printed
