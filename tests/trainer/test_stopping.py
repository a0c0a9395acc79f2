"""Signals that ask a run to stop, which may come more than once."""

import os
import signal

import pytest

from findna_kit.trainer import StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_what_slurm_sends_twice_is_one_request(number):
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
