"""The search of a study: real trainings, whatever is killed on the way; its values in every condition."""

import json

import pytest

from findna_kit.errors import FindnaError, RunStopped
from findna_kit.plugins.loading import load_plugins
from findna_kit.runs import RunLocation, start
from findna_kit.study.load import build_cells, load_study, with_values
from findna_kit.study.search import Searcher
from tests.study.test_search_space import LOSS, stated
from tests.study.writing import CUT, write_study

COMPONENTS, PLUGINS = load_plugins()
DECAY = "optimizer.weight_decay"
NO_TOKENS = CUT.replace("class_tokens: 2, ", "")


class Runner:
    """Runs trials in this process, as many as it may before it is killed; keeps which."""

    def __init__(self, most=100):
        self.most, self.ran = most, []

    def __call__(self, folders):
        for one in folders:
            if len(self.ran) == self.most:
                return {one.cell.relative_path: "SIGKILL"}
            self.ran.append(one.cell.relative_path)
            one.prepare()
            try:
                place = RunLocation(resume=one.run)
                start(one.cell.recipe, place, components=COMPONENTS, plugins=list(PLUGINS), device="cpu")
            except RunStopped as error:
                one.record_failure(f"exit code 3: {error}")
        return {}


def searcher(folder, log=lambda sentence: None, check=lambda recipe: None, **keys):
    study = load_study(str(write_study(folder, budget="{steps: 2}", **keys)))
    return Searcher(study, folder / "out", COMPONENTS, [], check, log, study.study.search)


def tpe(trials=3, **keys):
    return stated(trials=trials, together=2, **keys)


