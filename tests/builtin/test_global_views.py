"""`sigreg` and `visreg` against their papers' formulas in plain loops; views, directions, gradients and refusals."""

import cmath
import math
from itertools import pairwise
from statistics import NormalDist

import pytest
import torch
from pydantic import ValidationError

from findna_kit.builtin.losses.sigreg import SIGReg
from findna_kit.builtin.losses.visreg import VISReg
from findna_kit.components import BatchNorm, BranchOutput, Clock, Draw, ViewPlan
from tests.windows import random_windows

CLOCK = Clock(3, 10)
BATCH, OUTPUT, SLICES = 5, 3, 7
SMALL = {"hidden": 8, "output": OUTPUT, "slices": SLICES}
KINDS = pytest.mark.parametrize("kind", [SIGReg, VISReg], ids=lambda kind: kind.__name__)


def loss_of(kind, dim=6, class_tokens=3, **values):
    return kind(kind.Config.model_validate({**SMALL, **values}), dim=dim, class_tokens=class_tokens)


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def shown(projections):
    return {name: BranchOutput(random_windows(len(z), 8), heads={"projector": z}) for name, z in projections.items()}


def projections_of(names, *shape, scale=1.0):
    return {name: (scale * numbers(*(shape or (BATCH, OUTPUT)), seed=seed) + 0.3) for seed, name in enumerate(names)}


def value(loss, projections, clock=CLOCK):
    """Return the loss and its metrics for one sample, as the trainer computes them."""
    student = shown(projections)
    output = loss(student, {}, clock)
    items = float(loss.count({name: branch.view for name, branch in student.items()}, {}))
    return float(output.sum) / items, {name: float(metric) / items for name, metric in output.metrics.items()}


def invariance(projections, targets):
    """Return the mean squared difference of every view to the mean of the targets, in plain loops."""
    views = {name: z.tolist() for name, z in projections.items()}
    squares = [
        (views[name][row][k] - sum(views[target][row][k] for target in targets) / len(targets)) ** 2
        for name in views
        for row in range(BATCH)
        for k in range(OUTPUT)
    ]
    return sum(squares) / len(squares)


def directions_at(step, output=OUTPUT):
    """Return the unit vectors of a step, [slices][output]."""
    drawn = Draw("slices of global views", step, rows=torch.arange(SLICES)).normal(output).tolist()
    return [[value / math.hypot(*vector) for value in vector] for vector in drawn]


def on_directions(z, step=3):
    """Return the projections of the samples on each direction, [slices][samples]."""
    return [[sum(a * b for a, b in zip(row, u, strict=True)) for row in z.tolist()] for u in directions_at(step)]


def epps_pulley(x, points=17, end=3.0):
    """Return the statistic of one list of numbers, with the integral over [-end, end] written out."""
    n, step = len(x), end / (points - 1)
    ts = [k * step for k in range(-(points - 1), points)]

    def integrand(t):
        empirical = sum(cmath.exp(1j * t * value) for value in x) / n
        return abs(empirical - math.exp(-t * t / 2)) ** 2 * math.exp(-t * t / 2)

    return n * sum((integrand(a) + integrand(b)) / 2 * step for a, b in pairwise(ts))


def sigreg(projections, **integral):
    statistics = [epps_pulley(x, **integral) for z in projections.values() for x in on_directions(z)]
    return sum(statistics) / len(statistics)


def visreg(projections):
    """Return scale, shape and center, each averaged over the views."""
    quantiles = [NormalDist().inv_cdf(i / (BATCH + 1)) for i in range(1, BATCH + 1)]
    scale, shape, center = [], [], []
    for z in projections.values():
        columns = list(zip(*z.tolist(), strict=True))
        means = [sum(column) / BATCH for column in columns]
        deviations = [
            math.sqrt(sum((x - mean) ** 2 for x in column) / BATCH) for column, mean in zip(columns, means, strict=True)
        ]
        scale += [(1 - deviation) ** 2 for deviation in deviations]
        center += [mean**2 for mean in means]
        for x in on_directions((z - torch.tensor(means)) / torch.tensor(deviations)):
            shape += [(a - q) ** 2 for a, q in zip(sorted(x), quantiles, strict=True)]
    return [sum(values) / len(values) for values in (scale, shape, center)]


