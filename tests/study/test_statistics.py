"""Intervals that cover, tests that find nothing where there is nothing, and corrections as their papers state them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from findna_kit.study.statistics import (
    MIN_SEEDS,
    benjamini_hochberg,
    effects,
    hedges_g,
    holm,
    main_effects,
    paired_interval,
    permutation_p,
    smallest_family_p,
    smallest_p,
)

TASKS = ["one", "two", "three", "four"]
SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def runs(random, seeds, shifts):
    """Scores [conditions, seeds, tasks] about these shifts: seeds and tasks differ, runs of one seed share what it brings."""
    count, tasks = len(shifts), len(TASKS)
    shared = random.normal(0.6, 0.05, (seeds, 1)) + random.normal(0, 0.1, (1, tasks))
    noise = random.normal(0, 0.02, (count, seeds, 1)) + random.normal(0, 0.02, (count, seeds, tasks))
    return shared + noise + np.asarray(shifts)[:, None, None]


def study(random, seeds, *shifts):
    """Scores of a reference, and of a level for each shift."""
    reference, *levels = runs(random, seeds, [0.0, *shifts])
    return reference, {f"level {n}": scores for n, scores in enumerate(levels)}


def error(rate, studies):
    """Three standard errors of a rate."""
    return 3 * np.sqrt(rate * (1 - rate) / studies)


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_the_interval_covers_at_its_nominal_rate(seeds):
    random = np.random.default_rng(seeds)
    hits = []
    for _ in range(1500):
        reference, levels = study(random, seeds, 0.03)
        found = effects(reference, levels, TASKS)["level 0"].overall
        hits.append(found.low <= 0.03 <= found.high)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.018)  # 3 standard errors of 1500 studies


def test_a_percentile_bootstrap_would_not_have():
    random = np.random.default_rng(0)
    hits = []
    for _ in range(600):
        reference, levels = study(random, 5, 0.03)
        differences = (levels["level 0"] - reference).mean(1)
        low, high = np.quantile(differences[random.integers(0, 5, (400, 5))].mean(1), [0.025, 0.975])
        hits.append(low <= 0.03 <= high)
    assert np.mean(hits) < 0.9


@pytest.mark.parametrize(("seeds", "levels"), [(6, 1), (8, 3), (16, 3)])
def test_false_positives_stay_at_their_rate_in_a_family(seeds, levels):
    """Levels that change nothing: in at most one study of twenty is any of them found to; and in not much fewer."""
    random, studies = np.random.default_rng(10 + seeds), 600
    wrong = []
    for _ in range(studies):
        found = effects(*study(random, seeds, *[0.0] * levels), TASKS)
        wrong.append(any(one.verdict in ("better", "worse") for one in found.values()))
    # Levels share the reference, and p comes in steps: of 6 seeds one level is found in 2 of 64 studies exactly.
    assert 2 / 64 - error(2 / 64, studies) < np.mean(wrong) < 0.05 + error(0.05, studies)


def test_the_share_of_false_findings_stays_at_its_rate():
    """Two levels that help beside six that do nothing: without a correction twice as many of these would be found."""
    random, studies = np.random.default_rng(12), 600
    shares, missed = [], 0
    for _ in range(studies):
        found = effects(*study(random, 8, 0.15, 0.15, *[0.0] * 6), TASKS, correction="benjamini_hochberg")
        verdicts = [one.verdict in ("better", "worse") for one in found.values()]
        missed += verdicts[:2].count(False)
        shares.append(sum(verdicts[2:]) / max(1, sum(verdicts)))
    assert missed == 0
    bound = 0.05 * 6 / 8  # Benjamini and Hochberg 1995, theorem 1
    assert 0.022 < np.mean(shares) < bound + 3 * np.std(shares) / np.sqrt(studies)


@pytest.mark.parametrize("seeds", [7, 16])
def test_single_tests_are_as_strict_as_they_say(seeds):
    """Of all patterns of signs, and of those that are drawn."""
    random, studies = np.random.default_rng(3), 1500
    p = np.array([permutation_p(np.subtract(*runs(random, seeds, [0.0, 0.0]))) for _ in range(studies)])
    for level in (0.05, 0.2, 0.5):
        reachable = level if seeds > 14 else np.floor(level * 64) / 64
        assert np.mean(p <= level) == pytest.approx(reachable, abs=error(level, studies))


def test_an_effect_that_is_there_is_found():
    random = np.random.default_rng(4)
    found = [effects(*study(random, 8, 0.05), TASKS)["level 0"] for _ in range(200)]
    assert np.mean([one.verdict == "better" for one in found]) > 0.95
    assert all(one.verdict == "worse" for one in [effects(*study(random, 8, -0.2), TASKS)["level 0"]])


FACTORS = {"objective": ["masked", "both"], "width": ["narrow", "wide", "wider"]}
MAIN = {("objective", "both"): 0.04, ("width", "wide"): 0.0, ("width", "wider"): -0.04}
"""What each level adds, whatever the other factor's is."""


