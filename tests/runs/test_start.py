"""A run's folder: made once, never over something good, resumed only with what it was started with."""

import json
import shutil
import subprocess
import sys

import pytest
from safetensors.torch import load_file, save_file

from findna_kit.checkpoint import path_of, steps_saved
from findna_kit.data.genomes import open_genomes
from findna_kit.errors import CheckpointMismatch, FindnaError, GenomeError, NotFinite, OutputExists
from findna_kit.metrics.writers import read_rows
from findna_kit.records.paths import LOCK
from findna_kit.records.run_folder import exclusive_lock
from findna_kit.records.run_status import is_locked
from findna_kit.runs import RunLocation, Scoring, evaluate_run, start
from findna_kit.trainer import Observer
from tests.building import ROOT, small


def run(folder, *overrides, resume=False, overwrite=False, observer=None, name="masked_only"):
    recipe, components, plugins = small(name, *overrides)
    place = RunLocation(resume=folder) if resume else RunLocation(folder, overwrite=overwrite)
    return start(recipe, place, components=components, plugins=plugins, device="cpu", observer=observer)


def test_the_first_free_number_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2, 3):
        with RunLocation().claimed("x") as (folder, resuming):
            assert (str(folder), resuming) == (f"runs/x-{number}", False)


def test_a_run_is_overwritten_only_on_request(tmp_path):
    out = tmp_path / "run"
    run(out, "steps=1")
    with pytest.raises(OutputExists, match="already exists; take another --out, resume it with `findna-kit run --resume"):
        run(out, "steps=2")
    assert steps_saved(out) == [0, 1]
    run(out, "steps=2", overwrite=True)
    assert steps_saved(out) == [0, 2]


@pytest.mark.parametrize("way", ["overwrite", "resume"])
def test_only_runs_are_replaced_or_taken_over(tmp_path, way):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "recipe.yaml").write_text("years of work")
    with pytest.raises(OutputExists, match="is not a run's folder"):
        run(tmp_path / "thesis", "steps=1", **{way: True})
    with pytest.raises(OutputExists, match="cannot be a run's folder"):
        run(tmp_path / "thesis" / "recipe.yaml", "steps=1", **{way: True})
    assert (tmp_path / "thesis" / "recipe.yaml").read_text() == "years of work"


@pytest.mark.parametrize("way", ["overwrite", "resume"])
def test_other_files_in_a_run_folder_are_not_deleted(tmp_path, way):
    run(tmp_path / "run", "steps=0")
    (tmp_path / "run" / "notes.txt").write_text("what I saw")
    if way == "resume":  # as after a kill before the first checkpoint
        shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(OutputExists, match=r"notes\.txt does not belong to a run\); nothing was deleted"):
        run(tmp_path / "run", "steps=0", **{way: True})
    assert (tmp_path / "run" / "notes.txt").read_text() == "what I saw"
    assert (tmp_path / "run" / "run.json").is_file()
    (tmp_path / "run" / "notes.txt").unlink()
    (tmp_path / "run" / ".run.json.123").touch()
    run(tmp_path / "run", "steps=0", **{way: True})


def test_a_mistake_leaves_no_folder_that_blocks_the_next_try(tmp_path):
    with pytest.raises(GenomeError):
        run(tmp_path / "run", "steps=1", "data.length=6000000")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").touch()
    run(tmp_path / "run", "steps=1")


def test_a_run_killed_before_its_first_checkpoint_starts_again(tmp_path):
    run(tmp_path / "run", "steps=1")
    for step in (0, 1):
        shutil.rmtree(path_of(tmp_path / "run", step))
    run(tmp_path / "run", "steps=1", resume=True)
    assert [row["step"] for row in read_rows(tmp_path / "run")] == [0, 1]


def test_resume_needs_the_same_validation_regions(tmp_path):
    bed = tmp_path / "held.bed"
    bed.write_text("chr2R_2000000_7000000\t0\t9000\n")
    stated = ("steps=1", f"data.validation={{bed: {bed}}}")
    run(tmp_path / "run", *stated)
    bed.write_text("chr2R_2000000_7000000\t0\t9001\n")
    with pytest.raises(FindnaError, match="a BED file has changed"):
        run(tmp_path / "run", *stated, resume=True)


