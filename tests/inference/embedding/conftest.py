"""Runs, sequences and files for the tests of embeddings."""

import gzip

import numpy as np
import pytest

import findna_kit
from findna_kit.runs import RunLocation, start
from tests.building import small

ENCODERS = {
    "chordmixer": "encoder={name: chordmixer, dim: 22, hidden: 32, blocks: 2}",
    "transformer": "encoder={name: transformer, dim: 16, hidden: 16, blocks: 2, heads: 2}",
    "dilated_conv": "encoder={name: dilated_conv, dim: 16, hidden: 16, blocks: 3, kernel: 5, largest_dilation: 4}",
}


def made(folder, encoder="chordmixer", *overrides):
    """A run's folder with the first weights of an encoder, and those after three steps."""
    recipe, components, plugins = small(
        "self_distill", "steps=3", "optimizer.learning_rate=0.01", ENCODERS[encoder], *overrides
    )
    start(recipe, RunLocation(folder), components=components, plugins=plugins, device="cpu")
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="session")
def transformer_run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "transformer", "transformer")


@pytest.fixture(scope="session")
def model(run):
    return findna_kit.load(run, device="cpu")


def dna(length, seed=0, letters="ACGT"):
    return "".join(np.random.default_rng(seed).choice(list(letters), length))


def turned(text):
    return text[::-1].translate(str.maketrans("ACGTNacgt", "TGCANtgca"))


def fasta(path, records):
    """Lines of 60; gzip by the suffix."""
    lines = [f">{name} told\n" + "".join(f"{text[at : at + 60]}\n" for at in range(0, len(text), 60)) for name, text in records]
    return written(path, "".join(lines))


def written(path, text):
    """Text or bytes into a file; gzip by the suffix."""
    content = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path
