"""Counting models against loops over bases."""

import time
import tracemalloc

import numpy as np
import pytest

from findna_kit import alphabet
from findna_kit.metrics import baselines
from findna_kit.metrics.baselines import masked_baselines, two_sided_width

RNG = np.random.default_rng(3)


def genome(size=4000):
    """Bases that depend on the one before, and some N."""
    tokens = np.zeros(size, dtype=np.uint8)
    for at in range(1, size):
        tokens[at] = (tokens[at - 1] + (1 if RNG.random() < 0.6 else RNG.integers(0, 4))) % 4
    tokens[100:120] = alphabet.N
    return tokens


def around(tokens, at, left, right):
    """The bases around a position; None if some are missing."""
    if at - left < 0 or at + right >= len(tokens):
        return None
    found = [*tokens[at - left : at], *tokens[at + 1 : at + 1 + right]]
    return None if alphabet.N in found else tuple(int(base) for base in found)


def counted(chunks, context):
    """Add-one counts on both strands, a table for each context."""
    tables = []
    for left, right in context:
        counts = {}
        for chunk in chunks:
            turned = np.where(chunk < 4, 3 - chunk, chunk)[::-1]
            for strand in (chunk, turned):
                for at, base in enumerate(strand):
                    key = around(strand, at, left, right)
                    if key is not None and base < 4:
                        counts.setdefault(key, np.ones(4))[base] += 1
        tables.append(counts)
    return tables


def by_loops(chunks, windows, masked, context):
    """Accuracy and bits by p(base | context); the next smaller context answers where one is not whole."""
    tables, bits, correct = counted(chunks, context), [], []
    for window, row in zip(windows, masked, strict=True):
        for at in np.flatnonzero(row):
            keys = [around(window, at, *sides) for sides in context]
            known = max(place for place, key in enumerate(keys) if key is not None)
            p = tables[known].get(keys[known], np.ones(4))
            p = p / p.sum()
            bits.append(-np.log2(p[window[at]]))
            correct.append(p.argmax() == window[at])
    return np.mean(correct), np.mean(bits)


def joined(chunks):
    """As runs.baselines hands them over: an N after each."""
    return np.concatenate([np.append(chunk, alphabet.N) for chunk in chunks]).astype(np.uint8)


@pytest.mark.parametrize(("name", "contexts"), [
    ("markov_0", [(0, 0)]),
    ("markov_2", [(0, 0), (1, 0), (2, 0)]),
    ("markov_5", [(k, 0) for k in range(6)]),
    ("two_sided_1", [(0, 0), (1, 1)]),
])  # fmt: skip
def test_each_model_equals_the_same_written_with_loops(name, contexts):
    tokens = genome()
    chunks = [tokens[:1500], tokens[1500:3000]]
    windows = np.stack([tokens[3000 + 60 * i : 3060 + 60 * i] for i in range(10)]).astype(np.int64)
    windows[3, 10:14] = alphabet.N
    masked = (RNG.random(windows.shape) < 0.3) & (windows < alphabet.N)
    masked[:, 0] = windows[:, 0] < alphabet.N  # without left context
    assert two_sided_width(sum(int((c < 4).sum()) for c in chunks)) == 1
    found = masked_baselines(joined(chunks), windows, masked)[name]
    assert found["fitted_on_bases"] == 2980
    accuracy, bits = by_loops(chunks, windows, masked, contexts)
    assert found["accuracy"] == pytest.approx(accuracy)
    assert found["bits_per_base"] == pytest.approx(bits)


def test_more_context_helps_if_there_is_structure():
    tokens = genome()
    windows = tokens[3000:3960].reshape(16, 60).astype(np.int64)
    scores = masked_baselines(tokens[:3000], windows, windows < alphabet.N)
    assert sorted(scores) == sorted(
        ["markov_0", "markov_1", "markov_2", "markov_3", "markov_4", "markov_5", "two_sided_1", "counting_backoff"]
    )
    assert scores["markov_1"]["accuracy"] > scores["markov_0"]["accuracy"] + 0.1
    assert scores["two_sided_1"]["bits_per_base"] < scores["markov_1"]["bits_per_base"] < scores["markov_0"]["bits_per_base"]


@pytest.mark.parametrize("chunk", [5, 7, 64, 10**6])
def test_every_word_of_both_strands_is_counted_once_whatever_the_chunk(chunk, monkeypatch):
    monkeypatch.setattr(baselines, "_CHUNK", chunk)
    tokens = RNG.integers(0, 4, 400).astype(np.uint8)
    tokens[RNG.integers(0, 400, 60)] = alphabet.N  # runs shorter than the longest word, down to single bases
    found = baselines._word_counts(tokens, 5)
    assert sorted(found) == [1, 2, 3, 4, 5]
    for length, counts in found.items():
        expected = np.zeros((4,) * length, dtype=np.int64)
        for strand in (tokens, np.where(tokens < 4, 3 - tokens, tokens)[::-1]):
            for at in range(len(strand) - length + 1):
                word = strand[at : at + length]
                if alphabet.N not in word:
                    expected[tuple(word)] += 1
        assert (counts == expected.reshape(-1)).all()


@pytest.mark.parametrize("tokens", [np.full(50, alphabet.N), np.array([0, 4, 1]), np.array([], dtype=int)])
def test_without_counts_every_base_is_equally_likely(tokens):
    windows = RNG.integers(0, 4, (2, 20))
    for scores in masked_baselines(tokens.astype(np.uint8), windows, windows < alphabet.N).values():
        assert scores["bits_per_base"] == pytest.approx(2.0)


def test_a_large_genome_is_counted_in_seconds_and_within_bounds():
    """A tenth of what is handed over at most."""
    tokens = RNG.integers(0, 4, 6_400_000, dtype=np.uint8)
    windows = tokens[: 64 * 512].reshape(64, 512).astype(np.int64)
    tracemalloc.start()
    before = time.process_time()
    masked_baselines(tokens, windows, RNG.random(windows.shape) < 0.15)
    took = time.process_time() - before
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert took < 3
    assert peak < 2**28


def test_the_two_sided_context_grows_with_the_genome():
    sizes = (0, 10**4, 10**6, 4 * 10**6, 6 * 10**7, 3 * 10**12)
    assert [two_sided_width(bases) for bases in sizes] == [1, 2, 3, 4, 5, 5]