@pytest.mark.parametrize("damage", ["lost", "strange", "shape", "name"])
def test_a_checkpoint_that_does_not_fit_whole_is_refused(tmp_path, damage):
    run(tmp_path / "run", "steps=1")
    file = path_of(tmp_path / "run", 1) / "state.safetensors"
    tensors = load_file(file)
    first = next(name for name in tensors if name.endswith("exp_avg"))
    if damage == "lost":
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer.")}
    elif damage == "strange":
        tensors["losses.nobody.center"] = tensors[first].clone()
    elif damage == "shape":
        tensors[first] = tensors[first].flatten()[:1].clone()
    else:
        state = path_of(tmp_path / "run", 1) / "state.json"
        state.write_text(state.read_text().replace("student.encoder.embed.weight", "student.encoder.embed.wait"))
    save_file(tensors, file)
    with pytest.raises(CheckpointMismatch):
        run(tmp_path / "run", "steps=1", resume=True)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"


def test_the_folder_of_a_finished_run(tmp_path):
    result = run(tmp_path / "run", "steps=4", name="self_distill")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "finished"
    (genome,) = record["genomes"]
    assert (genome["path"], genome["weight"], genome["bases"]) == ("builtin", 1.0, 5_000_000)
    left_out = 335_000 + 525_000  # the validation stretch and that of the task's test part
    assert genome["training_bases"] == 5_000_000 - left_out
    assert record["components"]["loss"] == {"masked_nucleotides": "findna-kit 0.1.0", "self_distillation": "findna-kit 0.1.0"}
    assert record["resolved"].keys() == {"device", "precision", "micro_batch", "processes", "threads", "torch"}
    assert record["baselines"] == {name: score.to_json() for name, score in result.baselines.items()}
    assert record["versions"]["torch"]
    assert steps_saved(tmp_path / "run") == [0, 3, 4]
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"metrics.jsonl", "recipe.yaml", "run.json", "tensorboard"}
    last = read_rows(tmp_path / "run")[-1]
    for name in ("loss", "masked/loss", "distill/loss", "learning_rate", "momentum", "gradient_norm", "bases_per_second",
                 "held_out_plain/masked/accuracy/teacher", "held_out_plain/masked/bits_per_base/student",
                 "collapse/teacher/class_deviation", "collapse/teacher/pooled_rankme",
                 "held_out/distill/teacher_entropy_share", "baseline/markov_5/bits_per_base",
                 "baseline/two_sided_4/accuracy"):  # fmt: skip
        assert name in last


def test_resume_needs_the_same_recipe(tmp_path):
    run(tmp_path / "run", "steps=2")
    with pytest.raises(FindnaError, match=r"was started with another recipe(.|\n)*encoder.dim"):
        run(tmp_path / "run", "steps=2", "encoder.dim=33", resume=True)
    run(tmp_path / "run", "steps=2", "trainer.log_every=9", "trainer.keep_last=1", resume=True)


def test_resume_needs_the_same_genome(tmp_path):
    fasta = tmp_path / "g.fa"
    fasta.write_text(">a\n" + "ACGTTGCAAGCT" * 2000 + "\n")
    run(tmp_path / "run", "steps=1", f"data.genome={fasta}")
    fasta.write_text(">a\n" + "ACGTTGCAAGCA" * 2000 + "\n")
    with pytest.raises(FindnaError, match=r"is not the file that .* was started with \(another digest\)"):
        run(tmp_path / "run", "steps=1", f"data.genome={fasta}", resume=True)


def test_settings_that_differ_after_a_resume_are_logged(tmp_path):
    run(tmp_path / "run", "steps=1")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    record["resolved"] |= {"threads": 77, "torch": "1.0"}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    lines = []
    run(tmp_path / "run", "steps=1", resume=True, observer=Observer(lines.append))
    assert len(lines) == 3
    assert "was 77: equal to rounding, not bit for bit" in lines[1]


