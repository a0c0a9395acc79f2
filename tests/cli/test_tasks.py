"""tasks list and tasks audit: a table for readers, JSON for machines, sentences for mistakes."""

import json
import random

import pytest

from tests.building import command, small
from tests.evaluation.tasks.writing import refused, written
from tests.installing import findna

DRAW = random.Random(7)
ROWS = ["".join(DRAW.choices("ACGT", k=80)) for _ in range(30)]


def rows(*parts):
    return ["sequence,label", *(f"{row},{n % 2}" for n, row in enumerate(parts))]


@pytest.fixture
def leaky(tmp_path):
    """One copy, one of the other strand, one near; a conflict; a row too short to compare."""
    other = ROWS[1][::-1].translate(str.maketrans("ACGT", "TGCA"))
    written(tmp_path / "leaky" / "train.csv", *rows(*ROWS[:10]))
    written(tmp_path / "leaky" / "dev.csv", *rows(*ROWS[10:14]))
    near = ROWS[2][:40] + ("A" if ROWS[2][40] != "A" else "C") + ROWS[2][41:]
    written(tmp_path / "leaky" / "test.csv", *rows(ROWS[3], ROWS[0], other, near, "ACGTA", *ROWS[20:25]))
    return tmp_path / "leaky"


@pytest.fixture
def clean(tmp_path):
    for part, chosen in (("train", ROWS[:10]), ("dev", ROWS[10:14]), ("test", ROWS[20:26])):
        written(tmp_path / "clean" / f"{part}.csv", *rows(*chosen))
    return tmp_path / "clean"


def done(*arguments, code=0):
    found, out, err = findna("tasks", *arguments)
    assert found == code, err
    return out, err


def test_a_report_is_a_table_and_sentences(leaky):
    out, err = done("audit", leaky)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == f"{leaky}: train 10, validation 4, test 10"
    assert lines[1] == "samples of found in same other strand near of another label in all not compared"
    assert lines[2] == "test train 2 1 1 1 40.0% 1"
    assert lines[3] == "test validation 0 0 0 0 0.0% 1"
    assert lines[4] == "validation train 0 0 0 0 0.0% 0"
    assert lines[5] == "repeats within splits: train 0, validation 0, test 0"
    assert lines[6] == "sequences with more than one label: 3, in 6 samples"
    assert lines[7] == "test samples found in the other splits: 4 of 10 (40.0%)"
    assert lines[8].startswith("near: shares 30% or more of the 12-mers (1 in 1 is sampled) of the shorter one, on either")
    assert "not compared: has fewer than 8 of them, so only exact copies are found" in lines[8]
    assert err == f"{leaky}: comparing 24 sequences\n"


def test_json_is_the_reports(leaky, clean):
    out, _ = done("audit", leaky, clean, "--json")
    one, other = json.loads(out)
    assert (one["path"], one["leaked"]["rows"]) == (str(leaky), [0, 1, 2, 3])
    assert (other["path"], other["leaked"]["rows"]) == (str(clean), [])


def test_a_report_is_no_failure_unless_it_is_asked_to_be(leaky, clean):
    done("audit", leaky, clean)
    done("audit", clean, "--strict")
    out, err = done("audit", clean, leaky, "--strict", code=3)
    assert f"--strict: something was found in {leaky}" in err
    assert "test samples found in the other splits: 4 of 10" in out
    out, _ = done("audit", leaky, "--strict", "--json", code=3)
    assert json.loads(out)[0]["leaked"]["share"] == 0.4


def test_a_genome_is_looked_in(clean, tmp_path):
    genome = written(tmp_path / "genome.fa", ">x", ROWS[20] + ROWS[21], ">y", ROWS[29])
    out, err = done("audit", clean, "--genome", genome)
    assert f"test samples that lie in a genome: 2 of 6 (33.3%), in 240 bases of {genome}\n" in out
    assert "in a genome: half or more of the sample's 32-mers" in out
    assert "searching the test samples in 240 bases" in err
    done("audit", clean, "--genome", genome, "--strict")  # a task's rows do lie in a genome; only what was trained on leaks


