"""Windows for tests of what is done to them, what must stay true of a view, and draws that say what they are told."""

import torch

from findna_kit import alphabet
from findna_kit.components.draws import Draw
from findna_kit.components.views import View

OTHER_STRAND = torch.tensor([alphabet.T, alphabet.G, alphabet.C, alphabet.A, alphabet.N, alphabet.MASK])


def view_of(*sequences):
    """The view of sequences of any lengths, padded to the longest."""
    longest = max(map(len, sequences))
    tokens = torch.tensor([[*alphabet.encode(s).tolist(), *[alphabet.N] * (longest - len(s))] for s in sequences])
    valid = torch.tensor([[place < len(s) for place in range(longest)] for s in sequences])
    return View.of_windows(tokens, valid=valid)


def text_of(view):
    """The valid letters of each row."""
    return [alphabet.decode(row[keep].numpy().astype("uint8")) for row, keep in zip(view.tokens, view.valid, strict=True)]


def random_windows(batch, length, *, seed=0, unknown=0.1, padded=True, shortest=1):
    """Windows with N, soft-masking and, if `padded`, rows of every length from `shortest` up (the first is whole)."""
    numbers = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 4, (batch, length), generator=numbers)
    tokens[torch.rand(batch, length, generator=numbers) < unknown] = alphabet.N
    lengths = torch.randint(shortest, length + 1, (batch, 1), generator=numbers) if padded else torch.full((batch, 1), length)
    lengths[0] = length
    soft_masked = torch.rand(batch, length, generator=numbers) < 0.3
    return View.of_windows(tokens, soft_masked=soft_masked, valid=torch.arange(length) < lengths)


def assert_true_to(view, window, *, changed=0):
    """Origin, strand and the other columns say the truth; at most `changed` bases of a row are others than at their origin."""
    assert view.tokens.shape == window.tokens.shape
    known, at = view.origin >= 0, view.origin.clamp(min=0)
    expected = window.tokens.gather(1, at)
    expected = torch.where(view.strand < 0, OTHER_STRAND[expected], expected)
    differs = known & (expected != view.tokens)
    assert int(differs.sum(1).max()) <= changed
    assert view.tokens[differs].lt(alphabet.N).all()
    assert (expected[differs] < alphabet.N).all(), "N became a base"
    assert (view.strand[known].abs() == 1).all()
    assert (view.strand[~known] == 0).all()
    assert view.soft_masked[known].equal(window.soft_masked.gather(1, at)[known])
    assert not view.soft_masked[~known].any()
    inserted = view.valid & ~known
    assert (view.tokens[inserted] < alphabet.N).all(), "an inserted base is A C G or T"
    assert view.lengths.equal(window.lengths)
    assert view.valid.equal(torch.arange(view.tokens.shape[1]) < view.lengths[:, None]), "padding stands last"
    assert (view.tokens[~view.valid] == alphabet.N).all()
    assert (view.origin[~view.valid] == -1).all()


def assert_rows_stand_alone(component, window, *key):
    """Samples do not depend on the rest of the batch, and equal keys give equal views."""
    whole, again = (component(window, draw(*key, rows=len(window.tokens))) for _ in range(2))
    part = component(window.select(slice(1, 3)), Draw(*key, rows=torch.arange(1, 3)))
    for name in ("tokens", "origin", "strand", "valid", "masked_index", "masked_weight", "corrupted"):
        assert getattr(again, name).equal(getattr(whole, name))
        assert getattr(part, name).equal(getattr(whole, name)[1:3])


class Scripted(Draw):
    """Gives the numbers that it is told, in turn, and keeps the bounds that it was asked for."""

    def __init__(self, *answers):
        self.answers, self.bounds = list(answers), []

    def integers(self, low, high, *shape):
        answer = self._next(shape)
        assert ((answer >= low) & (answer < high)).all(), f"{answer} is outside [{low}, {high})"
        self.bounds.append((low, high))
        return answer

    def uniform(self, *shape):
        return self._next(shape)

    def normal(self, *shape):
        raise AssertionError("no component draws noise itself")

    def _next(self, shape):
        answer = self.answers.pop(0)
        assert answer.shape[1:] == shape, f"{tuple(answer.shape[1:])} was prepared, {shape} is asked for"
        return answer


def draw(*key, rows):
    """A real draw for this many rows."""
    return Draw(*key, rows=torch.arange(rows))