def test_auto_takes_what_was_resolved_before(tmp_path):
    auto = ("steps=1", "trainer.micro_batch=auto", "trainer.precision=auto")
    run(tmp_path / "run", *auto)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    record["resolved"] |= {"micro_batch": 5, "precision": "fp32"}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    run(tmp_path / "run", *auto, resume=True)
    resolved = json.loads((tmp_path / "run" / "run.json").read_text())["resolved"]
    assert (resolved["micro_batch"], resolved["precision"]) == (5, "fp32")


def test_one_process_at_a_time(tmp_path):
    holds = "import sys,time; from pathlib import Path; from findna_kit.records.run_folder import exclusive_lock\n"
    holds += f"with exclusive_lock(Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", holds], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(FindnaError, match="in use by another process"), exclusive_lock(tmp_path):
            pass
    finally:
        process.kill()
        process.communicate()
    with exclusive_lock(tmp_path):
        pass


def test_a_run_that_stops_itself_is_recorded_as_stopped(tmp_path):
    with pytest.raises(NotFinite, match=r"step \d+"):
        run(tmp_path / "run", "steps=9", "optimizer.learning_rate=1e30", "optimizer.clip_norm=null")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "stopped"
    assert "nothing of this step was applied" in record["reason"]


def test_training_windows_do_not_overlap_the_validation_split():
    recipe, _, _ = small("masked_only")
    genome = open_genomes(recipe.data, recipe.seed)
    import torch

    view = genome.windows.training.draw(3, torch.arange(20_000))
    for first, last in ((1_435_000, 1_770_000), (2_745_000, 3_270_000)):
        assert ((view.start + 64 <= first) | (view.start >= last)).all()
    held_out = genome.windows.validation.fixed(500).start
    assert ((held_out >= 1_435_000) & (held_out + 64 <= 1_770_000)).all()


@pytest.fixture(scope="module")
def tiny_task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks") / "tiny"
    folder.mkdir()
    for part, count in (("train", 40), ("dev", 20), ("test", 30)):
        rows = [f"{('ACGGC' if i % 2 else 'ATTAT') * 8}{'ACGT'[i % 4] * (i % 9)},{i % 2}" for i in range(count)]
        (folder / f"{part}.csv").write_text("\n".join(["sequence,label", *rows]) + "\n")
    return folder


def test_evaluation_has_its_controls(tmp_path, tiny_task):
    run(tmp_path / "run", "steps=2")
    (scored,) = evaluate_run(tmp_path / "run", [str(tiny_task)], Scoring(device="cpu"))
    result = scored.to_json()
    for protocol in ("knn", "probe"):
        assert result["protocols"][protocol].keys() == {"encoder", "random_init", "kmer", "majority", "encoder_minus"}
    assert result["branch"] == "teacher"
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())[str(tiny_task)] == json.loads(json.dumps(result))
    (again,) = evaluate_run(tmp_path / "run", [str(tiny_task)], Scoring(device="cpu"))
    assert again == scored


def test_peak_memory_is_recorded_and_a_resume_keeps_it(tmp_path):
    out = tmp_path / "run"
    run(out, "steps=1")
    record = json.loads((out / "run.json").read_text())
    assert record["peak_memory"]["bytes"] > 50e6, "Python and torch alone are more"
    assert record["peak_memory"]["of"] == "resident in main memory"
    before = {"bytes": 2**60, "of": "reserved on the GPU"}
    (out / "run.json").write_text(json.dumps({**record, "peak_memory": before}))
    run(out, "steps=1", resume=True)
    assert json.loads((out / "run.json").read_text())["peak_memory"] == before


def test_checking_a_lock_changes_nothing(tmp_path):
    assert not is_locked(tmp_path / LOCK)
    assert list(tmp_path.iterdir()) == []
    with exclusive_lock(tmp_path):
        assert is_locked(tmp_path / LOCK)
    assert not is_locked(tmp_path / LOCK)
    with exclusive_lock(tmp_path):
        pass  # asking has left no lock behind
