"""A recipe over several genomes, BED files and crops: it runs, and each mistake in it is a sentence and exit code 2."""

import gzip
import json

import numpy as np
import pytest

from findna_kit.metrics.writers import read_rows
from tests.building import SMALL, SMALL_HEAD, sets
from tests.installing import findna

RECIPE = """\
base: lab/house.yaml
name: both
data:
  genome:
    - {path: one.fa, weight: 3, include: in.bed, validation: {share: 0.1}}
    - {path: two.fa.gz, validation: {contigs: [two1]}, exclude: never.bed}
views:
  masked: {see: [student, teacher], count: 2}
  shifted: null
  local: {see: [student], length: 24, count: 2}
"""
FILES = {
    "in.bed": "one0\t1000\t21000\n",
    "never.bed": "#the first third\ntwo0\t0\t10000\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Two genomes of two contigs of 30 kb, a base of one's own beside a shipped one's text, and the working folder."""
    for seed, name in enumerate(("one", "two")):
        drawn = np.random.default_rng(seed).choice(list("ACGT"), (2, 30_000))
        text = "".join(f">{name}{number}\n{''.join(row)}\n" for number, row in enumerate(drawn))
        (tmp_path / f"{name}.fa").write_text(text)
    (tmp_path / "two.fa.gz").write_bytes(gzip.compress((tmp_path / "two.fa").read_bytes()))
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "lab").mkdir()
    monkeypatch.chdir(tmp_path)
    code, house, err = findna("show", "self_distill", *sets(*SMALL, *SMALL_HEAD, "steps=2"))
    assert code == 0, err
    (tmp_path / "lab" / "house.yaml").write_text(house)
    (tmp_path / "both.yaml").write_text(RECIPE)
    return tmp_path


def refused(*arguments):
    code, out, err = findna(*arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    return err


def test_it_runs(folder):
    code, _, err = findna("run", "both.yaml", "--out", "run", "--device", "cpu")
    assert code == 0, err
    one, two = json.loads((folder / "run" / "run.json").read_text())["genomes"]
    assert (one["weight"], two["weight"]) == (0.75, 0.25)
    assert one["training_bases"] + one["validation_bases"] == 20_000
    assert 1000 < one["validation_bases"] < 3000
    assert (two["training_bases"], two["validation_bases"]) == (20_000, 30_000)
    assert [row["step"] for row in read_rows(folder / "run")] == [0, 1, 2]
    assert read_rows(folder / "run")[-1]["distill/loss"] > 0


MISTAKES = {
    "a contig of another assembly": ("in.bed", "one0", "chr1", "in.bed:1: {0}/one.fa has no contig 'chr1'"),
    "beyond a contig's end": ("in.bed", "21000", "31000", "in.bed:1: 1000-31000 ends beyond 'one0', which has 30000 bases"),
    "start after end": ("never.bed", "10000", "-1", "never.bed:2: 0--1 is no interval"),
    "no interval": ("never.bed", FILES["never.bed"], "# none\n", "never.bed holds no interval"),
    "no such BED": ("both.yaml", "in.bed", "absent.bed", "data.genome.0.include: {0}/absent.bed: no such file or folder"),
    "no such FASTA": ("both.yaml", "one.fa", "three.fa", "data.genome.0.path: {0}/three.fa: no such file or folder"),
    "everything excluded": ("in.bed", "21000", "1050", "is less than one window of 64"),
    "no such contig to hold out": ("both.yaml", "[two1]", "[two2]", "has no contig 'two2'; did you mean 'two"),
    "the same bases twice": ("both.yaml", "one.fa, weight: 3, include: in.bed", "two.fa", "hold the same bases; state them"),
    "no weight": ("both.yaml", "weight: 3", "weight: 0", "both.yaml:5:30  data.genome.0.weight: must be greater than 0"),
    "an include beside the list": (
        "both.yaml", "  genome:\n", "  include: in.bed\n  genome:\n",
        "data: each of several genomes states its own include; move it into the list",
    ),
    "a crop longer than the window": (
        "both.yaml", "length: 24", "length: 80",
        "both.yaml:10:35  views.local.length: a crop is no longer than the window; data.length is 64 (got 80)",
    ),
    "an empty list": (
        "both.yaml", RECIPE[RECIPE.index("  genome:") : RECIPE.index("views")], "  genome: []\n", "both.yaml:4:11  data.genome",
    ),
    "no view made": (
        "both.yaml", "count: 2}\n  shifted", "count: 0}\n  shifted", "both.yaml:8:44  views.masked.count: must be greater",
    ),
    "in the base": ("lab/house.yaml", "batch_size: 8", "batch_size: 0", "data.batch_size: must be greater than 0 (got 0)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_is_a_sentence(kind, folder):
    name, old, new, sentence = MISTAKES[kind]
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    said = refused("run", "both.yaml", "--out", "run", "--device", "cpu")
    assert sentence.format(folder) in said
    assert not (folder / "run").exists()


def test_what_is_wrong_in_a_base_stands_at_its_own_line(folder):
    base = folder / "lab" / "house.yaml"
    base.write_text(base.read_text().replace("batch_size: 8", "batch_size: 0").replace("clip_norm:", "clip_nrm:"))
    (folder / "both.yaml").write_text(RECIPE + "class_tokens: many\n")
    lines = base.read_text().splitlines()
    size, clip = (next(line for line in lines if key in line) for key in ("batch_size", "clip_nrm"))
    said = [line for line in refused("check", "both.yaml").splitlines() if ".yaml:" in line]
    assert [line.partition(" (known")[0] for line in said] == [
        "both.yaml:11:15  class_tokens: expected a whole number (got 'many')",
        f"lab/house.yaml:{lines.index(size) + 1}:{size.index('0') + 1}  data.batch_size: must be greater than 0 (got 0)",
        f"lab/house.yaml:{lines.index(clip) + 1}:{clip.index('c') + 1}  optimizer.clip_nrm: unknown key; "
        "did you mean 'clip_norm'?",
    ]
