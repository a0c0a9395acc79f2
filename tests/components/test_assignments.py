"""Balanced codes: marginals, invariances, and equality with a plain implementation; the information in assignments."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from findna_kit.components import information_shares, sinkhorn

sizes = st.tuples(st.integers(1, 12), st.integers(2, 9))
seeds = st.integers(0, 10_000)
epsilons = st.sampled_from([0.05, 0.3, 1.0])


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def balanced(logits, epsilon, iterations):
    """Sinkhorn-Knopp codes [R][K] in float64, as in the appendix of SwAV: Q is scaled to sum 1, then in turn each prototype
    to a total of 1 / K and each item to 1 / R.
    """
    matrix = torch.tensor(logits, dtype=torch.float64)
    q = torch.exp((matrix - matrix.max()) / epsilon)
    q = q / q.sum()
    for _ in range(iterations):
        q = q / q.sum(0) / q.shape[1]
        q = q / q.sum(1, keepdim=True) / q.shape[0]
    return (q / q.sum(1, keepdim=True)).tolist()


@given(sizes, seeds, epsilons, st.integers(0, 5))
def test_equal_to_a_plain_implementation(size, seed, epsilon, iterations):
    logits = numbers(*size, seed=seed).clamp(-1, 1)
    plain = torch.tensor(balanced(logits.tolist(), epsilon, iterations))
    torch.testing.assert_close(sinkhorn(logits, epsilon=epsilon, iterations=iterations), plain, rtol=1e-4, atol=1e-6)


@given(sizes, seeds, epsilons, st.integers(0, 5))
def test_every_row_is_a_distribution_whatever_the_iterations(size, seed, epsilon, iterations):
    codes = sinkhorn(numbers(*size, seed=seed), epsilon=epsilon, iterations=iterations)
    assert codes.shape == size
    assert codes.dtype == torch.float32
    assert codes.ge(0).all()
    torch.testing.assert_close(codes.sum(1), torch.ones(size[0]))


@given(sizes, seeds)
def test_in_the_limit_every_prototype_has_the_same_share(size, seed):
    codes = sinkhorn(numbers(*size, seed=seed), epsilon=1.0, iterations=300)
    torch.testing.assert_close(codes.sum(0), torch.full((size[1],), size[0] / size[1]), rtol=1e-3, atol=1e-4)


def test_every_iteration_evens_out_what_prototypes_get():
    logits = numbers(40, 8)
    uneven = [float((sinkhorn(logits, epsilon=1.0, iterations=n).sum(0) - 5).abs().max()) for n in (0, 1, 2, 3, 10)]
    assert uneven == sorted(uneven, reverse=True)
    assert uneven[0] > 10 * uneven[3]


def test_no_iteration_is_a_softmax():
    logits = numbers(5, 4)
    torch.testing.assert_close(sinkhorn(logits, epsilon=0.2, iterations=0), (logits / 0.2).softmax(1))


@given(sizes, seeds, st.integers(1, 4), st.floats(-3, 3))
def test_a_prototype_that_all_prefer_gains_nothing(size, seed, iterations, constant):
    """The first thing done to a column takes out whatever it has in common."""
    logits, more = numbers(*size, seed=seed), torch.zeros(size[1])
    more[0] = constant
    one, other = (sinkhorn(x, epsilon=0.3, iterations=iterations) for x in (logits, logits + more))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@given(sizes, seeds, st.integers(0, 4))
def test_the_order_of_rows_and_columns_means_nothing(size, seed, iterations):
    logits, generator = numbers(*size, seed=seed), torch.Generator().manual_seed(seed)
    rows, columns = (torch.randperm(count, generator=generator) for count in size)
    codes = sinkhorn(logits, epsilon=0.3, iterations=iterations)
    moved = sinkhorn(logits[rows][:, columns], epsilon=0.3, iterations=iterations)
    torch.testing.assert_close(moved, codes[rows][:, columns], rtol=1e-4, atol=1e-6)


@given(sizes, seeds, st.integers(1, 4), st.integers(1, 5))
def test_rows_without_weight_have_no_say(size, seed, iterations, more):
    """They are given a code, however loud they are, and the others' is what it is without them."""
    logits, loud = numbers(*size, seed=seed), 50 * numbers(more, size[1], seed=seed + 1)
    weight = torch.cat([torch.ones(size[0]), torch.zeros(more)])
    codes = sinkhorn(torch.cat([logits, loud]), epsilon=0.3, iterations=iterations, weight=weight)
    torch.testing.assert_close(codes[: size[0]], sinkhorn(logits, epsilon=0.3, iterations=iterations), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(codes.sum(1), torch.ones(size[0] + more))


@given(sizes, seeds, st.integers(1, 4))
def test_a_row_of_weight_two_is_a_row_twice(size, seed, iterations):
    logits = numbers(*size, seed=seed)
    weight = torch.ones(size[0])
    weight[0] = 2
    weighed = sinkhorn(logits, epsilon=0.3, iterations=iterations, weight=weight)
    twice = sinkhorn(torch.cat([logits, logits[:1]]), epsilon=0.3, iterations=iterations)
    torch.testing.assert_close(weighed, twice[:-1], rtol=1e-4, atol=1e-6)


def test_where_nothing_has_weight_all_are_alike():
    logits = numbers(4, 3)
    codes = sinkhorn(logits, epsilon=0.3, iterations=3, weight=torch.zeros(4))
    assert codes.equal(sinkhorn(logits, epsilon=0.3, iterations=3))


@pytest.mark.parametrize("epsilon", [1e-4, 1e4])
def test_no_epsilon_overflows(epsilon):
    codes = sinkhorn(100 * numbers(6, 5), epsilon=epsilon, iterations=3)
    assert codes.isfinite().all()
    torch.testing.assert_close(codes.sum(1), torch.ones(6))


def test_half_precision_is_taken_as_fp32_and_nothing_gets_a_gradient():
    logits = numbers(6, 5).requires_grad_()
    codes = sinkhorn(logits, epsilon=0.3, iterations=3)
    assert not codes.requires_grad
    half = sinkhorn(logits.detach().bfloat16(), epsilon=0.3, iterations=3)
    assert half.equal(sinkhorn(logits.detach().bfloat16().float(), epsilon=0.3, iterations=3))


@given(sizes, seeds, st.integers(1, 3))
def test_leading_dimensions_are_balanced_separately(size, seed, groups):
    logits = numbers(groups, *size, seed=seed)
    together = sinkhorn(logits, epsilon=0.3, iterations=3)
    torch.testing.assert_close(together, torch.stack([sinkhorn(x, epsilon=0.3, iterations=3) for x in logits]))


def entropy(shares):
    return -sum(share * math.log(share) for share in shares if share > 0)


@given(sizes, seeds)
def test_the_information_is_the_entropy_of_the_mean_minus_the_mean_entropy(size, seed):
    q = (3 * numbers(2, *size, seed=seed)).softmax(-1)
    mean_entropy = sum(entropy(row.tolist()) for group in q for row in group) / (2 * size[0])
    of_mean = sum(entropy(group.mean(0).tolist()) for group in q) / 2
    shares = information_shares(q.mean(1), torch.tensor(mean_entropy))
    assert float(shares["marginal_entropy_share"]) == pytest.approx(of_mean / math.log(size[1]), abs=1e-5)
    assert float(shares["information_share"]) == pytest.approx((of_mean - mean_entropy) / math.log(size[1]), abs=1e-5)


def test_the_three_states_of_assignments():
    """Each item its own prototype, all items one prototype, all items all prototypes: only the first is informative."""
    own, one, uniform = torch.eye(4), torch.eye(4)[:1].expand(4, 4), torch.full((4, 4), 0.25)
    found = []
    for q in (own, one, uniform):
        shares = information_shares(q.mean(0), torch.special.entr(q).sum(-1).mean())
        found.append((round(float(shares["marginal_entropy_share"]), 5), round(float(shares["information_share"]), 5)))
    assert found == [(1, 1), (0, 0), (1, 0)]
