"""The audit of a run: where its test rows were trained on, what cannot be known, and what is kept beside the scores."""

import json
import os
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from findna_kit.data.genome import Regions, builtin_genome, open_store
from findna_kit.errors import FindnaError, GenomeError, OutputExists
from findna_kit.evaluation import load_task
from findna_kit.evaluation.kmers import GENOME_K
from findna_kit.runs import RunLocation, leakage, start
from tests.building import SHARED, small

OTHER = str.maketrans("ACGT", "TGCA")
DRAW = random.Random(11)
CONTIGS = {name: "".join(DRAW.choices("ACGT", k=6000)) for name in ("a", "b", "c")}


def audit_tasks(tasks, **how):
    return [report.to_json() for report in leakage.audit_tasks(tasks, **how)]


def report_for(run, task):
    return leakage.report_for(run, task).to_json()


def fasta(path, contigs=CONTIGS):
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in contigs.items()))
    os.utime(path, (time.time() - 60,) * 2)
    return path


def trained(folder, *overrides, steps=1):
    recipe, components, plugins = small("masked_only", f"steps={steps}", *overrides)
    return start(recipe, RunLocation(out=folder), components=components, plugins=plugins, device="cpu").folder


def task(folder, test):
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(1)
    own = ["".join(draw.choices("ACGT", k=150)) for _ in range(12)]
    for part, rows in (("train", own[:6]), ("dev", own[6:]), ("test", test)):
        lines = ["sequence,label", *(f"{row},{n % 2}" for n, row in enumerate(rows)), ""]
        (folder / f"{part}.csv").write_text("\n".join(lines))
    return load_task(str(folder))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run on contigs a and b; c is held out."""
    folder = tmp_path_factory.mktemp("finished")
    genome = fasta(folder / "genome.fa")
    return trained(folder / "run", f"data.genome={genome}", "data.validation={contigs: [c]}")


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def planted(tmp_path):
    """Samples of a, of b's other strand, of c, of nowhere, and one that cannot be looked for."""
    nowhere = "".join(random.Random(2).choices("ACGT", k=150))
    rows = [CONTIGS["a"][1000:1150], CONTIGS["b"][200:350][::-1].translate(OTHER), CONTIGS["c"][50:200], nowhere, "ACGT"]
    return task(tmp_path / "planted", rows)


def test_rows_are_found_in_what_the_run_trained_on_and_not_in_what_it_held_out(run, planted):
    said = []
    (report,) = audit_tasks([planted], run=run, say=said.append)
    (seen,) = report["trained_on"]
    assert (seen["rows"], seen["share"], seen["not_compared"], seen["bases"]) == ([0, 1], 0.5, 1, 12_000)
    assert seen["path"] == json.loads((run / "run.json").read_text())["genomes"][0]["path"]
    assert (report["run"], report["unknown"], report["lies_in"]) == (str(run), [], [])
    assert said == [f"{planted.path}: comparing 17 sequences", f"searching the test samples in 12,000 bases of {seen['path']}"]


def test_without_a_run_any_genome_is_looked_in_whole(run, planted):
    genome = json.loads((run / "run.json").read_text())["genomes"][0]["path"]
    (report,) = audit_tasks([planted], genome=Path(genome))
    assert report["lies_in"][0]["rows"] == [0, 1, 2]
    assert report["lies_in"][0]["bases"] == 18_000
    assert (report["run"], report["trained_on"]) == (None, [])
    (plain,) = audit_tasks([planted])
    assert (plain["trained_on"], plain["lies_in"], plain["unknown"]) == ([], [], [])


def test_the_builtin_task_was_never_trained_on(tmp_path):
    run = trained(tmp_path / "run", "data.genome=builtin")
    builtin = load_task("builtin")
    (report,) = audit_tasks([builtin], run=run)
    assert report["trained_on"][0]["rows"] == []
    assert report["trained_on"][0]["bases"] == 5_000_000 - 335_000 - 525_000
    (whole,) = audit_tasks([builtin], genome=Path("builtin"))
    assert whole["lies_in"][0]["share"] == 1.0


def moved(run, tmp_path):
    """The run with its genome gone from where it lay."""
    record, recipe = run / "run.json", run / "recipe.yaml"
    path = json.loads(record.read_text())["genomes"][0]["path"]
    for file in (record, recipe):
        file.write_text(file.read_text().replace(path, str(tmp_path / "gone.fa")))
    return shutil.copy2(path, tmp_path / "here.fa")


def test_a_genome_that_has_moved_is_said_where(run, planted, tmp_path):
    expected = audit_tasks([planted], run=run)[0]["trained_on"][0]
    here = Path(moved(run, tmp_path))
    with pytest.raises(
        GenomeError, match=r"gone.fa, which .* was trained on, does not exist: give its present location with --genome FASTA"
    ):
        audit_tasks([planted], run=run)
    (report,) = audit_tasks([planted], run=run, genome=here)
    assert report["trained_on"] == [{**expected, "path": str(here)}]


