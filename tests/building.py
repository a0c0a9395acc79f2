"""Small experiments for tests: the shipped recipes, cut to seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from findna_kit.assemble import assemble
from findna_kit.data.genomes import open_genomes
from findna_kit.distributed import Engine
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from tests.command_server import CommandServer

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
SMALL = (
    "data.length=64", "data.batch_size=8", "class_tokens=2", "encoder={name: chordmixer, dim: 22, hidden: 32, blocks: 1}",
    "trainer.validation_windows=16", "trainer.precision=fp32", "trainer.micro_batch=8", "evaluation.tasks=[]",
    "trainer.log_every=1", "trainer.validate_every=4", "trainer.checkpoint_every=3",
)  # fmt: skip
SMALL_SIZES = ("losses.distill.hidden=32", "losses.distill.bottleneck=16", "losses.distill.prototypes=24")
SMALL_HEAD = (
    *SMALL_SIZES, "losses.distill.reads=class", "losses.distill.norm=none", "losses.distill.teacher_temperature=0.01",
    "losses.distill.center_momentum=0.5", "losses.distill.weight=1.0",
)  # fmt: skip
"""Of class tokens and each sample alone: what is coupled over a batch is tested with the losses that are."""


def small(name="self_distill", *overrides):
    """A shipped recipe at test size, and the components that it was chosen from."""
    components, plugins = load_plugins()
    head = {"self_distill": SMALL_HEAD, "distill_only": SMALL_SIZES}.get(name, ())
    return load_recipe(name, components, overrides=[*SMALL, *head, *overrides]), components, plugins


def experiment_of(recipe, device="cpu"):
    """The assembled experiment on the CPU in training mode, its windows, and an fp32 engine."""
    experiment = assemble(recipe)
    experiment.to(torch.device(device))
    experiment.train()
    genome = open_genomes(recipe.data, recipe.seed)
    experiment.on_genome(genome.contigs)
    return experiment, genome.windows, Engine(torch.device(device), "fp32")


def command(*arguments, cwd=None, env=None, timeout=240):
    """`findna-kit ...` in a process of its own, forked from one that has imported it where its variables allow."""
    environment, words = {**os.environ, **(env or {})}, [*map(str, arguments)]
    if (server := _server()).serves(environment):
        return server.run(words, cwd=cwd, environment=environment, timeout=timeout)
    return subprocess.run(
        [sys.executable, "-m", "findna_kit", *words], capture_output=True, text=True, timeout=timeout, cwd=cwd,
        env=environment, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _server():
    """Return the server of commands of this process; another if that one has ended."""
    if not _servers or not _servers[-1].running:
        _servers.append(CommandServer())
    return _servers[-1]


_servers = []


def sets(*overrides):
    """As arguments of the command line."""
    return [part for override in overrides for part in ("--set", override)]
