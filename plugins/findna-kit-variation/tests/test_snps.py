"""Tests of reading SNPs and their frequencies from a VCF, and of messages that name the wrong line."""

import gzip

import numpy as np
import pytest
from findna_kit_variation.snps import read_snps

from findna_kit.errors import FindnaError

HEAD = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
LAST_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def row(contig, position, reference, alternative, info):
    return f"{contig}\t{position}\t.\t{reference}\t{alternative}\t.\tPASS\t{info}\n"


LINES = (
    row("two", 7, "G", "a", "AC=3;AN=12"),
    row("one", 30, "A", "T", "DP=4;AF=0.125;AC=1;AN=2"),
    row("one", 5, "c", "A,T", "AF=0.25,0.5"),
    row("one", 30, "A", "G", "AF=0.5"),
    row("one", 9, "AC", "A", "AF=0.5"),
    row("one", 10, "A", "G,AT,<DEL>,*", "AF=0.1,0.2,0.3,0.1"),
    row("one", 11, "A", "C", "DB"),
    row("one", 12, "A", "C,G", "AF=.,0.5"),
    row("one", 13, "A", "C", "AC=0;AN=0"),
    row("one", 14, "N", "C", "AF=0.5"),
    row("one", 15, "T", "T", "AF=0.5"),
    row("one", 16, "T", ".", "AF=0.5"),
)


def written(folder, *lines, name="some.vcf", head=HEAD):
    path = folder / name
    text = (head + "".join(lines)).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


@pytest.mark.parametrize("name", ["some.vcf", "some.vcf.gz"])
def test_snps_with_a_frequency_are_kept_and_the_others_counted(tmp_path, name):
    snps, skipped = read_snps(written(tmp_path, *LINES, name=name))
    assert set(snps) == {"one", "two"}
    assert snps["one"].position.tolist() == [4, 9, 11, 29], "in order, from 0"
    assert snps["one"].reference.tolist() == [1, 0, 0, 0]
    assert snps["one"].frequency.tolist() == [[0.25, 0, 0, 0.5], [0, 0, 0.1, 0], [0, 0, 0.5, 0], [0, 0, 0.5, 0.125]]
    assert (snps["two"].position.tolist(), snps["two"].reference.tolist()) == ([6], [2])
    assert snps["two"].frequency.tolist() == [[0.25, 0, 0, 0]]
    assert skipped == {"not a SNP": 1 + 3 + 1 + 1 + 1, "without AF, or AC and AN": 3}


def test_a_header_alone_holds_nothing(tmp_path):
    assert read_snps(written(tmp_path)) == ({}, {})


def test_it_is_as_large_as_it_must_be(tmp_path):
    """A loop over the lines, a thousand of them, against the arrays."""
    numbers = np.random.default_rng(5)
    places = numbers.choice(50_000, 1000, replace=False) + 1
    lines = [row("c", at, "ACGT"[at % 4], "ACGT"[(at + 1) % 4], f"AF={at % 97 / 97:.3f}") for at in places]
    snps, skipped = read_snps(written(tmp_path, *lines))
    assert not skipped
    assert snps["c"].position.tolist() == sorted(at - 1 for at in places)
    for at, reference, frequency in zip(snps["c"].position + 1, snps["c"].reference, snps["c"].frequency, strict=True):
        assert reference == at % 4
        assert frequency[(at + 1) % 4] == pytest.approx(at % 97 / 97, abs=1e-3)
        assert np.count_nonzero(frequency) <= 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("one\t5\t.\tA\tC\n", r"some\.vcf:3: 5 columns, expected at least 8; correct the line"),
        (row("one", "5.0", "A", "C", "AF=0.5"), r"some\.vcf:3: POS '5\.0' is not a number"),
        (row("one", 5, "A", "C", "AF=1.5"), r"some\.vcf:3: AF=1\.5 is not an allele frequency between 0 and 1"),
        (row("one", 5, "A", "C", "AF=nan"), "AF=nan is not an allele frequency"),
        (row("one", 5, "A", "C", "AF=half"), "AF=half is not an allele frequency"),
        (row("one", 5, "A", "C", "AC=3;AN=2"), "AC=3;AN=2 is not an allele frequency"),
        (row("one", 5, "A", "C,G", "AF=0.5"), "AF has 1 values for 2 ALT"),
        (row("one", 5, "A", "C", "AF=0.5") + row("one", 5, "G", "C", "AF=0.1"), "one:5 has two different REF"),
        (row("one", 5, "A", "C", "AF=0.7") + row("one", 5, "A", "G", "AF=0.4"), "one:5 has allele frequencies that add up"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(tmp_path, line, message):
    with pytest.raises(FindnaError, match=message) as caught:
        read_snps(written(tmp_path, line))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a VCF: it must begin with ##fileformat=VCF"),
        (b"chr1\t5\n", "not a VCF: it must begin with ##fileformat=VCF"),
        (b"##fileformat=VCFv4.2\nchr1\t5\n", "vcf:2: not a VCF: a line with the tab-separated columns #CHROM POS"),
        (b"##fileformat=VCFv4.2\n", "not a VCF: a line with the tab-separated columns #CHROM POS"),
        (gzip.compress(HEAD.encode() * 500, mtime=0)[:60], "broken or truncated gzip file"),
        (LAST_BLOCK[:18] + b"rest", "bgzip file without its last block, so probably truncated; download it again"),
    ],
)
def test_what_is_no_vcf_is_said(tmp_path, content, message):
    path = tmp_path / "some.vcf"
    path.write_bytes(content)
    with pytest.raises(FindnaError, match=message):
        read_snps(path)


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    with pytest.raises(FindnaError, match="cannot be read: No such file or directory; give the path of a VCF"):
        read_snps(tmp_path / "none.vcf")
    with pytest.raises(FindnaError, match="cannot be read: Is a directory"):
        read_snps(tmp_path)


def test_bgzip_is_read(tmp_path):
    """Blocked gzip is gzip in pieces, an extra field and an empty block at the end; here one without the field."""
    path = tmp_path / "some.vcf.gz"
    path.write_bytes(gzip.compress(HEAD.encode()) + gzip.compress(LINES[0].encode()) + LAST_BLOCK)
    assert read_snps(path)[0]["two"].position.tolist() == [6]
