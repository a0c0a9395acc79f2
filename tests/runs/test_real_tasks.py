"""Every protocol on ten real tasks of different length, organism and number of classes, by one command."""

import json
import time

import numpy as np
import pytest

from tests.building import SHARED, command, sets

TASKS = {
    "GUE/EMP/H3": ("yeast", 500, 2),
    "GUE/prom/prom_core_tata": ("human", 70, 2),
    "GUE/mouse/0": ("mouse", 101, 2),
    "GUE/splice/reconstructed": ("human", 400, 3),
    "GenomicBenchmarks_slice/human_ocr_ensembl": ("human", 593, 2),
    "nucleosome/H_sapiens": ("human", 147, 2),
    "nucleosome/C_elegans": ("worm", 147, 2),
    "CNNProm/arabidopsis_tata": ("plant", 251, 2),
    "UCI_splice": ("primates", 60, 3),
    "iDNA_MS/4mC_C.equisetifolia": ("plant", 41, 2),
}
SMALL = (
    "steps=2", "data.batch_size=8", "encoder={name: chordmixer, dim: 22, hidden: 32, blocks: 1}", "evaluation.tasks=[]",
    "trainer.validation_windows=16",
)  # fmt: skip
WHO = ["encoder", "random_init", "kmer", "one_hot", "majority"]
MANY_LENGTHS = {"GenomicBenchmarks_slice/human_ocr_ensembl"}
"""Where bases of one place cannot be compared, so there is no one-hot regression."""
PROTOCOLS = ["knn", "probe", "few_shot_1", "few_shot_5", "few_shot_10", "finetune"]


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_every_protocol_on_ten_real_tasks(tmp_path):
    absent = [name for name in TASKS if not (SHARED / "tasks" / name).is_dir()]
    if absent:
        pytest.skip(f"the real tasks {', '.join(absent)} are not beside this checkout")
    assert command("run", "masked_only", "--out", tmp_path / "run", *sets(*SMALL)).returncode == 0
    asked = [
        "evaluate", tmp_path / "run", *(SHARED / "tasks" / name for name in TASKS), "--protocol", "knn,probe,few_shot,finetune",
        "--seeds", 2, "--finetune", "epochs=1", "--finetune", "blocks=1",
    ]  # fmt: skip
    shown = command(*asked, timeout=2000)
    assert shown.returncode == 0, shown.stderr
    results = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    for name, (_, length, classes) in TASKS.items():
        result = results[str((SHARED / "tasks" / name).resolve())]
        assert len(result["classes"]) == classes, name
        assert f"task {name.rpartition('/')[2]} in " in shown.stdout
        assert list(result["protocols"]) == PROTOCOLS
        contenders = [who for who in WHO if who != "one_hot" or name not in MANY_LENGTHS]
        for block in result["protocols"].values():
            assert list(block) == [*contenders, "encoder_minus"]
            for who in contenders:
                for score in ("accuracy", "mcc", "macro_f1", "auroc", "auprc"):
                    found = block[who][score]
                    assert np.isfinite([found["low"], found["value"], found["high"]]).all()
        assert result["protocols"]["probe"]["kmer"]["mcc"]["low"] > 0 or name == "GUE/splice/reconstructed", length
    started = time.monotonic()
    again = command(*asked, timeout=600)
    assert again.returncode == 0
    assert again.stdout == shown.stdout
    assert again.stderr.count("already evaluated; nothing is computed") == len(TASKS)
    assert time.monotonic() - started < 120
    _delete_and_compare(tmp_path, asked, shown.stdout)


def _delete_and_compare(folder, asked, shown):
    """A cell of each protocol of one task is deleted, and comes back to the digit."""
    cells = [path for path in sorted((folder / "run" / "evaluation").glob("*.json")) if '"who": "encoder"' in path.read_text()]
    first = {json.loads(path.read_text())["cell"]["protocol"]: path for path in cells}
    assert sorted(first) == sorted(PROTOCOLS)
    before = {path: path.with_suffix(".npy").read_bytes() for path in first.values()}
    for path in before:
        path.unlink()
    again = command(*asked, timeout=900)
    assert again.returncode == 0, again.stderr
    assert again.stdout == shown
    assert {path: path.with_suffix(".npy").read_bytes() for path in before} == before
