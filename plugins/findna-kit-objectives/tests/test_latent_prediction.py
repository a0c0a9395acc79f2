"""Tests of latent prediction against data2vec's formulas in plain loops: class rows, padding, other widths and depths."""

import math
import sys
from dataclasses import replace

import pytest
import torch
from branches import CLOCK, built, masked, numbers, plan, shown, views_of, windows
from findna_kit_objectives import LatentPrediction
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from findna_kit.cli import main
from findna_kit.errors import FindnaError

BATCH, LENGTH, SLOTS, DIM = 3, 9, 5, 6


def loss_of(**values):
    return built(LatentPrediction, dim=DIM, **{"hidden": 8} | values)


def branches(seed=0, *, depths=(0, 1), class_rows=2, dim=DIM):
    """Both see `a` and `b`; the student alone `c`, which is masked, the teacher alone `d`; `b` is not masked."""
    views = {name: masked(windows(BATCH, LENGTH, seed=seed + at), SLOTS, seed=seed) for at, name in enumerate("ac")}
    views["b"] = windows(BATCH, LENGTH, seed=seed + 7)
    student = shown({name: views[name] for name in "ac"}, "predictor", SLOTS, DIM, seed=seed)
    teacher = shown({"a": views["a"], "b": views["b"], "d": windows(BATCH, LENGTH)}, "predictor", SLOTS, DIM, seed=seed + 1)
    hidden = {layer: 2 * numbers(BATCH, class_rows + LENGTH, dim, seed=seed + 10 + layer) + 1 for layer in depths}
    return student, {
        name: replace(output, hidden={k: v.requires_grad_() for k, v in hidden.items()}) for name, output in teacher.items()
    }


def normalized(layer, valid, how):
    """[length][dim] of one sequence, plain numbers."""
    if how == "none":
        return layer
    if how == "layer":
        return [_standard(row, range(len(row))) for row in layer]
    where = [place for place, kept in enumerate(valid) if kept]
    columns = [_standard([row[channel] for row in layer], where) for channel in range(len(layer[0]))]
    return [list(row) for row in zip(*columns, strict=True)]


def _standard(values, where):
    mean = sum(values[at] for at in where) / len(where)
    variance = sum((values[at] - mean) ** 2 for at in where) / len(where)
    return [(value - mean) / math.sqrt(variance + 1e-5) for value in values]


def distance(y, f, beta):
    gap = abs(y - f)
    if beta is None:
        return gap**2
    return gap**2 / (2 * beta) if gap <= beta else gap - beta / 2


def oracle(student, teacher, how, beta, class_rows):
    view, total, targets = student["a"].view, 0.0, []
    for row in range(BATCH):
        layers = [hidden[row, class_rows:].tolist() for hidden in teacher["a"].hidden.values()]
        shaped = [normalized(layer, view.valid[row].tolist(), how) for layer in layers]
        for slot, place in enumerate(view.masked_index[row].tolist()):
            y = [sum(layer[place][channel] for layer in shaped) / len(shaped) for channel in range(DIM)]
            f, weight = student["a"].heads["predictor"][row, slot].tolist(), float(view.masked_weight[row, slot])
            total += weight * sum(distance(a, b, beta) for a, b in zip(y, f, strict=True)) / DIM
            targets.append((row, y, weight))
    return total, targets


@given(
    st.integers(0, 1000), st.sampled_from(["layer", "instance", "none"]), st.sampled_from([None, 0.3, 2.0]),
    st.sampled_from([0, 2]), st.sampled_from([(0,), (0, 1), (2, 0, 1)]),
)  # fmt: skip
@settings(max_examples=30)
def test_is_data2vecs(seed, how, beta, class_rows, depths):
    student, teacher = branches(seed, depths=depths, class_rows=class_rows)
    total, targets = oracle(student, teacher, how, beta, class_rows)
    loss = loss_of(normalization=how, beta=beta)
    term = loss(student, teacher, CLOCK)
    assert term.sum.item() == pytest.approx(total, rel=1e-3, abs=1e-4)
    assert float(loss.count(views_of(student), views_of(teacher))) == sum(weight for *_, weight in targets)
    assert float(term.metrics["target_variance"]) == pytest.approx(spread(targets), rel=1e-3, abs=1e-3)


def spread(items):
    """Squared distance to each sequence's weighted mean, over channels, summed with the weights."""
    total = 0.0
    for row in range(BATCH):
        own = [(y, weight) for at, y, weight in items if at == row and weight > 0]
        for channel in range(DIM):
            mean = sum(weight * y[channel] for y, weight in own) / max(sum(weight for _, weight in own), 1e-12)
            total += sum(weight * (y[channel] - mean) ** 2 for y, weight in own) / DIM
    return total


def test_predictions_spread_is_reckoned_like_the_targets():
    student, teacher = branches(4)
    view = student["a"].view
    items = [
        (row, student["a"].heads["predictor"][row, slot].tolist(), float(view.masked_weight[row, slot]))
        for row in range(BATCH)
        for slot in range(SLOTS)
    ]
    metrics = loss_of()(student, teacher, CLOCK).metrics
    assert float(metrics["prediction_variance"]) == pytest.approx(spread(items), rel=1e-4)
    assert not metrics["prediction_variance"].requires_grad


