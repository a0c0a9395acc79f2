"""The audit finds what was planted, each in its kind, and nothing in a clean split; and what is known of real tasks."""

import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from findna_kit import alphabet
from findna_kit.evaluation import Task, TaskSplit, load_task
from findna_kit.evaluation.leakage import audit, has_findings, seen_in
from findna_kit.records.audit_json import AuditReport
from tests.building import SHARED

OTHER = str.maketrans("ACGTN", "TGCAN")


def turned(sequence):
    return sequence[::-1].translate(OTHER)


def drawn(draw, count, length):
    return ["".join(draw.choices("ACGT", k=length)) for _ in range(count)]


def substituted(draw, sequence, share):
    letters = list(sequence)
    for place in draw.sample(range(len(letters)), round(share * len(letters))):
        letters[place] = draw.choice([letter for letter in "ACGT" if letter != letters[place]])
    return "".join(letters)


def edited(draw, sequence, share):
    """Substitutions, deletions and insertions, a third of each, together `share` of the bases."""
    letters = list(sequence)
    for place in draw.sample(range(len(letters)), round(share * len(letters))):
        letters[place] = draw.choice([draw.choice("ACGT"), "", letters[place] + draw.choice("ACGT")])
    return "".join(letters)


def task(train, validation, test, labels=None):
    parts = {"train": train, "validation": validation, "test": test}
    labels = labels or {}
    tables = {
        part: TaskSplit(rows, np.array(labels.get(part, [n % 2 for n in range(len(rows))]), dtype=np.int64))
        for part, rows in parts.items()
    }
    return Task("toy", "/toy", tables, ("0", "1"), ())


def audited(task):
    return audit(task).to_json()


def between(report, rows_of, found_in):
    (pair,) = [pair for pair in report["between"] if (pair["rows_of"], pair["found_in"]) == (rows_of, found_in)]
    return pair


@pytest.mark.parametrize("length", [50, 70, 101, 200, 500, 2000])
def test_a_clean_split_has_nothing(length):
    draw = random.Random(length)
    report = audited(task(drawn(draw, 400, length), drawn(draw, 60, length), drawn(draw, 80, length)))
    assert all(not any(pair["rows"].values()) and pair["share"] == 0 for pair in report["between"])
    assert report["leaked"] == {"rows": [], "share": 0}
    assert report["repeats"] == {"train": 0, "validation": 0, "test": 0}
    assert report["conflicting"]["sequences"] == 0
    assert all(pair["not_compared"] == 0 for pair in report["between"])
    assert not has_findings(AuditReport.model_validate(report))


@pytest.mark.parametrize("length", [70, 101, 300, 1000])
def test_what_was_planted_is_found_in_its_kind_and_its_row(length):
    draw = random.Random(length)
    train, validation = drawn(draw, 300, length), drawn(draw, 50, length)
    test = drawn(draw, 40, length)
    test[3], test[11] = train[7], validation[4].lower()
    test[5], test[12] = turned(train[9]), turned(validation[2])
    validation[30] = train[200]
    report = audited(task(train, validation, test))
    assert between(report, "test", "train")["rows"] == {"same": [3], "reverse_complement": [5], "near": []}
    assert between(report, "test", "validation")["rows"] == {"same": [11], "reverse_complement": [12], "near": []}
    assert between(report, "validation", "train")["rows"] == {"same": [30], "reverse_complement": [], "near": []}
    assert between(report, "test", "train")["share"] == 2 / 40
    assert report["leaked"] == {"rows": [3, 5, 11, 12], "share": 0.1}
    assert has_findings(AuditReport.model_validate(report))


@pytest.mark.parametrize("change", [substituted, edited])
@pytest.mark.parametrize("other_strand", [False, True])
@pytest.mark.parametrize(("length", "at_least"), [(70, 0.9), (101, 0.98), (300, 1.0), (1000, 1.0)])
def test_copies_of_95_percent_identity_are_near(length, at_least, other_strand, change):
    draw = random.Random(length)
    train = drawn(draw, 300, length)
    copies = [change(draw, row, 0.05) for row in train[:200]]
    test = [turned(row) if other_strand else row for row in copies] + drawn(draw, 100, length)
    near = between(audited(task(train, drawn(draw, 5, length), test)), "test", "train")["rows"]["near"]
    assert max(near) < 200
    assert len(near) >= at_least * 200


def test_copies_of_70_percent_identity_are_not():
    draw = random.Random(1)
    train = drawn(draw, 300, 200)
    report = audited(task(train, drawn(draw, 5, 200), [substituted(draw, row, 0.3) for row in train]))
    assert between(report, "test", "train")["rows"]["near"] == []


def test_a_row_within_a_longer_one_is_near():
    draw = random.Random(2)
    train = drawn(draw, 100, 400)
    test = [row[n : n + 150] for n, row in enumerate(train)]
    assert between(audited(task(train, drawn(draw, 5, 200), test)), "test", "train")["rows"]["near"] == list(range(100))


