"""The built-in data: what lies in the package is what SOURCES.json says, and the task's parts are apart."""

import csv
import gzip
import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILTIN = ROOT / "findna_kit" / "data" / "builtin"
TOOL = ROOT / "tools" / "build_builtin.py"
DEB = os.environ.get("FINDNA_AUGUSTUS_DOC_DEB", "")
PARTS = ("train", "dev", "test")
REGION_OF = {"dev": "validation", "test": "test"}
COMPLEMENT = str.maketrans("ACGTacgt", "TGCAtgca")


def reverse_complement(bases):
    return bases.translate(COMPLEMENT)[::-1]


def run_tool(*arguments):
    return subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def sources():
    return json.loads((BUILTIN / "SOURCES.json").read_text())


@pytest.fixture(scope="module")
def genome():
    with gzip.open(BUILTIN / "genome.fa.gz", "rt") as stream:
        header, *lines = stream.read().splitlines()
    assert {len(line) for line in lines[:-1]} == {80}
    return header.removeprefix(">"), "".join(lines)


@pytest.fixture(scope="module")
def regions():
    rows = [line.split("\t") for line in (BUILTIN / "regions.bed").read_text().splitlines()]
    return {name: (contig, int(start), int(end)) for contig, start, end, name in rows}


@pytest.fixture(scope="module")
def rows():
    read = {}
    for part in PARTS:
        with gzip.open(BUILTIN / "coding" / f"{part}.csv.gz", "rt", newline="") as stream:
            read[part] = list(csv.DictReader(stream))
    return read


def test_every_file_is_the_one_described(sources):
    there = {str(path.relative_to(BUILTIN).as_posix()) for path in BUILTIN.rglob("*") if path.is_file()}
    assert there == {*sources["files"], "SOURCES.json"}
    for name, entry in sources["files"].items():
        content = (BUILTIN / name).read_bytes()
        unpacked = gzip.decompress(content) if name.endswith(".gz") else content
        assert len(content) == entry["bytes"]
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert hashlib.sha256(unpacked).hexdigest() == entry["unpacked_sha256"]


def test_the_whole_is_small():
    assert sum(path.stat().st_size for path in BUILTIN.rglob("*") if path.is_file()) < 3_000_000


def test_genome_is_the_stretch_described(sources, genome):
    name, bases = genome
    entry = sources["files"]["genome.fa.gz"]
    assert name == entry["contig"] == "chr2R_2000000_7000000"
    assert len(bases) == entry["bases"] == 5_000_000
    assert sum(map(str.islower, bases)) == entry["soft_masked"]
    assert set(bases) == set("ACGTacgt")


def test_held_out_regions_are_disjoint_and_inside(genome, regions):
    name, bases = genome
    assert set(regions) == {"validation", "test"}
    assert all(contig == name and 0 <= start < end <= len(bases) for contig, start, end in regions.values())
    (_, _, first_end), (_, second_start, _) = sorted(regions.values())
    assert first_end <= second_start


def test_every_row_is_the_genome_at_its_coordinates(genome, rows):
    name, bases = genome
    for row in itertools.chain.from_iterable(rows.values()):
        start, end = int(row["start"]), int(row["end"])
        assert row["contig"] == name
        assert row["strand"] in {"+", "-"}
        assert end - start == 200
        here = bases[start:end]
        assert row["sequence"] == (here if row["strand"] == "+" else reverse_complement(here))


def test_rows_lie_in_the_stretch_of_their_part(regions, rows):
    for part, region in REGION_OF.items():
        _, low, high = regions[region]
        assert all(low <= int(row["start"]) and int(row["end"]) <= high for row in rows[part])
        others = (row for other in PARTS if other != part for row in rows[other])
        assert not any(int(row["start"]) < high and low < int(row["end"]) for row in others)


def test_no_two_windows_overlap(rows):
    spans = sorted((int(row["start"]), int(row["end"])) for row in itertools.chain.from_iterable(rows.values()))
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_no_word_of_25_bases_is_in_two_windows(rows):
    # Stronger than "no exact or reverse-complement duplicates", which it includes.
    owner = {}
    for number, row in enumerate(itertools.chain.from_iterable(rows.values())):
        bases = row["sequence"].upper()
        for text in (bases, reverse_complement(bases)):
            for i in range(len(text) - 24):
                assert owner.setdefault(text[i : i + 25], number) == number


def test_parts_are_balanced_and_counted(sources, rows):
    for part in PARTS:
        labels = [row["label"] for row in rows[part]]
        entry = sources["files"][f"coding/{part}.csv.gz"]
        assert entry["rows"] == len(labels)
        assert entry["classes"] == {label: labels.count(label) for label in ("0", "1")}
        assert labels.count("0") == labels.count("1") >= 300


def test_the_label_does_not_follow_from_the_strand_given(rows):
    for part in PARTS:
        shares = []
        for label in "01":
            strands = [row["strand"] for row in rows[part] if row["label"] == label]
            shares.append(strands.count("+") / len(strands))
        assert abs(shares[0] - shares[1]) < 0.1


def test_all_records_of_the_package_were_used(sources):
    assert sources["records"] == {"in_package": 586, "fit_genome_and_alignments": 586, "dropped": 0}


def test_tool_refuses_a_file_that_is_no_package(tmp_path):
    missing = run_tool(tmp_path / "missing.deb", "--out", tmp_path / "out")
    assert missing.returncode == 2
    assert "missing.deb" in missing.stderr
    (tmp_path / "broken.deb").write_text("no package")
    broken = run_tool(tmp_path / "broken.deb", "--out", tmp_path / "out")
    assert broken.returncode == 2
    assert broken.stderr.startswith("build_builtin: ")
    assert "Traceback" not in broken.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not DEB, reason="FINDNA_AUGUSTUS_DOC_DEB does not name Debian's augustus-doc package file")
def test_a_fresh_build_is_what_lies_in_the_package(tmp_path):
    same = run_tool(DEB, "--check")
    assert same.returncode == 0, same.stdout + same.stderr
    assert run_tool(DEB, "--out", tmp_path).returncode == 0
    for path in BUILTIN.rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(BUILTIN)).read_bytes() == path.read_bytes()
    (tmp_path / "regions.bed").write_text("other\n")
    differs = run_tool(DEB, "--out", tmp_path, "--check")
    assert differs.returncode == 3
    assert "regions.bed: DIFFERENT" in differs.stdout