@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("integral", [{}, {"points": 5, "end": 2.0}])
def test_sigreg_is_its_papers_formula(share, integral):
    projections = projections_of("abc")
    loss, metrics = value(loss_of(SIGReg, regularization=share, **integral), projections)
    expected = invariance(projections, "abc"), sigreg(projections, **integral)
    assert loss == pytest.approx((1 - share) * expected[0] + share * expected[1], rel=1e-4)
    assert (metrics["invariance"], metrics["sigreg"]) == pytest.approx(expected, rel=1e-4)


def test_visreg_is_its_papers_formula():
    projections = projections_of("ab", scale=0.4)
    weights = (1.0, 3.0, 0.5)
    names = ("scale", "shape", "center")
    loss, metrics = value(loss_of(VISReg, regularization=0.3, **dict(zip(names, weights, strict=True))), projections)
    terms = visreg(projections)
    assert [metrics[name] for name in names] == pytest.approx(terms, rel=1e-4)
    regularizer = sum(weight * term for weight, term in zip(weights, terms, strict=True))
    assert loss == pytest.approx(0.7 * invariance(projections, "ab") + 0.3 * regularizer, rel=1e-4)


def test_the_defaults_are_those_of_genojepa():
    config = SIGReg.Config()
    assert (config.regularization, config.slices, config.points, config.end) == (0.05, 256, 17, 3.0)
    assert (config.layers, config.hidden, config.output) == (2, 768, 16)


@KINDS
def test_the_target_is_the_mean_of_the_global_views(kind):
    projections = projections_of(["wide.1", "wide.2", "near.1", "near.2"])
    _, metrics = value(loss_of(kind, global_views=["wide"]), projections)
    assert metrics["invariance"] == pytest.approx(invariance(projections, ["wide.1", "wide.2"]), rel=1e-4)
    _, metrics = value(loss_of(kind), projections)
    assert metrics["invariance"] == pytest.approx(invariance(projections, list(projections)), rel=1e-4)


@KINDS
def test_each_class_token_is_compared_and_regularised_by_itself(kind):
    tokens = 3
    projections = projections_of("ab", BATCH, tokens, OUTPUT)
    whole, metrics = value(loss_of(kind, reads="class"), projections)
    alone = [value(loss_of(kind), {name: z[:, token] for name, z in projections.items()}) for token in range(tokens)]
    assert whole == pytest.approx(sum(loss for loss, _ in alone) / tokens, rel=1e-4)
    for name, metric in metrics.items():
        assert metric == pytest.approx(sum(each[name] for _, each in alone) / tokens, rel=1e-4)


@KINDS
def test_directions_are_drawn_anew_at_every_step_and_are_unit_vectors(kind):
    loss = loss_of(kind)
    first, again, second = (loss._directions(Clock(step, 10), torch.device("cpu")) for step in (3, 3, 4))
    assert first.T.tolist() == [pytest.approx(u, rel=1e-5) for u in directions_at(3)]
    assert first.equal(again)
    assert not first.isclose(second).any()
    torch.testing.assert_close(first.norm(dim=0), torch.ones(SLICES))


@KINDS
def test_the_gradient_reaches_every_view_and_both_terms(kind):
    for share in (0.0, 0.5, 1.0):
        projections = {name: z.requires_grad_() for name, z in projections_of(["wide", "near"]).items()}
        loss_of(kind, regularization=share, global_views=["wide"])(shown(projections), {}, CLOCK).sum.backward()
        assert all(float(z.grad.abs().sum()) > 0 for z in projections.values()), share


def test_without_a_stopped_gradient_the_target_moves_too():
    projections = {name: z.requires_grad_() for name, z in projections_of(["wide", "near"]).items()}
    loss_of(SIGReg, regularization=0.0, global_views=["wide"])(shown(projections), {}, CLOCK).sum.backward()
    torch.testing.assert_close(projections["wide"].grad, -projections["near"].grad)


def gradient_at_collapse(kind, width):
    z = (width * numbers(64, OUTPUT)).requires_grad_()
    loss_of(kind, regularization=1.0)(shown({"a": z, "b": z}), {}, CLOCK).sum.backward()
    return float(z.grad.norm())


def test_near_a_collapse_the_gradient_of_visreg_stays_and_that_of_sigreg_vanishes():
    assert gradient_at_collapse(SIGReg, 1e-3) < 0.02 * gradient_at_collapse(SIGReg, 0.5)
    assert gradient_at_collapse(VISReg, 1e-3) > 0.5 * gradient_at_collapse(VISReg, 0.5)


