"""What the tests of the Python API share: a recipe's keys that cut it to seconds, on a genome of 24 kb."""

import random

import pytest


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    genome = tmp_path_factory.mktemp("genome") / "small.fa"
    bases = random.Random(3)
    genome.write_text("".join(f">{name}\n{''.join(bases.choices('ACGT', k=12_000))}\n" for name in ("one", "two")))
    return {
        "data.genome": genome, "data.length": 64, "data.batch_size": 8,
        "encoder": {"name": "chordmixer", "dim": 22, "hidden": 32, "blocks": 1}, "trainer.validation_windows": 16,
        "trainer.precision": "fp32", "trainer.micro_batch": 8, "trainer.log_every": 1, "trainer.validate_every": 4,
        "trainer.checkpoint_every": 3, "evaluation": {"tasks": [], "protocols": ["knn"]},
    }  # fmt: skip
