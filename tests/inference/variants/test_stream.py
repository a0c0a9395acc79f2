"""A VCF from end to end: every line accounted for, or refused before anything is written."""

import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from findna_kit.errors import FindnaError
from findna_kit.inference.variants import STATUSES, VariantRequest, score_variants
from tests.building import SHARED, command
from tests.variants import GENOME, HEAD, ODD, ONE, at, fasta, made, numbers, other, row


def test_every_allele_is_scored_or_says_why_not(score):
    said = []
    found = score([text for text, _ in ODD], on_mismatch="skip", log=said.append)
    wanted = [status for _, statuses in ODD for status in statuses]
    assert [line["status"] for line in found] == wanted
    assert set(wanted) == set(STATUSES)
    for line in found:
        assert (line["llr"] == ".") == (line["status"] != "scored")
        assert (line["cosine"] == ".") == (line["euclidean"] == ".") == (line["status"] not in ("scored", "distance_only"))
        assert line["euclidean"] == "." or float(line["euclidean"]) > 0
    assert score.told["lines"] == len(ODD)
    assert score.told["alleles"] == len(found)
    assert score.told["statuses"] == {status: wanted.count(status) for status in STATUSES}
    upper = [line for line in found if line["pos"] == "205"]
    assert upper[0]["llr"] == upper[1]["llr"]
    (beside_unknown,) = [line for line in found if line["pos"] == "154"]
    assert beside_unknown["unknown"] == "3"
    assert f"REF is {other(at(100))}, the genome has {at(100)}" in "\n".join(said)
    assert "has no contig 'chrTwo', which one record of" in "\n".join(said)


def test_a_wrong_reference_is_refused_with_the_first_few_and_nothing_is_written(score, tmp_path):
    rows = [row("one", 7, at(7), other(at(7))), *(row("one", at_, other(at(at_)), "A") for at_ in range(20, 27))]
    with pytest.raises(FindnaError) as refused:
        score(rows)
    assert refused.value.exit_code == 2
    told = str(refused.value).splitlines()
    assert told[0].endswith("in 7 of 8 records")
    assert told[1] == f"  line 5, one:20: REF is {other(at(20))}, the genome has {at(20)}"
    assert told[6] == "  ... and 2 more"
    assert "--on-mismatch skip" in told[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["genome.fa", "in.vcf"]


def test_blocks_bound_memory_and_change_no_score(score, monkeypatch, run, tmp_path):
    long = f"\tPASS\tX={'x' * 20_000}"
    rows = [row("one", place, at(place), other(at(place))).replace("\tPASS\t.", long) for place in range(1, 150)] * 3
    whole = score(rows)
    monkeypatch.setattr("findna_kit.inference.variants.stream._MAX_RECORDS", 8)
    asked = VariantRequest(str(tmp_path / "genome.fa"), device="cpu")
    tracemalloc.start()
    score_variants(run, tmp_path / "in.vcf", tmp_path / "parts.vcf", asked)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "parts.vcf").stat().st_size > 8 * 2**20 > 4 * peak
    parts = score(rows)
    np.testing.assert_allclose(numbers(parts), numbers(whole), rtol=1e-2, atol=1e-6)


def test_a_run_that_predicts_no_bases_gives_distances(score, tmp_path):
    said = []
    of = made(tmp_path / "run", "distill_only")
    (found,) = score([row("one", 90, at(90), other(at(90)))], of=of, log=said.append)
    assert (found["status"], found["llr"]) == ("distance_only", ".")
    assert float(found["euclidean"]) > 0
    assert "no loss of this run predicts nucleotides, so there are embedding distances but no log-likelihood ratios" in said[-1]


@pytest.mark.parametrize(
    ("absent", "hint"), [("1", "'chr1'"), ("CHR1", "'chr1'"), ("chrMT", "'chrM'"), ("scaffold_8", "'scaffold_9'")]
)
def test_another_name_of_a_contig_is_a_hint_and_no_match(score, absent, hint):
    said = []
    genome = {"chr1": ONE[:100], "chrM": ONE[:100], "scaffold_9": ONE[:100]}
    (found,) = score([row(absent, 5, at(5), other(at(5)))], genome=genome, log=said.append)
    assert found["status"] == "contig_absent"
    assert f"; did you mean {hint}?" in said[0]