def test_a_run_is_asked_what_it_trained_on(clean, tmp_path):
    from findna_kit.runs import RunLocation, start

    genome = written(tmp_path / "genome.fa", ">x", "".join(ROWS) * 3, ">y", "".join(DRAW.choices("ACGT", k=2000)))
    recipe, components, plugins = small("masked_only", "steps=1", f"data.genome={genome}", "data.validation={contigs: [y]}")
    run = start(recipe, RunLocation(out=tmp_path / "run"), components=components, plugins=plugins, device="cpu").folder
    out, _ = done("audit", clean, "--run", run)
    assert f"test samples in the regions that {run} was trained on: 6 of 6 (100.0%), in 7,200 bases of {genome}\n" in out
    assert list(json.loads((run / "audit.json").read_text())) == [str(clean)]
    done("audit", clean, "--run", run, "--strict", code=3)
    genome.unlink()
    assert "does not exist: give its present location with --genome FASTA" in refused(clean, "--run", run)
    wrong = written(tmp_path / "wrong.fa", ">x", "ACGT")
    assert "wrong.fa is not the genome that" in refused(clean, "--run", run, "--genome", wrong)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "genomes": [], "imported": {"file": "model.pt"}}))
    out, _ = done("audit", clean, "--run", run)
    assert f"not known: {run} was imported from model.pt: its training genome is not known, and was not searched" in out


def test_mistakes_are_sentences(clean, tmp_path):
    assert "does not exist, and no shipped task has that name" in refused(tmp_path / "nothing")
    assert "there is no file" in refused(clean, "--genome", tmp_path / "nothing.fa")
    assert "is not a run folder" in refused(clean, "--run", tmp_path)


def test_the_list_names_every_shipped_task(tmp_path):
    written(tmp_path / "GUE/tf/1/test.csv", "sequence,label")
    out, err = done("list", "--data", tmp_path)
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines()}
    assert len(lines) == 1 + 33
    assert lines["task"] == "metric length data"
    assert lines["gue/tf_1"] == "mcc 101 present"
    assert lines["gue/covid"] == "macro_f1 999 missing"
    assert f"data were searched for in {tmp_path}" in err
    out, _ = done("list", "--data", tmp_path, "--wide")
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines()}
    assert lines["task"] == "metric length classes suite status data"
    assert lines["gue/tf_1"] == "mcc 101 2 GUE configured present"
    assert lines["gue/covid"].startswith("macro_f1 999 9 GUE configured missing: ")
    assert lines["genomic_benchmarks/human_ocr_ensembl"].startswith("accuracy 593 2 GenomicBenchmarks certain missing: ")
    assert lines["mtcdna/16k"].startswith("accuracy 16384 2 MTcDNA configured missing: ")


def test_the_list_for_machines_says_where_data_were_looked_for(tmp_path):
    out, _ = done("list", "--data", tmp_path, "--json")
    described = {one["name"]: one for one in json.loads(out)}
    entry = described["gue/H3"]
    told = [entry[key] for key in ("suite", "status", "metric", "length", "classes")]
    assert told == ["GUE", "configured", "mcc", 500, 2]
    assert entry["looked_for"] == [f"{tmp_path}/GUE/EMP/H3", f"{tmp_path}/EMP/H3"]
    assert (entry["there"], entry["where"]) == (False, "GUE.zip, linked from https://github.com/MAGICS-LAB/DNABERT_2")
    assert entry["finetune"]["marked"] == "configured"


def test_without_a_data_folder_the_list_says_how_to_name_it(monkeypatch):
    monkeypatch.delenv("FINDNA_KIT_TASKS", raising=False)
    _, err = done("list")
    assert "data were searched for nowhere: name their folder with --data DIR or FINDNA_KIT_TASKS" in err


def test_tasks_alone_lists_them_in_a_process_of_its_own(tmp_path):
    found = command("tasks", env={"FINDNA_KIT_TASKS": str(tmp_path)})
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("task ")
    assert f"data were searched for in {tmp_path}" in found.stderr
