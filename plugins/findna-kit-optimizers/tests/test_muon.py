"""Muon against its algorithm in 64-bit arithmetic, what it leaves to AdamW, and a run that is resumed."""

import math

import pytest
import torch
from findna_kit_optimizers import Muon

from findna_kit.components import ParameterGroup
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from findna_kit.testing import check_optimizer

RATE, DECAY = 0.1, 0.2


def orthogonalised(matrix, iterations=5):
    """Newton-Schulz with the coefficients of the post, in doubles."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.double() / matrix.double().norm()
    if len(matrix) > len(matrix.T):
        return orthogonalised(matrix.T, iterations).T
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def built(groups, **parameters):
    optimizers = Muon(Muon.Config(**parameters)).build(groups)
    for optimizer, its in optimizers:
        for options, group in zip(optimizer.param_groups, its, strict=True):
            options["lr"], options["weight_decay"] = RATE, DECAY if group.matrices else 0.0
    return optimizers


def group(*shape, head=False):
    return ParameterGroup((torch.nn.Parameter(torch.randn(shape)),), dimensions=len(shape), head=head)


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (6, 6)])
@pytest.mark.parametrize("nesterov", [True, False])
def test_a_step_is_the_papers(shape, nesterov):
    torch.manual_seed(1)
    hidden = group(*shape)
    (weight,) = hidden.parameters
    ((optimizer, _),) = built([hidden], momentum=0.9, nesterov=nesterov)
    expected, momentum = weight.detach().double(), torch.zeros(shape, dtype=torch.float64)
    for _ in range(3):
        gradient = torch.randn(shape)
        weight.grad = gradient
        optimizer.step()
        momentum = 0.9 * momentum + 0.1 * gradient.double()
        direction = 0.9 * momentum + 0.1 * gradient.double() if nesterov else momentum
        expected = expected * (1 - RATE * DECAY) - RATE * 0.2 * math.sqrt(max(shape)) * orthogonalised(direction)
    # The iterations run in bfloat16, which has three significant digits.
    assert torch.allclose(weight.detach().double(), expected, atol=0.03 * RATE * 3)


def test_an_orthogonalised_step_has_singular_values_near_one():
    torch.manual_seed(2)
    values = torch.linalg.svdvals(orthogonalised(torch.randn(12, 7)))
    assert (values > 0.6).all() and (values < 1.3).all()


def test_everything_but_hidden_matrices_is_moved_by_adamw():
    torch.manual_seed(3)
    groups = [group(4, 3), group(4), group(4, 3, 5), group(4, 3, head=True)]
    optimizers = built(groups)
    assert {type(optimizer).__name__: its for optimizer, its in optimizers} == {"Muon": groups[:1], "AdamW": groups[1:]}
    reference = [torch.nn.Parameter(one.parameters[0].detach().clone()) for one in groups[1:]]
    adamw = torch.optim.AdamW([{"params": [one], "weight_decay": DECAY if one.ndim > 1 else 0.0} for one in reference], lr=RATE)
    for _ in range(2):
        for one, other in zip(groups[1:], reference, strict=True):
            one.parameters[0].grad = other.grad = torch.randn(other.shape)
        groups[0].parameters[0].grad = torch.randn(4, 3)
        for optimizer, _ in optimizers:
            optimizer.step()
        adamw.step()
    for one, other in zip(groups[1:], reference, strict=True):
        assert torch.allclose(one.parameters[0], other, rtol=1e-5, atol=1e-6)


def test_it_conforms():
    check_optimizer(Muon)


def test_its_recipe_names_it():
    components, _ = load_plugins()
    assert load_recipe("optimizers:muon", components).optimizer.component is Muon
