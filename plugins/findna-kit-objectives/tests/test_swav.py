"""Tests of SwAV against the paper's formula in plain loops: predicted views, the queue, and the collapse metric."""

import math

import pytest
import torch
from branches import CLOCK, balanced, built, cross_entropy, numbers, plan, shown, softmax, views_of, windows
from findna_kit_objectives import SwAV
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

BATCH, PROTOTYPES = 6, 5
SMALL = {"layers": 2, "hidden": 10, "bottleneck": 4, "prototypes": PROTOTYPES}
WHOLE = {"crop.1": 16, "crop.2": 16}
CROPS = WHOLE | {"part.1": 6, "part.2": 6}


def swav(**values):
    return built(SwAV, **SMALL | values)


def student_of(lengths, seed=0):
    """Cosines are in [-1, 1]."""
    outputs = shown(
        {name: windows(BATCH, length) for name, length in lengths.items()}, "logits", PROTOTYPES, seed=seed, grad=False
    )
    for output in outputs.values():
        output.heads["logits"].tanh_().requires_grad_()
    return outputs


def oracle(student, temperature, epsilon, iterations, *, past=()):
    """Equations 2 to 6; (total, entropy of codes, pairs of a sequence and two views)."""
    logits = {name: output.heads["logits"].tolist() for name, output in student.items()}
    longest = max(output.view.tokens.shape[1] for output in student.values())
    total, entropy, items = 0.0, 0.0, 0
    for whole, output in student.items():
        if output.view.tokens.shape[1] < longest:
            continue
        codes = balanced([*logits[whole], *past], epsilon, iterations)
        for view in student:
            if view == whole:
                continue
            for row in range(BATCH):
                total += cross_entropy(codes[row], softmax([x / temperature for x in logits[view][row]]))
                entropy += cross_entropy(codes[row], codes[row])
                items += 1
    return total, entropy, items


@given(
    st.integers(0, 1000), st.sampled_from([WHOLE, CROPS, {"a": 8, "b": 4}]), st.floats(0.1, 1), st.floats(0.05, 1),
    st.integers(0, 4),
)  # fmt: skip
@settings(max_examples=25)
def test_is_the_papers_swapped_prediction(seed, lengths, temperature, epsilon, iterations):
    loss = swav(temperature=temperature, epsilon=epsilon, sinkhorn_iterations=iterations)
    student = student_of(lengths, seed)
    total, entropy, items = oracle(student, temperature, epsilon, iterations)
    term = loss(student, {}, CLOCK)
    assert term.sum.item() == pytest.approx(total, rel=1e-3)
    assert float(term.metrics["code_entropy_share"]) == pytest.approx(entropy / math.log(PROTOTYPES), rel=1e-3, abs=1e-3)
    assert float(loss.count(views_of(student), {})) == items
    assert term.state_inputs == {}
    assert loss(student, {}, CLOCK).sum.equal(term.sum)


def test_every_view_predicts_and_codes_get_no_gradient():
    """With one whole view, only the short ones learn from it; its own logits are a code, and no more."""
    student = student_of({"crop": 16, "part.1": 6, "part.2": 6})
    swav()(student, {}, CLOCK).sum.backward()
    assert student["crop"].heads["logits"].grad is None
    assert all(student[name].heads["logits"].grad.abs().sum() > 0 for name in ("part.1", "part.2"))
    student = student_of(CROPS)
    swav()(student, {}, CLOCK).sum.backward()
    assert all(output.heads["logits"].grad.abs().sum() > 0 for output in student.values())


def test_the_queue_holds_the_last_rows_of_the_whole_views():
    loss, kept = swav(queue=20), []
    for step in range(4):
        student = student_of(CROPS, seed=step)
        before = loss.queue.clone()
        state_inputs = loss(student, {}, CLOCK).state_inputs
        assert loss.queue.equal(before), "forward is pure"
        assert state_inputs["cosines"].shape == (BATCH, 2, PROTOTYPES), "one row a sequence"
        loss.after_step(state_inputs, CLOCK)
        kept += torch.stack([student[name].heads["logits"].detach() for name in WHOLE], dim=1).flatten(0, 1).tolist()
        shown_rows = torch.tensor(kept[-20:])
        torch.testing.assert_close(loss.queue[-len(shown_rows) :], shown_rows)
        assert int(loss.queued) == len(kept)


