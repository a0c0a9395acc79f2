"""The heartbeat: who may connect, on which address it listens, and what is reported when a process is lost."""

import os
import socket
import threading
import time

import pytest

from findna_kit.distributed import Heartbeat, heartbeat
from findna_kit.distributed.beat_server import BeatServer

TOKEN = "0123456789abcdef"


@pytest.fixture
def server():
    server = BeatServer(["127.0.0.1"], 3, TOKEN, timeout=5)
    yield server
    server.close(wait=0)


def exchange(server, *lines):
    """The answers to these lines, until the server disconnects or has answered all but the first."""
    address = ("127.0.0.1", server.ports["127.0.0.1"])
    with socket.create_connection(address, timeout=5) as client, client.makefile("rb") as replies:
        answers = []
        for number, line in enumerate(lines):
            try:
                client.sendall(line)
                answers.append(replies.readline() if number else None)
            except ConnectionError:
                answers.append(b"")
        return answers[1:]


def test_a_client_with_the_token_is_answered_by_every_rank_s_age(server):
    first, second = exchange(server, f"{TOKEN} 2\n".encode(), b"beat\n", b"beat\n")
    ages = [float(age) for age in first.split()]
    assert len(ages) == len(second.split()) == 3
    assert ages[0] == ages[2] == 0.0


@pytest.mark.parametrize("greeting", [
    b"beat\n", b"\n", b"0123456789abcdee 2\n", TOKEN.encode() + b"\n", TOKEN.encode() + b" 3\n", TOKEN.encode() + b" 0\n",
    TOKEN.encode() + b" -1\n", b"x" * 100_000 + b"\n", b"\xff\xfe 1\n",
])  # fmt: skip
def test_a_client_without_the_token_or_a_rank_is_disconnected(greeting, server):
    last_heard = list(server._last_heard)
    assert exchange(server, greeting, b"beat\n") == [b""]
    assert server._last_heard == last_heard, "nothing that it sent counts as a beat"


def test_it_listens_on_no_other_address(server):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.ports["127.0.0.1"]), timeout=5)


def test_an_address_of_another_machine_falls_back_to_all():
    """A node behind NAT does not have the address by which the others reach it."""
    server = BeatServer(["192.0.2.1"], 2, TOKEN, timeout=5)
    try:
        socket.create_connection(("127.0.0.1", server.ports["192.0.2.1"]), timeout=5).close()
    finally:
        server.close(wait=0)


class Ranks:
    """Engines of several ranks that are threads of this process."""

    def __init__(self, world_size):
        self.barrier, self.values = threading.Barrier(world_size, timeout=10), [None] * world_size
        self.engines = [RankEngine(self, rank, world_size) for rank in range(world_size)]

    def run(self, function):
        """Call the function with the engine of every rank at the same time; the results."""
        results = [None] * len(self.engines)

        def call(engine):
            results[engine.rank] = function(engine)

        threads = [threading.Thread(target=call, args=(engine,)) for engine in self.engines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


class RankEngine:
    def __init__(self, ranks, rank, world_size):
        self.ranks, self.rank, self.world_size, self.is_main_process = ranks, rank, world_size, rank == 0

    def gather_objects(self, value):
        self.ranks.values[self.rank] = value
        self.ranks.barrier.wait()
        values = list(self.ranks.values)
        self.ranks.barrier.wait()
        return values

    def broadcast_object(self, make):
        return self.gather_objects(make() if self.is_main_process else None)[0]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.05)
    monkeypatch.setattr(heartbeat, "TIMEOUT", 0.6)


def started(world_size):
    """Heartbeats of that many ranks, and the list of what they report: (reporting rank, message, lost rank)."""
    reports = []
    beats = Ranks(world_size).run(
        lambda engine: Heartbeat(engine, lambda message, lost: reports.append((engine.rank, message, lost)))
    )
    return beats, reports


def end(beats):
    """Leave every context, entered or not; the main process last."""
    for beat in reversed(beats):
        if beat._thread.ident is None:
            beat._thread.start()
        beat.__exit__()


def test_it_listens_on_the_address_of_the_ranks_only_and_every_run_has_a_new_token(quick):
    first, second = (started(2)[0] for _ in range(2))
    assert list(first[0]._server.ports) == ["127.0.0.1"]
    assert len(first[0]._server.token) == 32
    assert first[0]._server.token != second[0]._server.token
    for beats in (first, second):
        end(beats)


def test_ranks_that_beat_and_leave_are_not_reported(quick):
    beats, reports = started(3)
    for beat in beats:
        beat.__enter__()
    time.sleep(1.5)
    assert not beats[1].main_process_is_lost()
    end(beats)
    time.sleep(0.3)
    assert reports == []
    assert beats[1].main_process_is_lost(), "it has stopped listening"


def test_a_silent_rank_is_reported_by_all_others(quick):
    beats, reports = started(3)
    for beat in beats[:2]:  # rank 2 never beats
        beat.__enter__()
    time.sleep(1.5)
    assert sorted(reports) == [(rank, "process 2 of 3 no longer responds", 2) for rank in (0, 1)]
    end(beats)


def test_a_main_process_that_ends_is_reported_by_the_others(quick):
    beats, reports = started(2)
    for beat in beats:
        beat.__enter__()
    beats[0].__exit__()
    time.sleep(1.5)
    assert reports == [(1, "process 0 of 2 no longer responds", 0)]
    beats[1].__exit__()


def test_a_main_process_that_hangs_is_reported_by_the_others(quick, monkeypatch):
    """It accepts connections, by the kernel, but does not answer."""
    beats, reports = started(2)
    monkeypatch.setattr(beats[0]._server, "ages", lambda: time.sleep(3) or [0.0, 0.0])
    beats[1].__enter__()
    time.sleep(1.5)
    assert reports == [(1, "process 0 of 2 no longer responds", 0)]
    end(beats)


def test_one_process_has_no_heartbeat(monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    (engine,) = Ranks(1).engines
    with Heartbeat(engine, lambda message, lost: os.abort()) as beat:
        assert not beat.main_process_is_lost()
