"""Tables on terminals of 80 and 120 columns: every line fits, words are whole, and main columns come first."""

import re

import pytest

from tests.building import SMALL, sets
from tests.cli.terminal import WIDTHS, assert_fits, on_terminal
from tests.installing import findna
from tests.records.copies import copied, look, real_run
from tests.study.writing import write_study


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with a run, copies of it that differ, a task, and a study that has finished."""
    folder = tmp_path_factory.mktemp("site")
    run = real_run(folder)
    for name, loss in (("first", 1.3), ("second", 1.1), ("third_with_a_longer_name", 1.2)):
        copied(run, folder / "runs" / name, [look(0, masked=2.0), look(6, masked=loss, distill=loss)])
    path = folder / "runs" / "second" / "recipe.yaml"
    path.write_text(path.read_text().replace("class_tokens: 2", "class_tokens: 3"))
    (folder / "study").mkdir()
    write_study(folder / "study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        code, _, err = findna("ablate", "study/study.yaml", "--out", "ablation", "--device", "cpu")
        assert code == 0, err
    return folder


COMMANDS = {
    "runs list": ["runs", "list"],
    "runs list --wide": ["runs", "list", "--wide"],
    "runs best": ["runs", "best", "--metric", "held_out/masked/loss"],
    "runs best --wide": ["runs", "best", "--metric", "held_out/masked/loss", "--wide"],
    "runs compare": ["runs", "compare", "runs/first", "runs/second"],
    "runs compare, three": ["runs", "compare", "runs/first", "runs/second", "runs/third_with_a_longer_name"],
    "runs compare --wide": ["runs", "compare", "--wide", "runs/first", "runs/second"],
    "components": ["components"],
    "components --wide": ["components", "--wide"],
    "components of a kind": ["components", "encoder"],
    "one component": ["components", "self_distillation"],
    "evaluate": ["evaluate", "run", "task", "--protocol", "knn", "--device", "cpu"],
    "evaluate --wide": ["evaluate", "run", "task", "--protocol", "knn", "--wide", "--device", "cpu"],
    "ablate": ["ablate", "study/study.yaml", "--out", "ablation", "--device", "cpu"],
    "ablate --wide": ["ablate", "study/study.yaml", "--out", "ablation", "--wide", "--device", "cpu"],
    "tasks list": ["tasks", "list"],
    "tasks list --wide": ["tasks", "list", "--wide"],
    "plugins list": ["plugins", "list"],
    "plugins list --wide": ["plugins", "list", "--wide"],
    "recipes list": ["recipes", "list"],
    "run": ["run", "masked_only", *sets(*SMALL, "steps=2"), "--out", "new", "--overwrite", "--device", "cpu"],
    "plan": ["plan", "masked_only", *sets(*SMALL), "--steps", "1", "--device", "cpu"],
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", COMMANDS)
def test_output_fits_and_no_word_is_broken(site, name, width, monkeypatch):
    monkeypatch.chdir(site)
    code, piped, err = findna(*COMMANDS[name])
    assert code == 0, err
    assert_fits(on_terminal(width, *COMMANDS[name]), width, piped)


@pytest.mark.parametrize("name", ["runs list", "evaluate", "ablate", "tasks list", "plugins list", "runs compare"])
def test_main_columns_fit_80_columns_side_by_side(site, name, monkeypatch):
    """Not as blocks of one cell per line, which are for what cannot be shown as a table."""
    monkeypatch.chdir(site)
    piped = findna(*COMMANDS[name])[1]
    (header,) = {line for line in piped.splitlines() if "  " in line and line.split()[0] in HEADERS[name]}
    columns = [re.split("  +", line) for line in on_terminal(80, *COMMANDS[name]).splitlines()]
    assert re.split("  +", header) in columns


HEADERS = {
    "runs list": ["run"], "evaluate": ["k-NN"], "ablate": ["condition"], "tasks list": ["task"], "plugins list": ["plugin"],
    "runs compare": ["features"],
}  # fmt: skip


def test_the_score_is_shown_with_its_interval_and_the_verdict(site, monkeypatch):
    monkeypatch.chdir(site)
    lines = on_terminal(80, *COMMANDS["evaluate"]).splitlines()
    (encoder,) = [line for line in lines if line.startswith("encoder ")]
    assert encoder.count("[") == 1
    assert any("distinguishable" in line or "above" in line or "below" in line for line in lines)


def test_a_pipe_gets_whole_lines_with_the_main_columns(site, monkeypatch):
    monkeypatch.chdir(site)
    lines = findna("components")[1].splitlines()
    (line,) = [line for line in lines if line.startswith("self_distillation ")]
    assert len(line) > 80
    assert "findna-kit" not in line
    (line,) = [line for line in findna("components", "--wide")[1].splitlines() if " self_distillation " in line]
    assert "findna-kit" in line
