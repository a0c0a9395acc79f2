"""What is tried next follows from the search, the number and what was told: nothing else."""

import math

import pytest

from findna_kit.study.sampler import propose
from findna_kit.study.search_space import Search, SearchRange

SPACE = {
    "rate": SearchRange(low=1e-4, high=1e-1, log=True), "weight": SearchRange(low=0, high=1),
    "blocks": SearchRange(low=1, high=3, integer=True),
    "encoder": SearchRange(choices=({"name": "a"}, {"name": "b"})),
}  # fmt: skip


def search(sampler="tpe", seed=5, trials=40, space=SPACE):
    grid = sampler == "grid"
    return Search(metric="held_out/masked/loss", sampler=sampler, trials=None if grid else trials, seed=seed, space=space)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_again_and_another_for_another_number_or_seed(sampler):
    drawn = [propose(search(sampler), number, []) for number in range(30)]
    assert drawn == [propose(search(sampler), number, []) for number in range(30)]
    assert len({one["rate"] for one in drawn}) == 30
    assert drawn[0] != propose(search(sampler, seed=6), 0, [])
    assert all(1e-4 <= one["rate"] <= 1e-1 and 0 <= one["weight"] <= 1 for one in drawn)
    assert {one["blocks"] for one in drawn} == {1, 2, 3}
    assert {one["encoder"] for one in drawn} == {0, 1}
    below = sum(one["rate"] < 10**-2.5 for one in drawn)
    assert 8 <= below <= 22, "half of them below the middle of the logarithm"


def test_a_grid_is_every_combination_in_order():
    space = {"a": SearchRange(choices=(1, 2)), "b": SearchRange(choices=(True, None, "x"))}
    one = search("grid", space=space)
    drawn = [one.values(propose(one, number, [])) for number in range(one.count)]
    assert drawn == [{"a": a, "b": b} for a in (1, 2) for b in (True, None, "x")]


def test_tpe_goes_where_it_was_good_and_random_does_not():
    """Of a loss that is least at rate 0.01 and weight 0.7; failed trials are told as well."""

    def run(sampler):
        one, told = search(sampler, space={"rate": SPACE["rate"], "weight": SPACE["weight"]}), []
        for number in range(40):
            drawn = propose(one, number, told)
            loss = math.log10(drawn["rate"] / 0.01) ** 2 + (drawn["weight"] - 0.7) ** 2
            told.append((drawn, None if number % 9 == 4 else loss))
        late = [value for _, value in told[20:] if value is not None]
        return sum(late) / len(late)

    assert run("tpe") < 0.5 * run("random")


def test_what_is_better_may_be_more():
    keys = {"metric": "held_out/masked/accuracy", "trials": 40, "seed": 5, "space": {"weight": SPACE["weight"]}}
    told = []
    for number in range(30):
        drawn = propose(Search(**keys), number, told)
        told.append((drawn, drawn["weight"]))
    assert sum(value for _, value in told[15:]) / 15 > 0.75
