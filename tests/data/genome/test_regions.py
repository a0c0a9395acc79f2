from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from findna_kit.data.genome import Regions, read_bed, read_named_bed, split
from findna_kit.errors import GenomeError
from findna_kit.settings import HeldOut

from .conftest import random_dna

rows = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20), st.integers(0, 20)), max_size=8)


def regions(some):
    table = np.array(some, dtype=np.int64).reshape(-1, 3)
    return Regions.of(table[:, 0], table[:, 1], table[:, 2])


def listed(some):
    return list(zip(some.contig.tolist(), some.start.tolist(), some.end.tolist(), strict=True))


def covered(some):
    return {(contig, place) for contig, start, end in some for place in range(start, end)}


@given(rows, rows)
@settings(deadline=None, max_examples=60)
def test_set_operations(one, other):
    first, second = regions(one), regions(other)
    assert covered(listed(first)) == covered(one)
    assert first.bases == len(covered(one))
    assert covered(listed(first.union(second))) == covered(one) | covered(other)
    assert covered(listed(first.intersect(second))) == covered(one) & covered(other)
    assert covered(listed(first.minus(second))) == covered(one) - covered(other)
    assert (first == second) == (covered(one) == covered(other))


def test_sorted_merged_and_never_across_contigs():
    some = regions([(1, 5, 9), (0, 3, 8), (0, 0, 3), (1, 0, 2), (2, 4, 4)])
    assert listed(some) == [(0, 0, 8), (1, 0, 2), (1, 5, 9)]
    assert len(some) == 3
    assert some != "regions"


def test_whole_skips_empty_contigs(write):
    from findna_kit.data.genome import open_store

    store = open_store(write(">a\nACGT\n>none\n>b\nAC\n"))
    assert listed(Regions.whole(store)) == [(0, 0, 4), (2, 0, 2)]


@pytest.fixture
def store(make):
    return make({"chr1": random_dna(1000), "chr2": random_dna(500, 1)})


def test_bed(store, write):
    text = "#made by hand\ntrack name=x\nbrowser hide all\n\nchr2\t10\t20\tname\t0\t+\nchr1 5 7\nchr1\t7\t9\r\n"
    for content in (text.encode(), gzip.compress(text.encode())):
        assert listed(read_bed(write(content, "some.bed"), store)) == [(0, 5, 9), (1, 10, 20)]


def test_named_bed(store, write):
    path = write("chr1\t0\t10\ttest\nchr2\t0\t5\tvalidation\nchr1\t10\t20\ttest\nchr2\t7\t8\n", "some.bed")
    named = read_named_bed(path, store)
    assert {name: listed(part) for name, part in named.items()} == {
        "test": [(0, 0, 20)], "validation": [(1, 0, 5)], "": [(1, 7, 8)],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr11\t0\t5", r"some.bed:2: .* has no contig 'chr11'; did you mean 'chr1'\?"),
        ("chr1\t5\t5", r"some.bed:2: 5-5 is no interval; start is counted from 0 and must be below end"),
        ("chr1\t9\t5", r"some.bed:2: 9-5 is no interval"),
        ("chr1\t-1\t5", r"some.bed:2: -1-5 is no interval"),
        ("chr1\t0\t1001", r"some.bed:2: 0-1001 ends beyond 'chr1', which has 1000 bases; is it of this assembly\?"),
        ("chr1\t0\t1e3", r"some.bed:2: start and end must be integers, but are '0' and '1e3'"),
        ("chr1\t0", r"some.bed:2: 2 columns; a BED line has contig, start, end, separated by tabs"),
    ],
)
def test_bed_lines_that_are_refused(store, write, line, message):
    with pytest.raises(GenomeError, match=message):
        read_bed(write(f"chr1\t0\t5\n{line}\n", "some.bed"), store)


def test_bed_files_that_are_refused(store, write, tmp_path):
    with pytest.raises(GenomeError, match=r"the BED file .*none.bed cannot be read: No such file"):
        read_bed(tmp_path / "none.bed", store)
    with pytest.raises(GenomeError, match="cannot be read: Is a directory"):
        read_bed(tmp_path, store)
    with pytest.raises(GenomeError, match="holds no interval; give at least one line 'contig start end'"):
        read_bed(write("# nothing\n", "some.bed"), store)
    with pytest.raises(GenomeError, match="is not a text file; a BED file has lines"):
        read_bed(write(b"chr1\t\xff\n", "some.bed"), store)
    with pytest.raises(GenomeError, match="broken or truncated gzip file"):
        read_bed(write(gzip.compress(b"chr1\t0\t5\n")[:-6], "some.bed"), store)