def test_another_genome_than_the_runs_is_refused(run, planted, tmp_path):
    other = fasta(tmp_path / "other.fa", {**CONTIGS, "a": CONTIGS["a"][:-1] + "N"})
    with pytest.raises(
        GenomeError, match=r"other.fa is not the genome that .* was trained on: its digest is not that of .*genome.fa"
    ):
        audit_tasks([planted], run=run, genome=other)
    assert not (run / "audit.json").exists()


def test_a_genome_that_has_changed_is_refused(run, planted, tmp_path):
    here = moved(run, tmp_path)
    fasta(tmp_path / "gone.fa", {**CONTIGS, "b": CONTIGS["b"][::-1]})
    with pytest.raises(
        GenomeError, match=r"gone.fa is not the genome that .* was trained on \(its digest differs\): restore it"
    ):
        audit_tasks([planted], run=run)
    assert audit_tasks([planted], run=run, genome=Path(here))[0]["trained_on"][0]["rows"] == [0, 1]


def test_a_bed_that_has_changed_is_refused(tmp_path, planted):
    genome, bed = fasta(tmp_path / "genome.fa"), tmp_path / "only.bed"
    bed.write_text("a\t0\t3000\na\t3100\t3150\nb\t0\t3000\n")
    run = trained(tmp_path / "run", f"data.genome={genome}", f"data.include={bed}", "data.validation={share: 0.3}")
    (report,) = audit_tasks([planted], run=run)
    assert report["trained_on"][0]["bases"] < 6000  # the stretch of 50 bases has no window of 64
    bed.write_text("a\t0\t2000\nb\t0\t3000\n")
    with pytest.raises(GenomeError, match=r"was trained on other regions of .*genome.fa: a BED file has changed; restore it"):
        audit_tasks([planted], run=run)


def test_stretches_too_short_for_a_window_were_not_trained_on():
    regions = Regions.of(np.array([0, 0, 1]), np.array([0, 100, 5]), np.array([64, 163, 69]))
    assert leakage._drawn_from(regions, 64) == Regions.of(np.array([0, 1]), np.array([0, 5]), np.array([64, 69]))


def test_several_genomes_are_each_reported(tmp_path, planted):
    one = fasta(tmp_path / "one.fa", {"a": CONTIGS["a"]})
    two = fasta(tmp_path / "two.fa", {name: CONTIGS[name] for name in "bc"})
    stated = f"data.genome=[{{path: {one}}}, {{path: {two}, validation: {{contigs: [c]}}}}]"
    run = trained(tmp_path / "run", stated)
    (report,) = audit_tasks([planted], run=run)
    assert [Path(seen["path"]).name for seen in report["trained_on"]] == ["one.fa", "two.fa"]
    assert report["trained_on"][1]["rows"] == [1]
    hidden = two.rename(tmp_path / "moved.fa")
    (again,) = audit_tasks([planted], run=run, genome=hidden)
    assert [seen["rows"] for seen in again["trained_on"]] == [seen["rows"] for seen in report["trained_on"]]


def test_what_the_weights_began_with_counts_too(run, finished, planted, tmp_path):
    other = fasta(tmp_path / "other.fa", {"d": "".join(random.Random(3).choices("ACGT", k=6000))})
    second = trained(tmp_path / "second", f"data.genome={other}", f"init_from.run={run}")
    (report,) = audit_tasks([planted], run=second)
    assert [seen["rows"] for seen in report["trained_on"]] == [[], [0, 1]]
    shutil.rmtree(run)
    (report,) = audit_tasks([planted], run=second)
    assert [seen["rows"] for seen in report["trained_on"]] == [[]]
    assert report["unknown"] == [
        f"{second} started from the weights of {run}, which does not exist: their training genome is not known"
    ]


def test_a_run_that_replaced_the_one_it_began_with_ends_the_search(run, planted):
    recipe = run / "recipe.yaml"
    recipe.write_text(f"{recipe.read_text()}init_from: {{run: {run}}}\n".replace("init_from: null\n", ""))
    (report,) = audit_tasks([planted], run=run)
    assert "which has been replaced" in report["unknown"][0]


def test_an_imported_run_says_that_it_is_not_known(run, planted):
    record = json.loads((run / "run.json").read_text())
    genome = record["genomes"][0]["path"]
    (run / "run.json").write_text(json.dumps({**record, "genomes": [], "imported": {"file": "/away/model.pt"}}))
    (report,) = audit_tasks([planted], run=run)
    assert report["trained_on"] == []
    assert report["unknown"] == [
        f"{run} was imported from /away/model.pt: its training genome is not known, and was not searched"
    ]
    (report,) = audit_tasks([planted], run=run, genome=Path(genome))
    assert report["lies_in"][0]["rows"] == [0, 1, 2]
    assert len(report["unknown"]) == 1


