"""FASTA of each class, cut into parts here: MTcDNA as the reference makes it."""

import random

import pytest

from findna_kit.evaluation import load_task
from tests.evaluation.tasks.writing import loaded, refused, rows_of, sizes, task_file, written

NAMES = {"turtle": ("Chelonoidis_turtle", "Gopherus_turtle"), "mouse": ("Mus_musculus", "Mus_spretus")}


def fasta(path, count, length, seed):
    draw = random.Random(seed)
    lines = [f"{number}.{seed}" for number in range(count)]
    return written(path, *(text for name in lines for text in (f">{name}", "".join(draw.choices("ACGT", k=length(draw))))))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four species, 25 records each of 4.9 to 9 kb."""
    folder = tmp_path_factory.mktemp("species")
    for seed, name in enumerate(name for names in NAMES.values() for name in names):
        fasta(folder / "MTcDNA" / name, 25, lambda draw: draw.choice([4900, 5000, 5001, 7000, 9000]), seed)
    return folder


def records(data):
    found = {}
    for label, names in NAMES.items():
        for name in names:
            lines = (data / "MTcDNA" / name).read_text().split()
            found |= dict.fromkeys((line for line in lines if not line.startswith(">") and len(line) > 5000), label)
    return found


@pytest.mark.parametrize(("name", "length"), [("1k", 1024), ("4k", 4096), ("8k", 8192), ("16k", 16384)])
def test_records_are_cut_or_padded_and_none_is_lost(data, name, length):
    task = load_task(f"mtcdna/{name}", data)
    expected = records(data)
    rows = [row for part in task.splits for row in rows_of(task, part)]
    assert sorted(rows) == sorted((letters[:length].ljust(length, "N"), label) for letters, label in expected.items())
    train, validation, test = sizes(task)
    assert abs(test - 0.2 * len(expected)) <= 1
    assert abs(validation - 0.2 * len(expected)) <= 1
    assert train + validation + test == len(expected)
    assert (task.metric, task.classes) == ("accuracy", ("mouse", "turtle"))
    assert task.notes[0].startswith(
        "the records are published without splits: 20% were split off for test and 20% for validation, by class"
    )
    assert "records of one gene may lie in several splits" in task.notes[0]


def test_parts_are_by_class_and_the_same_every_time(data):
    one, other = (load_task("mtcdna/1k", data) for _ in range(2))
    assert one.digest == other.digest
    share = {part: table.labels.mean() for part, table in one.splits.items()}
    assert max(share.values()) - min(share.values()) < 0.06


def own(folder, extra=""):
    for seed, name in enumerate(("one", "two")):
        fasta(folder / f"{name}.fa", 20, lambda draw: draw.randrange(5, 30), seed)
    return task_file(folder, f"fasta: {{one: [one.fa], two: [two.fa]}}\n{extra}")


def test_a_task_file_of_ones_own_states_shares_and_seed(tmp_path):
    path = own(tmp_path, "split: {dev: 0.1, test: 0.5, seed: 3}")
    task = loaded(path)
    assert sizes(task) == (16, 4, 20)
    assert "50% were split off for test and 10% for validation, by class and with seed 3" in task.notes[0]
    other = loaded(task_file(tmp_path, path.read_text().replace("seed: 3", "seed: 4")))
    assert other.digest != task.digest


def test_letters_read_as_n_are_said(tmp_path):
    path = own(tmp_path)
    written(tmp_path / "two.fa", *(f">{n}\nACGTRYacgu" for n in range(9)))
    task = loaded(path)
    assert "18 letters of two.fa other than A C G T N were read as N" in task.notes
    assert {sequence for part in task.splits for sequence, label in rows_of(task, part) if label == "two"} == {"ACGTNNACGT"}


def test_a_file_of_short_records_or_none_is_refused(tmp_path):
    path = own(tmp_path, "longer_than: 30")
    assert refused(path) == f"{tmp_path}/one.fa has no record longer than 30 bases"
    (tmp_path / "two.fa").unlink()
    assert refused(path) == f"{path}: its data are missing: looked for {tmp_path}/two.fa"
    written(tmp_path / "two.fa", "sequence,label", "ACGT,1")
    (tmp_path / "one.fa").write_text(f">a\n{'A' * 40}\n")
    assert "two.fa is no FASTA: its first line must be '>name'" in refused(path)


def test_absent_species_are_named_with_where_they_come_from(tmp_path):
    message = refused("mtcdna/8k", "--data", tmp_path)
    assert f"{tmp_path}/MTcDNA/Chelonoidis_turtle, {tmp_path}/MTcDNA/Gopherus_turtle" in message
    assert "published: nowhere as a set: the cDNA FASTA of each of the four species" in message
