"""What a FASTA may look like, and what is refused with which words."""

from __future__ import annotations

import gzip
import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyfaidx import Fasta

from findna_kit import alphabet
from findna_kit.data.genome import fasta, open_store
from findna_kit.errors import GenomeError

from .conftest import bgzip, random_dna


def letters(store, name):
    contig = store.index(name)
    return alphabet.decode(store.tokens(contig, 0, store.contigs[contig].length))


def test_plain(write):
    store = open_store(write(">one first\nACGTN\nAC\n>two\nTTT\n"))
    assert [(c.name, c.length, c.offset) for c in store.contigs] == [("one", 7, 0), ("two", 3, 7)]
    assert (letters(store, "one"), letters(store, "two")) == ("ACGTNAC", "TTT")
    assert store.bases == 10
    assert store.other_letters == {}


def test_lower_case_is_kept_as_a_bit(write):
    store = open_store(write(">one\nACgtnNrA\n"))
    tokens, soft = store.windows(np.array([0]), np.array([0]), 8)
    assert tokens.tolist() == [[0, 1, 2, 3, 4, 4, 4, 0]]
    assert soft.tolist() == [[False, False, True, True, True, False, True, False]]


def test_other_letters_become_n_and_are_counted_in_either_case(write):
    store = open_store(write(">one\nACGTRYrKMSWBDHV\n>two\nUuAC-X\n"))
    assert letters(store, "one") == "ACGT" + "N" * 11
    assert letters(store, "two") == "TTACNN"
    assert store.other_letters == {
        "-": 1, "B": 1, "D": 1, "H": 1, "K": 1, "M": 1, "R": 2, "S": 1, "U": 2, "V": 1, "W": 1, "X": 1, "Y": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        ">one\nACGTA\nACG\n>two\nTT",  # no newline at the end
        ">one\r\nACGTA\r\nACG\r\n>two\r\nTT\r\n",
        ">one\nACGT\nA\nACG\n>two\nTT\n",  # ragged
        ">one\nACGTAACG\n\n>two\n\nTT\n",  # blank lines
        ">one\nACGTA\nACG\n\n\n\n>two\nTT\n",
        ">one\nACGTAACG\n>two\nTT\n\n\n",
        ">one\nACGTA\nACG \n>two\nTT\n",  # a blank at a line's end
        ">one\nACGTA \nACG  \n>two\nTT\n",
        ">one\nACGT\nAACG\r\n>two\nTT\n",
        ">one\nACGT\nAAC\r\nG\n>two\nTT\n",  # as many bytes in a line, not as many bases
        ">one\nAC\nGTAACG\n>two\nTT\n",  # the last line is longer
        ">one\nACG\n;a comment\nTAACG\n>two\nTT\n",
        "; a comment\n\n>one\nACGTAACG\n>two\nTT\n",
        ">one\nA\nC\nG\nT\nA\nA\nC\nG\n>two\nTT\n",
    ],
)
def test_however_its_lines_are(write, text):
    store = open_store(write(text))
    assert [(c.name, letters(store, c.name)) for c in store.contigs] == [("one", "ACGTAACG"), ("two", "TT")]
    assert store.other_letters == {}


@given(
    st.lists(st.lists(st.text("ACGTacgtN", max_size=9), max_size=6), min_size=1, max_size=4),
    st.lists(st.sampled_from(["\n", "\r\n", " \n", "\n\n"]), min_size=1, max_size=7),
)
@settings(deadline=None, max_examples=60)
def test_any_lines_and_line_ends_give_the_same_bases(tmp_path_factory, records, ends):
    folder = tmp_path_factory.mktemp("lines")
    text, count = "", 0
    for number, lines in enumerate(records):
        text += f">{number}\n"
        for line in lines:
            text += line + ends[count % len(ends)]
            count += 1
    wanted = ["".join(lines) for lines in records]
    (folder / "genome.fa").write_bytes(text.encode())
    with (folder / "tokens").open("w+b") as out:
        if not any(wanted):
            with pytest.raises(GenomeError, match="no bases"):
                fasta.read_fasta(folder / "genome.fa", gzipped=False, folder=_new(folder), out=out)
            return
        contents = fasta.read_fasta(folder / "genome.fa", gzipped=False, folder=_new(folder), out=out)
    codes = np.fromfile(folder / "tokens", dtype=np.uint8)
    assert alphabet.decode(codes & 7) == "".join(wanted).upper()
    assert [length for _, length in contents.contigs] == [len(sequence) for sequence in wanted]


def _new(folder):
    building = folder / "building"
    building.mkdir()
    return building


