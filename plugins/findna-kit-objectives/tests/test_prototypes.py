"""Tests of the prototype head, and of a learning rate that is 0 at first."""

import pytest
import torch
from branches import built, numbers
from findna_kit_objectives import DINO, SwAV
from findna_kit_objectives.prototypes import PrototypeConfig, prototype_head, prototype_rates
from pydantic import ValidationError

from findna_kit.components import BatchNorm, Clock, Constant, Cosine, zero_until

SMALL = {"layers": 2, "hidden": 10, "bottleneck": 4, "prototypes": 7}


def test_the_head_gives_cosines_to_prototypes():
    head = prototype_head(6, PrototypeConfig(**SMALL))
    assert list(head) == ["projector", "logits"]
    projected = head["projector"](numbers(2, 3, 6))
    logits = head["logits"](projected)
    assert projected.shape == (2, 3, 4)
    assert logits.shape == (2, 3, 7)
    weight = head["logits"].weight[5]
    cosine = torch.cosine_similarity(projected[1, 2], weight, dim=0)
    torch.testing.assert_close(logits[1, 2, 5], cosine)


def test_batch_norm_stands_where_it_is_asked_for():
    kinds = [
        [type(module) for module in prototype_head(6, PrototypeConfig(**SMALL), norm=n)["projector"]] for n in ("batch", "none")
    ]
    assert (BatchNorm in kinds[0], BatchNorm in kinds[1]) == (True, False)
    assert any(isinstance(module, BatchNorm) for module in built(SwAV, **SMALL).twin_heads()["projector"])


@pytest.mark.parametrize("held", [0.0, 0.1, 0.5, 1.0])
def test_held_is_nothing_and_then_the_schedule(held):
    rate = Cosine(start=0.1, end=0.02, warmup=0.2)
    both = [(zero_until(held, rate)(Clock(step, 20)), rate(Clock(step, 20))) for step in range(21)]
    assert all(ours == (0.0 if step < held * 20 else theirs) for step, (ours, theirs) in enumerate(both))
    assert zero_until(held, Constant(value=0.3))(Clock(20, 20)) == 0.3


@pytest.mark.parametrize("kind", [SwAV, DINO])
def test_the_prototypes_rate_is_the_recipes_unless_stated(kind):
    assert built(kind, **SMALL).head_learning_rates() == {}
    rates = built(kind, **SMALL, prototype_learning_rate=0.01, prototypes_frozen=0.3).head_learning_rates()
    assert list(rates) == ["logits"]
    assert [rates["logits"](Clock(step, 10)) for step in (0, 2, 3, 9)] == [0.0, 0.0, 0.01, 0.01]


def test_held_at_first_wants_the_rate_that_follows():
    with pytest.raises(ValidationError, match="prototypes_frozen needs prototype_learning_rate"):
        PrototypeConfig(prototypes_frozen=0.1)
    assert prototype_rates(PrototypeConfig()) == {}


@pytest.mark.parametrize("values", [
    {"prototypes": 1}, {"layers": 0}, {"prototypes_frozen": 1.5}, {"bottleneck": 0}, {"prototype_learning_rate": -0.1},
])  # fmt: skip
def test_what_makes_no_head_is_refused(values):
    with pytest.raises(ValidationError, match=r"greater than|less than|must be at least 0"):
        PrototypeConfig(**values)