def test_codes_are_balanced_over_the_queue_once_it_is_full():
    loss = swav(queue=20, epsilon=0.3)
    for step in range(3):
        student = student_of(WHOLE, seed=10 + step)
        past = loss.queue.tolist() if step == 2 else ()  # 12 rows a step
        total, *_ = oracle(student, 0.1, 0.3, 3, past=past)
        term = loss(student, {}, CLOCK)
        assert term.sum.item() == pytest.approx(total, rel=1e-3)
        loss.after_step(term.state_inputs, CLOCK)
    without, *_ = oracle(student, 0.1, 0.3, 3)
    assert total != pytest.approx(without, rel=1e-3)


@pytest.mark.parametrize("queue", [1, 5])
def test_a_queue_shorter_than_a_step_keeps_the_newest(queue):
    loss, student = swav(queue=queue), student_of(WHOLE)
    loss.after_step(loss(student, {}, CLOCK).state_inputs, CLOCK)
    rows = torch.stack([student[name].heads["logits"].detach() for name in WHOLE], dim=1).flatten(0, 1)
    assert loss.queue.equal(rows[-queue:])
    assert loss(student, {}, CLOCK).sum.isfinite()


def test_a_queue_is_state_and_without_one_there_is_none():
    assert swav().state_dict() == {}
    assert {name: tuple(value.shape) for name, value in swav(queue=9).state_dict().items()} == {
        "queue": (9, PROTOTYPES),
        "queued": (),
    }
    swav().after_step({}, CLOCK)


def test_information_is_nothing_where_every_sequence_is_assigned_alike():
    """And all there is where each has a prototype of its own, evenly."""
    loss = built(SwAV, **SMALL | {"prototypes": BATCH, "temperature": 0.01})
    for logits, share in (
        (torch.eye(BATCH), 1.0),
        (torch.eye(BATCH)[:1].expand(BATCH, -1), 0.0),
        (torch.zeros(BATCH, BATCH), 0.0),
    ):
        student = shown({name: windows(BATCH, 8) for name in "ab"}, "logits", BATCH)
        for output in student.values():
            output.heads["logits"].data.copy_(logits)
        information = loss(student, {}, CLOCK).metrics["assignment_information"] / loss.count(views_of(student), {})
        assert float(information) == pytest.approx(share, abs=1e-5)


def test_information_is_the_entropy_of_the_mean_less_the_mean_entropy():
    student = student_of({"a": 8, "b": 4})
    p = [softmax([x / 0.1 for x in row]) for row in student["b"].heads["logits"].tolist()]
    mean = [sum(row[k] for row in p) / BATCH for k in range(PROTOTYPES)]
    expected = BATCH * cross_entropy(mean, mean) - sum(cross_entropy(row, row) for row in p)
    term = swav()(student, {}, CLOCK)
    assert float(term.metrics["assignment_information"]) == pytest.approx(expected / math.log(PROTOTYPES), rel=1e-4)


def test_couples_the_batch_and_wants_two_views_of_the_students():
    assert (SwAV.coupling, SwAV.head_input, SwAV.needs_teacher) == ("batch", "pooled", False)
    assert swav().check_views([plan("a", student=True), plan("b", teacher=True)]) == "needs two views that the student sees"
    assert swav().check_views([plan("a", student=True), plan("b", student=True)]) is None
    heads = swav().twin_heads()
    assert heads["logits"](heads["projector"](numbers(BATCH, 6))).shape == (BATCH, PROTOTYPES)


@pytest.mark.parametrize("values", [{"temperature": 0}, {"epsilon": 0}, {"sinkhorn_iterations": -1}, {"queue": -1}])
def test_values_that_make_no_loss_are_refused(values):
    with pytest.raises(ValidationError, match="greater than"):
        SwAV.Config.model_validate(values)
