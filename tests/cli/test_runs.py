"""runs list, runs best, runs compare: a table for readers, CSV and JSON for machines, sentences for mistakes."""

import csv
import io
import json
import subprocess
import sys

import pytest

from tests.installing import findna
from tests.records.copies import copied, look, real_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return real_run(tmp_path_factory.mktemp("real"))


@pytest.fixture
def runs(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, loss, record in (
        ("a", 1.3, {"seed": 3}),
        ("b", 1.1, {"status": "running"}),
        ("c", 1.2, {"seed": 1, "timings": {"training_seconds": 7200.0}}),
    ):
        copied(run, tmp_path / "runs" / name, [look(0, masked=2.0), look(6, masked=loss)], **record)
    (copied(run, tmp_path / "runs" / "d") / "run.json").write_text("{")


def done(*arguments, code=0):
    found, out, err = findna("runs", *arguments)
    assert found == code, err
    return out, err


def names(out):
    return [line.split()[0].removeprefix("runs/") for line in out.splitlines()[1:]]


def test_a_table_of_all_that_are_in_runs(runs):
    out, err = done("list")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[:4] == [
        "run status seed step validation loss", "runs/a finished 3 6 of 6 masked 1.3", "runs/b killed 7 6 of 6 masked 1.1",
        "runs/c finished 1 6 of 6 masked 1.2",
    ]  # fmt: skip
    assert lines[4].startswith("runs/d broken - 6 of - masked 1.3")
    assert err.splitlines()[-1] == "runs: 4 runs"
    assert err.splitlines()[0].startswith("runs/d: runs/d/run.json: not valid JSON (")
    assert done()[0] == out, "list is the default command of the group"
    lines = [" ".join(line.split()) for line in done("list", "--wide")[0].splitlines()]
    assert lines[0] == "run status seed step validation loss scores on test sequences training when"
    assert lines[1].startswith("runs/a finished 3 6 of 6 masked 1.3 task mcc: knn 1.000 ")
    assert " 7,200 s 20" in lines[3]


def test_some_of_them_in_some_order(runs):
    assert names(done("list", "--sort", "metric", "--metric", "held_out/masked/loss")[0]) == ["b", "c", "a", "d"]
    assert names(done("list", "--sort", "seed", "--reverse")[0]) == ["b", "a", "c", "d"], "what is not known is last"
    assert names(done("list", "--sort", "time", "--reverse")[0])[0] == "c"
    out, err = done("list", "--status", "killed, broken", "--sort", "status")
    assert (names(out), err.splitlines()[-1]) == (["d", "b"], "runs: 2 runs, and 2 with another status")
    out, err = done("list", "--status", "stopped")
    assert (out, err) == ("", "runs: 0 runs, and 4 with another status\n")


def test_csv_has_a_number_in_each_cell(runs):
    rows = list(csv.DictReader(io.StringIO(done("list", "--csv", "--metric", "collapse/student/pooled_rankme")[0])))
    assert [row["run"] for row in rows] == ["runs/a", "runs/b", "runs/c", "runs/d"]
    first = {name: rows[0][name] for name in ("status", "seed", "held_out/masked/loss", "collapse/student/pooled_rankme")}
    assert first == {
        "status": "finished", "seed": "3", "held_out/masked/loss": "1.3", "collapse/student/pooled_rankme": "2.0",
    }  # fmt: skip
    assert float(rows[0]["task/knn/mcc/low"]) <= float(rows[0]["task/knn/mcc"]) <= float(rows[0]["task/knn/mcc/high"])
    assert rows[1]["reason"] == "it recorded no end, and no process holds its folder"
    assert rows[3]["steps"] == ""


def test_json_is_all_that_is_known(runs):
    found = json.loads(done("list", "--json", "--status", "finished")[0])
    assert [one["run"] for one in found] == ["runs/a", "runs/c"]
    assert found[1]["training_seconds"] == 7200.0
    assert found[0]["scores"]["task/knn/mcc"].keys() == {"value", "low", "high"}


def test_a_metric_that_no_run_has(runs):
    _, err = done("list", "--metric", "held_out/maskd/loss")
    assert "no run there has a number for held_out/maskd/loss; did you mean 'held_out/masked/loss'?" in err


@pytest.mark.parametrize(("words", "sentence"), [
    (["list", "elsewhere"], "elsewhere: no such folder; give the folder that holds your runs"),
    (["list", "--csv", "--json"], "--csv and --json exclude each other: give one of them"),
    (["list", "--sort", "metric"], "--sort metric: name the metric with --metric"),
    (["list", "--status", "finishd"], "--status finishd: is not the status of a run; did you mean 'finished'? (known: fini"),
    (["best", "--metric", "task/probe/mcc"], "task/probe/mcc: is a score on the test split; selecting on the test set "),
    (["best", "--metric", "loss"], "loss: is a training metric, or unknown; "),
    (["best", "--metric", "held_out/masked/loss", "--maximise"], "held_out/masked/loss: lower is better; leave maximise out"),
    (["best", "--metric", "held_out/other/loss"], "runs: no finished run has a value of held_out/other/loss"),
    (["compare", "runs/a"], "compare needs two runs or more"),
    (["compare", "runs/a", "runs/d"], "runs/d/run.json: not valid JSON ("),
])  # fmt: skip
def test_mistakes_are_sentences(runs, words, sentence):
    out, err = done(*words, code=2)
    assert (out, err.startswith(sentence)) == ("", True), err


def test_the_best_one_by_what_and_of_how_many(runs):
    out, err = done("best", "--metric", "held_out/masked/loss")
    assert out == "runs/c: held_out/masked/loss 1.2, seed 1, 6 steps\nnext: runs/a: 1.3\n"
    assert err.splitlines() == [
        "2 finished runs compared by held_out/masked/loss (lower is better), at the last validation of each; "
        "left out: 1 killed, 1 broken",
        "the value of the best of several runs is optimistic, and each run has one seed: use ablate to test a change",
    ]  # fmt: skip
    found = json.loads(done("best", "--metric", "held_out/masked/loss", "--json")[0])
    assert (found["best"], [one["run"] for one in found["compared"]]) == ("runs/c", ["runs/c", "runs/a"])
    assert done("best", "--csv", "--metric", "held_out/masked/loss")[0] == (
        "run,seed,held_out/masked/loss\nruns/c,1,1.2\nruns/a,3,1.3\n"
    )


def test_numbers_of_other_windows_are_said_to_be(runs, run, tmp_path):
    genomes = [{**genome, "digest": "of another"} for genome in json.loads((run / "run.json").read_text())["genomes"]]
    copied(run, tmp_path / "runs" / "e", [look(6, masked=1.0)], genomes=genomes)
    _, err = done("best", "--metric", "held_out/masked/loss")
    assert "the validation windows come from 2 different genomes or splits: they are not comparable" in err


def test_two_side_by_side(runs, run, tmp_path):
    (tmp_path / "runs" / "c" / "recipe.yaml").write_text(
        (run / "recipe.yaml").read_text().replace("class_tokens: 2", "class_tokens: 3")
    )
    out, err = done("compare", "runs/a", "runs/c")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for line in (
        "run runs/a runs/c", "status finished finished", "recipe runs/a runs/c", "class_tokens 2 3", "made with: none",
        "held_out/masked/loss 1.3 1.2",
    ):  # fmt: skip
        assert line in lines, out
    assert "task: k-NN, mcc on test sequences" in out
    assert "encoder 1.000 [1.000, 1.000] 1.000 [1.000, 1.000]" in lines
    assert any(line.startswith("k-mer logistic regression 1.000") for line in lines)
    assert err.startswith("there is no interval for a difference between these runs: each was trained once") and "ablate" in err
    rows = list(csv.reader(io.StringIO(done("compare", "--csv", "runs/a", "runs/c")[0])))
    assert rows[0] == ["what", "runs/a", "runs/c"]
    assert ["recipe: class_tokens", "2", "3"] in rows
    assert json.loads(done("compare", "--json", "runs/a", "runs/c")[0])["metrics"]["held_out/masked/loss"] == [1.3, 1.2]


def test_metrics_of_training_are_compared_with_wide(runs, run, tmp_path):
    copied(run, tmp_path / "runs" / "e", [{**look(6, masked=1.0), "loss": 2.5}])
    assert "2.5" not in done("compare", "runs/a", "runs/e")[0]
    lines = [line.split() for line in done("compare", "--wide", "runs/a", "runs/e")[0].splitlines()]
    assert ["loss", "-", "2.5"] in lines


def test_a_list_comes_without_torch_and_a_thousand_runs_are_read_in_a_moment(run, tmp_path):
    """Processor time, of reading and printing; what importing costs is counted, too."""
    long = [look(step, masked=1.0) if step % 100 == 0 else {"step": step, "loss": 1.0} for step in range(0, 20_000, 10)]
    one = copied(run, tmp_path / "runs" / "run-0", long)
    for number in range(1, 1000):
        folder = tmp_path / "runs" / f"run-{number}"
        folder.mkdir()
        for name in ("run.json", "metrics.jsonl", "evaluation.json"):
            (folder / name).hardlink_to(one / name)
    code = (
        "import sys, time\nfrom findna_kit.cli import main\nsys.argv = ['findna-kit', 'runs', 'list', 'runs']\n"
        "try:\n    main()\nexcept SystemExit as left:\n    assert not left.code\n"
        "print('torch' in sys.modules, time.process_time(), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1001
    torch, seconds = done.stderr.splitlines()[-1].split()
    assert torch == "False"
    assert float(seconds) < 4, "1.2 s where it was written"
