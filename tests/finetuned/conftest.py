"""One small run, and a model that was fine-tuned from it."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from findna_kit.evaluation import EvaluationRequest, controls
from findna_kit.runs import Scoring, finetune_run
from tests.inference.embedding.conftest import made

QUICK = ("epochs=2", "batch_size=16", "patience=null")


def table(path, rows, seed):
    """Sequences of three classes, each with a motif of its own."""
    generator = np.random.default_rng(seed)
    lines = ["sequence,label"]
    for row in range(rows):
        background = "".join(generator.choice(list("ACGT"), int(generator.integers(20, 40))))
        lines.append(f"{background}{('TATAAC', 'GCCTGG', '')[row % 3] * 2}{background[::-1]},{('tata', 'gc', 'none')[row % 3]}")
    path.write_text("\n".join(lines) + "\n")


def scoring(**changes):
    values = {"finetune": QUICK, "device": "cpu", "strand": "both", **changes}
    return Scoring(EvaluationRequest(("finetune",), values.pop("seeds", 1)), **values)


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    """The run, the task, and a model of two seeds."""
    folder = tmp_path_factory.mktemp("kept")
    run, task = made(folder / "run"), folder / "motifs"
    task.mkdir()
    for number, (name, rows) in enumerate({"train": 60, "dev": 30, "test": 45}.items()):
        table(task / f"{name}.csv", rows, number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controls, "KMER_LENGTHS", (1, 2))  # the others take most of the time
        result = finetune_run(run, str(task), folder / "model", scoring(seeds=2))
    return SimpleNamespace(run=run, task=task, model=folder / "model", made=result)


@pytest.fixture
def model_copy(kept, tmp_path):
    return shutil.copytree(kept.model, tmp_path / "model")
