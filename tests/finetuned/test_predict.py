"""Predictions of files: formats, resuming, and input that is refused."""

import csv

import numpy as np
import pytest

import findna_kit
from findna_kit.errors import FindnaError, Interrupted
from findna_kit.finetuned.predict import output_of, prepare_predictions
from findna_kit.inference.embedding import Sequences, Tiling, blocks
from findna_kit.trainer import Observer
from tests.inference.embedding.conftest import dna, fasta
from tests.inference.embedding.test_embed import Stop
from tests.installing import findna


def go(kept, source, out, *, overwrite=False, resume=False, observer=None, **windows):
    output = output_of(kept.model, out, overwrite=overwrite, resume=resume)
    observer = observer or Observer()
    prepare_predictions(kept.model, Sequences(source, **windows), output, observer, device="cpu").write(observer)
    return out


@pytest.fixture
def records(tmp_path):
    return fasta(tmp_path / "some.fa", [(f"r{number}", dna(40 + number, number)) for number in range(9)])


def test_every_format_holds_the_same(kept, records, tmp_path):
    from pyarrow import parquet

    model = findna_kit.load(kept.model, device="cpu")
    expected = model.predict([dna(40 + number, number) for number in range(9)])
    rows = list(csv.reader(go(kept, records, tmp_path / "out.csv").read_text().splitlines()))
    assert rows[0] == ["id", "contig", "start", "end", "predicted", "p_gc", "p_none", "p_tata"]
    assert np.array_equal(np.array([row[5:] for row in rows[1:]], dtype=np.float32), expected.probabilities)
    tsv = go(kept, records, tmp_path / "out.tsv").read_text()
    assert [line.split("\t") for line in tsv.splitlines()] == rows
    table = parquet.read_table(go(kept, records, tmp_path / "out.parquet"))
    assert table.column_names == rows[0]
    assert table["predicted"].to_pylist() == expected.labels
    assert table["start"].to_pylist() == [0] * 9
    assert np.array_equal(np.stack([table[f"p_{name}"].to_numpy() for name in model.classes], 1), expected.probabilities)


def test_interrupted_and_resumed_is_the_same_file(kept, records, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "ROWS", 2)
    whole = go(kept, records, tmp_path / "whole.tsv").read_bytes()
    with pytest.raises(Interrupted, match="4 of 9 rows are saved; continue with --resume"):
        go(kept, records, tmp_path / "cut.tsv", observer=Observer(report=Stop(4)))
    said = []
    go(kept, records, tmp_path / "cut.tsv", resume=True, observer=Observer(said.append))
    assert said == [f"{tmp_path / 'cut.tsv'}: continuing after row 4 of 9"]
    assert (tmp_path / "cut.tsv").read_bytes() == whole
    assert not (tmp_path / "cut.tsv.part").exists()


def test_other_input_is_not_resumed(kept, records, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "ROWS", 2)
    with pytest.raises(Interrupted):
        go(kept, records, tmp_path / "cut.tsv", observer=Observer(report=Stop(4)))
    with pytest.raises(FindnaError, match="contains other results; --resume needs the same"):
        go(kept, records, tmp_path / "cut.tsv", resume=True, windows=Tiling(20, 0))


def test_a_clash_of_columns_and_a_wrong_suffix_are_refused(kept, tmp_path):
    table = tmp_path / "some.csv"
    table.write_text("sequence,predicted\nACGT,1\n")
    code, _, said = findna("predict", kept.model, table, "--out", tmp_path / "out.tsv", "--device", "cpu")
    assert code == 2
    assert "the input has a column 'predicted', which is the name of a column of predictions: rename it" in said
    code, _, said = findna("predict", kept.model, table, "--out", tmp_path / "out.npy", "--device", "cpu")
    assert code == 2
    assert "the suffix must be one of .tsv, .csv, .parquet" in said


def vcf(path, *lines):
    head = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    path.write_text(head + "".join("\t".join([*line.split(), ".", ".", "."]) + "\n" for line in lines))
    return path


def test_windows_around_variants_with_either_allele(kept, tmp_path):
    bases = dna(200)
    genome = str(fasta(tmp_path / "g.fa", [("one", bases)]))
    other = "A" if bases[99] != "A" else "C"
    source = vcf(tmp_path / "v.vcf", f"one 100 rs1 {bases[99]} {other},<DEL>", f"one 150 . {bases[149]} {bases[149]}TT")
    said = []
    out = go(kept, source, tmp_path / "out.tsv", genome=genome, windows=Tiling(41), observer=Observer(said.append))
    assert said == [f"{source}: 1 alleles are left out: ALT is <...>, * or a breakend"]
    rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert rows[0][:7] == ["id", "contig", "position", "ref", "alt", "allele", "predicted"]
    assert [row[:6] for row in rows[1:3]] == [["rs1", "one", "100", bases[99], other, allele] for allele in ("ref", "alt")]
    assert [row[0] for row in rows[3:]] == ["one:150", "one:150"]
    window = bases[79:120]
    insertion = bases[130:150] + "TT" + bases[150:170]
    model = findna_kit.load(kept.model, device="cpu")
    expected = model.predict([window, window[:20] + other + window[21:], bases[130:170], insertion]).probabilities
    found = np.array([row[7:] for row in rows[1:]], dtype=np.float32)
    np.testing.assert_allclose(found[:2], expected[:2], rtol=1e-5)
    assert len(found) == 4


def test_a_vcf_of_another_genome_or_without_options_is_refused(kept, tmp_path):
    bases = dna(200)
    genome = str(fasta(tmp_path / "g.fa", [("one", bases)]))
    wrong = "A" if bases[99] != "A" else "C"
    source, out = vcf(tmp_path / "v.vcf", f"one 100 . {wrong} {bases[99]}"), tmp_path / "out.tsv"
    with pytest.raises(FindnaError, match="of 1 alleles REF differs from the genome"):
        go(kept, source, out, genome=genome, windows=Tiling(41))
    with pytest.raises(FindnaError, match="is a VCF: give --genome FASTA and --window N"):
        go(kept, source, out, genome=genome)
    with pytest.raises(FindnaError, match="--overlap is for the windows of a FASTA"):
        go(kept, source, out, genome=genome, windows=Tiling(41, 3))
    with pytest.raises(FindnaError, match=r"no allele has a window to predict \(1: the genome has no contig of that name\)"):
        go(kept, vcf(tmp_path / "w.vcf", "two 100 . A C"), out, genome=genome, windows=Tiling(41))