def grid(values, **keys):
    return stated(trials=None, sampler="grid", space=f"{{{DECAY}: {{choices: {values}}}}}", **keys)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that nothing stopped: its folder, the searcher, what it found, ran and said."""
    said, runner, folder = [], Runner(), tmp_path_factory.mktemp("whole")
    one = searcher(folder, said.append, search=tpe())
    one.validated_cells()
    return folder, one, one.run(runner).result.plain(), runner.ran, said


def test_the_best_is_chosen_by_what_was_held_out(whole):
    out, one, result, ran, said = whole
    assert ran == [f"search/trial-{number}" for number in range(3)]
    values = [trial["value"] for trial in result["trials"]]
    assert result["best"] == values.index(min(values))
    assert result["values"] == result["trials"][result["best"]]["values"]
    assert json.loads((out / "out" / "search" / "result.json").read_text()) == result
    for number, trial in enumerate(result["trials"]):
        folder = out / "out" / "search" / f"trial-{number}"
        assert json.loads((folder / "trial.json").read_text()) == trial
        assert json.loads((folder / "run" / "metrics.jsonl").read_text().splitlines()[-1])[LOSS] == trial["value"]
        record = json.loads((folder / "run" / "run.json").read_text())
        assert (record["name"], record["seed"], record["status"]) == (f"trial-{number}", 100, "finished")
        assert not (folder / "run" / "evaluation.json").exists()
    words = f"{DECAY} {result['values'][DECAY]}: the best of 3 trials by {LOSS} (lower is better), seed 100, sampler tpe"
    assert said == [f"search: every condition gets {words}; its value was {min(values):.6g}"]
    cells = build_cells(with_values(one.loaded, result["values"]), COMPONENTS, [], lambda recipe: None)
    assert {cell.recipe.optimizer.config.weight_decay.config.value for cell in cells} == {result["values"][DECAY]}


@pytest.mark.parametrize(("most", "states"), [(1, ["finished", "missing"]), (2, ["missing"])])
def test_after_a_kill_it_goes_on_to_the_same_end(whole, tmp_path, most, states):
    """Of a batch of two, and of the batch after it."""
    cut = searcher(tmp_path / "cut", search=tpe()).run(Runner(most))
    assert cut.result is None
    assert list(cut.killed.values()) == ["SIGKILL"]
    assert list(cut.states.values()) == states
    runner = Runner()
    assert searcher(tmp_path / "cut", search=tpe()).run(runner).result.plain() == whole[2]
    assert len(runner.ran) == 3 - most, "what is finished is not run again"
    again = Runner()
    assert searcher(tmp_path / "cut", search=tpe()).run(again).result.plain() == whole[2]
    assert again.ran == []


def test_a_trial_that_failed_is_kept_and_told(tmp_path):
    """Of four values one is refused by the recipe, and one ends in nan."""
    said = []
    rate = "{choices: [0.002, 1.0e+30, -1, 0.004]}"
    space = f"{{optimizer.learning_rate: {rate}}}"
    search = stated(trials=None, sampler="grid", space=space)
    one = searcher(
        tmp_path, said.append, search=search, factors="{tokens: {two: {}, three: {class_tokens: 3}}}", overrides=NO_TOKENS
    )
    one.validated_cells()
    runner = Runner()
    result = one.run(runner).result.plain()
    states = [trial["state"] for trial in result["trials"]]
    assert states == ["finished", "failed", "failed", "finished"]
    assert runner.ran == ["search/trial-0", "search/trial-1", "search/trial-3"], "values that are no recipe are not run"
    assert "losses.masked is nan" in result["trials"][1]["reason"]
    assert "optimizer.learning_rate: " in result["trials"][2]["reason"]
    assert "study.yaml:9:" in result["trials"][2]["reason"], "where the range stands"
    assert said[1].startswith("search/trial-1: exit code 3: ") and said[1].endswith("; the search continues without it")
    again = Runner()
    assert one.run(again).result.plain() == result
    assert again.ran == []


def test_where_all_failed_it_is_refused(tmp_path):
    one = searcher(tmp_path, search=grid("[0.1, 0.2]"))
    for number in range(2):
        folder = tmp_path / "out" / "search" / f"trial-{number}"
        folder.mkdir(parents=True)
        (folder / "failed.json").write_text('{"reason": "exit code 3: too hot"}')
    with pytest.raises(FindnaError, match=r"search: all 2 trials failed, the first because: exit code 3: too"):
        one.run(Runner())


def test_a_value_that_is_no_number_has_failed(tmp_path):
    class Spoiling(Runner):
        def __call__(self, folders):
            super().__call__(folders)
            path = folders[0].run / "metrics.jsonl"
            last = json.loads(path.read_text().splitlines()[-1]) | {LOSS: None}
            path.write_text(path.read_text() + json.dumps(last) + "\n")
            return {}

    result = searcher(tmp_path, search=grid("[0.1, 0.2]")).run(Spoiling()).result.plain()
    assert result["trials"][0]["reason"] == f"{LOSS}: the last value is not a number"
    assert result["best"] == 1


def test_another_recipe_is_refused(tmp_path):
    assert searcher(tmp_path, search=grid("[0.1, 0.2]")).run(Runner(1)).result is None
    path = tmp_path / "out" / "search" / "trial-0" / "recipe.yaml"
    path.write_text(path.read_text().replace("class_tokens: 2", "class_tokens: 3"))
    with pytest.raises(FindnaError, match=r"trial-0/recipe.yaml: this cell was started with another recipe"):
        searcher(tmp_path, search=grid("[0.1, 0.2]")).run(Runner())


def test_before_anything_is_written_every_condition_is_looked_at(tmp_path):
    seen = []
    one = searcher(
        tmp_path,
        check=lambda recipe: seen.append((recipe.name, recipe.optimizer.config.weight_decay.config.value)),
        search=grid("[0.3, 0.2]"),
    )
    assert len(one.validated_cells()) == 4
    assert seen == [("reference", 0.3), ("rate-high", 0.3)]
    with pytest.raises(
        FindnaError, match=r"search.metric: held_out/maskd/loss: the first condition has no loss 'maskd'; did you mean"
    ):
        searcher(tmp_path / "b", search=grid("[0.3, 0.2]", metric="held_out/maskd/loss")).validated_cells()
    with pytest.raises(FindnaError, match=r"study.yaml:9:\d+  optimizer.weight_decy: unknown key"):
        searcher(tmp_path / "c", search=stated(space="{optimizer.weight_decy: {low: 0, high: 1}}")).validated_cells()
    assert not (tmp_path / "out").exists()


def test_without_optuna_it_is_refused_where_something_is_to_be_proposed(tmp_path, monkeypatch):
    monkeypatch.setattr("findna_kit.errors.find_spec", lambda name: None)
    with pytest.raises(FindnaError) as error:
        searcher(tmp_path, search=tpe()).validated_cells()
    assert str(error.value) == "a study's search needs optuna, which is not installed: pip install 'findna-kit[search]'"
    assert len(searcher(tmp_path / "grid", search=grid("[0.1, 0.2]")).validated_cells()) == 4, "a grid needs none"