def test_targets_that_are_all_alike_have_no_variance():
    student, teacher = branches(2, depths=(0,))
    for output in teacher.values():
        output.hidden[0].data.copy_(numbers(DIM))
    assert float(loss_of()(student, teacher, CLOCK).metrics["target_variance"]) == pytest.approx(0, abs=1e-6)


def test_only_the_students_masked_bases_get_a_gradient():
    student, teacher = branches(3)
    loss = loss_of()
    term = loss(student, teacher, CLOCK)
    term.sum.backward()
    used = student["a"].view.masked_weight > 0
    assert (student["a"].heads["predictor"].grad.abs().sum(-1) > 0).equal(used)
    assert (~used).any()
    assert student["c"].heads["predictor"].grad is None, "the teacher does not see it"
    assert all(hidden.grad is None for output in teacher.values() for hidden in output.hidden.values())
    assert term.sum.equal(loss(student, teacher, CLOCK).sum)
    assert (term.state_inputs, loss.state_dict()) == ({}, {})


@pytest.mark.parametrize("how", ["layer", "instance"])
def test_scale_and_offset_of_a_layer_mean_nothing(how):
    student, teacher = branches(5, depths=(0,))
    louder = {name: replace(output, hidden={0: 30 * output.hidden[0] + 2}) for name, output in teacher.items()}
    terms = [loss_of(normalization=how)(student, shown_by, CLOCK).sum for shown_by in (teacher, louder)]
    torch.testing.assert_close(terms[0], terms[1], rtol=1e-3, atol=1e-3)


def test_padding_has_no_say_in_a_sequences_statistics():
    student, teacher = branches(6, depths=(0,), class_rows=0)
    valid = student["a"].view.valid
    assert not valid.all()
    term = loss_of(normalization="instance")(student, teacher, CLOCK)
    teacher["a"].hidden[0].data[~valid] = 1e3
    torch.testing.assert_close(loss_of(normalization="instance")(student, teacher, CLOCK).sum, term.sum)


def test_asks_for_the_last_layers_and_no_more_than_there_are():
    assert loss_of(target_layers=2).layers(5) == (3, 4)
    assert loss_of().layers(3) == (0, 1, 2)
    with pytest.raises(FindnaError, match=r"the encoder has 3 hidden layers; set target_layers to at most 3") as refused:
        loss_of(target_layers=4).layers(3)
    assert refused.value.exit_code == 2


def test_layers_that_another_loss_asked_for_are_no_target():
    student, teacher = branches(7, depths=(3, 0, 2))
    alone = {name: replace(output, hidden={3: output.hidden[3]}) for name, output in teacher.items()}
    terms = [loss_of(target_layers=1)(student, shown_by, CLOCK).sum for shown_by in (teacher, alone)]
    torch.testing.assert_close(terms[0], terms[1], rtol=0, atol=0)


def test_too_many_layers_end_a_run_with_a_sentence(tmp_path, monkeypatch, capsys):
    recipe = tmp_path / "deep.yaml"
    recipe.write_text(
        "base: self_distill\nname: deep\nsteps: 1\ndata: {length: 32, batch_size: 4}\n"
        "views: {masked: {see: [student, teacher]}, shifted: null}\nencoder: {name: chordmixer, dim: 12, blocks: 2}\n"
        "losses: {masked: null, distill: null, predict: {name: latent_prediction, target_layers: 3}}\nevaluation: {tasks: []}\n"
    )
    monkeypatch.setattr(sys, "argv", ["findna-kit", "run", str(recipe), "--out", str(tmp_path / "run"), "--device", "cpu"])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert "the encoder has 2 hidden layers; set target_layers to at most 2" in " ".join(said.split())
    assert "Traceback" not in said


def test_a_teacher_of_another_width_is_refused():
    student, teacher = branches(dim=DIM + 2)
    with pytest.raises(
        FindnaError, match=r"the teacher's hidden layers have width 8, the student's 6; use .* `relational`"
    ) as refused:
        loss_of()(student, teacher, CLOCK)
    assert refused.value.exit_code == 2


def test_the_predictor_is_the_students_alone():
    (head,) = loss_of(layers=3).student_heads().values()
    assert head(numbers(2, SLOTS, DIM)).shape == (2, SLOTS, DIM)
    assert loss_of().twin_heads() == {}
    (linear,) = loss_of(layers=1).student_heads()["predictor"]
    assert (linear.in_features, linear.out_features) == (DIM, DIM)
    assert (LatentPrediction.head_input, LatentPrediction.needs_teacher, LatentPrediction.coupling) == (
        "masked",
        True,
        "sample",
    )


def test_wants_a_masked_view_that_both_see():
    wanted = "needs a view with `mask` that both branches see: set `see: [student, teacher]`"
    assert loss_of().check_views([plan("a", student=True, masked=True), plan("b", teacher=True)]) == wanted
    assert loss_of().check_views([plan("a", student=True, teacher=True)]) == wanted
    assert loss_of().check_views([plan("a", student=True, teacher=True, masked=True)]) is None


@pytest.mark.parametrize("values", [{"beta": 0}, {"target_layers": 0}, {"layers": 0}, {"normalization": "batch"}])
def test_values_that_make_no_loss_are_refused(values):
    with pytest.raises(ValidationError, match=r"greater than|should be"):
        LatentPrediction.Config.model_validate(values)
