"""`findna-kit mutagenesis`: the table, the logos, and every mistake; the map of a planted motif."""

import csv
import gzip

import numpy as np
import pytest

import findna_kit
from findna_kit import alphabet
from findna_kit.inference import logo
from findna_kit.inference.frozen_model import untrained
from findna_kit.inference.mutations import importance
from tests.inference.embedding.conftest import dna, made, written
from tests.installing import findna

TEXTS = [dna(30, 1), dna(8, 2) + "N" + dna(3, 3)]
MOTIF = "TGACGTCAGC"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def table(tmp_path):
    return written(tmp_path / "some.csv", "id,sequence\n" + "".join(f"s{n},{text}\n" for n, text in enumerate(TEXTS)))


def test_the_table_has_a_row_per_base(run, table, tmp_path):
    out = tmp_path / "out.tsv.gz"
    code, printed, said = findna("mutagenesis", run, table, "--out", out, "--strand", "both", "--device", "cpu")
    assert code == 0, said
    # 42 bases, of which one is unknown.
    assert printed == f"{out}: llr of 123 substitutions of 2 sequences, from the teacher at step 3\n"
    rows = list(csv.DictReader(gzip.decompress(out.read_bytes()).decode().splitlines(), delimiter="\t"))
    assert list(rows[0]) == ["id", "position", "base", *"ACGT"]
    assert "".join(row["base"] for row in rows if row["id"] == "s1") == TEXTS[1]
    assert [row["C"] for row in rows if row["base"] == "N"] == [""]
    scores = findna_kit.load(run, device="cpu").mutagenesis(TEXTS[0], strand="both")
    np.testing.assert_allclose([[float(row[base]) for base in "ACGT"] for row in rows[:30]], scores, rtol=1e-4, atol=1e-5)


def test_a_logo_has_a_letter_per_base(run, table, tmp_path):
    pytest.importorskip("logomaker")
    words = ("mutagenesis", run, table, "--out", tmp_path / "out.tsv", "--score", "cosine", "--device", "cpu")
    code, printed, said = findna(*words, "--picture", tmp_path / "logo.svg")
    assert code == 0, said
    assert printed.endswith(f"{tmp_path / 'logo.svg'}: the logo\n")
    drawn = (tmp_path / "logo.svg").read_text()
    assert drawn.count("<svg") == 1
    assert "mean cosine distance" in drawn


def test_heights_are_those_of_the_letters(tmp_path, monkeypatch):
    logomaker = pytest.importorskip("logomaker")
    frames = []
    original = logomaker.Logo
    monkeypatch.setattr(logomaker, "Logo", lambda frame, **style: frames.append(frame) or original(frame, **style))
    monkeypatch.setattr(logo, "LINE", 4)
    line = logo.LogoLine("one", "ACGTNAN", np.array([1, -2, 3, 0, np.nan, 2, np.nan], dtype=np.float32))
    logo.draw(tmp_path / "logo.png", [line], title="$x$", height="height")
    assert [frame.to_numpy().tolist() for frame in frames] == [
        [[1, 0, 0, 0], [0, -2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 0]], [[0, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]],
    ]  # fmt: skip
    assert frames[1].index.tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--out", "x.csv"], "the name must end in .tsv or .tsv.gz"),
        (["--out", "x.tsv", "--picture", "x.jpg"], "--picture x.jpg: the suffix must be one of .png, .svg, .pdf"),
        (["--out", "x.tsv", "--genome", "builtin"], "--genome is for a BED"),
        (["--out", "x.tsv", "--window", "9"], "--window is for a FASTA"),
        (["--out", "x.tsv", "--sequence-column", "promoter"], "there is no column 'promoter'"),
    ],
)
def test_every_mistake_is_a_sentence_and_exit_code_2(run, table, tmp_path, monkeypatch, options, sentence):
    monkeypatch.chdir(tmp_path)
    code, _, said = findna("mutagenesis", run, table, "--device", "cpu", *options)
    assert (code, sentence in " ".join(said.split())) == (2, True), said


def test_an_existing_table_and_too_many_bases_are_refused(run, table, tmp_path, monkeypatch):
    (tmp_path / "out.tsv").write_text("mine")
    words = ("mutagenesis", run, table, "--device", "cpu", "--out")
    code, _, said = findna(*words, tmp_path / "out.tsv")
    assert (code, "already exists" in said) == (2, True), said
    pytest.importorskip("logomaker")
    monkeypatch.setattr(logo, "MAX_LINES", 1)
    code, _, said = findna(*words, tmp_path / "new.tsv", "--picture", tmp_path / "logo.png")
    assert (code, "2 sequences of up to 30 bases need 2 lines" in " ".join(said.split())) == (2, True), said
    assert ((tmp_path / "out.tsv").read_text(), (tmp_path / "new.tsv").exists()) == ("mine", False)