def test_near_rows_whose_nearest_has_another_label_are_counted():
    """Some suites make the one class by changing parts of the other."""
    draw = random.Random(8)
    train = drawn(draw, 40, 100)
    test = [substituted(draw, row, 0.03) for row in train[:20]]
    labels = {"train": [0] * 40, "validation": [0, 1], "test": [1] * 7 + [0] * 13}
    pair = between(audited(task(train, drawn(draw, 2, 100), test, labels)), "test", "train")
    assert (len(pair["rows"]["near"]), pair["near_with_another_label"]) == (20, 7)


def test_what_is_too_short_or_unknown_is_said_not_to_be_compared():
    draw = random.Random(3)
    rows = drawn(draw, 30, 100)
    test = ["ACGTACGTAC", "N" * 100, rows[0][:18], rows[1][:19], rows[2]]
    pair = between(audited(task([*rows, test[0]], drawn(draw, 5, 100), test)), "test", "train")
    assert pair["rows"] == {"same": [0, 4], "reverse_complement": [], "near": [3]}
    assert pair["not_compared"] == 2  # the first was found as it is


def test_letters_are_compared_as_the_model_reads_them():
    draw = random.Random(4)
    row = draw.choice(drawn(draw, 1, 80))
    train = [row[:40] + "N" + row[41:], *drawn(draw, 20, 80)]
    test = [(row[:40] + "r" + row[41:]).replace("T", "U"), *drawn(draw, 3, 80)]
    assert between(audited(task(train, drawn(draw, 3, 80), test)), "test", "train")["rows"]["same"] == [0]


def test_repeats_and_labels_that_disagree_are_counted_on_both_strands():
    draw = random.Random(5)
    train, test = drawn(draw, 10, 60), drawn(draw, 6, 60)
    train += [train[0], turned(train[1]), train[2]]
    test[4] = turned(train[5])
    labels = {"train": [0] * 10 + [0, 0, 1], "validation": [0, 1, 0], "test": [0, 0, 0, 0, 1, 0]}
    report = audited(task(train, drawn(draw, 3, 60), test, labels))
    assert report["repeats"] == {"train": 3, "validation": 0, "test": 0}
    assert report["conflicting"] == {"sequences": 2, "rows": {"train": [2, 5, 12], "validation": [], "test": [4]}}


@given(st.integers(0, 500))
def test_the_strand_and_the_order_of_rows_change_no_count(seed):
    draw = random.Random(seed)
    train = drawn(draw, 12, 60)
    test = [draw.choice([substituted(draw, row, 0.03), row, turned(row), *drawn(draw, 1, 60)]) for row in train]
    before = audited(task(train, train[:1], test))
    after = audited(task([turned(row) for row in train[::-1]], train[:1], test))
    one, other = between(before, "test", "train")["rows"], between(after, "test", "train")["rows"]
    assert (one["same"], one["reverse_complement"], one["near"]) == (other["reverse_complement"], other["same"], other["near"])


def test_the_share_of_a_row_that_lies_in_a_genome_decides():
    draw = random.Random(6)
    genome = "".join(draw.choices("ACGT", k=5000))
    test = [genome[100:300], turned(genome[400:600]), genome[900:1030] + drawn(draw, 1, 70)[0], drawn(draw, 1, 200)[0]]
    test += [genome[1000:1100] + drawn(draw, 1, 100)[0], "N" * 200, genome[2000:2031]]
    one, two = task(["A"], ["C"], test), task(["A"], ["C"], [genome[4000:4100], *drawn(draw, 2, 100)])
    seen = seen_in([one, two], [alphabet.encode(genome[:2500]), alphabet.encode(genome[2500:])])
    assert seen[0] == {"k": 32, "rows": [0, 1, 2], "share": 3 / 5, "not_compared": 2}
    assert seen[1] == {"k": 32, "rows": [0], "share": 1 / 3, "not_compared": 0}


def real(name):
    folder = SHARED / "tasks" / name
    if not folder.is_dir():
        pytest.skip(f"the real task {name} is not beside this checkout")
    return audited(load_task(str(folder)))


def exact(report, rows_of, found_in):
    return len(between(report, rows_of, found_in)["rows"]["same"])


@pytest.mark.parametrize(("name", "rows"), [("prom_core_tata", 16), ("prom_300_tata", 6)])
def test_known_leaks_of_promoters(name, rows):
    assert exact(real(f"GUE/prom/{name}"), "test", "train") == rows


def test_known_leaks_of_prom_core_all_within_seconds():
    started = time.perf_counter()
    report = real("GUE/prom/prom_core_all")
    assert time.perf_counter() - started < 30
    assert exact(report, "test", "train") == 43
    assert report["conflicting"]["sequences"] == 64


def test_known_leaks_of_tf_4():
    report = real("GUE/tf/4")
    assert exact(report, "validation", "train") == 358
    assert report["repeats"]["train"] / report["sizes"]["train"] == pytest.approx(0.2, abs=0.03)


def test_known_leaks_of_splice():
    """Its dev part was cut in two for training and validation; test meets it in both."""
    report = real("GUE/splice/reconstructed")
    shared = {row for part in ("train", "validation") for row in between(report, "test", part)["rows"]["same"]}
    assert len(shared) == 32
