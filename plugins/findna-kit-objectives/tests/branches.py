"""What branches make of views, invented for tests of losses; and plain numbers to reckon with."""

import math

import torch

from findna_kit import alphabet
from findna_kit.components import BranchOutput, Clock, View, ViewPlan

CLOCK = Clock(3, 10)


def built(kind, *, dim=6, class_tokens=3, **values):
    """The loss, with parameters as a recipe states them."""
    torch.manual_seed(0)
    return kind(kind.Config.model_validate(values), dim=dim, class_tokens=class_tokens)


def numbers(*shape, seed=0):
    """Standard normal float32, the same every time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def windows(batch, length, *, seed=0, padded=True):
    """Random bases; if `padded`, rows of several lengths, of which the first is whole."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 4, (batch, length), generator=generator)
    lengths = torch.randint(1, length + 1, (batch, 1), generator=generator) if padded else torch.full((batch, 1), length)
    lengths[0] = length
    return View.of_windows(tokens, valid=torch.arange(length) < lengths)


def masked(view, slots, *, seed=0):
    """The view with `slots` positions of each row masked; those that hold no base of the window weigh 0, some a half."""
    batch, length = view.tokens.shape
    generator = torch.Generator().manual_seed(seed)
    index = torch.stack([torch.randperm(length, generator=generator)[:slots] for _ in range(batch)])
    weight = torch.randint(1, 3, (batch, slots), generator=generator) / 2
    weight = weight * (view.origin.gather(1, index) >= 0)
    return view.with_mask(index, weight, torch.full_like(index, alphabet.MASK))


def shown(views, head, *shape, seed=0, grad=True):
    """Branch outputs of the views whose `head` gave random numbers [B, *shape] (a callable: of the view)."""
    outputs = {}
    for number, (name, view) in enumerate(views.items()):
        size = shape[0](view) if callable(shape[0]) else shape
        given = numbers(len(view.tokens), *size, seed=seed * 100 + number)
        outputs[name] = BranchOutput(view, heads={head: given.requires_grad_(grad)})
    return outputs


def rows(views, *shape, seed=0):
    """Branch outputs of the views of which a loss without heads reads random numbers [B, *shape]."""
    return {
        name: BranchOutput(view, rows=numbers(len(view.tokens), *shape, seed=seed * 100 + number).requires_grad_())
        for number, (name, view) in enumerate(views.items())
    }


def views_of(outputs):
    return {name: output.view for name, output in outputs.items()}


def plan(name, *, student=False, teacher=False, masked=False):
    return ViewPlan(name, student=student, teacher=teacher, masked=masked)


def softmax(logits):
    """Of a list of numbers."""
    shares = [math.exp(logit - max(logits)) for logit in logits]
    return [share / sum(shares) for share in shares]


def cross_entropy(q, p):
    """Of two lists of shares, in nats."""
    return -sum(a * math.log(b) for a, b in zip(q, p, strict=True) if a > 0)


def balanced(logits, epsilon, iterations, *, weight=None):
    """Sinkhorn-Knopp in plain float64, as SwAV's appendix writes it: [R][K] to [R][K]. Rows of weight 0 are put aside.

    Q is made to sum to 1; then, in turn, each prototype's share to 1 / K and each item's to 1 / R.
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
