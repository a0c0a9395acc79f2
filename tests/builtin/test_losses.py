"""The losses against their papers' formulas, written with plain loops; counts, purity, state and what is refused."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from findna_kit import alphabet
from findna_kit.builtin.losses.info_nce import InfoNCE
from findna_kit.builtin.losses.masked_nucleotides import MaskedNucleotides
from findna_kit.builtin.losses.self_distillation import SelfDistillation
from findna_kit.builtin.maskings.independent import IndependentMasking
from findna_kit.components import BatchNorm
from findna_kit.components.interfaces import BranchOutput, ViewPlan
from findna_kit.model.branch import apply_heads
from findna_kit.schedules import Clock
from tests.windows import draw, random_windows

CLOCK = Clock(3, 10)
seeds = st.integers(0, 10_000)


def loss_of(kind, dim=6, class_tokens=3, **values):
    torch.manual_seed(0)
    return kind(kind.Config.model_validate(values), dim=dim, class_tokens=class_tokens)


def masked_view(batch, length, seed, unknown=0.2):
    view = random_windows(batch, length, seed=seed, unknown=unknown)
    return IndependentMasking(IndependentMasking.Config())(view, draw(seed, rows=batch))


def outputs(head, shapes, views=None, seed=0):
    """Branch outputs whose head gave random numbers, with gradient."""
    numbers = torch.Generator().manual_seed(seed)
    return {
        name: BranchOutput(
            views[name] if views else random_windows(shape[0], 8),
            heads={head: torch.randn(shape, generator=numbers).requires_grad_()},
        )
        for name, shape in shapes.items()
    }


def softmax(logits):
    shares = [math.exp(logit - max(logits)) for logit in logits]
    return [share / sum(shares) for share in shares]


def plan(name, *, student=False, teacher=False, masked=False):
    return ViewPlan(name, student=student, teacher=teacher, masked=masked)


# masked nucleotides


@given(seeds, st.integers(1, 4), st.integers(4, 30), st.integers(1, 2))
def test_masked_nucleotides_is_cross_entropy_at_the_masked_positions(seed, batch, length, count):
    views = {f"view {number}": masked_view(batch, length, seed + number) for number in range(count)}
    shapes = {name: (batch, view.masked_index.shape[1], 4) for name, view in views.items()}
    student = outputs("classifier", shapes, views, seed)
    nats, right, items = 0.0, 0, 0
    for name, view in views.items():
        for row in range(batch):
            for slot, place in enumerate(view.masked_index[row].tolist()):
                if view.masked_weight[row, slot] == 0:
                    continue
                logits, base = student[name].heads["classifier"][row, slot].tolist(), int(view.tokens[row, place])
                nats -= math.log(softmax(logits)[base])
                right += logits.index(max(logits)) == base
                items += 1
    loss = loss_of(MaskedNucleotides)
    term = loss(student, {}, CLOCK)
    assert term.sum.item() == pytest.approx(nats, rel=1e-5, abs=1e-5)
    assert float(term.metrics["bits_per_base"]) == pytest.approx(nats / math.log(2), rel=1e-5, abs=1e-5)
    assert float(term.metrics["accuracy"]) == right
    assert float(loss.count(views, {})) == items
    assert term.state_inputs == {}
    assert not term.metrics["bits_per_base"].requires_grad


def test_slots_of_weight_zero_get_no_gradient():
    view = masked_view(4, 30, 1, unknown=0.6)
    student = outputs("classifier", {"a": (4, view.masked_index.shape[1], 4)}, {"a": view})
    loss_of(MaskedNucleotides)(student, {}, CLOCK).sum.backward()
    gradient = student["a"].heads["classifier"].grad.abs().sum(-1)
    assert (gradient > 0).equal(view.masked_weight > 0)
    assert (view.masked_weight == 0).any()


def test_a_view_without_masked_positions_adds_nothing():
    masked, plain = masked_view(3, 20, 1), random_windows(3, 20)
    student = outputs("classifier", {"a": (3, masked.masked_index.shape[1], 4)}, {"a": masked})
    with_plain = {**student, "b": BranchOutput(plain)}
    loss = loss_of(MaskedNucleotides)
    assert loss(with_plain, {}, CLOCK).sum.equal(loss(student, {}, CLOCK).sum)
    assert loss.count({"a": masked, "b": plain}, {}).equal(loss.count({"a": masked}, {}))


def test_no_loss_is_nan_where_nothing_is_masked():
    view = IndependentMasking(IndependentMasking.Config())(random_windows(2, 10, unknown=1.0), draw(1, rows=2))
    assert (view.masked_targets == alphabet.N).all()
    student = outputs("classifier", {"a": (2, 3, 4)}, {"a": view})
    term = loss_of(MaskedNucleotides)(student, {}, CLOCK)
    term.sum.backward()
    assert term.sum.item() == 0
    assert student["a"].heads["classifier"].grad.eq(0).all()


def test_the_head_has_four_classes_and_none_for_n():
    (head,) = loss_of(MaskedNucleotides, dim=7).twin_heads().values()
    assert (head.in_features, head.out_features) == (7, 4)


def test_masked_nucleotides_needs_a_masked_student_view():
    loss = loss_of(MaskedNucleotides)
    wanted = "needs a view with `mask` that the student sees"
    assert loss.check_views([plan("a", student=True), plan("b", teacher=True, masked=True)]) == wanted
    assert loss.check_views([plan("a", student=True, masked=True)]) is None


# self-distillation


def dino(student, teacher, centre, t_student, t_teacher):
    """method.md 2.5, and the entropy of q: sums over pairs of different views, sequences and class tokens."""
    total, entropy, items = 0.0, 0.0, 0
    for s_name, p in student.items():
        for t_name, q in teacher.items():
            if s_name == t_name:
                continue
            for row in range(len(p)):
                for token in range(p.shape[1]):
                    predicted = softmax([x / t_student for x in p[row, token].tolist()])
                    centred = [(x - c) / t_teacher for x, c in zip(q[row, token].tolist(), centre[token].tolist(), strict=True)]
                    target = softmax(centred)
                    total -= sum(share * math.log(guess) for share, guess in zip(target, predicted, strict=True))
                    entropy -= sum(share * math.log(share) for share in target if share > 0)
                    items += 1
    return total, entropy, items


NAMES = [({"a"}, {"b"}), ({"a", "b"}, {"a", "b"}), ({"a", "b", "c"}, {"a", "b"}), ({"a"}, {"a", "b", "c"})]


@given(seeds, st.sampled_from(NAMES), st.sampled_from(["prototypes", "five_way"]), st.floats(0.05, 1), st.floats(0.04, 1))
@settings(max_examples=25)
def test_self_distillation_is_dinos_loss(seed, names, head, t_student, t_teacher):
    mine = {"head": head, "prototypes": 7, "student_temperature": t_student, "teacher_temperature": t_teacher}
    loss = loss_of(SelfDistillation, **mine)
    size = 5 if head == "five_way" else 7
    loss.center.copy_(torch.randn(3, size, generator=torch.Generator().manual_seed(seed)))
    student = outputs("logits", {name: (4, 3, size) for name in sorted(names[0])}, seed=seed)
    teacher = outputs("logits", {name: (4, 3, size) for name in sorted(names[1])}, seed=seed + 1)
    heads = [{name: output.heads["logits"].detach() for name, output in branch.items()} for branch in (student, teacher)]
    total, entropy, items = dino(*heads, loss.center, t_student, t_teacher)
    term = loss(student, teacher, CLOCK)
    assert term.sum.item() == pytest.approx(total, rel=1e-4)
    assert float(term.metrics["teacher_entropy"]) == pytest.approx(entropy, rel=1e-4, abs=1e-4)
    assert float(term.metrics["teacher_entropy_share"]) == pytest.approx(entropy / math.log(size), rel=1e-4, abs=1e-4)
    views = [{name: output.view for name, output in branch.items()} for branch in (student, teacher)]
    assert float(loss.count(*views)) == items
    term.sum.backward()
    paired = {s for s in names[0] if names[1] - {s}}
    assert all((student[name].heads["logits"].grad.abs().sum() > 0) == (name in paired) for name in student)
    assert all(output.heads["logits"].grad is None for output in teacher.values()), "the gradient is the student's"


def test_pooled_embeddings_count_as_one_class_token():
    values = {"prototypes": 7, "teacher_temperature": 0.3}
    pooled, single = loss_of(SelfDistillation, reads="pooled", **values), loss_of(SelfDistillation, class_tokens=1, **values)
    assert (pooled.head_input, single.head_input, SelfDistillation.head_input) == ("pooled", "class", "class")
    assert pooled.center.shape == single.center.shape == (1, 7)
    logits = [outputs("logits", {name: (4, 1, 7) for name in names}, seed=seed) for seed, names in enumerate(("abc", "ab"))]
    flat = [
        {name: BranchOutput(o.view, heads={"logits": o.heads["logits"][:, 0]}) for name, o in branch.items()}
        for branch in logits
    ]
    one, other = pooled(*flat, CLOCK), single(*logits, CLOCK)
    assert one.sum.equal(other.sum)
    assert one.state_inputs["logits"].equal(other.state_inputs["logits"])
    views = [{name: output.view for name, output in branch.items()} for branch in logits]
    assert pooled.count(*views).equal(single.count(*views))
    assert (
        loss_of(SelfDistillation, class_tokens=0, reads="pooled").check_views(
            [plan("a", student=True), plan("b", teacher=True)]
        )
        is None
    )


def test_batch_norm_in_the_head_couples_the_batch():
    loss = loss_of(SelfDistillation, norm="batch", layers=3)
    assert (loss.coupling, loss_of(SelfDistillation).coupling) == ("batch", "sample")
    assert [type(part) for part in loss.twin_heads()["projector"]] == [
        nn.Linear, BatchNorm, nn.ReLU, nn.Linear, BatchNorm, nn.ReLU, nn.Linear,
    ]  # fmt: skip
    for wrong in ({"head": "five_way"}, {"layers": 1}):
        with pytest.raises(ValidationError, match="between the layers of the MLP"):
            SelfDistillation.Config(norm="batch", **wrong)


def plain_balance(rows, epsilon):
    """Sinkhorn-Knopp with 3 iterations as in SwAV's appendix: in turn prototypes to 1 / K and items to 1 / R."""
    q = torch.exp(rows.double() / epsilon)
    for _ in range(3):
        q = q / q.sum(0) / q.shape[1]
        q = q / q.sum(1, keepdim=True) / q.shape[0]
    return q / q.sum(1, keepdim=True)


