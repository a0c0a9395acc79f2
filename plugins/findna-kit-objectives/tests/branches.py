"""Invented branch outputs for tests of losses, and reference implementations with plain numbers."""

import math

import torch

from findna_kit import alphabet
from findna_kit.components import BranchOutput, Clock, View, ViewPlan

CLOCK = Clock(3, 10)


def built(kind, *, dim=6, class_tokens=3, **values):
    """Return the loss with these parameters, as in a recipe."""
    torch.manual_seed(0)
    return kind(kind.Config.model_validate(values), dim=dim, class_tokens=class_tokens)


def numbers(*shape, seed=0):
    """Return standard normal float32 numbers, the same for each seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def windows(batch, length, *, seed=0, padded=True):
    """Return a view of random bases; if `padded`, sequences of several lengths, of which the first is full."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 4, (batch, length), generator=generator)
    lengths = torch.randint(1, length + 1, (batch, 1), generator=generator) if padded else torch.full((batch, 1), length)
    lengths[0] = length
    return View.of_windows(tokens, valid=torch.arange(length) < lengths)


def masked(view, slots, *, seed=0):
    """Return the view with `slots` positions masked; those without a base of the window have weight 0, some a half."""
    batch, length = view.tokens.shape
    generator = torch.Generator().manual_seed(seed)
    index = torch.stack([torch.randperm(length, generator=generator)[:slots] for _ in range(batch)])
    weight = torch.randint(1, 3, (batch, slots), generator=generator) / 2
    weight = weight * (view.origin.gather(1, index) >= 0)
    return view.with_mask(index, weight, torch.full_like(index, alphabet.MASK))


def shown(views, head, *shape, seed=0, grad=True):
    """Return branch outputs of the views with random outputs [B, *shape] of `head` (a callable shape receives the view)."""
    outputs = {}
    for number, (name, view) in enumerate(views.items()):
        size = shape[0](view) if callable(shape[0]) else shape
        given = numbers(len(view.tokens), *size, seed=seed * 100 + number)
        outputs[name] = BranchOutput(view, heads={head: given.requires_grad_(grad)})
    return outputs


def rows(views, *shape, seed=0):
    """Return branch outputs of the views with random rows [B, *shape], for a loss without heads."""
    return {
        name: BranchOutput(view, rows=numbers(len(view.tokens), *shape, seed=seed * 100 + number).requires_grad_())
        for number, (name, view) in enumerate(views.items())
    }


def views_of(outputs):
    return {name: output.view for name, output in outputs.items()}


def plan(name, *, student=False, teacher=False, masked=False):
    return ViewPlan(name, student=student, teacher=teacher, masked=masked)


def softmax(logits):
    """Return the softmax of a list of numbers."""
    shares = [math.exp(logit - max(logits)) for logit in logits]
    return [share / sum(shares) for share in shares]


def cross_entropy(q, p):
    """Return the cross-entropy of two distributions, in nats."""
    return -sum(a * math.log(b) for a, b in zip(q, p, strict=True) if a > 0)


def assert_information(loss, term, items, q, weight):
    """Compare the derived metrics with those of q [R, K], whose rows count by their weights."""
    if items == 0:
        return
    mean = {name: value / items for name, value in {**term.metrics, **term.totals}.items()}
    derived = loss.derived_metrics(mean)
    share = weight / weight.sum()
    entropy_of_mean = float(torch.special.entr((share[:, None] * q).sum(0)).sum()) / math.log(q.shape[1])
    mean_entropy = float((share * torch.special.entr(q).sum(1)).sum()) / math.log(q.shape[1])
    assert abs(float(derived["marginal_entropy_share"]) - entropy_of_mean) < 1e-3
    assert abs(float(derived["information_share"]) - (entropy_of_mean - mean_entropy)) < 1e-3


def balanced(logits, epsilon, iterations, *, weight=None):
    """Return Sinkhorn-Knopp codes [R][K] in float64, as in the appendix of SwAV; items of weight 0 are left out.

    Q is scaled to sum 1; then, in turn, each prototype to a total of 1 / K and each item to 1 / R.
    """
    weight = [1.0] * len(logits) if weight is None else weight
    matrix = torch.tensor(logits, dtype=torch.float64)
    q = torch.exp((matrix - matrix.max()) / epsilon)
    q = q / q.sum()
    share = torch.tensor(weight, dtype=torch.float64)
    for _ in range(iterations):
        q = q / (q * share[:, None]).sum(0) / q.shape[1]
        q = q / q.sum(1, keepdim=True) / q.shape[0]
    return (q / q.sum(1, keepdim=True)).tolist()
