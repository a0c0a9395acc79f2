"""What is written: the lines as they were with INFO fields, or a table; what htslib makes of it; what is not replaced."""

import pytest

from findna_kit.errors import FindnaError, OutputExists
from findna_kit.inference.variants import VariantRequest, score_variants
from tests.variants import GENOME, ODD, at, fasta, other, row, table


def test_other_fields_are_kept_and_the_header_tells_what_made_it(score, tmp_path, run):
    body = "one\t90\trs1;rs2\t{}\t{}\t31.5\tq10;s50\tDP=3;FINDNA_LLR=9;DB\tGT:DP\t0|1:3\t./.:\udcff\n".format(
        at(90), f"{other(at(90))},<DEL>"
    )
    head = '##fileformat=VCFv4.2\n##INFO=<ID=FINDNA_LLR,Number=A,Type=Float,Description="old">\n'
    head += "##findna_kit_variants=<ID=scores>\n"
    head += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2\r\n"
    (tmp_path / "in.vcf").write_bytes((head + body).encode("utf-8", "surrogateescape"))
    genome = fasta(tmp_path / "genome.fa", GENOME)
    score_variants(run, tmp_path / "in.vcf", tmp_path / "deep" / "out.vcf", VariantRequest(str(genome), device="cpu"))
    written = (tmp_path / "deep" / "out.vcf").read_bytes().decode("utf-8", "surrogateescape").splitlines()
    assert written[0] == "##fileformat=VCFv4.2"
    assert sum(line.startswith("##INFO=<ID=FINDNA_LLR,") for line in written) == 1
    assert "old" not in "".join(written)
    (made_by,) = [line for line in written if line.startswith("##findna_kit_variants=")]
    for part in (
        f'run="{run}"',
        "step=3",
        'branch="teacher"',
        'precision="fp32"',
        "length=64",
        'strand="both"',
        "genome_sha256=",
    ):
        assert part in made_by
    assert written[-2].startswith("#CHROM")
    before, after = body.rstrip("\n").split("\t"), written[-1].split("\t")
    assert [*after[:7], *after[8:]] == [*before[:7], *before[8:]]
    info = dict(part.partition("=")[::2] for part in after[7].split(";"))
    assert list(info)[:2] == ["DP", "DB"]
    assert info["FINDNA_STATUS"] == "scored,symbolic_allele"
    assert info["FINDNA_LLR"].endswith(",.")
    assert info["FINDNA_UNKNOWN"] == "0,."


def test_where_nothing_is_scored_only_the_status_is_written(score, tmp_path):
    said = []
    score([row("one", 80, at(80), ".")], name="out.vcf", log=said.append)
    assert (tmp_path / "out.vcf").read_text().splitlines()[-1].endswith("\tPASS\tFINDNA_STATUS=no_alternative")
    assert "no allele in it can be scored" in said[-1]


def test_htslib_reads_what_is_written(score, tmp_path):
    pysam = pytest.importorskip("pysam", reason="the extra genomics is not installed")
    statuses = [(text, want) for text, want in ODD if "Two" not in text and "\t0\t" not in text]
    body = sorted((text for text, _ in statuses), key=lambda text: (text.split("\t")[0], int(text.split("\t")[1])))
    score(body, name="out.vcf.gz", on_mismatch="skip")
    pysam.tabix_index(str(tmp_path / "out.vcf.gz"), preset="vcf")
    with pysam.VariantFile(str(tmp_path / "out.vcf.gz")) as file:
        (made_by,) = [record for record in file.header.records if record.key == "findna_kit_variants"]
        assert made_by["length"] == "64"
        found = list(file.fetch("one", 59, 60))
    assert found[0].info["FINDNA_STATUS"] == ("scored", "scored", "distance_only", "symbolic_allele", "symbolic_allele")
    assert [value is None for value in found[0].info["FINDNA_LLR"]] == [False, False, True, True, True]


def test_an_output_is_not_replaced_unless_told(score, tmp_path):
    line = [row("one", 90, at(90), other(at(90)))]
    (tmp_path / "out.tsv").write_text("mine")
    with pytest.raises(OutputExists, match="already exists; use another --out FILE, or --overwrite"):
        score(line, name="out.tsv", overwrite=False)
    assert (tmp_path / "out.tsv").read_text() == "mine"
    for name, sentence in (
        ("in.vcf", "is an input of this command"),
        ("out.txt", "the name must end in .vcf, "),
        ("in.vcf/x.vcf", "cannot be written"),
    ):
        with pytest.raises(FindnaError, match=sentence):
            score(line, name=name)
    (tmp_path / "folder.vcf").mkdir()
    with pytest.raises(OutputExists, match="is a folder; give a file"):
        score(line, name="folder.vcf")
    score(line, name="out.tsv")
    assert table((tmp_path / "out.tsv").read_text())[0]["status"] == "scored"