@given(seeds, st.sampled_from(NAMES), st.floats(0.05, 1), st.floats(0.2, 1))
@settings(max_examples=15)
def test_sinkhorn_balances_all_views_and_each_class_token_by_itself(seed, names, t_student, t_teacher):
    values = {"prototypes": 7, "student_temperature": t_student, "teacher_temperature": t_teacher}
    loss = loss_of(SelfDistillation, centering="sinkhorn", **values)
    student = outputs("logits", {name: (4, 3, 7) for name in sorted(names[0])}, seed=seed)
    teacher = outputs("logits", {name: (4, 3, 7) for name in sorted(names[1])}, seed=seed + 1)
    views = list(teacher)
    rows = torch.cat([teacher[name].heads["logits"].detach() for name in views])
    codes = torch.stack([plain_balance(rows[:, token], t_teacher) for token in range(3)], dim=1)
    q = {name: codes[4 * place : 4 * place + 4] for place, name in enumerate(views)}
    p = {name: (out.heads["logits"].detach().double() / t_student).softmax(-1) for name, out in student.items()}
    expected = -sum((q[t] * p[s].log()).sum() for s in p for t in q if s != t)
    term = loss(student, teacher, CLOCK)
    assert term.sum.item() == pytest.approx(float(expected), rel=1e-4)
    assert term.state_inputs == {}
    loss.after_step(term.state_inputs, CLOCK)
    assert (loss.coupling, list(loss.state_dict())) == ("batch", [])


