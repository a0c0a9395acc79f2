"""Reading a VCF: plain, gzip, bgzip and BCF say the same; what is none is refused with its line."""

import gzip

import pytest

from findna_kit.errors import FindnaError
from findna_kit.inference.variants import VariantRequest, score_variants
from findna_kit.inference.variants.bgzip import BlockGzip, is_truncated
from findna_kit.inference.variants.vcf import read_vcf
from tests.variants import HEAD, at, numbers, other, row, table


@pytest.mark.parametrize("kind", ["gzip", "bgzip", "bcf"])
def test_packed_files_say_the_same(score, tmp_path, kind, run, capfd):
    rows = [row("one", place, at(place), other(at(place))) for place in (3, 90, 205)]
    plain = HEAD.replace("#CHROM", "##contig=<ID=one>\n#CHROM") + "".join(rows).upper().replace("ONE", "one")
    source = tmp_path / "packed"
    if kind == "bcf":
        pysam = pytest.importorskip("pysam", reason="the extra genomics is not installed")
        (tmp_path / "plain.vcf").write_text(plain)
        with (
            pysam.VariantFile(str(tmp_path / "plain.vcf")) as old,
            pysam.VariantFile(str(source), "wb", header=old.header) as new,
        ):
            for record in old:
                new.write(record)
    elif kind == "gzip":
        source.write_bytes(gzip.compress(plain.encode()))
    else:
        with source.open("wb") as file:
            packed = BlockGzip(file)
            packed.write(plain.encode())
            packed.finish()
    capfd.readouterr()
    wanted = score(rows)
    asked = VariantRequest(str(tmp_path / "genome.fa"), device="cpu")
    score_variants(run, source, tmp_path / "again.tsv.gz", asked)
    assert (
        numbers(table(gzip.decompress((tmp_path / "again.tsv.gz").read_bytes()).decode())).tolist() == numbers(wanted).tolist()
    )
    assert not is_truncated(tmp_path / "again.tsv.gz")
    assert capfd.readouterr().err == ""


BAD = [
    ("", "is not VCF"),
    ("one\t1\t.\tA\tC\t.\t.\t.\n", ":1: is not VCF: it must begin with ##fileformat=VCF"),
    ("##fileformat=VCFv4.2\none\t1\t.\tA\tC\t.\t.\t.\n", ":2: is not VCF: the line that begins with #CHROM is missing"),
    (HEAD.replace("\tREF", ""), "is not VCF: it needs a line with the tab-separated columns"),
    (HEAD + "one\t1\t.\tA\tC\t.\t.\n", ":4: has 7 columns, and the header 8"),
    (HEAD + "one 1 . A C . . .\n", ":4: has 1 columns"),
    (HEAD + row("one", "1.5", "A", "C"), "in.vcf:4: POS '1.5' is not a number"),
    (HEAD + row("one", "-1", "A", "C"), "POS '-1' is not a number"),
    (HEAD + row("one", 1, ".", "C"), "REF '.' is not a sequence of bases"),
    (HEAD + row("one", 1, "A", "C,"), "ALT '' is neither a sequence of bases nor a symbol"),
    (HEAD + row("one", 1, "A", "Z"), "ALT 'Z' is neither"),
    (HEAD + row("one", 1, "A", "C,."), "ALT '.' is neither"),
]


@pytest.mark.parametrize(("text", "sentence"), BAD)
def test_what_is_no_vcf_is_refused_with_its_line(text, sentence, tmp_path):
    path = tmp_path / "in.vcf"
    path.write_text(text)
    with pytest.raises(FindnaError) as refused:
        list(read_vcf(path).lines)
    assert sentence in str(refused.value)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    packed = gzip.compress((HEAD + row("one", 1, "A", "C") * 100).encode())
    (tmp_path / "cut.vcf.gz").write_bytes(packed[:-20])
    with (tmp_path / "blocks.vcf.gz").open("wb") as file:
        blocks = BlockGzip(file)
        blocks.write(HEAD.encode())
        blocks.finish()
    whole = (tmp_path / "blocks.vcf.gz").read_bytes()
    (tmp_path / "blocks.vcf.gz").write_bytes(whole[:-28])
    (tmp_path / "folder").mkdir()
    sentences = {
        "cut.vcf.gz": "is a broken or truncated gzip file",
        "blocks.vcf.gz": "is bgzip without its last block",
        "absent.vcf": "cannot be read: No such file or directory",
        "folder": "is not a regular file",
        "x" * 300: "cannot be read: File name too long",
    }
    for name, sentence in sentences.items():
        with pytest.raises(FindnaError, match=sentence):
            list(read_vcf(tmp_path / name).lines)


def test_bcf_asks_for_the_extra_where_pysam_is_not(tmp_path, monkeypatch):
    (tmp_path / "a.bcf").write_bytes(b"BCF\x02\x02")
    monkeypatch.setattr("findna_kit.errors.find_spec", lambda name: None)
    with pytest.raises(
        FindnaError, match=r"reading BCF needs pysam, which is not installed: pip install 'findna-kit\[genomics\]'"
    ):
        read_vcf(tmp_path / "a.bcf")


def test_a_broken_bcf_is_refused(tmp_path, capfd):
    pytest.importorskip("pysam", reason="the extra genomics is not installed")
    (tmp_path / "a.bcf").write_bytes(b"BCF\x02\x02")
    with pytest.raises(FindnaError, match=r"a\.bcf: cannot be read"):
        read_vcf(tmp_path / "a.bcf")
    assert capfd.readouterr().err == "", "htslib says nothing beside the sentence"


def test_lines_are_read_as_they_are_asked_for(tmp_path):
    """The first comes before a bad one later in the file is met."""
    (tmp_path / "in.vcf").write_text(HEAD + row("one", 1, "A", "C") + "nonsense\n")
    lines = read_vcf(tmp_path / "in.vcf").lines
    assert next(lines).position == 1
    with pytest.raises(FindnaError, match=r"in\.vcf:5: has 1 columns"):
        next(lines)
