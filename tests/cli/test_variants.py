"""`findna-kit variants`: counts on stdout, remarks on stderr, and what is wrong in a sentence."""

import gzip
import json

import pytest

from tests.installing import findna
from tests.variants import GENOME, HEAD, ONE, at, fasta, made, other, row, table

GOOD = [row("one", 1, at(1), other(at(1))), row("one", 300, at(300), other(at(300))), row("one", 50, at(50, 3), at(50))]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "run", "masked_only")


@pytest.fixture
def variants(run, tmp_path):
    """The command on lines of a VCF; the same file and genome each time."""
    fasta(tmp_path / "genome.fa", GENOME)

    def variants(lines, *options, out="out.tsv"):
        (tmp_path / "in.vcf").write_text(HEAD + "".join(lines))
        words = ["variants", run, tmp_path / "in.vcf", "--genome", tmp_path / "genome.fa", "--device", "cpu"]
        return findna(*words, "--out", tmp_path / out, *options)

    return variants


def refused(done, *sentences):
    code, out, err = done
    assert code == 2, (code, out, err)
    assert "Traceback" not in err
    for sentence in sentences:
        assert sentence in " ".join(err.split()), err


def test_it_tells_how_many_alleles_have_which_status(variants, tmp_path):
    code, out, err = variants(GOOD)
    assert code == 0, err
    told = out.splitlines()
    assert told[0].split() == ["status", "alleles", "meaning"]
    assert told[1].split()[:2] == ["scored", "2"]
    assert told[2].split()[:2] == ["distance_only", "1"]
    assert told[-1].endswith("out.tsv: 3 alleles in 3 lines; teacher at step 3, fp32, windows of 64")
    assert [line["status"] for line in table((tmp_path / "out.tsv").read_text())] == ["scored", "scored", "distance_only"]
    assert "Traceback" not in err


def test_as_json_stdout_is_json_alone(variants):
    code, out, _ = variants(GOOD, "--json")
    told = json.loads(out)
    assert (code, told["lines"], told["alleles"], told["statuses"]) == (0, 3, 3, {"scored": 2, "distance_only": 1})
    assert told["genome"].endswith("genome.fa")


def test_what_the_genome_lacks_is_said_and_scored_is_the_rest(variants, tmp_path):
    code, _, err = variants([*GOOD, row("chrone", 5, "A", "C")], out="out.vcf.gz")
    assert code == 0
    assert "has no contig 'chrone', which one record of" in err
    assert "; did you mean 'one'?" in err
    written = gzip.decompress((tmp_path / "out.vcf.gz").read_bytes()).decode().splitlines()
    assert written[-1].endswith("FINDNA_STATUS=contig_absent")
    assert sum("FINDNA_LLR=" in line for line in written) == 2


def test_a_wrong_reference_is_refused_unless_told(variants, tmp_path):
    lines = [*GOOD, row("one", 100, other(at(100)), "A")]
    refused(
        variants(lines),
        "REF differs from",
        f"line 7, one:100: REF is {other(at(100))}, the genome has {at(100)}",
        "or skip such records with --on-mismatch skip",
    )
    assert not (tmp_path / "out.tsv").exists()
    code, out, err = variants(lines, "--on-mismatch", "skip")
    assert code == 0
    assert "ref_mismatch" in out
    assert "in 1 of 4 records" in err
    assert len(table((tmp_path / "out.tsv").read_text())) == 4


def test_what_is_there_is_replaced_only_when_told(variants, tmp_path):
    (tmp_path / "out.tsv").write_text("mine")
    refused(variants(GOOD), "already exists; use another --out FILE, or --overwrite")
    refused(variants([row("one", 100, other(at(100)), "A")], "--overwrite"), "REF differs from")
    assert (tmp_path / "out.tsv").read_text() == "mine", "a call that is refused replaces nothing"
    assert variants(GOOD, "--overwrite")[0] == 0
    assert (tmp_path / "out.tsv").read_text() != "mine"
    refused(variants(GOOD, "--overwrite", out="in.vcf"), "is an input of this command")


@pytest.mark.parametrize(("options", "sentences"), [
    (["--length", "2"], ["--length", "3"]),
    (["--strand", "back"], ["--strand"]),
    (["--on-mismatch", "flip"], ["--on-mismatch"]),
    (["--branch", "techer"], ["--branch"]),
    (["--step", "2"], ["has no checkpoint of step 2; saved: 0, 3"]),
    (["--genome", "absent.fa"], ["there is no file absent.fa; give the path of a FASTA"]),
])  # fmt: skip
def test_options_that_are_refused(variants, options, sentences, tmp_path):
    refused(variants(GOOD, *options), *sentences)
    assert not (tmp_path / "out.tsv").exists()


@pytest.mark.parametrize(("words", "sentence"), [
    (["absent", "in.vcf", "--out", "out.tsv"], "absent: is not a run folder"),
    (["RUN", "absent.vcf", "--out", "out.tsv"], "absent.vcf: cannot be read: No such file or directory"),
    (["RUN", "genome.fa", "--out", "out.tsv"], "genome.fa:1: is not VCF: it must begin with ##fileformat=VCF"),
    (["RUN", "in.vcf", "--out", "out.bcf"], "the name must end in .vcf, .vcf.gz, .tsv or .tsv.gz"),
    (["RUN", "in.vcf", "--out", "."], "the name must end in .vcf"),
    (["RUN", "in.vcf", "--out", "genome.fa/out.tsv"], "genome.fa/out.tsv: cannot be written"),
])  # fmt: skip
def test_paths_that_are_refused(run, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    fasta(tmp_path / "genome.fa", {"one": ONE})
    (tmp_path / "in.vcf").write_text(HEAD + "".join(GOOD))
    before = sorted(tmp_path.iterdir())
    refused(findna("variants", *(run if word == "RUN" else word for word in words), "--genome", "genome.fa"), sentence)
    assert sorted(tmp_path.iterdir()) == before
