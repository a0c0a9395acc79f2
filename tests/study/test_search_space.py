"""What a study may search, and by what: refusals on their lines."""

import pytest

from findna_kit.errors import FindnaError, RecipeError
from findna_kit.plugins.loading import load_plugins
from findna_kit.study.load import build_cells, load_study, with_values
from findna_kit.study.search_space import Search, SearchRange
from tests.study.writing import write_study

LOSS = "held_out/masked/loss"
SPACE = "{optimizer.weight_decay: {low: 1.0e-4, high: 0.1, log: true}}"


def stated(metric=LOSS, space=SPACE, **keys):
    whole = {"metric": metric, "trials": 2, "seed": 100, "space": space, **keys}
    return "{" + ", ".join(f"{key}: {value}" for key, value in whole.items() if value is not None) + "}"


def refused(folder, **keys):
    with pytest.raises(RecipeError) as error:
        load_study(str(write_study(folder, search=stated(**keys))))
    return str(error.value)


def test_a_good_one(tmp_path):
    search = load_study(str(write_study(tmp_path, search=stated()))).study.search
    assert (search.criterion.words, search.count, search.batch) == (f"{LOSS} (lower is better)", 2, 4)
    assert search.midpoint == {"optimizer.weight_decay": pytest.approx(10**-2.5)}
    for text in (SPACE, "{optimizer.weight_decay: {choices: [0.1, {linear: {start: 1, end: 2}}]}}"):
        study = load_study(str(write_study(tmp_path, search=stated(space=text)))).study
        assert type(study).model_validate_json(study.model_dump_json()) == study, "as a study's folder keeps it"
    grid = {"a.b": SearchRange(choices=({"x": 1}, None)), "c": SearchRange(choices=(1, 2, 3))}
    search = Search(metric="collapse/teacher/pooled_rankme", direction="maximise", sampler="grid", seed=1, space=grid)
    assert (search.count, search.batch, search.criterion.maximise) == (6, 6, True)
    assert search.values({"a.b": 1, "c": 2}) == {"a.b": None, "c": 3}
    assert SearchRange(low=1, high=4, integer=True).midpoint == 2


@pytest.mark.parametrize(("keys", "sentence"), [
    ({"metric": "probe/mcc"}, "search: metric: probe/mcc: is a score on the test split; selecting on the test set"),
    ({"metric": "task/knn/validation_mcc"}, "metric: task/knn/validation_mcc: trials are not scored on tasks; take a metric"),
    ({"metric": "evaluation/task/knn/mcc"}, "trials are not scored on tasks"),
    ({"metric": "held_out/loss"}, "held_out/loss: no metric has a name of this form; write held_out/LABEL/METRIC, held_out_pl"),
    ({"metric": "held_out_plain/masked/loss"}, "no metric has a name of this form"),
    ({"metric": "masked/loss"}, "is a training metric, or unknown; runs are chosen on validation data"),
    ({"metric": "collapse/teacher/pooled_rankme"}, "pooled_rankme: whether higher or lower is better is not known"),
    ({"direction": "maximise"}, "metric: held_out/masked/loss: lower is better; leave maximise out"),
    ({"direction": "up"}, "search.direction: expected 'minimise' or 'maximise' (got 'up')"),
    ({"trials": None}, "search: trials: missing; the sampler tpe needs the number of trials"),
    ({"trials": 0}, "search.trials: must be greater than 0 (got 0)"),
    ({"sampler": "grid", "trials": None}, "space: a grid needs choices, and optimizer.weight_decay has none"),
    ({"sampler": "grid", "space": "{optimizer.weight_decay: {choices: [0.1, 0.2]}}"}, "a grid has one trial for each of its 2"),
    ({"seed": 1}, "search.seed: 1 is one of the study's seeds: on it, the chosen values would look better than they are"),
    ({"space": "{}"}, "search.space: expected at least 1 item"),
    ({"space": "{seed: {choices: [1, 2]}}"}, "search.space.seed: the study's `seeds` set it, the same for every condition"),
    ({"space": "{steps: {low: 1, high: 9, integer: true}}"}, "space: all trials must have the same number of steps"),
    ({"space": "{optimizer.learning_rate: {low: 0, high: 1}}"},
     "search.space.optimizer.learning_rate: factors.rate.high sets optimizer.learning_rate already; leave one of them out"),
    ({"space": "{optimizer: {choices: [{name: adamw}, {}]}}"}, "search.space.optimizer: factors.rate.high sets optim"),
    ({"space": "{encoder.dim: {low: 11, high: 22, integer: true}}"}, "search.space.encoder.dim: overrides sets encoder"),
    ({"space": "{a: {low: 1}}"}, "search.space.a: needs low and high, or choices"),
    ({"space": "{a: {low: 1, high: 1}}"}, "search.space.a: low must be less than high (got 1 and 1)"),
    ({"space": "{a: {low: 0, high: 1, log: true}}"}, "search.space.a: log: low must be greater than 0 (got 0)"),
    ({"space": "{a: {low: 0.5, high: 2, integer: true}}"}, "search.space.a: integer: low and high must be integers"),
    ({"space": "{a: {choices: [1]}}"}, "search.space.a.choices: expected at least 2 items"),
    ({"space": "{a: {choices: [1, 2], low: 1}}"}, "search.space.a: choices cannot be combined with low, high, log or integer"),
    ({"space": "{a: {low: 1, high: 2, integr: true}}"}, "search.space.a.integr: unknown key; did you mean 'integer'?"),
])  # fmt: skip
def test_what_is_refused_is_said_on_its_line(tmp_path, keys, sentence):
    said = refused(tmp_path, **keys)
    assert sentence in said, said
    assert "study.yaml:9:" in said


