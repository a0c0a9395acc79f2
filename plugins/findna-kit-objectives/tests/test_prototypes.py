"""Tests of the prototype head, its learning rate, and prototypes that are frozen at first."""

import pytest
import torch
from branches import built, numbers
from findna_kit_objectives import DINO, IBOT, SwAV
from findna_kit_objectives.prototypes import PrototypeConfig, prototype_head, prototype_rates
from pydantic import ValidationError

from findna_kit.components import BatchNorm, Clock

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


@pytest.mark.parametrize("kind", [SwAV, DINO, IBOT])
def test_the_prototypes_rate_is_the_recipes_unless_stated(kind):
    assert built(kind, **SMALL).head_learning_rates() == {}
    rates = built(kind, **SMALL, prototype_learning_rate=0.01, prototypes_frozen=0.3).head_learning_rates()
    assert list(rates) == ["logits"]
    assert [rates["logits"](Clock(step, 10)) for step in (0, 9)] == [0.01, 0.01]
    assert prototype_rates(PrototypeConfig()) == {}


@pytest.mark.parametrize("kind", [SwAV, DINO, IBOT])
@pytest.mark.parametrize("frozen", [0.0, 0.1, 0.5, 1.0])
def test_prototypes_are_frozen_in_the_first_steps(kind, frozen):
    """The trainer drops the gradient of these heads; see tests/trainer/test_step.py."""
    loss = built(kind, **SMALL, prototypes_frozen=frozen)
    for step in range(20):
        assert loss.frozen_heads(Clock(step, 20)) == (("logits",) if step < frozen * 20 else ())


@pytest.mark.parametrize("kind", [DINO, IBOT])
def test_batch_norm_couples_the_batch(kind):
    assert built(kind, **SMALL).coupling == "sample"
    loss = built(kind, **SMALL, norm="batch")
    assert loss.coupling == "batch"
    assert any(isinstance(module, BatchNorm) for module in loss.twin_heads()["projector"])


@pytest.mark.parametrize("values", [
    {"prototypes": 1}, {"layers": 0}, {"prototypes_frozen": 1.5}, {"bottleneck": 0}, {"prototype_learning_rate": -0.1},
])  # fmt: skip
def test_what_makes_no_head_is_refused(values):
    with pytest.raises(ValidationError, match=r"greater than|less than|must be at least 0"):
        PrototypeConfig(**values)
