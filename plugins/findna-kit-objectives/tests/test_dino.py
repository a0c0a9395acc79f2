"""Tests of DINO against the paper's formula in plain loops: multi-crop, three kinds of centring, state, invalid parameters."""

import math

import pytest
import torch
from branches import CLOCK, assert_information, balanced, built, cross_entropy, numbers, plan, shown, softmax, views_of, windows
from findna_kit_objectives import DINO
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from findna_kit.components import Clock

BATCH, TOKENS, PROTOTYPES = 4, 3, 7
SMALL = {"layers": 2, "hidden": 10, "bottleneck": 4, "prototypes": PROTOTYPES}
CROPS = {"crop.1": 16, "crop.2": 16, "part.1": 6, "part.2": 6}


def dino(**values):
    return built(DINO, class_tokens=TOKENS, **SMALL | values)


def branch(names, seed):
    views = {name: windows(BATCH, CROPS.get(name, 16), seed=seed) for name in names}
    return shown(views, "logits", TOKENS, PROTOTYPES, seed=seed)


def plain(outputs):
    return {name: output.heads["logits"].detach() for name, output in outputs.items()}


def targets(teacher, centering, center, temperature):
    """q as nested lists, by view."""
    if centering == "sinkhorn":  # over all views, sequences and class tokens together
        rows = [q.tolist() for logits in teacher.values() for q in logits.flatten(0, 1)]
        codes = iter(balanced(rows, temperature, 3))
        return {name: [[next(codes) for _ in range(TOKENS)] for _ in range(BATCH)] for name in teacher}
    return {
        name: [
            [softmax([(x - c) / temperature for x, c in zip(q.tolist(), center, strict=True)]) for q in row] for row in logits
        ]
        for name, logits in teacher.items()
    }


def oracle(student, teacher, centering, center, t_student, t_teacher):
    """Equation 3, and the teacher's entropy: sums over pairs of different views, sequences and class tokens."""
    q, total, entropy, items = targets(teacher, centering, center, t_teacher), 0.0, 0.0, 0
    for s, logits in student.items():
        for t in teacher:
            if s == t:
                continue
            for row in range(BATCH):
                for token in range(TOKENS):
                    p = softmax([x / t_student for x in logits[row, token].tolist()])
                    total += cross_entropy(q[t][row][token], p)
                    entropy += cross_entropy(q[t][row][token], q[t][row][token])
                    items += 1
    return total, entropy, items


NAMES = [(["a"], ["b"]), (list(CROPS), ["crop.1", "crop.2"]), (["a", "b"], ["a", "b"])]


@given(
    st.integers(0, 1000), st.sampled_from(NAMES), st.sampled_from(["center", "sinkhorn", "none"]),
    st.floats(0.05, 1), st.floats(0.1, 1),
)  # fmt: skip
@settings(max_examples=25)
def test_is_the_papers_over_multi_crop(seed, names, centering, t_student, t_teacher):
    loss = dino(centering=centering, student_temperature=t_student, teacher_temperature=t_teacher)
    center = [0.0] * PROTOTYPES
    if centering == "center":
        loss.center.copy_(numbers(PROTOTYPES, seed=seed))
        center = loss.center.tolist()
    student, teacher = branch(names[0], seed), branch(names[1], seed + 1)
    total, entropy, items = oracle(plain(student), plain(teacher), centering, center, t_student, t_teacher)
    term = loss(student, teacher, CLOCK)
    assert term.sum.item() == pytest.approx(total, rel=1e-3)
    assert float(loss.count(views_of(student), views_of(teacher))) == items
    metrics = {name: float(value) for name, value in term.metrics.items()}
    assert metrics["teacher_entropy"] == pytest.approx(entropy, rel=1e-3, abs=1e-3)
    assert metrics["teacher_entropy_share"] == pytest.approx(entropy / math.log(PROTOTYPES), rel=1e-3, abs=1e-3)
    assert metrics["divergence"] == pytest.approx(total - entropy, rel=1e-3, abs=1e-2)
    q = targets(plain(teacher), centering, center, t_teacher)
    every = torch.tensor([token for s in names[0] for t in names[1] if s != t for row in q[t] for token in row])
    assert_information(loss, term, items, every, torch.ones(len(every)))
    assert not any(value.requires_grad for value in term.metrics.values())


@pytest.mark.parametrize("centering", ["center", "sinkhorn", "none"])
def test_the_gradient_is_the_students_and_forward_moves_nothing(centering):
    loss = dino(centering=centering)
    student, teacher = branch(list(CROPS), 0), branch(["crop.1", "crop.2"], 1)
    state = {name: value.clone() for name, value in loss.state_dict().items()}
    one, two = loss(student, teacher, CLOCK), loss(student, teacher, CLOCK)
    one.sum.backward()
    assert one.sum.equal(two.sum)
    assert all(output.heads["logits"].grad.abs().sum() > 0 for output in student.values())
    assert all(output.heads["logits"].grad is None for output in teacher.values())
    assert all(value.equal(state[name]) for name, value in loss.state_dict().items())


