"""`check`, `show` and `recipes copy` of a study: what is printed, that nothing is written, and what is refused."""

import json

import pytest
import yaml

from findna_kit.study.schema import Study
from tests.installing import findna
from tests.study.writing import write_study


def answered(*arguments):
    code, out, err = findna(*arguments)
    assert code == 0, err
    return out, err


def test_check_counts_the_cells_and_writes_nothing(tmp_path):
    study = write_study(tmp_path, seeds=5)
    before = sorted(tmp_path.rglob("*"))
    out, err = answered("check", study)
    task = f"{tmp_path.resolve()}/task"
    line = f"tiny: valid; 2 conditions (reference, rate-high) x 5 seeds = 10 cells; knn/mcc of {task}"
    assert " ".join(out.split()) == line
    assert "with fewer than 6 seeds, no difference can reach 0.05" in " ".join(err.split())
    assert sorted(tmp_path.rglob("*")) == before


def test_check_of_a_search_has_values_of_its_space(tmp_path):
    space = "{optimizer.weight_decay: {choices: [0.0, 0.1]}}"
    study = write_study(tmp_path, search=f"{{space: {space}, metric: held_out/masked/loss, sampler: grid, seed: 9}}")
    out, _ = answered("check", study)
    assert out.startswith("tiny: valid; 2 conditions")


def test_show_prints_the_study_with_its_defaults_and_what_differs(tmp_path):
    study = write_study(tmp_path)
    out, _ = answered("show", study)
    told = yaml.safe_load(out)
    assert told["design"] == "one_at_a_time"
    assert Study.model_validate_json(json.dumps(told), strict=True).seeds == 2
    comments = [line for line in out.splitlines() if line.startswith("#")]
    assert [line.partition(";")[0] for line in comments] == ["# reference: 2 steps", "# rate-high: 2 steps"]
    assert comments[1] == comments[0].replace("reference", "rate-high") + " --set optimizer.learning_rate=0.01"
    again = tmp_path / "again.yaml"
    again.write_text(out)
    assert answered("show", again)[0] == out


@pytest.mark.parametrize("command", ["check", "show", "plan"])
def test_problems_of_a_study_have_lines_and_overrides_are_refused(tmp_path, command):
    wrong = write_study(tmp_path / "wrong", factors="{rate: {low: {}, high: {optimizer.learning_rat: 1}}}")
    code, out, err = findna(command, wrong)
    assert (code, out) == (2, "")
    assert "the condition rate-high:" in err
    assert "study.yaml:4:" in err
    assert "did you mean 'learning_rate'?" in err
    code, out, err = findna(command, write_study(tmp_path), "--set", "steps=3")
    assert (code, out, err) == (2, "", "--set applies to a recipe; a study states its overrides in its file\n")


def test_a_task_that_is_listed_twice_is_refused_before_it_is_run(tmp_path):
    study = write_study(tmp_path, tasks="[task, link]")
    (tmp_path / "link").symlink_to(tmp_path / "task")
    code, out, err = findna("check", study)
    assert (code, out) == (2, "")
    assert "are the same task; list it once" in err


def test_a_copy_of_a_shipped_study_is_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answered("recipes", "copy", "ablations/objectives")
    assert [path.name for path in tmp_path.iterdir()] == ["objectives.yaml"], "a study has no schema for editors"
    out, _ = answered("check", "./objectives.yaml")
    assert out.startswith("objectives: valid; 4 conditions (reference, objective-masked, ")
    code, _, err = findna("recipes", "copy", "ablations/objectives")
    assert code == 2
    assert "already exists" in err
    code, _, err = findna("recipes", "copy", "ablations/objective")
    assert code == 2
    assert "did you mean 'ablations/objectives'?" in err