@pytest.mark.parametrize("width", [fasta._CHUNK // 4, 61, 10**9])
def test_long_contigs_are_read_in_chunks(write, width):
    sequence = random_dna(3 * fasta._CHUNK + 17)
    text = ">long\n" + "\n".join(sequence[i : i + width] for i in range(0, len(sequence), width)) + "\n>end\nACGT\n"
    reports = []
    store = open_store(write(text), report=lambda done, total: reports.append((done, total)))
    assert letters(store, "long") == sequence
    assert letters(store, "end") == "ACGT"
    assert len(reports) >= 4
    assert reports[-1] == (len(sequence) + 4, len(sequence) + 4)
    assert reports == sorted(reports)


def test_line_ends_of_many_kinds_where_a_chunk_ends(write, monkeypatch):
    """Each line has four bytes, and each chunk that ended where a line ends would have the wanted number of letters."""
    monkeypatch.setattr(fasta, "_CHUNK", 6)
    store = open_store(write(">one\nAC\r\nA\r\r\nACG\nA\r\r\nAC\r\n"))
    assert letters(store, "one") == "ACAACGAAC"


def test_a_ragged_long_contig_is_wrapped_anew(write):
    sequence = random_dna(3 * fasta._LINE + 5)
    store = open_store(write(f">long\n{sequence[:70]}\n{sequence[70:90000]}\n{sequence[90000:]}\n>end\nAC\n"))
    assert letters(store, "long") == sequence
    assert letters(store, "end") == "AC"


@pytest.mark.parametrize("name", ["genome.fa.gz", "genome.fa", "genome"])
def test_gzip_is_known_by_content_not_by_name(write, name):
    text = f">one\n{random_dna(500)}\n"
    store = open_store(write(gzip.compress(text.encode()), name))
    assert letters(store, "one") == text.split("\n")[1]


def test_plain_text_with_a_name_like_gzip(write):
    assert letters(open_store(write(">one\nACGT\n", "genome.fa.gz")), "one") == "ACGT"


def test_gzip_of_many_members(write):
    first, second = random_dna(70_000), random_dna(300, seed=1)
    packed = gzip.compress(f">one\n{first[:40_000]}".encode()) + gzip.compress(f"{first[40_000:]}\n>two\n{second}\n".encode())
    store = open_store(write(packed, "genome.fa.gz"))
    assert (letters(store, "one"), letters(store, "two")) == (first, second)


def test_bgzip(write):
    sequence = random_dna(200_000)
    blocks = bgzip(f">one\n{sequence}\n>two\nACGT\n".encode())
    assert len(blocks) == 5
    store = open_store(write(b"".join(blocks), "genome.fa.gz"))
    assert (letters(store, "one"), letters(store, "two")) == (sequence, "ACGT")


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_bgzip_cut_off_where_a_block_ends(write, cache, kept):
    """What is left is good gzip, and a good FASTA: only the missing last block tells."""
    blocks = bgzip(f">one\n{random_dna(200_000)}\n".encode())
    with pytest.raises(GenomeError, match="is bgzip without its last block, so probably truncated; fetch it again"):
        open_store(write(b"".join(blocks[:kept]), "genome.fa.gz"))
    assert not list(cache.rglob("*.tokens"))


def test_contigs_without_bases_are_kept(write):
    store = open_store(write(">none\n>one\nACGT\n>nothing\n"))
    assert [c.length for c in store.contigs] == [0, 4, 0]
    assert letters(store, "one") == "ACGT"


def test_nothing_is_written_next_to_the_fasta(write, cache):
    path = write(gzip.compress(b">one\nACG\nACGTA\n"), "genome.fa.gz")
    open_store(path)
    assert sorted(p.name for p in path.parent.iterdir()) == ["cache", "genome.fa.gz"]
    assert not list(cache.rglob("*.building"))


REFUSED = {
    "empty": (b"", r"genome.fa is empty; a FASTA with at least one sequence is wanted"),
    "blank": (b"\n\n", r"is empty"),
    "no record": (b"ACGT\nACGT\n", r"is no FASTA: its first line must be '>name', but is 'ACGT'"),
    "binary": (b">one\nAC\0GT\n", r"is a binary file; a FASTA is text"),
    "not UTF-8": (b">one \xff\nACGT\n", r"holds bytes that are not UTF-8 text"),
    "xz": (b"\xfd7zXZ\x00abcdef", r"is xz-compressed; unpack it first \(xz -dk FILE\)"),
    "bzip2": (b"BZh91AY", r"is bzip2-compressed; unpack it first"),
    "zstd": (b"\x28\xb5\x2f\xfd....", r"is zstd-compressed; unpack it first"),
    "zip": (b"PK\x03\x04....", r"is a zip archive; unpack it first"),
    "2bit": (b"\x43\x27\x41\x1a....", r"is a 2bit file; convert it first \(twoBitToFa"),
    "empty gzip": (gzip.compress(b""), r"is empty"),
    "header alone": (b">one\n", r"holds no bases: there is no line of sequence"),
    "headers alone": (b">one\n>two\n", r"holds no bases"),
    "gzip within gzip": (gzip.compress(gzip.compress(b">one\nACGT\n")), r"is gzip within gzip; unpack it once"),
    "byte-order mark": (b"\xef\xbb\xbf>one\nACGT\n", r"begins with a byte-order mark; save it as UTF-8 without one"),
    "packed byte-order mark": (gzip.compress(b"\xef\xbb\xbf>one\nACGT\n"), r"begins with a byte-order mark"),
    "UTF-16": (">one\nACGT\n".encode("utf-16"), r"is UTF-16 text; save it as UTF-8"),
    "UTF-16, other end first": (b"\xfe\xff" + ">one\nACGT\n".encode("utf-16-be"), r"is UTF-16 text; save it as UTF-8"),
    "CR alone": (b">one\rACGT\r>two\rAC\r", r"has lines that end in CR alone; convert it first \(tr"),
    "no name": (b"> \nACGT\n", r"genome.fa has a '>' line without a name; give each sequence one"),
    "no name among ragged lines": (b">one\nAC\nACGT\nA\n>\nACGT\n", r"has a '>' line without a name"),
    "names twice": (b">one\nACGT\n>two\nA\n>one\nAC\n", r"gives two sequences one name \(.*one.*\); rename one of them"),
    "digits": (b">one\n1 ACGT\n5 ACGT\n", r"'one' holds '1', which is no letter of a sequence; take it out"),
    "no text": (b">one\nAC\xc3\xa9GT\n", r"which is no letter of a sequence"),
    "protein": (b">one\nMKVLAEFPQILLEPFIQZ*\n", r"looks like protein: 1[0-9] of its 19 letters are"),
    "truncated": (gzip.compress(b">one\n" + random_dna(200_000).encode())[:-9000], r"is a broken or truncated gzip file"),
    "truncated early": (gzip.compress(b">one\nACGTACGTACGT")[:-6], r"is a broken or truncated gzip file"),
    "broken": (b"\x1f\x8b\x08\x00" + b"\xff" * 60, r"is a broken or truncated gzip file"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_invalid_files_are_refused_with_a_message(write, cache, kind):
    content, message = REFUSED[kind]
    with warnings.catch_warnings(), pytest.raises(GenomeError, match=message) as caught:
        warnings.simplefilter("error")
        open_store(write(content))
    assert str(cache) not in str(caught.value)  # the user's file is named, not a temporary one
    assert not list(cache.rglob("*.tokens"))
    assert not list(cache.rglob("*.building"))


def test_missing_folder_and_pipe(tmp_path):
    with pytest.raises(GenomeError, match=r"there is no file .*none\.fa; give the path of a FASTA"):
        open_store(tmp_path / "none.fa")
    with pytest.raises(GenomeError, match="is a folder; give the FASTA file in it"):
        open_store(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(GenomeError, match="is not a regular file; write the sequence into a file first"):
        open_store(tmp_path / "pipe")


def test_no_permission(write):
    path = write(">one\nACGT\n")
    path.chmod(0)
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(GenomeError, match="may not be read: permission denied"):
            open_store(path)
    finally:
        os.seteuid(me)


def test_yeast_equals_what_pyfaidx_reads(shared, tmp_path):
    packed = shared("genomes/yeast_sacCer3/sacCer3.fa.gz")
    store = open_store(packed)
    assert (store.bases, len(store.contigs)) == (12_157_105, 17)
    plain = tmp_path / "sacCer3.fa"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    rng = np.random.default_rng(0)
    with Fasta(str(plain), as_raw=True, strict_bounds=True) as genome:
        assert [(c.name, c.length) for c in store.contigs] == [(name, len(genome[name])) for name in genome.keys()]  # noqa: SIM118
        for contig in rng.integers(0, 17, 200):
            start = int(rng.integers(0, store.contigs[contig].length - 1000))
            assert (
                alphabet.decode(store.tokens(contig, start, start + 1000)) == genome[int(contig)][start : start + 1000].upper()
            )
    assert open_store(plain).digest != store.digest  # keyed by the file as given