def test_a_crop_is_not_compared_with_itself():
    """The student's only view that the teacher sees too gets no gradient from it alone."""
    student, teacher = branch(["crop.1", "part.1"], 0), branch(["crop.1"], 1)
    dino()(student, teacher, CLOCK).sum.backward()
    assert student["crop.1"].heads["logits"].grad is None
    assert student["part.1"].heads["logits"].grad.abs().sum() > 0


def test_one_centre_for_all_class_tokens_moves_by_the_papers_rule():
    loss, before = dino(center_momentum=0.8), numbers(PROTOTYPES)
    loss.center.copy_(before)
    teacher = branch(["crop.1", "crop.2"], 1)
    state_inputs = loss(branch(["part.1"], 0), teacher, CLOCK).state_inputs
    assert state_inputs["logits"].shape == (BATCH, PROTOTYPES)
    loss.after_step(state_inputs, Clock(50, 100))
    mean = torch.cat([logits.flatten(0, 1) for logits in plain(teacher).values()]).mean(0)
    torch.testing.assert_close(loss.center, 0.8 * before + 0.2 * mean)


def test_in_the_first_steps_the_centre_is_the_mean_of_what_was_seen():
    loss, seen = dino(center_momentum=0.9), numbers(6, BATCH, PROTOTYPES)
    for step in range(6):
        loss.after_step({"logits": seen[step]}, Clock(step, 100))
        torch.testing.assert_close(loss.center, seen[: step + 1].mean((0, 1)))


def test_only_sinkhorn_couples_the_batch_and_only_a_centre_is_state():
    kinds = {centering: dino(centering=centering) for centering in ("center", "sinkhorn", "none")}
    assert {name: loss.coupling for name, loss in kinds.items()} == {"center": "sample", "sinkhorn": "batch", "none": "sample"}
    assert [name for name, loss in kinds.items() if loss.state_dict()] == ["center"]
    assert kinds["center"].center.shape == (PROTOTYPES,)
    for name in ("sinkhorn", "none"):
        state_inputs = kinds[name](branch(["a"], 0), branch(["b"], 1), CLOCK).state_inputs
        assert state_inputs == {}
        kinds[name].after_step(state_inputs, CLOCK)
    assert (DINO.coupling, DINO.head_input, DINO.needs_teacher) == ("sample", "class", True)


def test_the_teachers_temperature_follows_the_clock():
    loss = dino(centering="none", teacher_temperature={"linear": {"start": 0.04, "end": 0.5}})
    student, teacher = branch(["a"], 0), branch(["b"], 1)
    shares = [float(loss(student, teacher, Clock(step, 10)).metrics["teacher_entropy_share"]) for step in (0, 5, 10)]
    assert shares == sorted(shares)


def test_the_signals_of_collapse():
    """DINO, section 5.3: a constant teacher that the student has met leaves no divergence; its entropy says which collapse."""
    same = torch.zeros(BATCH, TOKENS, PROTOTYPES)
    peaked = same.clone()
    peaked[..., 2] = 50.0
    loss = dino(centering="none", student_temperature=0.1, teacher_temperature=0.1)
    for logits, share in ((same, 1.0), (peaked, 0.0)):
        student, teacher = branch(["a"], 0), branch(["b"], 1)
        student["a"].heads["logits"].data.copy_(logits)
        teacher["b"].heads["logits"].data.copy_(logits)
        metrics = loss(student, teacher, CLOCK).metrics
        assert float(metrics["divergence"]) == pytest.approx(0, abs=1e-4)
        assert float(metrics["teacher_entropy_share"]) / (BATCH * TOKENS) == pytest.approx(share, abs=1e-6)


def test_says_what_it_needs():
    both = [plan("a", student=True), plan("b", teacher=True)]
    assert dino().check_views(both) is None
    assert "and a different one" in dino().check_views([plan("a", student=True, teacher=True)])
    assert built(DINO, class_tokens=0, **SMALL).check_views(both) == "needs class tokens: set class_tokens above 0"


@pytest.mark.parametrize(
    "values", [{"student_temperature": 0}, {"center_momentum": 1.1}, {"teacher_temperature": 0}, {"centering": "mean"}]
)
def test_values_that_make_no_loss_are_refused(values):
    with pytest.raises(ValidationError, match=r"greater than|less than|must be at least|should be"):
        DINO.Config.model_validate(values)
