"""The built-in optimizers against their papers' algorithms, on plain numbers."""

import pytest
import torch

from findna_kit.builtin.optimizers.adamw import AdamW
from findna_kit.builtin.optimizers.lion import Lion
from findna_kit.builtin.optimizers.sgd import SGD
from findna_kit.components import ParameterGroup
from findna_kit.testing import check_optimizer
from findna_kit.testing.conformance import build_cases, checks_of

RATE, DECAY = 0.1, 0.3
GRADIENTS = [2.0, -1.0, 0.5, 0.5, -3.0]


def moved(rule, config, gradients=GRADIENTS):
    """The value of a weight after each step, beginning with 1."""
    weight = torch.nn.Parameter(torch.tensor([[1.0]], dtype=torch.float64))
    ((optimizer, groups),) = rule(config).build([ParameterGroup((weight,), dimensions=2, head=False)])
    assert len(groups) == len(optimizer.param_groups) == 1
    values = []
    for gradient in gradients:
        optimizer.param_groups[0] |= {"lr": RATE, "weight_decay": DECAY}
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        values.append(float(weight.detach()))
    return values


def sign(value):
    return (value > 0) - (value < 0)


@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.99), (0.5, 0.8), (0.0, 0.0)])
def test_lion_is_algorithm_2(beta1, beta2):
    """Chen et al. 2023: `c = b1 m + (1 - b1) g`, `w <- w - rate (sign(c) + decay w)`, `m <- b2 m + (1 - b2) g`."""
    value, momentum, expected = 1.0, 0.0, []
    for gradient in GRADIENTS:
        direction = sign(beta1 * momentum + (1 - beta1) * gradient)
        value -= RATE * (direction + DECAY * value)
        momentum = beta2 * momentum + (1 - beta2) * gradient
        expected.append(value)
    assert moved(Lion, Lion.Config(beta1=beta1, beta2=beta2)) == pytest.approx(expected)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_is_sutskevers_with_an_l2_penalty(momentum, nesterov):
    value, velocity, expected = 1.0, 0.0, []
    for number, gradient in enumerate(GRADIENTS):
        whole = gradient + DECAY * value
        velocity = momentum * velocity + whole if number else whole
        value -= RATE * (whole + momentum * velocity if nesterov else velocity)
        expected.append(value)
    assert moved(SGD, SGD.Config(momentum=momentum, nesterov=nesterov)) == pytest.approx(expected)


def test_nesterov_needs_a_momentum():
    with pytest.raises(ValueError, match="nesterov needs a momentum greater than 0"):
        SGD.Config(momentum=0, nesterov=True)


def test_adamw_is_loshchilovs():
    value, first, second, expected = 1.0, 0.0, 0.0, []
    for step, gradient in enumerate(GRADIENTS, start=1):
        first, second = 0.5 * first + 0.5 * gradient, 0.8 * second + 0.2 * gradient**2
        corrected = (first / (1 - 0.5**step)) / ((second / (1 - 0.8**step)) ** 0.5 + 1e-8)
        value = value * (1 - RATE * DECAY) - RATE * corrected
        expected.append(value)
    assert moved(AdamW, AdamW.Config(beta1=0.5, beta2=0.8)) == pytest.approx(expected)


# What the checks find wrong


def faults(rule):
    """{check: what it finds}, but for those that run whole trainings."""
    (case,) = build_cases("optimizer", rule, {})
    return {check.name: check.run(case) for check in checks_of("optimizer") if check.name != "resume"}


class Plain(SGD):
    """Correct without momentum."""

    def build(self, groups):
        return [(torch.optim.SGD([{"params": list(group.parameters)} for group in groups], lr=0.0), list(groups))]

    def initial_state(self, parameter, group):
        return {}


class Forgets(Plain):
    """Leaves the last group out."""

    def build(self, groups):
        return super().build(groups[:-1])


class Deaf(Plain):
    """Takes a learning rate of its own."""

    def build(self, groups):
        ((optimizer, its),) = super().build(groups)
        step = optimizer.step

        def louder():
            for options in optimizer.param_groups:
                options["lr"] = 0.5
            step()

        optimizer.step = louder
        return [(optimizer, its)]


class Amnesiac(SGD):
    """Has momentum, and does not say so."""

    def initial_state(self, parameter, group):
        return {}


class Decays(Plain):
    """Decays vectors too."""

    def build(self, groups):
        ((optimizer, its),) = super().build(groups)
        step = optimizer.step

        def shrinking():
            for options in optimizer.param_groups:
                options["weight_decay"] = 0.1
            step()

        optimizer.step = shrinking
        return [(optimizer, its)]


def test_a_correct_one_has_no_faults():
    assert {name: found for name, found in faults(Plain).items() if found} == {}


@pytest.mark.parametrize(
    ("rule", "check", "said"),
    [
        (Forgets, "moves", "`build` must use every group"),
        (Deaf, "learning_rate", "a step with a learning rate of 0 changed parameters"),
        (Decays, "weight_decay", "its group has a decay of 0"),
        (Amnesiac, "state", "is either created by a step or returned by `initial_state`"),
    ],
)
def test_a_wrong_one_is_found(rule, check, said):
    assert any(said in fault for fault in faults(rule)[check])


@pytest.mark.parametrize("rule", [AdamW, Lion, SGD])
def test_the_built_in_ones_conform(rule):
    check_optimizer(rule)