def test_share_gives_scattered_blocks_near_the_share(make):
    store = make({"a": random_dna(300_000), "b": random_dna(100_000, 1), "short": random_dna(20, 2)})
    parts = split(store, HeldOut(share=0.1), length=50, seed=3)
    assert parts.validation.bases == pytest.approx(0.1 * store.bases, rel=0.05)
    assert len(parts.validation) >= 20
    assert set(parts.validation.contig.tolist()) == {0, 1}  # what is shorter than a window holds none
    assert (parts.validation.end - parts.validation.start).min() >= 200
    assert parts.train.union(parts.validation) == Regions.whole(store)
    assert not parts.train.intersect(parts.validation).bases


def test_share_depends_on_the_seed_alone(make):
    records = {"a": random_dna(50_000), "b": random_dna(50_000, 1)}
    first = split(make(records), HeldOut(share=0.1), length=50, seed=3)
    again = split(make(records, "again.fa"), HeldOut(share=0.1), length=50, seed=3)
    other = split(make(records), HeldOut(share=0.1), length=50, seed=4)
    assert listed(first.validation) == listed(again.validation)
    assert listed(first.validation) != listed(other.validation)
    swapped = split(make(dict(reversed(records.items())), "swapped.fa"), HeldOut(share=0.1), length=50, seed=3)
    assert [(1 - contig, *stretch) for contig, *stretch in listed(swapped.validation) if contig == 0] == [
        (contig, *stretch) for contig, *stretch in listed(first.validation) if contig == 1
    ]  # a block is known by its contig's name


@given(share=st.floats(0.02, 0.99), seed=st.integers(0, 100), length=st.sampled_from([1, 7, 20]))
@settings(deadline=None, max_examples=40)
def test_share_never_takes_all_nor_nothing(tmp_path_factory, share, seed, length):
    from .conftest import mapped

    store = mapped(tmp_path_factory.mktemp("share"), [random_dna(2000), random_dna(300), random_dna(100)])
    excluded = regions([(0, 100, 1000)])
    parts = split(store, HeldOut(share=share), length=length, seed=seed, excluded=excluded)
    assert parts.train.bases >= length
    assert parts.validation.bases >= length
    assert parts.train.union(parts.validation) == Regions.whole(store).minus(excluded)
    assert abs(parts.validation.bases - share * 1500) <= 4 * length + 200


def test_contigs_bed_and_own(store, write):
    assert listed(split(store, HeldOut(contigs=("chr2",)), length=10, seed=0).validation) == [(1, 0, 500)]
    bed = str(write("chr1\t100\t200\n", "some.bed"))
    parts = split(store, HeldOut(bed=bed), length=10, seed=0, excluded=regions([(0, 150, 300)]))
    assert listed(parts.validation) == [(0, 100, 150)]
    assert listed(parts.train) == [(0, 0, 100), (0, 300, 1000), (1, 0, 500)]
    own = regions([(1, 0, 50)])
    assert split(store, "auto", length=10, seed=0, default=own).validation == own
    assert split(store, "auto", length=10, seed=0).validation == split(store, HeldOut(share=0.05), length=10, seed=0).validation


def test_splits_that_are_refused(store, write, make):
    with pytest.raises(GenomeError, match=r"has no contig 'chr3'; did you mean 'chr[12]'\?"):
        split(store, HeldOut(contigs=("chr3",)), length=10, seed=0)
    with pytest.raises(GenomeError, match="has no base: validation takes all of it; hold out less"):
        split(store, HeldOut(contigs=("chr1", "chr2")), length=10, seed=0)
    bed = str(write("chr1\t100\t200\n", "some.bed"))
    with pytest.raises(GenomeError, match="has no base: its regions are excluded, or not included; name others"):
        split(store, HeldOut(bed=bed), length=10, seed=0, excluded=regions([(0, 0, 300)]))
    with pytest.raises(
        GenomeError, match=r"a share of 0.01 of 1500 bases, is less than one window of 100; set a larger data.validation"
    ):
        split(store, HeldOut(share=0.01), length=100, seed=0)
    with pytest.raises(GenomeError, match=r"too small for windows of 100: it cannot be cut into two blocks of 400"):
        split(make({"one": random_dna(700)}, "one.fa"), HeldOut(share=0.5), length=100, seed=0)
    with pytest.raises(GenomeError, match="give one of share, contigs, bed"):
        split(store, HeldOut(), length=10, seed=0)
