"""The back-off model against its formula written with loops, and against what it is for."""

import numpy as np
import pytest

from findna_kit import alphabet
from findna_kit.metrics import backoff
from findna_kit.metrics.backoff import STRENGTHS, WIDTH, backoff_probabilities, choose_strengths
from findna_kit.metrics.baselines import _word_counts, masked_baselines

RNG = np.random.default_rng(5)


def genome(size):
    """Bases that depend on the two before, with some N."""
    tokens = RNG.integers(0, 4, size).astype(np.uint8)
    for at in range(2, size):
        if RNG.random() < 0.6:
            tokens[at] = (tokens[at - 1] + 2 * tokens[at - 2]) % 4
    tokens[50:57] = alphabet.N
    return tokens


def context(tokens, at, width):
    """The bases on both sides of a position; None if one is missing."""
    if at - width < 0 or at + width >= len(tokens):
        return None
    found = (*tokens[at - width : at].tolist(), *tokens[at + 1 : at + 1 + width].tolist())
    return None if alphabet.N in found else found


def counted(tokens):
    """For each width, the counts of the bases by context, on both strands."""
    reverse = np.where(tokens < 4, 3 - tokens, tokens)[::-1]
    tables = [{} for _ in range(WIDTH + 1)]
    for strand in (tokens, reverse):
        for at, base in enumerate(strand.tolist()):
            for width, table in enumerate(tables):
                key = context(strand, at, width)
                if key is not None and base < 4:
                    table.setdefault(key, np.zeros(4))[base] += 1
    return tables


def by_loops(tables, window, at, strengths, without=None):
    """p(base) of one position: the formula of the module. without: the base of an occurrence that is left out."""
    p = np.full(4, 0.25)
    for width, strength in enumerate(strengths):
        key = context(window, at, width)
        count = np.zeros(4) if key is None else tables[width].get(key, np.zeros(4)).copy()
        if key is not None and without is not None:
            count[without] -= 1
        p = (count + strength * p) / (count.sum() + strength)
    return p


@pytest.mark.parametrize("chunk", [16, 1000, 2**22])
def test_probabilities_equal_the_formula_written_with_loops(chunk, monkeypatch):
    monkeypatch.setattr(backoff, "_CHUNK", chunk)
    tokens = genome(1500)
    windows = np.stack([tokens[40 * i : 40 * i + 40] for i in range(20)]).astype(np.int64)  # known contexts of all widths
    windows[1] = RNG.integers(0, 4, 40)  # and unknown ones
    masked = (RNG.random(windows.shape) < 0.3) & (windows < alphabet.N)
    found, strengths = backoff_probabilities(tokens, _word_counts(tokens, 11), windows, masked)
    np.testing.assert_allclose(found.sum(1), 1)
    tables = counted(tokens)
    expected = [
        by_loops(tables, window, at, strengths)
        for window, row in zip(windows, masked, strict=True)
        for at in np.flatnonzero(row)
    ]
    np.testing.assert_allclose(found, expected)


def test_strengths_are_chosen_on_training_positions_each_left_out_of_its_own_counts():
    tokens = genome(1200)
    windows = tokens[None, :200].astype(np.int64)
    _, strengths = backoff_probabilities(tokens, _word_counts(tokens, 11), windows, windows < alphabet.N)
    tables, known = counted(tokens), np.flatnonzero(tokens < alphabet.N)

    def bits(tried):
        return -np.mean([np.log2(by_loops(tables, tokens, at, tried, tokens[at])[tokens[at]]) for at in known])

    reached = bits(strengths)
    for width in range(WIDTH + 1):  # no change of one strength is better
        for other in STRENGTHS[::3]:
            assert bits([*strengths[:width], other, *strengths[width + 1 :]]) >= reached - 1e-9


def test_the_validation_windows_choose_nothing():
    tokens = genome(3000)
    windows = RNG.integers(0, 4, (4, 100))
    masked = np.ones(windows.shape, dtype=bool)
    counts = _word_counts(tokens, 11)
    one = backoff_probabilities(tokens, counts, windows, masked)[1]
    assert one == backoff_probabilities(tokens, counts, 3 - windows, masked)[1]


def test_strengths_are_small_where_counts_can_be_trusted_and_large_where_they_cannot():
    own = RNG.integers(0, 4, 2000)
    sure = 1000 * np.eye(4, dtype=np.int64)[own]  # the context tells the base
    noise = np.eye(4, dtype=np.int64)[RNG.integers(0, 4, 2000)] + np.eye(4, dtype=np.int64)[own]
    strengths = choose_strengths([sure, noise], own)
    assert strengths == [STRENGTHS[0], STRENGTHS[-1]]
    assert len(choose_strengths([sure[:0], noise[:0]], own[:0])) == 2


def test_it_is_better_than_every_model_of_one_width_where_wide_contexts_are_rare():
    tokens = genome(60_000)
    windows = tokens[50_000:].reshape(100, 100).astype(np.int64)
    scores = masked_baselines(tokens[:50_000], windows, windows < alphabet.N)
    best = scores.pop("counting_backoff")
    assert best["bits_per_base"] < min(score["bits_per_base"] for score in scores.values())
    assert len(best["strengths"]) == WIDTH + 1
    assert best["fitted_on_bases"] == 50_000 - 7