SIGNAL = "collapse/teacher/pooled_rankme"


@pytest.mark.parametrize(("metric", "path", "refused_"), [
    (LOSS, "data.length", True), (LOSS, "data.batch_size", False), (LOSS, "trainer.validation_windows", True),
    (LOSS, "views.masked.augment", True), ("held_out_plain/masked/loss/teacher", "views.masked.augment", False),
    ("held_out_plain/masked/loss/teacher", "views.masked.mask.fraction", True), (SIGNAL, "views.masked.mask", False),
    (LOSS, "losses.masked.weight", False), (LOSS, "losses.masked.smoothing", True), (LOSS, "losses", True),
    (LOSS, "losses.other.temperature", False), (SIGNAL, "losses.masked.smoothing", False), (LOSS, "encoder.dim", False),
])  # fmt: skip
def test_no_value_may_change_what_it_is_measured_by(metric, path, refused_):
    keys = {"metric": metric, "trials": 1, "seed": 9, "space": {path: SearchRange(low=1, high=2)}, "direction": "minimise"}
    if refused_:
        with pytest.raises(ValueError, match=f"space: {path} changes the data or the scale of {metric}"):
            Search(**keys)
    else:
        assert Search(**keys).count == 1


def test_values_are_in_every_condition_and_what_is_wrong_is_said_where_their_range_stands(tmp_path):
    components = load_plugins()[0]
    study = load_study(str(write_study(tmp_path, search=stated(space="{optimizer.weight_decay: {low: -1, high: 2}}"))))
    cells = build_cells(with_values(study, {"optimizer.weight_decay": 0.5}), components, [], lambda recipe: None)
    assert {(cell.condition, cell.recipe.optimizer.config.weight_decay.config.value) for cell in cells} == {
        ("reference", 0.5),
        ("rate-high", 0.5),
    }
    with pytest.raises(FindnaError, match=r"study.yaml:9:\d+  optimizer.weight_decay: must be at least 0"):
        build_cells(with_values(study, {"optimizer.weight_decay": -1}), components, [], lambda recipe: None)


@pytest.mark.parametrize("budget", ["{flops: 1.0e+12}", "{seconds: 10}"])
def test_not_beside_a_budget_that_is_measured(budget, tmp_path):
    with pytest.raises(RecipeError, match="search: the cost of a step may depend on the searched values; use a budget of"):
        load_study(str(write_study(tmp_path, search=stated(), budget=budget)))
