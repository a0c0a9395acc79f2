"""Signals that ask a run to stop, which may come more than once."""

import os
import signal

import pytest

from findna_kit.distributed import Engine
from findna_kit.errors import Interrupted
from findna_kit.runs import RunLocation, start
from findna_kit.trainer import StopRequest
from tests.building import small


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_that_slurm_sends_twice_is_one_request(number):
    """It signals every process of a step, and so does a process that started another one there; SIGTERM may follow SIGUSR2."""
    stop = StopRequest()
    with stop.listening():
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.signal == number


def test_a_second_ctrl_c_does_not_wait():
    stop = StopRequest()
    with stop.listening(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert stop.signal == signal.SIGINT


def test_a_signal_during_the_collective_takes_effect_after_the_next_step(tmp_path, monkeypatch):
    """All wait for the slowest there, so it is where most signals come; each process reads its own before it waits."""
    recipe, components, plugins = small("masked_only", "steps=6")
    asked, all_reduce_max = [], Engine.all_reduce_max

    def meanwhile(engine, value):
        asked.append(value)
        if len(asked) == 4:  # once for the micro-batch, once before the first step, and this is after the second
            os.kill(os.getpid(), signal.SIGTERM)
        return all_reduce_max(engine, value)

    monkeypatch.setattr(Engine, "all_reduce_max", meanwhile)
    with pytest.raises(Interrupted, match="SIGTERM: step 3 of 6 is saved"):
        start(recipe, RunLocation(tmp_path / "run"), components=components, plugins=plugins, device="cpu")
    assert asked[3:] == [0, signal.SIGTERM]
