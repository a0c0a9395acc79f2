"""Tests of strand agreement against plain numbers: which windows count, and which embeddings get a gradient."""

import math

import pytest
import torch
from branches import CLOCK, built, plan, rows, views_of, windows
from findna_kit_objectives import RCConsistency
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from findna_kit import alphabet
from findna_kit.components import BranchOutput

BATCH, DIM = 5, 4


def turned(view, which):
    """The view with the rows in `which` [B] on the other strand, N or bases alike."""
    length = view.tokens.shape[1]
    back = (view.lengths[:, None] - 1 - torch.arange(length)) % length
    flip = which[:, None].expand(-1, length) & view.valid
    return view.gather(back.where(flip, torch.arange(length)), flipped=flip)


def student_of(seed, count=2):
    """Views of the same windows; in each some rows are on the other strand."""
    window, generator = windows(BATCH, 9, seed=seed), torch.Generator().manual_seed(seed)
    flips = [torch.rand(BATCH, generator=generator) < 0.5 for _ in range(count)]
    views = {f"view {number}": turned(window, which) for number, which in enumerate(flips)}
    return rows(views, DIM, seed=seed), flips


@given(st.integers(0, 1000), st.sampled_from(["cosine", "squared"]), st.booleans(), st.integers(2, 3))
def test_is_the_distance_of_the_strands_over_pairs_of_views(seed, how, stop, count):
    student, flips = student_of(seed, count)
    total, cosines, items = 0.0, 0.0, 0
    names = list(student)
    for one in range(count):
        for other in range(one + 1, count):
            for row in range(BATCH):
                if bool(flips[one][row]) == bool(flips[other][row]):
                    continue
                a, b = student[names[one]].rows[row].tolist(), student[names[other]].rows[row].tolist()
                cosine = sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))
                total += 1 - cosine if how == "cosine" else sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / DIM
                cosines += cosine
                items += 1
    loss = built(RCConsistency, distance=how, stop_gradient=stop)
    term = loss(student, {}, CLOCK)
    assert term.sum.item() == pytest.approx(total, rel=1e-4, abs=1e-5)
    assert float(term.metrics["cosine"]) == pytest.approx(cosines, rel=1e-4, abs=1e-5)
    assert float(loss.count(views_of(student), {})) == items


@pytest.mark.parametrize("how", ["cosine", "squared"])
def test_stop_gradient_halves_what_pulls_both(how):
    gradients = []
    for stop in (False, True):
        student, _ = student_of(1)
        built(RCConsistency, distance=how, stop_gradient=stop)(student, {}, CLOCK).sum.backward()
        gradients.append([output.rows.grad for output in student.values()])
    for whole, half in zip(*gradients, strict=True):
        torch.testing.assert_close(half, whole / 2)
        assert whole.abs().sum() > 0


def test_windows_on_one_strand_get_no_gradient():
    student, flips = student_of(2)
    built(RCConsistency)(student, {}, CLOCK).sum.backward()
    for output in student.values():
        assert (output.rows.grad.abs().sum(-1) > 0).equal(flips[0] != flips[1])
    assert (flips[0] == flips[1]).any() and (flips[0] != flips[1]).any()


def test_most_bases_say_the_strand():
    """A short inversion does not turn a window round; a window of N, or of inserted bases, has no strand."""
    window = windows(2, 10, padded=False)
    flip = torch.arange(10).expand(2, -1) < 3
    inverted = window.gather(torch.tensor([2, 1, 0, *range(3, 10)]).expand(2, -1), flipped=flip)
    loss, whole = built(RCConsistency), turned(window, torch.ones(2, dtype=torch.bool))
    inserted = window.gather(torch.full((2, 10), -1), inserted=torch.full((2, 10), alphabet.A))
    counts = [
        float(loss.count({"a": one, "b": other}, {}))
        for one, other in ((window, inverted), (inverted, whole), (inserted, whole))
    ]
    assert counts == [0, 2, 0]


def test_reads_what_embed_gives_and_nothing_else():
    loss = built(RCConsistency)
    assert (RCConsistency.head_input, RCConsistency.coupling, RCConsistency.needs_teacher) == ("pooled", "sample", False)
    assert (loss.twin_heads(), loss.student_heads(), loss.state_dict()) == ({}, {}, {})
    assert built(RCConsistency)(student_of(1)[0], {}, CLOCK).state_inputs == {}
    with pytest.raises(ValueError, match="did not compute the rows that this loss reads"):
        loss({"a": BranchOutput(windows(2, 8)), "b": BranchOutput(windows(2, 8))}, {}, CLOCK)


def test_says_what_it_needs():
    wanted = "needs two views that the student sees, one of them with reverse_complement"
    assert built(RCConsistency).check_views([plan("a", student=True), plan("b", teacher=True)]) == wanted
    assert built(RCConsistency).check_views([plan("a", student=True), plan("b", student=True)]) is None
    with pytest.raises(ValidationError, match="should be"):
        RCConsistency.Config(distance="angle")
