"""`findna_kit.ablate`: the tables of a study as DataFrames."""

from pathlib import Path

import pytest

import findna_kit as fk
from findna_kit.api.studies import StudyFrames
from findna_kit.errors import FindnaError
from findna_kit.study.files import StudyResult
from findna_kit.study.run import AblationState
from tests.study.test_results import analyse, declared, draws, written
from tests.study.writing import write_study


@pytest.fixture
def frames(tmp_path):
    study = declared()
    result = StudyResult.model_validate(analyse(study, written(study, draws(study), tmp_path)))
    return StudyFrames(AblationState(tmp_path, {"a/seed-0": "finished"}, result=result))


def test_conditions_have_means_differences_and_verdicts(frames):
    table = frames.conditions
    overall = table[table["task"] == ""].set_index("name")
    assert list(overall.index) == list(frames.result.conditions)
    name, effect = next(iter(frames.result.effects.items()))
    assert overall.loc[name, "difference"] == effect.overall.value
    assert overall.loc[name, "p"] == effect.p
    assert overall.loc[name, "verdict"] == effect.verdict
    assert set(table["task"]) == {"", *frames.result.tasks}
    assert list(frames.cells["state"]) == ["finished"]
    assert "k-mer logistic regression" in set(frames.controls["name"])
    assert frames.main_effects.empty
    assert "<table" in frames._repr_html_()


def test_without_a_result_the_cells_and_reasons_are_there():
    frames = StudyFrames(AblationState(Path("studies/x"), {"a/0": "failed", "a/1": "missing"}, failed={"a/0": "loss is nan"}))
    assert list(frames.cells["reason"].fillna("")) == ["loss is nan", ""]
    with pytest.raises(FindnaError, match=r"studies/x: has no result yet: 1 failed, 1 missing(.|\n)*a/0: loss is nan"):
        _ = frames.conditions
    assert "loss is nan" in frames._repr_html_()


def test_wrong_arguments_are_refused(tmp_path):
    study = write_study(tmp_path)
    with pytest.raises(FindnaError, match="executor 'cloud': must be local or slurm"):
        fk.ablate(study, executor="cloud")
    with pytest.raises(FindnaError, match="--slurm is for --executor slurm"):
        fk.ablate(study, slurm={"time": 5})


@pytest.mark.slow
def test_a_study_runs_from_python(tmp_path):
    done = fk.ablate(write_study(tmp_path), tmp_path / "study", device="cpu")
    assert set(done.cells["state"]) == {"finished"}
    assert len(done.conditions) == 2 * 2
    assert (tmp_path / "study" / "result.csv").is_file()