@given(seeds, st.sampled_from(NAMES))
@settings(max_examples=15)
def test_the_information_is_that_of_sequence_and_prototype(seed, names):
    """The entropy of the mean of q over sequences and pairs of views, and that minus the mean entropy, over class tokens."""
    loss = loss_of(SelfDistillation, prototypes=7, teacher_temperature=0.4)
    student = outputs("logits", {name: (4, 3, 7) for name in sorted(names[0])}, seed=seed)
    teacher = outputs("logits", {name: (4, 3, 7) for name in sorted(names[1])}, seed=seed + 1)
    q = [(teacher[t].heads["logits"].detach() / 0.4).softmax(-1) for s in student for t in teacher if s != t]
    marginal = torch.cat(q).mean(0)
    entropy_of_mean = float(-(marginal * marginal.log()).sum(-1).mean())
    mean_entropy = float(-torch.cat([x * x.log() for x in q]).sum(-1).mean())
    term = loss(student, teacher, CLOCK)
    count = loss.count(*({name: out.view for name, out in branch.items()} for branch in (student, teacher)))
    means = {name: value / count for name, value in {**term.metrics, **term.totals}.items()}
    assert not any(value.requires_grad for value in term.totals.values())
    derived = {name: float(value) for name, value in loss.derived_metrics(means).items()}
    assert derived == {
        "marginal_entropy_share": pytest.approx(entropy_of_mean / math.log(7), abs=1e-5),
        "information_share": pytest.approx((entropy_of_mean - mean_entropy) / math.log(7), abs=1e-5),
    }


