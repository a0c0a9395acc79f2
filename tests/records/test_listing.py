"""Runs below a folder: how each stands, by its own files; one that is broken leaves the others as they are."""

import json

import pytest
from filelock import FileLock

from findna_kit.errors import FindnaError
from findna_kit.records.listing import STATUSES, entries_below, entry_of
from tests.records.copies import copied, look


def test_a_real_run_is_told_whole(run):
    entry = entry_of(run)
    assert (entry.status, entry.name, entry.seed, entry.step, entry.steps) == ("finished", "masked_only", 7, 6, 6)
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert entry.held_out == {"masked": last["held_out/masked/loss"]}
    (score,) = entry.scores
    (task,) = json.loads((run / "evaluation.json").read_text()).values()
    assert (score.name, score.value) == ("task/knn/mcc", task["protocols"]["knn"]["encoder"]["mcc"]["value"])
    assert entry.seconds > 0
    assert abs(entry.when.timestamp() - (run / "run.json").stat().st_mtime) < 1
    assert entry.metric is None
    assert entry_of(run, "masked/loss").metric == last["masked/loss"]


def test_every_one_below_is_found_and_none_inside_a_run(run, tmp_path):
    for name in ("b", "a", "study/cells/reference/seed-0/run", ".hidden/c"):
        copied(run, tmp_path / "runs" / name)
    copied(run, tmp_path / "runs" / "a" / "checkpoints" / "no")
    copied(run, tmp_path / "elsewhere" / "d")
    (tmp_path / "runs" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "runs" / "circle").symlink_to(tmp_path / "runs")
    (tmp_path / "runs" / "empty").mkdir()
    found = [str(entry.run.relative_to(tmp_path / "runs")) for entry in entries_below(tmp_path / "runs")]
    assert found == ["a", "b", "linked/d", "study/cells/reference/seed-0/run"]
    assert [entry.run for entry in entries_below(tmp_path / "runs" / "a")] == [tmp_path / "runs" / "a"], "a run itself"


def test_a_run_that_says_running_and_that_nobody_has_was_killed(run, tmp_path):
    one = copied(run, tmp_path / "one", [look(0, masked=1.4), {"step": 2, "loss": 1.0}], status="running", reason=None)
    entry = entry_of(one)
    assert (entry.status, entry.reason, entry.step) == ("killed", "it recorded no end, and no process holds its folder", 2)
    assert entry.held_out == {"masked": 1.4}, "of the newest look"
    with FileLock(one / ".lock"):
        assert (entry_of(one).status, entry_of(one).reason) == ("running", None)
    assert entry_of(copied(run, tmp_path / "early", status=None)).status == "killed", "before it said anything"


def test_one_that_is_gone_on_with_is_running_and_others_say_why_they_ended(run, tmp_path):
    one = copied(run, tmp_path / "one", status="interrupted", reason="SIGTERM: step 3 of 6 is saved")
    assert (entry_of(one).status, entry_of(one).reason) == ("interrupted", "SIGTERM: step 3 of 6 is saved")
    with FileLock(one / ".lock"):
        assert (entry_of(one).status, entry_of(one).reason) == ("running", None)
    assert entry_of(copied(run, tmp_path / "other", status="stopped", reason="nan")).reason == "nan"


@pytest.mark.parametrize(("file", "text", "reason"), [
    ("run.json", "{", "run.json: not valid JSON"),
    ("run.json", "[]", "run.json: unexpected content (the whole file: "),
    ("run.json", '{"name": 3}', "run.json: unexpected content (name: Input should be a valid string); restore"),
    ("run.json", '{"status": "sleeping"}', "run.json: unexpected content (status: 'sleeping'); restore the file from a copy"),
    ("run.json", '{"steps": "many"}', "run.json: unexpected content (steps: "),
    ("run.json", '{"timings": 3}', "run.json: unexpected content (timings: "),
    ("evaluation.json", "{", "evaluation.json: not valid JSON"),
    ("evaluation.json", '{"a": {}}', "evaluation.json: unexpected content (a.task: Field required); remove it"),
    ("metrics.jsonl", "3\n", "metrics.jsonl: line 1 is not a row of metrics; restore the file"),
])  # fmt: skip
def test_a_broken_one_is_told_as_such_and_spoils_no_other(run, tmp_path, file, text, reason):
    copied(run, tmp_path / "runs" / "b-good")
    bad = copied(run, tmp_path / "runs" / "a-bad")
    (bad / file).write_text(text)
    broken, good = entries_below(tmp_path / "runs")
    assert (broken.status, good.status) == ("broken", "finished")
    assert reason in broken.reason and str(bad) in broken.reason
    assert broken.steps == (None if file == "run.json" else 6), "what can be read is told"


def test_what_cannot_be_read_is_broken(run, tmp_path):
    bad = copied(run, tmp_path / "bad")
    (bad / "evaluation.json").unlink()
    (bad / "evaluation.json").mkdir()
    assert f"{bad}/evaluation.json: cannot be read: Is a directory" in entry_of(bad).reason


def test_two_tasks_of_one_name_are_called_by_their_paths(run, tmp_path):
    (result,) = json.loads((run / "evaluation.json").read_text()).values()
    both = json.dumps({"/x/task": result, "/y/task": result})
    names = [score.name for score in entry_of(copied(run, tmp_path / "one", evaluation=both)).scores]
    assert names == ["/x/task/knn/mcc", "/y/task/knn/mcc"]


def test_without_a_folder_it_is_refused(tmp_path):
    with pytest.raises(FindnaError, match="nowhere: no such folder; give the folder that holds your runs"):
        entries_below(tmp_path / "nowhere")


def test_every_status_that_a_run_writes_is_known():
    assert {"running", "finished", "interrupted", "stopped", "failed"} < set(STATUSES)
