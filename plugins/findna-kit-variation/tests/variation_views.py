"""Windows for the tests, properties that every view must have, and scripted random draws."""

import torch
from hypothesis import settings

from findna_kit import alphabet
from findna_kit.components import Draw, View

PAIRED = torch.tensor([alphabet.T, alphabet.G, alphabet.C, alphabet.A, alphabet.N])
few_examples = settings(deadline=None, derandomize=True, max_examples=25)
"""Decorator above `given`: the same few examples every time."""


def draw(*key, rows):
    return Draw(*key, rows=torch.arange(rows))


def view_of(*sequences, **columns):
    """Return a view of sequences of any lengths, padded to the longest; lower case is soft-masked."""
    longest = max(map(len, sequences))
    tokens = torch.stack([torch.from_numpy(alphabet.encode(s.ljust(longest, "N"))).long() for s in sequences])
    soft = torch.stack([torch.from_numpy(alphabet.is_soft_masked(s.ljust(longest, "N"))) for s in sequences])
    valid = torch.arange(longest) < torch.tensor([len(s) for s in sequences])[:, None]
    return View.of_windows(tokens, valid=valid, soft_masked=soft, **columns)


def text_of(view):
    """Return the valid bases of each sequence, as letters."""
    return [alphabet.decode(row[keep].numpy().astype("uint8")) for row, keep in zip(view.tokens, view.valid, strict=True)]


def random_windows(batch, length, *, seed=0, unknown=0.1, padded=True, bases=4):
    """Return windows with N, soft-masking and, if `padded`, any length (the first has full length)."""
    numbers = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, bases, (batch, length), generator=numbers)
    tokens[torch.rand(batch, length, generator=numbers) < unknown] = alphabet.N
    lengths = torch.randint(0, length + 1, (batch, 1), generator=numbers) if padded else torch.full((batch, 1), length)
    lengths[0] = length
    soft_masked = torch.rand(batch, length, generator=numbers) < 0.3
    return View.of_windows(tokens, soft_masked=soft_masked, valid=torch.arange(length) < lengths)


def assert_true_to(view, window, *, exchanged=False):
    """Assert that origin, strand and the other columns are correct; bases may differ from their origin if `exchanged`."""
    assert view.tokens.shape == window.tokens.shape
    known, at = view.origin >= 0, view.origin.clamp(min=0)
    there = window.tokens.gather(1, at)
    expected = torch.where(view.strand < 0, PAIRED[there], there)
    assert (view.tokens == alphabet.N)[known].equal((expected == alphabet.N)[known]), "N is neither made nor unmade"
    if not exchanged:
        assert view.tokens[known].equal(expected[known])
    assert (view.strand[known].abs() == 1).all()
    assert (view.strand[~known] == 0).all()
    assert view.soft_masked[known].equal(window.soft_masked.gather(1, at)[known])
    assert not view.soft_masked[~known].any()
    assert (view.tokens[view.valid & ~known] < alphabet.N).all(), "an inserted base is A, C, G or T"
    assert view.valid.equal(window.valid), "padding stands last"
    assert (view.tokens[~view.valid] == alphabet.N).all()
    assert (view.origin[~view.valid] == -1).all()


def assert_rows_stand_alone(component, window, *key):
    """Assert that samples do not depend on the rest of the batch, and that equal keys give equal views."""
    whole, again = (component(window, draw(*key, rows=len(window.tokens))) for _ in range(2))
    part = component(window.select(slice(1, 3)), Draw(*key, rows=torch.arange(1, 3)))
    for name in ("tokens", "origin", "strand", "valid", "masked_index", "masked_weight", "corrupted"):
        assert getattr(again, name).equal(getattr(whole, name))
        assert getattr(part, name).equal(getattr(whole, name)[1:3])


class Scripted(Draw):
    """A draw that returns the given numbers in turn; integers are within the requested bounds."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def integers(self, low, high, *shape):
        answer = self.uniform(*shape)
        assert ((answer >= low) & (answer < high)).all(), f"{answer} is outside [{low}, {high})"
        return answer

    def uniform(self, *shape):
        answer = self.answers.pop(0)
        assert answer.shape[1:] == shape, f"{tuple(answer.shape[1:])} was prepared, {shape} is asked for"
        return answer