def test_a_run_of_no_step_was_trained_on_nothing(tmp_path, planted):
    run = trained(tmp_path / "run", f"data.genome={fasta(tmp_path / 'genome.fa')}", steps=0)
    (report,) = audit_tasks([planted], run=run)
    assert (report["trained_on"], report["unknown"]) == ([], [])


@pytest.mark.parametrize("folder", ["nowhere", "x" * 300])
def test_what_is_no_run_is_refused(tmp_path, planted, folder):
    with pytest.raises(FindnaError, match=r"is not a run folder \(run.json: .*\); give the folder that `run` made"):
        audit_tasks([planted], run=tmp_path / folder)


def test_reports_are_kept_by_path_and_join(run, planted, tmp_path):
    other = task(tmp_path / "other", ["ACGTACGTTTGACCA" * 5])
    (first,) = audit_tasks([planted], run=run)
    (second,) = audit_tasks([other], run=run)
    kept = json.loads((run / "audit.json").read_text())
    assert kept == json.loads(json.dumps({planted.path: first, other.path: second}))


def test_report_for_is_the_kept_one_of_the_same_rows(run, planted, tmp_path):
    (kept,) = audit_tasks([planted], run=run)
    assert report_for(run, planted) == kept
    assert kept["trained_on"]
    changed = task(tmp_path / "planted", [CONTIGS["a"][:150]])
    report = report_for(run, changed)
    assert (report["digest"], report["trained_on"], report["sizes"]["test"]) == (changed.digest, [], 1)
    assert json.loads((run / "audit.json").read_text()) == {changed.path: report}
    older = {changed.path: {**report, "format": 0, "leaked": "otherwise"}}
    (run / "audit.json").write_text(json.dumps(older))
    assert report_for(run, changed) == report


def test_a_kept_file_that_is_broken_is_a_sentence(run, planted):
    (run / "audit.json").write_text('{"a": ')
    with pytest.raises(FindnaError, match=r"audit.json: not valid JSON \(.*\); remove it"):
        report_for(run, planted)


def test_a_place_that_cannot_be_written_is_a_sentence(run, planted):
    (run / ".audit.json.lock").mkdir()
    with pytest.raises(OutputExists, match=r"audit.json: cannot be written: .*; make the run's folder writable"):
        report_for(run, planted)


def test_a_run_with_an_audit_may_be_replaced(run, planted):
    report_for(run, planted)
    recipe, components, plugins = small("masked_only", "steps=1")
    start(recipe, RunLocation(out=run, overwrite=True), components=components, plugins=plugins, device="cpu")
    assert not (run / "audit.json").exists()


def test_two_that_audit_for_one_run_lose_no_report(run, planted):
    def one(number):
        return report_for(run, replace(planted, path=f"/tasks/{number}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(30)))
    assert len(json.loads((run / "audit.json").read_text())) == 30


@pytest.mark.parametrize("chunk", [40, 1000, 1 << 20])
def test_stretches_are_read_in_pieces_that_lose_no_k_mer(chunk, monkeypatch):
    """Every k-mer of the stretches is in one of the pieces, none that lies across two stretches is."""
    monkeypatch.setattr(leakage, "_CHUNK", chunk)
    store = open_store(builtin_genome())
    regions = Regions.of(np.zeros(4, dtype=np.int64), np.array([0, 500, 540, 900]), np.array([333, 530, 575, 3000]))
    pieces = list(leakage._SearchedRegions("builtin", store, regions).tokens())

    def words(tokens):
        text = "".join("ACGTN"[token] for token in tokens)
        return {word for n in range(len(text) - GENOME_K + 1) if "N" not in (word := text[n : n + GENOME_K])}

    expected = set().union(*(words(store.tokens(0, low, high)) for low, high in zip(regions.start, regions.end, strict=True)))
    assert set().union(*map(words, pieces)) == expected
    assert max(map(len, pieces)) <= 2 * (chunk + GENOME_K + 1)


def test_real_yeast_windows_lie_in_the_yeast_genome():
    """96-98 % of GUE's yeast windows were found in sacCer3, whole; here half of a window is enough."""
    genomes, folder = sorted((SHARED / "genomes/yeast_sacCer3").glob("*.fa*")), SHARED / "tasks/GUE/EMP/H3"
    if not genomes or not folder.is_dir():
        pytest.skip("the yeast genome and the task H3 are not beside this checkout")
    (report,) = audit_tasks([load_task(str(folder))], genome=genomes[0])
    assert 0.96 <= report["lies_in"][0]["share"] <= 1
    assert report["lies_in"][0]["not_compared"] == 0
