"""Every encoder that is installed, with `rc`: what is pooled is the same for both strands, masked logits are complements."""

import numpy as np
import pytest
import torch

from findna_kit.assemble import assemble
from findna_kit.distributed import Engine
from findna_kit.inference.frozen_model import FrozenModel
from findna_kit.plugins.loading import load_plugins
from tests.building import small

COMPONENTS, _ = load_plugins()
FIRST_PARTY = ("findna-kit", "findna-kit-encoders", "findna-kit-example")
ENCODERS = {
    f"{name} {number}": (name, dict(example))
    for name, encoder in COMPONENTS.encoders.items()
    if COMPONENTS.encoders.owners(name)[0].distribution in FIRST_PARTY
    for number, example in enumerate(encoder.examples)
}
SEQUENCES = ["ACGTNNACGTTGCATTTACG" * 2, "ACGTTTGCA", "TTACGGATCCAGTTACGATCGGGA"]
REVERSED = [sequence[::-1].translate(str.maketrans("ACGT", "TGCA")) for sequence in SEQUENCES]
WITH_RC = [
    (case, rc)
    for case, (name, _) in ENCODERS.items()
    for rc in (("average", "equivariant") if COMPONENTS.encoders[name].strand == "none" else ("none",))
]


def frozen(case, rc):
    """A model of the encoder that has learned nothing, with a masked loss where it can have one."""
    name, parameters = ENCODERS[case]
    stated = ", ".join(f"{key}: {value}" for key, value in {"name": name, "rc": rc, **parameters}.items())
    choices = ["steps=1", "data.length=64", "class_tokens=2", f"encoder={{{stated}}}"]
    recipe = small("self_distill", *choices)[0]
    if rc == "average" or recipe.encoder.component.strand == "invariant":
        recipe = small("self_distill", *choices, "losses.masked=null")[0]
    student = assemble(recipe).student
    return FrozenModel(student, recipe, branch="student", step=0, engine=Engine(torch.device("cpu"), "fp32"))


def scale(values):
    return max(1.0, float(np.abs(values).max()))


@pytest.mark.parametrize(("case", "rc"), WITH_RC)
def test_both_strands_give_the_same(case, rc):
    model = frozen(case, rc)
    for pooling in ("mean", "class"):
        one, other = model.embed(SEQUENCES, pooling), model.embed(REVERSED, pooling)
        assert one.shape == (3, model.dim)
        assert np.abs(one - other).max() < 2e-5 * scale(one), pooling
        assert np.abs(one[0] - one[1]).max() > 1e-4, "and it says something"
    one, other = model.embed(SEQUENCES, layer=0), model.embed(REVERSED, layer=0)
    assert np.abs(one - other).max() < 2e-5 * scale(one)


@pytest.mark.parametrize(("case", "rc"), [(case, rc) for case, rc in WITH_RC if rc != "average"])
def test_masked_logits_of_both_strands_are_complements(case, rc):
    """With a stride too, also where it does not divide the length: the two strands' patches then begin at different bases."""
    model = frozen(case, rc)
    positions = np.array([3, 5, 11])
    lengths = np.array([len(sequence) for sequence in SEQUENCES])
    one = model.base_log_probabilities(SEQUENCES, positions)
    other = model.base_log_probabilities(REVERSED, lengths - 1 - positions)
    assert np.abs(one - other[:, ::-1]).max() < 2e-5 * scale(one)


def test_all_that_are_shipped_are_here():
    shipped = {name for name, _ in ENCODERS.values()}
    assert {"chordmixer", "dilated_conv", "transformer", "patch_transformer"} <= shipped
    assert {"hyena", "mamba", "caduceus", "convnext", "gpn", "cdil", "deepsea"} <= shipped
