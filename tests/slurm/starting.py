"""A Slurm of two nodes on this machine, loopback only: its daemons are children of the tests, and end with them."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo", "setpriv")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
NODES = ("n1", "n2")
CPUS = 2
"""Of each node, as Slurm is told; what the machine really has does not matter to it."""
PREEMPTED = {
    "requeue": "PreemptMode=REQUEUE", "requeue-grace": "PreemptMode=REQUEUE GraceTime=60", "cancel": "PreemptMode=CANCEL",
    "cancel-grace": "PreemptMode=CANCEL GraceTime=60",
}  # fmt: skip
"""Partitions whose jobs make room for those of the partition `first`, and how."""


class CannotStart(Exception):
    """Why there is no Slurm to test with."""


@contextmanager
def started(folder: Path):
    """A running Slurm with its state in a folder; gives the environment that its commands need. Raises CannotStart."""
    if absent := [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]:
        raise CannotStart(f"not installed: {', '.join(absent)} (Debian: apt-get install slurm-wlm munge)")
    for name in ("state", "log", "run", *(f"spool/{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    conf = folder / "slurm.conf"
    conf.write_text(_configuration(folder))
    environment = {"SLURM_CONF": str(conf), "PATH": PATH}
    with ExitStack() as stack:
        stack.enter_context(_daemon(folder, "munged", *_munge(folder)))
        _until(lambda: (folder / "run" / "munge").exists(), "munged", folder)
        stack.enter_context(_daemon(folder, "slurmctld", "slurmctld", "-D", "-f", conf))
        for node in NODES:
            stack.enter_context(_daemon(folder, f"slurmd-{node}", "slurmd", "-D", "-N", node, "-f", conf))
        stack.callback(cancel_all, environment)
        _until(lambda: _idle(environment) == len(NODES), "slurmctld", folder)
        yield environment


def _munge(folder: Path):
    """A munge of our own: the system's, if there is one, has another key and another socket."""
    run, key = folder / "run", folder / "run" / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    files = {
        "key": key,
        "socket": run / "munge",
        "pid": run / "munged.pid",
        "log": folder / "log" / "munge",
        "seed": run / "seed",
    }
    named = [f"--{name}{'' if name == 'socket' else '-file'}={path}" for name, path in files.items()]
    return ["munged", "--foreground", "--force", "--num-threads=2", *named]


@contextmanager
def _daemon(folder: Path, name: str, *words):
    """A program in the foreground, ended where we end it, and where we are ended ourselves."""
    with (folder / "log" / f"{name}.said").open("wb") as said:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *map(str, words)], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            env={**os.environ, "PATH": PATH}, start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _asked(environment, *words):
    return subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True, timeout=30, check=False)


def _idle(environment):
    """Nodes that do nothing; sinfo names one once for each partition."""
    return len(set(_asked(environment, "sinfo", "-h", "-N", "-t", "idle", "-o", "%N").stdout.split()))


def cancel_all(environment):
    """Ends what tests have left, while there is somebody to end it."""
    _asked(environment, "scancel", "--user", getpass.getuser())
    _asked(environment, "scancel", "--full", "--signal=KILL", "--user", getpass.getuser())
    end = time.monotonic() + 10
    while _asked(environment, "squeue", "-h").stdout.strip() and time.monotonic() < end:
        time.sleep(0.2)


def _until(true, name, folder, seconds=30.0):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            said = "\n".join(path.read_text(errors="replace")[-500:] for path in sorted((folder / "log").glob(f"{name}*")))
            raise CannotStart(f"{name} did not come up in {seconds:.0f} s: {said}")
        time.sleep(0.1)


def _free_ports(number):
    with ExitStack() as stack:
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(number)]


def _configuration(folder):
    host, user = socket.gethostname().partition(".")[0], getpass.getuser()
    controller, *ports = _free_ports(1 + len(NODES))
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} RealMemory=4096 State=UNKNOWN"
        for node, port in zip(NODES, ports, strict=True)
    )
    preempted = "\n".join(f"PartitionName={name} {how}" for name, how in PREEMPTED.items())
    return f"""\
ClusterName=findna-test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A job that is queued again starts after about 6 s, not after 2 minutes.
AuthInfo=socket={folder}/run/munge,cred_expire=5
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmdParameters=config_overrides
KillWait=20
SlurmctldPort={controller}
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SwitchType=switch/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
{nodes}
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=DEFAULT Nodes=n[1-2] MaxTime=00:30:00 State=UP
PartitionName=debug Default=YES PreemptMode=OFF
{preempted}
PartitionName=first PriorityTier=10 PreemptMode=OFF
"""