def test_the_last_layer_is_frozen_at_first():
    loss = loss_of(SelfDistillation, freeze_last_layer=0.3)
    assert [loss.frozen_heads(Clock(step, 10)) for step in (0, 2, 3, 9)] == [("logits",), ("logits",), (), ()]
    assert loss_of(SelfDistillation).frozen_heads(Clock(0, 10)) == ()


@pytest.mark.parametrize(("head", "width"), [("prototypes", 4), ("five_way", 6)])
def test_the_predictor_comes_before_the_last_layer_of_the_student(head, width):
    loss = loss_of(SelfDistillation, head=head, predictor_layers=2, hidden=10, bottleneck=4, prototypes=8, layers=2)
    twins, own = nn.ModuleDict(loss.twin_heads()), nn.ModuleDict(loss.student_heads())
    x = torch.randn(2, 3, 6)
    made = apply_heads(x, twins, own, own_before=loss.student_heads_before)
    assert list(made)[-2:] == ["predictor", "logits"]
    assert made["predictor"].shape == (2, 3, width)
    assert made["logits"].equal(twins["logits"](made["predictor"]))
    assert list(apply_heads(x, twins)) == list(twins), "the teacher has none"


def test_forward_is_pure_and_after_step_moves_the_centre_exactly():
    loss = loss_of(SelfDistillation, prototypes=6, center_momentum=0.8)
    loss.center.copy_(torch.randn(3, 6))
    student, teacher = outputs("logits", {"a": (5, 3, 6)}), outputs("logits", {"b": (5, 3, 6), "c": (5, 3, 6)}, seed=1)
    before = loss.center.clone()
    one, two = loss(student, teacher, CLOCK), loss(student, teacher, CLOCK)
    assert one.sum.equal(two.sum)
    assert loss.center.equal(before)
    state_inputs = one.state_inputs["logits"]
    assert state_inputs.shape == (5, 3, 6), "one row a sequence"
    assert not state_inputs.requires_grad
    loss.after_step(one.state_inputs, Clock(50, 100))
    logits = torch.cat([output.heads["logits"] for output in teacher.values()])
    torch.testing.assert_close(loss.center, 0.8 * before + 0.2 * logits.mean(0).detach())


def test_in_the_first_steps_the_centre_is_the_mean_of_all_batches():
    loss = loss_of(SelfDistillation, prototypes=6, center_momentum=0.9)
    seen, expected = torch.randn(12, 4, 3, 6), torch.zeros(3, 6)
    for step in range(12):
        loss.after_step({"logits": seen[step]}, Clock(step, 100))
        expected = seen[: step + 1].mean((0, 1)) if step < 10 else 0.9 * expected + 0.1 * seen[step].mean(0)
        torch.testing.assert_close(loss.center, expected)


def test_the_centre_is_state_one_row_a_class_token():
    loss = loss_of(SelfDistillation, class_tokens=4, prototypes=9)
    assert loss.state_dict()["center"].shape == (4, 9)
    assert loss_of(SelfDistillation, class_tokens=4, head="five_way").center.shape == (4, 5)
    assert loss.center.eq(0).all()


def test_the_teachers_temperature_may_follow_the_clock():
    loss = loss_of(SelfDistillation, prototypes=6, teacher_temperature={"linear": {"start": 0.04, "end": 0.4}})
    student, teacher = outputs("logits", {"a": (5, 3, 6)}), outputs("logits", {"b": (5, 3, 6)}, seed=1)
    entropy = [float(loss(student, teacher, Clock(step, 10)).metrics["teacher_entropy"]) for step in (0, 5, 10)]
    assert entropy == sorted(entropy)
    warm = loss_of(SelfDistillation, prototypes=6, teacher_temperature=0.4)
    assert entropy[2] == pytest.approx(float(warm(student, teacher, CLOCK).metrics["teacher_entropy"]))