def test_shape_leaves_the_scale_alone():
    """Along z - mean, which changes the scale alone, `shape` has no gradient: that of s is stopped, and z / s is scaled."""
    z = (0.2 * numbers(64, OUTPUT)).requires_grad_()
    only = {"scale": 0.0, "center": 0.0, "regularization": 1.0}
    loss_of(VISReg, **only)(shown({"a": z, "b": z}), {}, CLOCK).sum.backward()
    assert float(z.grad.norm()) > 0
    wider = value(loss_of(VISReg, **only), {"a": 10 * z.detach(), "b": 10 * z.detach()})[0]
    assert wider == pytest.approx(value(loss_of(VISReg, **only), {"a": z.detach(), "b": z.detach()})[0], rel=1e-4)


@pytest.mark.parametrize("batch", [64, 512])
def test_sigreg_of_a_gaussian_and_of_a_collapse(batch):
    """The values that the docstring states, whatever the batch size."""
    loss = loss_of(SIGReg, slices=256, output=16)
    _, metrics = value(loss, {f"view {seed}": numbers(batch, 16, seed=seed) for seed in range(30)})
    assert metrics["sigreg"] == pytest.approx(1.05, abs=0.05)
    assert metrics["deviation"] == pytest.approx(1.0, abs=0.02)
    _, metrics = value(loss, {name: torch.zeros(batch, 16) for name in "ab"})
    assert metrics["sigreg"] == pytest.approx(0.40 * batch, rel=0.01)
    assert metrics["deviation"] == 0


@KINDS
def test_a_single_sample_is_finite(kind):
    """The last chunk of the held-out windows may be one."""
    z = numbers(1, OUTPUT).requires_grad_()
    output = loss_of(kind)(shown({"a": z, "b": z}), {}, CLOCK)
    output.sum.backward()
    assert output.sum.isfinite()
    assert z.grad.isfinite().all()


@KINDS
def test_the_head_has_batch_normalisation_gelu_and_no_last_bias(kind):
    (projector,) = loss_of(kind, layers=3).twin_heads().values()
    assert [type(module) for module in projector] == [
        torch.nn.Linear, BatchNorm, torch.nn.GELU, torch.nn.Linear, BatchNorm, torch.nn.GELU, torch.nn.Linear,
    ]  # fmt: skip
    assert projector[-1].bias is None
    assert projector(numbers(4, 6)).shape == (4, OUTPUT)


@KINDS
def test_what_the_head_reads(kind):
    loss = loss_of(kind)
    assert (loss.head_input, loss.coupling, loss.needs_teacher) == ("pooled", "batch", False)
    assert loss_of(kind, reads="class").head_input == "class"
    assert kind.head_input == "pooled", "the class is not changed"


def plans(*names, teacher=()):
    return [ViewPlan(name, student=name not in teacher, teacher=name in teacher, masked=False) for name in names]


@KINDS
def test_views_that_do_not_suit_are_refused_with_the_reason(kind):
    assert loss_of(kind).check_views(plans("crop.1", "crop.2")) is None
    assert loss_of(kind).check_views(plans("a", "b", teacher="b")) == "needs two views that the student sees"
    loss = loss_of(kind, global_views=["wide", "clean", "far"])
    assert loss.check_views(plans("wide.1", "wide.2", "near", "clean", teacher=["clean"])) == (
        "global_views names clean, far, but the views that the student sees are wide, near"
    )
    assert loss_of(kind, class_tokens=0, reads="class").check_views(plans("a", "b")) == (
        "reads class tokens: set class_tokens above 0, or reads: pooled"
    )


@KINDS
@pytest.mark.parametrize(
    "wrong", [{"slices": 0}, {"regularization": 1.5}, {"global_views": []}, {"reads": "masked"}, {"output": 0}]
)
def test_parameters_without_a_meaning_are_refused(kind, wrong):
    with pytest.raises(ValidationError):
        kind.Config.model_validate(wrong)


@pytest.mark.parametrize("wrong", [{"points": 1}, {"end": 0.0}])
def test_an_integral_needs_two_points(wrong):
    with pytest.raises(ValidationError):
        SIGReg.Config.model_validate(wrong)