def test_the_input_and_its_columns_are_kept(run, tmp_path):
    taken = written(tmp_path / "taken.tsv", "base\tsequence\nx\tACGT\n")
    words = ("mutagenesis", run, taken, "--device", "cpu", "--overwrite", "--out")
    code, _, said = findna(*words, taken)
    assert (code, "is an input of this command" in " ".join(said.split())) == (2, True), said
    code, _, said = findna(*words, tmp_path / "out.tsv")
    assert (code, "the input has a column 'base', which is the name of a column of the scores" in said) == (2, True), said
    assert taken.read_text().startswith("base")


def test_a_missing_extra_is_named(run, table, tmp_path, monkeypatch):
    monkeypatch.setattr("findna_kit.errors.find_spec", lambda name: None)
    words = ("mutagenesis", run, table, "--out", tmp_path / "out.tsv", "--picture", tmp_path / "logo.png", "--device", "cpu")
    code, _, said = findna(*words)
    assert (code, "findna-kit[logos]" in said) == (2, True), said


PLANTED = """
name: planted
seed: 3
steps: 150
data: {genome: planted.fa, length: 48, batch_size: 64}
views: {masked: {see: [student], mask: {name: independent, fraction: 0.15}}}
encoder: {name: dilated_conv, dim: 32, hidden: 64, blocks: 3, kernel: 9, largest_dilation: 4}
class_tokens: 0
losses: {masked: {name: masked_nucleotides}}
teacher_update: {name: none}
optimizer: {learning_rate: {cosine: {start: 4.0e-3, end: 0.0, warmup: 0.05}}}
trainer: {precision: fp32, validation_windows: 64, log_every: 50, validate_every: 150, checkpoint_every: 1000}
evaluation: {tasks: []}
"""
INSIDE = slice(20, 30)
"""Where the sequence that is scored has the motif."""


def planted(rng):
    """A random genome with the motif in every 40 bases, and a new random sequence with it at INSIDE."""
    genome, motif = rng.integers(0, 4, 100_000), alphabet.encode(MOTIF)
    for start in range(5, len(genome) - 40, 40):
        genome[start + rng.integers(0, 15) :][: len(motif)] = motif
    new = rng.integers(0, 4, 48)
    new[INSIDE] = motif
    return alphabet.decode(genome.astype(np.uint8)), alphabet.decode(new.astype(np.uint8))


@pytest.mark.slow  # a training of 11 seconds on one core
def test_the_map_of_a_planted_motif_shows_the_motif(tmp_path, monkeypatch):
    """Only the motif can be predicted in a random genome, so its bases matter to a trained network and others do not."""
    genome, sequence = planted(np.random.default_rng(0))
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "planted.fa", f">planted\n{genome}\n")
    written(tmp_path / "one.fa", f">one\n{sequence}\n")
    written(tmp_path / "recipe.yaml", PLANTED)
    code, _, said = findna("run", "recipe.yaml", "--out", "run", "--device", "cpu")
    assert code == 0, said
    code, _, said = findna("mutagenesis", "run", "one.fa", "--out", "map.tsv", "--device", "cpu")
    assert code == 0, said
    rows = list(csv.DictReader((tmp_path / "map.tsv").read_text().splitlines(), delimiter="\t"))
    scores = np.array([[row[base] for base in "ACGT"] for row in rows], dtype=np.float32)
    heights = importance(scores, "llr")
    outside = np.delete(heights, INSIDE)
    assert heights[INSIDE].min() > 2, heights.round(2)
    assert heights[INSIDE].min() > 3 * np.abs(outside).max(), heights.round(2)
    # The largest changes of the map, three for each base of the motif, are all substitutions in the motif.
    largest = np.argsort(scores, axis=None)[: 3 * len(MOTIF)] // 4
    assert sorted(set(largest)) == list(range(20, 30)), heights.round(2)
    # Control: before training, the motif matters no more than other bases.
    before = importance(untrained(findna_kit.load("run", device="cpu"), 0).mutagenesis(sequence), "llr")
    assert np.abs(before[INSIDE]).mean() < 2 * np.abs(np.delete(before, INSIDE)).mean(), before.round(2)