def test_length_branch_step_and_strand_are_those_asked_for(score, tmp_path):
    line = [row("one", 90, at(90), other(at(90)))]
    scores = {
        score(line, **asked)[0]["llr"]
        for asked in ({}, {"length": 21}, {"branch": "student"}, {"step": 0}, {"strand": "forward"})
    }
    assert len(scores) == 5
    (short,) = score(line, length=3)
    assert np.isfinite(float(short["llr"]))
    with pytest.raises(FindnaError, match="--length 2: must be at least 3"):
        score(line, length=2)
    of = made(tmp_path / "run", "masked_only", "encoder={name: transformer, dim: 16, hidden: 16, blocks: 1, heads: 2}")
    with pytest.raises(FindnaError, match="--length 5000: the encoder takes at most 64 nucleotides"):
        score(line, of=of, length=5000)


def test_no_line_gives_no_row(score):
    assert score([]) == []
    assert score.told["statuses"] == {}


def test_a_real_mitochondrion_with_variants_of_disease(score, run, tmp_path):
    genome = SHARED / "genomes" / "small" / "MT-human.fa.gz"
    if not genome.exists():
        pytest.skip(f"{genome} is not here: the shared data come with the workplace, not with the repository")
    known = [(1, "G", "A"), (3243, "A", "G"), (8993, "T", "G,C"), (16569, "G", "A")]
    (tmp_path / "in.vcf").write_text(HEAD + "".join(row("MT_human", *one) for one in known))
    told = score_variants(
        run, tmp_path / "in.vcf", tmp_path / "out.vcf", VariantRequest(str(genome), length=1001, device="cpu")
    )
    assert told["statuses"] == {"scored": 5}


def many(tmp_path, lines):
    """A VCF of variants that all lie in few windows, with much beside them: what is held of a line would show."""
    places = [30 + 10 * (number % 10) for number in range(lines)]
    beside = f"\tPASS\tNOTE={'x' * 1000}"
    rows = [row("one", place, at(place), other(at(place))).replace("\tPASS\t.", beside) for place in places]
    (tmp_path / "many.vcf").write_text(HEAD + "".join(rows))
    return [tmp_path / "many.vcf", "--genome", fasta(tmp_path / "genome.fa", GENOME), "--device", "cpu"]


PEAK = """
import atexit, sys
peak = lambda: [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]
atexit.register(lambda: print("peak", peak(), file=sys.stderr))
from findna_kit.cli import main
main()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process's peak is read from /proc")
def test_memory_does_not_grow_with_the_number_of_lines(run, tmp_path):
    peaks = {}
    for lines in (1_000, 30_000):
        words = ["variants", run, *many(tmp_path, lines), "--out", tmp_path / f"{lines}.vcf"]
        done = subprocess.run([sys.executable, "-c", PEAK, *map(str, words)], capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        peaks[lines] = int(done.stderr.split("peak")[-1]) / 1024
    assert (tmp_path / "30000.vcf").stat().st_size > 30 * 2**20
    assert peaks[30_000] < peaks[1_000] + 20, peaks


def test_a_kill_leaves_what_was_there(run, tmp_path):
    out = tmp_path / "scores.tsv"
    out.write_text("of an earlier call")
    words = ["variants", run, *many(tmp_path, 20_000), "--out", out, "--overwrite"]
    process = subprocess.Popen([sys.executable, "-m", "findna_kit", *map(str, words)], stderr=subprocess.DEVNULL)
    beside = tmp_path / f".scores.tsv.{process.pid}"
    while not (beside.exists() and beside.stat().st_size > 0):
        assert process.poll() is None, "it ended before it wrote"
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -9
    assert out.read_text() == "of an earlier call"
    words[2:] = [*many(tmp_path, 10), "--out", out, "--overwrite"]
    assert command(*words).returncode == 0
    assert len(out.read_text().splitlines()) == 2 + 10