def test_a_uniform_teacher_has_the_maximum_entropy():
    loss = loss_of(SelfDistillation, prototypes=6)
    same = {"b": BranchOutput(random_windows(2, 8), heads={"logits": torch.ones(2, 3, 6)})}
    student = outputs("logits", {"a": (2, 3, 6)})
    share = loss(student, same, CLOCK).metrics["teacher_entropy_share"] / 6
    assert float(share) == pytest.approx(1.0)


def test_heads_are_the_projector_and_prototypes_or_five_outputs():
    heads = loss_of(SelfDistillation, dim=6, layers=2, hidden=10, bottleneck=4, prototypes=8).twin_heads()
    assert list(heads) == ["projector", "logits"]
    x = torch.randn(2, 3, 6)
    logits = heads["logits"](heads["projector"](x))
    assert logits.shape == (2, 3, 8)
    assert logits.abs().max() <= 1 + 1e-6
    five = loss_of(SelfDistillation, dim=6, head="five_way").twin_heads()
    assert list(five) == ["logits"]
    assert five["logits"](x).shape == (2, 3, 5)
    assert loss_of(SelfDistillation).student_heads() == {}


def test_self_distillation_checks_its_views():
    both, wanted = [plan("a", student=True), plan("b", teacher=True)], "needs a view that the teacher sees and a different one"
    assert loss_of(SelfDistillation).check_views(both) is None
    assert loss_of(SelfDistillation).check_views([plan("a", student=True, teacher=True)]).startswith(wanted)
    assert loss_of(SelfDistillation).check_views(both[:1]).startswith(wanted)
    assert (
        loss_of(SelfDistillation, class_tokens=0).check_views(both)
        == "needs class tokens: set class_tokens above 0, or reads: pooled"
    )


@pytest.mark.parametrize(
    "values", [{"student_temperature": 0}, {"center_momentum": 1.1}, {"prototypes": 1}, {"teacher_temperature": 0}]
)
def test_invalid_values_are_refused(values):
    with pytest.raises(ValidationError, match=r"greater than|less than|must be at least"):
        SelfDistillation.Config.model_validate(values)


# InfoNCE


@given(seeds, st.integers(2, 3), st.integers(1, 6), st.floats(0.05, 2))
def test_info_nce_is_its_papers_both_ways(seed, count, batch, temperature):
    loss = loss_of(InfoNCE, temperature=temperature)
    student = outputs("projector", {f"view {number}": (batch, 5) for number in range(count)}, seed=seed)
    total, right, items = 0.0, 0, 0
    for one in student.values():
        for other in student.values():
            if one is other:
                continue
            for i in range(batch):
                z = one.heads["projector"][i]
                logits = [torch.cosine_similarity(z, w, dim=0).item() / temperature for w in other.heads["projector"]]
                total -= math.log(softmax(logits)[i])
                right += logits.index(max(logits)) == i
                items += 1
    term = loss(student, {}, CLOCK)
    assert term.sum.item() == pytest.approx(total, rel=1e-4, abs=1e-4)
    assert float(term.metrics["accuracy"]) == right
    assert float(loss.count({name: output.view for name, output in student.items()}, {})) == items
    assert loss(student, {}, CLOCK).sum.equal(term.sum)


def test_info_nce_pulls_both_views_and_knows_its_coupling():
    loss = loss_of(InfoNCE, dim=6, hidden=9, output=4)
    student = outputs("projector", {"a": (4, 5), "b": (4, 5)})
    loss(student, {}, CLOCK).sum.backward()
    assert all(output.heads["projector"].grad.abs().sum() > 0 for output in student.values())
    assert (InfoNCE.coupling, InfoNCE.head_input, InfoNCE.needs_teacher) == ("batch", "pooled", False)
    assert loss.twin_heads()["projector"](torch.randn(2, 6)).shape == (2, 4)
    assert list(loss.state_dict()) == []


def test_info_nce_needs_two_student_views():
    loss = loss_of(InfoNCE)
    assert loss.check_views([plan("a", student=True), plan("b", teacher=True)]) == "needs two views that the student sees"
    assert loss.check_views([plan("a", student=True), plan("b", student=True)]) is None
