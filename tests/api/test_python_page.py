"""The Python of README.md and docs/python.md runs, on few steps and a small task."""

import tomllib

import pytest

from tests.building import ROOT
from tests.pages import blocks, page
from tests.runs.test_evaluate import write_task
from tests.study.writing import write_study

RECIPE, TASK = '"self_distill", **{"data.genome": "my.fa.gz", "steps": 500}', '"builtin", '
"""Parts of the examples that would take minutes."""


@pytest.fixture
def cut(tiny):
    """Return an example with few steps on a small genome, and a small task."""
    recipe = f'"masked_only", **{ {**tiny, "data.genome": str(tiny["data.genome"]), "steps": 4}!r}'
    return lambda text: text.replace(RECIPE, recipe).replace(TASK, '"task", ')


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path / "task")
    return tmp_path


def test_the_example_of_the_readme_trains_evaluates_and_plots(folder, cut, capsys):
    ((_, example),) = blocks((ROOT / "README.md").read_text(), "python")
    assert RECIPE in example
    assert TASK in example
    assert len([line for line in example.splitlines() if line]) == 5
    names = {}
    exec(cut(example), names)
    assert names["run"].status == "finished"
    assert "probe" in capsys.readouterr().out
    assert (folder / "curves.png").read_bytes()[1:4] == b"PNG"
    # What the page shows of a run needs no second training.
    load, train, resume, read, score, tune, study = (body for _, body in blocks(page("python.md"), "python"))
    for block in (load, read, score, tune):
        exec(cut(block), names)
    assert names["embeddings"].shape == (2, names["run"].model.dim)
    assert names["run"].scores["protocol"].unique().tolist() == ["probe", "knn", "finetune"]
    assert names["predictions"].probabilities.shape == (2, len(names["model"].classes))
    assert cut(train) == 'run = fk.run(recipe, out="runs/mine")\n'
    exec(resume, names)
    assert names["run"].status == "finished"
    compile(study, "study", "exec")


@pytest.mark.slow
def test_the_study_of_the_page_runs(folder):
    write_study(folder)
    *_, study = (body for _, body in blocks(page("python.md"), "python"))
    names = {}
    exec(f"import findna_kit as fk\n{study}", names)
    assert len(names["study"].conditions)


def test_the_extras_exist():
    ((_, line),) = blocks(page("python.md"), "bash")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = line.split("[")[1].split("]")[0].split(",")
    assert set(named) <= extras.keys()
