"""Results of `evaluate` in a run's folder: one entry a task, nothing lost, nothing mixed."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import findna_kit
from findna_kit.data.genome import builtin_genome
from findna_kit.errors import FindnaError, TaskError
from findna_kit.evaluation import EvaluationRequest, load_task
from findna_kit.inference.frozen_model import untrained
from findna_kit.records.evaluation_json import TaskResult
from findna_kit.records.paths import PREDICTIONS
from findna_kit.runs import RunLocation, Scoring, evaluate_run, start
from findna_kit.runs.evaluate import _store as store
from tests.building import small
from tests.installing import findna
from tests.records.documents import task_result


def write_task(folder, shift=0, rows=(40, 20, 30)):
    folder.mkdir(parents=True)
    for part, count in zip(("train", "dev", "test"), rows, strict=True):
        lines = [f"{('ACGGC' if i % 2 else 'ATTAT') * 8}{'ACGT'[(i + shift) % 4] * (i % 9)},{i % 2}" for i in range(count)]
        (folder / f"{part}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")
    return folder


def trained(folder, *overrides):
    recipe, components, plugins = small("masked_only", "steps=1", *overrides)
    return start(recipe, RunLocation(out=folder), components=components, plugins=plugins, device="cpu").folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def task(tmp_path):
    return write_task(tmp_path / "tasks" / "0")


def score(run, tasks, protocols=("knn",), say=lambda sentence: None, **how):
    asked = EvaluationRequest(tuple(protocols), how.pop("seeds", 1), how.pop("shuffled_labels", False))
    results = evaluate_run(run, [str(task) for task in tasks], Scoring(asked, device="cpu", **how), say=say)
    return [result.to_json() for result in results]


def kept(run):
    return json.loads((run / "evaluation.json").read_text())


def test_protocols_scored_one_after_the_other_stand_together(run, task):
    (knn,) = score(run, [task], ["knn"])
    (probe,) = score(run, [task], ["probe"])
    (entry,) = kept(run).values()
    assert entry["protocols"] == {"knn": knn["protocols"]["knn"], "probe": probe["protocols"]["probe"]}
    (both,) = score(run, [task], ["knn", "probe"])
    assert both["protocols"] == entry["protocols"]
    assert kept(run)[str(task)] == entry


def test_every_protocol_beside_every_control_by_one_call(run, task):
    protocols = ["knn", "probe", "few_shot", "finetune"]
    quick = ("epochs=2", "batch_size=16", "patience=null")
    (result,) = score(run, [task], protocols, seeds=2, shuffled_labels=True, finetune=quick)
    assert list(result["protocols"]) == ["knn", "probe", "few_shot_1", "few_shot_5", "few_shot_10", "finetune"]
    for block in result["protocols"].values():
        assert block.keys() == {"encoder", "random_init", "shuffled_labels", "kmer", "majority", "encoder_minus"}
        assert block["random_init"]["seeds"] == 2
    assert result["finetuning"]["settings"]["epochs"] == 2
    assert result["finetuning"]["whose"]["epochs"] == "given"
    assert not [path for path in (run / "evaluation").iterdir() if path.is_dir()], "what a kill was not to cost is gone"


def test_a_second_call_does_nothing_and_what_is_deleted_comes_back_to_the_digit(run, task):
    said = []
    (first,) = score(run, [task], ["knn", "finetune"], seeds=2, finetune=("epochs=1",))
    before = (run / "evaluation.json").stat().st_mtime_ns
    (again,) = score(run, [task], ["knn", "finetune"], seeds=2, finetune=("epochs=1",), say=said.append)
    assert again == first
    assert said == ["0: already evaluated; nothing is computed"]
    assert (run / "evaluation.json").stat().st_mtime_ns == before
    tuned = [path for path in (run / "evaluation").glob("*.json") if '"protocol": "finetune"' in path.read_text()]
    assert len(tuned) == 4
    numbers = tuned[0].with_suffix(".npy").read_bytes()
    tuned[0].unlink()
    tuned[0].with_suffix(".npy").unlink()
    said.clear()
    (third,) = score(run, [task], ["knn", "finetune"], seeds=2, finetune=("epochs=1",), say=said.append)
    assert third == first
    assert tuned[0].with_suffix(".npy").read_bytes() == numbers
    assert len([sentence for sentence in said if "finetune" in sentence]) == 1
    (run / "evaluation.json").unlink()
    assert score(run, [task], ["knn", "finetune"], seeds=2, finetune=("epochs=1",)) == [first]


def test_the_networks_that_learned_nothing_differ_and_the_first_is_the_runs_own(run):
    model = findna_kit.load(run, device="cpu")
    fresh = [untrained(model, number).embed(["ACGTACGTTT"]) for number in range(3)]
    assert (fresh[0] == findna_kit.load(run, step=0, device="cpu").embed(["ACGTACGTTT"])).all()
    assert not np.allclose(fresh[0], fresh[1], rtol=0.1)
    assert not np.allclose(fresh[1], fresh[2], rtol=0.1)
    assert (untrained(model, 1).embed(["ACGTACGTTT"]) == fresh[1]).all()


def test_rows_that_leaked_are_said_and_can_be_left_out(run, tmp_path):
    letters = np.random.default_rng(0).choice(list("ACGT"), size=(60, 80))
    rows = [f"{''.join(row)},{number % 2}" for number, row in enumerate(letters)]
    folder = tmp_path / "leaking"
    folder.mkdir()
    turned = rows[4].partition(",")[0][::-1].translate(str.maketrans("ACGT", "TGCA")) + ",0"
    parts = {"train": rows[:30], "dev": rows[30:40], "test": [*rows[40:], *rows[1:4], turned]}
    for part, lines in parts.items():
        (folder / f"{part}.csv").write_text("\n".join(["sequence,label", *lines, ""]))
    (result,) = score(run, [folder])
    (cut,) = score(run, [folder], drop_leaked=True)
    assert (result["leakage"]["test_rows"], result["leakage"]["share"], result["leakage"]["dropped"]) == (4, 4 / 24, 0)
    assert (result["scored"], cut["scored"], cut["leakage"]["dropped"]) == (24, 20, 4)
    assert json.loads((run / "audit.json").read_text())[str(folder)]["leaked"]["rows"] == [20, 21, 22, 23]
    said = []
    score(run, [folder], drop_leaked=True, say=said.append)
    assert said == ["leaking: already evaluated; nothing is computed"]


@pytest.mark.parametrize("how", [{"pooling": "class"}, {"layer": 0}, {"strand": "both"}, {"step": 0}, {"branch": "student"}])
def test_how_it_was_embedded_is_in_the_result_and_changes_it(run, task, how):
    (plain,) = score(run, [task], ["probe"])
    (other,) = score(run, [task], ["probe"], **how)
    ((name, value),) = how.items()
    assert (plain[name], other[name]) != (value, value)
    assert other[name] == value
    assert list(kept(run)[str(task)]["protocols"]) == ["probe"]
    assert kept(run)[str(task)][name] == value


def test_what_the_model_does_not_have_is_refused_before_anything_is_scored(run, task):
    with pytest.raises(FindnaError, match="layer 7: the encoder has the hidden layers 0 to 0"):
        score(run, [task], layer=7)
    with pytest.raises(FindnaError, match="epoch"):
        score(run, [task], ["finetune"], finetune=("epoch=3",))


def test_what_fine_tuning_would_take_no_notice_of_is_refused(run, task):
    code, _, err = findna("evaluate", run, task, "--layer", "0", "--protocol", "knn,finetune")
    assert code == 2
    assert (
        "layer 0 applies to frozen embeddings; fine-tuning uses the first blocks of an encoder with --finetune blocks=N" in err
    )
    code, _, err = findna("evaluate", run, task, "--finetune", "epochs=3")
    assert code == 2
    assert "'epochs=3' is a setting of fine-tuning, which is not requested" in err


def test_another_metric_of_the_task_is_in_the_next_result(run, task, tmp_path):
    described, said = tmp_path / "described.yaml", []
    rows = f"tables: {{train: {task}/train.csv, dev: {task}/dev.csv, test: {task}/test.csv}}"
    for metric in ("accuracy", "auroc"):
        described.write_text(f"{rows}\nmetric: {metric}\n")
        (result,) = score(run, [described], say=said.append)
        assert result["metric"] == kept(run)[str(described)]["metric"] == metric
    assert len(said) == 4, "what is predicted is not made again"


def test_a_test_part_of_one_class_is_refused_before_anything_is_done(run, task, tmp_path):
    one = write_task(tmp_path / "one", rows=(40, 20, 1))
    code, _, err = findna("evaluate", run, task, one)
    assert (code, (run / "evaluation").exists()) == (2, False)
    assert f"{one}: the test split has only the class '0', and no score is defined for one class" in err
    code, _, err = findna("check", "masked_only", "--set", f"evaluation.tasks=[{one}]")
    assert code == 2
    assert "evaluation.tasks.0" in err
    assert "the test split has only the class" in err


@pytest.mark.parametrize("name", ["evaluation.json", "audit.json", "run.json"])
@pytest.mark.parametrize("content", ['{"a":', "[]", '{"a": 3}'])
def test_a_damaged_file_is_a_sentence(run, task, name, content):
    (run / name).write_text(content)
    code, _, err = findna("evaluate", run, task, "--protocol", "knn")
    if (name, content) == ("run.json", '{"a": 3}'):
        assert code == 0, "what a run did not record is not missed"
        return
    assert code == 2
    assert err.splitlines()[-1].startswith(f"{run / name}: ")
    assert "remove it" in err or "restore the file" in err


def test_a_checkpoint_that_goes_while_it_is_scored_is_not_missed(run, task, monkeypatch):
    """A run that goes on removes older checkpoints; an audit may take minutes."""
    from findna_kit.runs import evaluate as scoring

    def slow(run, task, made=scoring.report_for):
        shutil.rmtree(run / "checkpoints")
        return made(run, task)

    monkeypatch.setattr(scoring, "report_for", slow)
    assert score(run, [task])[0]["scored"] == 30


def test_a_task_has_one_entry_however_its_path_was_typed(run, task, monkeypatch):
    score(run, [task])
    monkeypatch.chdir(task.parent)
    (task.parent / "link").symlink_to(task)
    for typed in ("0", "./0/", "../tasks/0", "link"):
        (result,) = score(run, [typed])
        assert (result["path"], result["task"]) == (str(task.resolve()), "0")
    assert list(kept(run)) == [str(task.resolve())]


def test_tasks_of_one_name_keep_an_entry_each(run, task, tmp_path):
    other = write_task(tmp_path / "others" / "0", shift=1)
    score(run, [task, other])
    assert list(kept(run)) == [str(task), str(other)]


@pytest.mark.parametrize("change", ["step", "branch", "pooling", "strand", "precision", "seed", "sizes"])
def test_results_of_another_model_are_replaced(run, task, change):
    score(run, [task], ["probe"])
    before = kept(run)
    before[str(task)][change] = "another"
    (run / "evaluation.json").write_text(json.dumps(before))
    score(run, [task], ["knn"])
    assert kept(run)[str(task)]["protocols"].keys() == {"knn"}


def test_results_on_other_rows_are_replaced(run, task):
    score(run, [task], ["probe"])
    shutil.rmtree(task)
    write_task(task, shift=1)
    score(run, [task], ["knn"])
    assert kept(run)[str(task)]["protocols"].keys() == {"knn"}


def test_a_result_says_the_precision(run, task):
    assert score(run, [task])[0]["precision"] == "fp32"


def test_a_path_that_no_file_can_have_is_a_sentence(run, task):
    with pytest.raises(FindnaError, match=r"is not a run folder \(File name too long\)"):
        score(Path("x" * 300), [task])
    with pytest.raises(FindnaError, match=r"is not a run folder \(No such file"):
        score(run / "nowhere", [task])
    with pytest.raises(TaskError, match=r"is not a path of a task \(File name too long\)"):
        score(run, ["x" * 300])
    with pytest.raises(TaskError, match=r"is not a path of a task \(Could not determine home directory"):
        score(run, ["~nobody_of_that_name/task"])


@pytest.mark.slow
def test_one_table_is_a_task_and_its_label_columns_are_kept_apart(run, tmp_path):
    lines = (task := write_task(tmp_path / "task")) and [
        f"{line},{'xy'[number % 3 == 0]},{split}"
        for split in ("train", "dev", "test")
        for number, line in enumerate((task / f"{split}.csv").read_text().splitlines()[1:])
    ]
    (tmp_path / "my.csv").write_text("\n".join(["sequence,label,other,Split", *lines]) + "\n")
    (folder,), (first,) = score(run, [task]), score(run, [tmp_path / "my.csv"])
    assert (first["task"], first["sizes"]) == ("my", {"train": 40, "validation": 20, "test": 30})
    # The same samples: predictions of the folder are used, not computed again.
    assert (first["digest"], first["protocols"]) == (folder["digest"], folder["protocols"])
    code, out, err = findna("evaluate", run, tmp_path / "my.csv", "--label-column", "other", "--protocol", "knn", "--json")
    assert code == 0, err
    (second,) = json.loads(out)
    assert second["digest"] != first["digest"]
    assert second["classes"] == ["x", "y"]
    assert {first["path"], f"{first['path']}[label_column=other]"} < set(kept(run))
    for command in (["evaluate", run, "builtin"], ["finetune", run, "builtin", "--out", tmp_path / "out"]):
        code, out, err = findna(*command, "--sequence-column", "seq")
        assert (code, out) == (2, "")
        assert err.strip() == "builtin: leave out --sequence-column, for tables and folders of tables only"


def test_a_table_with_another_split_is_scored_again(run, tmp_path):
    lines = (write_task(tmp_path / "task") / "train.csv").read_text()
    (tmp_path / "my.csv").write_text(lines)
    (tmp_path / "my.yaml").write_text("table: my.csv\nsplit: {seed: 0}\n")
    (first,), files = score(run, [tmp_path / "my.yaml"]), len(list((run / PREDICTIONS).glob("*.npy")))
    (tmp_path / "my.yaml").write_text("table: my.csv\nsplit: {seed: 1}\n")
    (second,) = score(run, [tmp_path / "my.yaml"])
    assert first["digest"] != second["digest"]
    assert len(list((run / PREDICTIONS).glob("*.npy"))) > files
    assert list(kept(run)) == [str(tmp_path / "my.yaml")]


def notes_of_the_builtin_task(run, monkeypatch, tmp_path):
    """The built-in task cut to a few rows, by its name."""
    from dataclasses import replace

    from findna_kit.runs import evaluate as scoring

    cut = replace(load_task(str(write_task(tmp_path / "cut"))), name="builtin", path="builtin")
    monkeypatch.setattr(scoring, "load_task", lambda source, *options: cut)
    (result,) = score(run, ["builtin"])
    assert list(kept(run)) == ["builtin"]
    return result["notes"]


def test_a_run_on_another_genome_is_labelled(tmp_path, monkeypatch):
    (tmp_path / "g.fa").write_text(">a\n" + "ACGTTGCAAGCT" * 2000 + "\n")
    run = trained(tmp_path / "run", f"data.genome={tmp_path / 'g.fa'}")
    assert any("was trained on another genome" in note for note in notes_of_the_builtin_task(run, monkeypatch, tmp_path))


@pytest.mark.parametrize("given", ["builtin", "path"])
def test_a_run_on_the_builtin_genome_by_any_path_is_not(given, tmp_path, monkeypatch):
    copy = shutil.copy(builtin_genome(), tmp_path / "mine.fa.gz")
    os.utime(copy, (time.time() - 60,) * 2)
    run = trained(tmp_path / "run", f"data.genome={'builtin' if given == 'builtin' else copy}")
    assert notes_of_the_builtin_task(run, monkeypatch, tmp_path) == []


def test_a_folder_that_is_called_as_the_builtin_task_is_not_it(tmp_path):
    (tmp_path / "g.fa").write_text(">a\n" + "ACGTTGCAAGCT" * 2000 + "\n")
    run = trained(tmp_path / "run", f"data.genome={tmp_path / 'g.fa'}")
    assert score(run, [write_task(tmp_path / "builtin")])[0]["notes"] == []


def test_two_that_score_one_run_lose_no_result(tmp_path):
    """Each reads what is there and writes it whole: without a lock the later one would forget the earlier."""
    results = [TaskResult.model_validate(task_result({}, path=f"/tasks/{number}")) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda result: store(tmp_path / "evaluation.json", result), results))
    assert sorted(json.loads((tmp_path / "evaluation.json").read_text())) == sorted(result.path for result in results)


def test_strand_disagreement_stands_beside_the_scores(run, task):
    (forward,) = score(run, [task])
    assert forward["strands"].keys() == {"encoder", "random_init"}
    assert all(0 < found["low"] < found["value"] < found["high"] for found in forward["strands"].values())
    assert kept(run)[str(task)]["strands"] == forward["strands"]
    (both,) = score(run, [task], strand="both")
    assert max(found["value"] for found in both["strands"].values()) < 1e-5
    code, out, _ = findna("evaluate", run, task, "--protocol", "knn")
    assert code == 0
    assert "encoder 0." in out.split("strand disagreement (0: ")[1]
