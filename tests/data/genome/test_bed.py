"""A BED is read a line at a time: every column that is used, every line that is refused."""

import gzip
import tracemalloc
from itertools import islice

import pytest

from findna_kit.data.genome.bed import bed_intervals
from findna_kit.errors import GenomeError

from .conftest import random_dna

TEXT = (
    "#made by hand\ntrack name=x\nbrowser hide all\n\nchr2\t10\t20\tpeak 1\t7.5\t-\nchr1 5 7\n"
    "chr1\t0\t1000\tall\t.\t+\t0\t0\t255,0,0\r\nchr1\t1\t2\t\t\t.\n"
)
INTERVALS = [
    (1, 10, 20, "peak 1", "7.5", "-"), (0, 5, 7, "", "", ""), (0, 0, 1000, "all", ".", "+"), (0, 1, 2, "", "", "."),
]  # fmt: skip


@pytest.fixture
def store(make):
    return make({"chr1": random_dna(1000), "chr2": random_dna(500, 1)})


@pytest.mark.parametrize("pack", [str.encode, lambda text: gzip.compress(text.encode())], ids=["plain", "gzip"])
def test_lines_are_intervals_in_their_order(store, write, pack):
    assert list(bed_intervals(write(pack(TEXT), "some.bed"), store)) == INTERVALS


@pytest.mark.parametrize(("line", "message"), [
    ("chr1\t0\t5\tname\t0\t*", r"some.bed:2: the strand is '\*'; the sixth column of a BED is \+, - or \."),
    ("chr11\t0\t5", r"some.bed:2: .* has no contig 'chr11'; did you mean 'chr1'\?"),
    ("chr2\t0\t501", r"some.bed:2: 0-501 ends beyond 'chr2', which has 500 bases; is it of this assembly\?"),
    ("chr1\t5\t5", r"some.bed:2: 5-5 is no interval"),
    ("chr1\t0", r"some.bed:2: 2 columns"),
])  # fmt: skip
def test_a_wrong_line_is_named_when_it_is_reached(store, write, line, message):
    found = bed_intervals(write(f"chr1\t0\t5\n{line}\n", "some.bed"), store)
    assert next(found) == (0, 0, 5, "", "", "")
    with pytest.raises(GenomeError, match=message):
        next(found)


def test_no_more_than_a_line_is_held(store, write):
    path = write("chr1\t3\t9\tname\t0\t+\n" * 20_000, "some.bed")
    tracemalloc.start()
    count = sum(1 for _ in bed_intervals(path, store))
    peak = tracemalloc.get_traced_memory()[1]
    held = list(islice(bed_intervals(path, store), 2000))
    more = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert len(held) == 2000
    assert peak < 200_000 < more, "holding a tenth of the lines takes more than reading them all"
