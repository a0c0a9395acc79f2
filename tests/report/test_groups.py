"""Runs drawn as one, and what a page calls each."""

import json

import pytest

from findna_kit.report.folders import read_run
from findna_kit.report.groups import group_runs, shortest_labels


def runs(folder, *columns):
    """A run for each column of losses; None: no row of that step."""
    made = []
    for number, values in enumerate(columns):
        own = folder / str(number)
        own.mkdir()
        rows = [{"step": step, "loss": value} for step, value in enumerate(values) if value != "no row"]
        (own / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        made.append(read_run(own, str(number)))
    return made


def test_one_run_is_its_own_line(tmp_path):
    (group,), steps = group_runs([("alone", runs(tmp_path, [3.0, 2.0, 1.0]))])
    curve = group.curve("loss")
    assert (curve.pieces, curve.band, steps, group.title) == ([[(0, 3.0), (1, 2.0), (2, 1.0)]], (), 2, "alone")
    assert group.curve("accuracy") is None


def test_several_are_their_mean_and_their_range(tmp_path):
    (group,), _ = group_runs([("both", runs(tmp_path, [3.0, 2.0], [5.0, 6.0]))])
    curve = group.curve("loss")
    assert curve.pieces == [[(0, 4.0), (1, 4.0)]]
    assert curve.band == [(0, 3.0, 5.0), (1, 2.0, 6.0)]
    assert group.title == "both (2 seeds)"


def test_a_mean_is_drawn_where_all_have_a_value(tmp_path):
    """Or it would jump where the one that is behind ends."""
    (group,), _ = group_runs([("both", runs(tmp_path, [3.0, 2.0, 9.0], [5.0, None]))])
    assert group.curve("loss").pieces == [[(0, 4.0)]]


@pytest.mark.parametrize(("count", "stretches"), [(1, 240), (24, 100), (500, 30)])
def test_many_groups_have_fewer_points_each(tmp_path, count, stretches):
    (one,) = runs(tmp_path, [float(step) for step in range(1000)])
    groups, _ = group_runs(
        [(str(number), [one]) for number in range(count)][:2] + [(str(n), []) for n in range(max(0, count - 2))]
    )
    assert len(groups[0].series[0]["loss"].bins) <= stretches


@pytest.mark.parametrize(("folders", "labels"), [
    (["/a/runs/x-1"], ["x-1"]),
    (["/a/runs/x-1", "/a/runs/x-2"], ["x-1", "x-2"]),
    (["/a/seed-0/run", "/a/seed-1/run", "/b/x"], ["seed-0/run", "seed-1/run", "x"]),
    (["/a/b", "/b"], ["a/b", "/b"]),
])  # fmt: skip
def test_labels_are_short_and_tell_folders_apart(folders, labels):
    assert shortest_labels(folders) == labels