def crossed(random, seeds):
    """Scores [2, 3, seeds, tasks] of a study whose effects add up."""
    shifts = np.add.outer([0.0, 0.04], [0.0, 0.0, -0.04])
    return runs(random, seeds, shifts.ravel()).reshape(*shifts.shape, seeds, len(TASKS))


@pytest.mark.parametrize("seeds", [5, 8])
def test_main_effects_are_covered_at_their_nominal_rate(seeds):
    random, studies = np.random.default_rng(seeds), 500
    hits = {name: [] for name in MAIN}
    for _ in range(studies):
        for name, found in main_effects(crossed(random, seeds), FACTORS, TASKS).items():
            hits[name].append(found.overall.low <= MAIN[name] <= found.overall.high)
    for name, covered in hits.items():
        assert np.mean(covered) == pytest.approx(0.95, abs=error(0.95, studies)), name


def test_main_effects_are_found_and_what_has_none_is_not():
    random, studies = np.random.default_rng(5), 400
    found = [main_effects(crossed(random, 8), FACTORS, TASKS) for _ in range(studies)]
    share = {
        (name, verdict): np.mean([one[name].verdict == verdict for one in found])
        for name in MAIN
        for verdict in ("better", "worse")
    }
    assert share[("objective", "both"), "better"] > 0.95
    assert share[("width", "wider"), "worse"] > 0.9
    assert share[("width", "wide"), "better"] + share[("width", "wide"), "worse"] < 0.05 + error(0.05, studies)
    assert share[("objective", "both"), "worse"] == share[("width", "wider"), "better"] == 0


def test_all_combinations_tell_of_a_main_effect():
    """So it is known better than the difference of two conditions: here of half the variance, from two pairs for one."""
    random = np.random.default_rng(6)
    scores = [crossed(random, 8) for _ in range(200)]
    main = [main_effects(one, FACTORS, TASKS)["objective", "both"].overall.value for one in scores]
    alone = [(one[1, 0] - one[0, 0]).mean() for one in scores]
    assert np.var(main) < 0.5 * np.var(alone)


def test_main_effects_by_hand():
    """One task, two seeds. Of the first seed: masked 1, 2, 6; both 3, 8, 7. The second seed has the difference of 3 in all."""
    scores = np.array([[[1.0, 0], [2, 0], [6, 0]], [[3, 3], [8, 3], [7, 3]]])[..., None]
    found = main_effects(scores, FACTORS, ["task"])
    assert found.keys() == MAIN.keys(), "each level but its factor's first"
    assert found["objective", "both"].overall.value == pytest.approx((3 + 3) / 2)  # (2 + 6 + 1) / 3, and 3 of the second seed
    assert found["width", "wide"].overall.value == pytest.approx((3 + 0) / 2)  # (1 + 5) / 2, and 0
    assert found["width", "wider"].overall.value == pytest.approx((4.5 + 0) / 2)  # (5 + 4) / 2, and 0
    assert found["objective", "both"].by_task["task"] == found["objective", "both"].overall
    assert [one.p for one in found.values()] == [smallest_p(2), 1.0, 1.0]
    assert [one.seeds for one in found.values()] == [2] * 3


def test_main_effects_are_a_family_of_their_own():
    scores = np.zeros((2, 3, 6, 4))
    scores[1] = 1.0
    found = main_effects(scores, FACTORS, TASKS)
    assert found["objective", "both"].adjusted == 3 * 2 / 64
    found = main_effects(scores[:, :1], {"objective": FACTORS["objective"], "width": ["narrow"]}, TASKS)
    assert [one.adjusted for one in found.values()] == [2 / 64]


def test_the_interval_is_the_paired_t_tests():
    one, other = np.random.default_rng(0).normal(size=(2, 6))
    expected = stats.ttest_rel(one, other).confidence_interval(0.9)
    found = paired_interval(one - other, 0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_one_seed_has_no_interval_and_no_verdict():
    found = effects(np.array([[0.5] * 4]), {"level": np.array([[0.9] * 4])}, TASKS)["level"]
    assert (found.overall.value, found.overall.low, found.overall.high) == (pytest.approx(0.4), None, None)
    assert (found.p, found.size, found.verdict) == (1.0, None, "not enough seeds to say")


@given(st.integers(0, 999), st.integers(2, 7))
def test_the_permutation_counts_every_pattern_of_signs(seed, seeds):
    differences = np.random.default_rng(seed).normal(0.3, 1, (seeds, 3))
    observed = abs(differences.mean())
    patterns = [abs(np.mean(np.array(signs)[:, None] * differences)) for signs in itertools.product((1, -1), repeat=seeds)]
    assert permutation_p(differences) == pytest.approx(np.mean([found >= observed - 1e-12 for found in patterns]))


@pytest.mark.parametrize("seeds", [2, 3, 7, 10, 16])
def test_differences_that_cancel_have_a_p_of_one(seeds):
    """Exactly 1, although the floating-point sums of the patterns are not exactly zero."""
    random = np.random.default_rng(seeds)
    for scale in (1e-9, 0.1, 1e6):
        half = random.normal(size=(seeds // 2, 3)) * scale
        rest = np.zeros((seeds % 2, 3))
        assert permutation_p(random.permutation(np.concatenate([half, -half, rest]))) == 1
        across = random.normal(size=(seeds, 3)) * scale
        assert permutation_p(across - across.mean(1, keepdims=True)) == 1, "the tasks of each seed cancel"
        thirds = np.full((seeds, 1), 0.1 * scale)
        thirds[-1] = -0.1 * scale * (seeds - 1)
        assert permutation_p(thirds) == 1
    assert permutation_p(np.zeros((seeds, 2))) == 1


@pytest.mark.parametrize("seeds", [2, 5, 6, 10])
def test_the_smallest_p_is_reached_and_no_smaller(seeds):
    assert permutation_p(np.full((seeds, 2), 0.7)) == smallest_p(seeds) == 2 / 2**seeds


def test_below_six_seeds_nothing_can_be_found():
    assert smallest_p(MIN_SEEDS - 1) > 0.05 >= smallest_p(MIN_SEEDS)
    strong = effects(np.zeros((5, 4)), {"level": np.ones((5, 4))}, TASKS)["level"]
    assert strong.verdict == "not enough seeds to say"


def test_a_family_needs_more():
    assert smallest_family_p(6, 3, "holm") == pytest.approx(3 * 2 / 64)
    reference, many = np.zeros((6, 4)), {f"level {n}": np.ones((6, 4)) for n in range(3)}
    assert {found.verdict for found in effects(reference, many, TASKS).values()} == {"not enough seeds to say"}


def test_several_together_may_show_what_one_alone_could_not():
    reference, many = np.zeros((6, 4)), {f"level {n}": np.ones((6, 4)) for n in range(3)}
    found = effects(reference, many, TASKS, correction="benjamini_hochberg")
    assert {(one.adjusted, one.verdict) for one in found.values()} == {(2 / 64, "better")}
    found = effects(reference, many | {"level 1": reference, "level 2": reference}, TASKS, correction="benjamini_hochberg")
    assert found["level 0"].verdict == "not enough seeds to say"


def test_of_many_seeds_patterns_are_drawn_the_same_every_time():
    differences = np.random.default_rng(0).normal(0.1, 1, (20, 2))
    assert permutation_p(differences, seed=1) == permutation_p(differences, seed=1)
    exact = stats.permutation_test(
        (differences.mean(1),), np.mean, permutation_type="samples", n_resamples=20000, rng=np.random.default_rng(0)
    ).pvalue
    assert permutation_p(differences) == pytest.approx(exact, abs=0.02)
    assert permutation_p(np.full((30, 2), 1.0)) == pytest.approx(1 / 20000)


@given(SHARES)
def test_holm_as_its_paper_states_it(p):
    """Step down: the i-th smallest is refused while p (m - i) stays below the level."""
    for level in (0.01, 0.05, 0.3):
        order, rejected = sorted(range(len(p)), key=lambda index: p[index]), set()
        for rank, index in enumerate(order):
            if p[index] * (len(p) - rank) > level:
                break
            rejected.add(index)
        assert {index for index, value in enumerate(holm(p)) if value <= level} == rejected


@given(SHARES)
def test_benjamini_and_hochbergs_are_scipys(p):
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p, method="bh"))


def test_hedges_g():
    differences = np.array([1.0, 2.0, 3.0, 4.0])
    assert hedges_g(differences) == pytest.approx(2.5 / differences.std(ddof=1) * (1 - 3 / 11))
    assert hedges_g(np.full(4, 0.1)) is None
    assert hedges_g(np.array([0.1, 0.4])) is None, "the correction of two is to nothing, which is no size"


@pytest.mark.parametrize(("reference", "level", "sentence"), [
    (np.zeros((3, 4)), np.zeros((4, 4)), r"level: scores \(4, 4\)"),
    (np.zeros((3, 3)), np.zeros((3, 3)), r"reference: scores \(3, 3\), \[seeds, 4 tasks\]"),
    (np.zeros((3, 4)), np.full((3, 4), np.nan), "level: a score is not finite"),
])  # fmt: skip
def test_what_does_not_pair_is_refused(reference, level, sentence):
    with pytest.raises(ValueError, match=sentence):
        effects(reference, {"level": level}, TASKS)
