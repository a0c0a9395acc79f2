"""The classifier's embedding is the frozen model's; what the encoder cannot have is said or refused; the network is a copy."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

from findna_kit.assemble import assemble
from findna_kit.errors import FindnaError
from findna_kit.evaluation.finetuning import FinetuneSettings
from findna_kit.evaluation.finetuning.batching import MicroBatching
from findna_kit.evaluation.finetuning.classifier import Classifier, StandardisedLinear
from findna_kit.evaluation.finetuning.split_reader import DeviceSplit, SplitReader
from findna_kit.inference.frozen_model import FrozenModel
from tests.building import small
from tests.evaluation.finetuning.cases import CONV, CPU, ENGINE, MIXER, network, planted

DROPPING = "encoder={name: transformer, dim: 16, hidden: 16, blocks: 2, heads: 2, dropout: 0.1}"


def classifier(branch, *, pooling="mean", sources=None, seed=1, **settings):
    return Classifier(branch, 2, FinetuneSettings(**settings), pooling=pooling, seed=seed, sources=sources or {})


def given(**settings):
    return {"sources": dict.fromkeys(settings, "given"), **settings}


@pytest.mark.parametrize("encoder", [CONV, MIXER], ids=["dilated_conv", "chordmixer"])
@pytest.mark.parametrize(("pooling", "blocks"), [("mean", None), ("mean", 1), ("mean", 2), ("class", None), ("class", 2)])
@pytest.mark.parametrize("scope", ["full", "head"])
def test_embeddings_are_those_of_the_frozen_model(encoder, pooling, blocks, scope):
    recipe = small("self_distill", encoder)[0]
    branch = assemble(recipe).student
    model = classifier(branch, pooling=pooling, blocks=blocks, scope=scope).eval()
    reader, part = SplitReader(model, ENGINE, both=True), DeviceSplit(planted().splits["test"], CPU)
    reader.size = MicroBatching(branch.class_tokens, rows=5)
    part.features = reader.features(part)
    frozen = FrozenModel(branch, recipe, branch="student", step=0, engine=ENGINE)
    layer = 0 if blocks == 1 else None
    sequences = planted().splits["test"].sequences
    np.testing.assert_allclose(part.features[0], frozen.embed(sequences, pooling, layer=layer), rtol=1e-4, atol=1e-5)
    both = frozen.embed(sequences, pooling, layer=layer, strand="both")
    np.testing.assert_allclose(part.features.mean(0), both, rtol=1e-4, atol=1e-5)


def test_embeddings_kept_are_read_as_if_they_were_made_anew():
    model = classifier(network(), scope="head").eval()
    reader, part = SplitReader(model, ENGINE, both=True), DeviceSplit(planted().splits["test"], CPU)
    reader.size = MicroBatching(2, rows=5)
    rows, flipped = torch.tensor([5, 2, 9, 40]), torch.arange(64) % 2 == 0
    made, forward = reader.logits(part, rows, flipped), reader.logits(part, rows, None)
    part.features = reader.features(part)
    assert not torch.allclose(made, forward, atol=1e-3)
    torch.testing.assert_close(reader.logits(part, rows, flipped), made, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(reader.logits(part, rows, None), forward, rtol=1e-4, atol=1e-5)


def test_the_network_is_a_copy_without_its_heads():
    branch = network().requires_grad_(False).eval()
    before = deepcopy(branch.state_dict())
    model = classifier(branch, dropout=0.3).train()
    assert all(parameter.requires_grad for parameter in model.parameters())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert not any(parameter.requires_grad for parameter in branch.parameters())
    assert not branch.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in branch.state_dict().items())
    assert {module.p for module in branch.modules() if isinstance(module, nn.Dropout)} == {0.0}
    assert len(branch.heads)
    assert not len(model.branch.heads)


def test_only_the_head_moves_and_nothing_else_is_in_training_mode():
    model = classifier(network(DROPPING), scope="head").train()
    assert [name for name, parameter in model.named_parameters() if parameter.requires_grad] == ["head.weight", "head.bias"]
    assert list(model.trained()) == ["head.weight", "head.bias", "head.mean", "head.deviation"]
    assert model.head.training
    assert not any(module.training for module in model.branch.modules())


def test_the_head_is_drawn_from_the_seed_alone():
    torch.manual_seed(0)
    one = classifier(network()).head.weight
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    assert torch.equal(one, classifier(network()).head.weight)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not torch.equal(one, classifier(network(), seed=2).head.weight)


@pytest.mark.parametrize(
    ("blocks", "used", "note"),
    [
        (None, 2, []), (2, 2, []), (1, 1, ["1 of the encoder's 2 blocks are used"]),
        (4, 2, ["4 blocks are published for the task, but the encoder has 2: all of them are used"]),
    ],
)  # fmt: skip
def test_blocks_that_are_used_are_said(blocks, used, note):
    model = classifier(network(), blocks=blocks)
    assert (model.blocks, model.notes) == (used, note)


def test_blocks_that_were_given_must_be_there():
    assert classifier(network(), **given(blocks=2)).blocks == 2
    with pytest.raises(FindnaError, match=r"^blocks=3: the encoder has 2; give at most that, or null for all of them$"):
        classifier(network(), **given(blocks=3))


@pytest.mark.parametrize("sources", [{}, {"dropout": "given"}])
def test_dropout_is_set_in_the_whole_encoder_and_left_where_none_is_stated(sources):
    def shares(**settings):
        model = classifier(network(DROPPING), sources=sources, **settings)
        assert model.notes == []
        return [module.p for module in model.modules() if isinstance(module, nn.Dropout)]

    assert shares() == [0.1] * 2
    assert shares(dropout=0.0) == [0.0] * 2
    assert shares(dropout=0.4) == [0.4] * 2


def test_dropout_where_there_is_none():
    bare = network()
    for module in bare.encoder.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout):
                setattr(module, name, nn.Identity())
    assert classifier(bare, **given(dropout=0.0)).notes == []
    said = "dropout 0.2 is published for the task, but the encoder has no dropout layers: it is not used"
    assert classifier(bare, dropout=0.2).notes == [said]
    with pytest.raises(FindnaError, match=r"^dropout=0.2: the encoder has no dropout layers; leave it out$"):
        classifier(bare, **given(dropout=0.2))
    frozen = {"scope": "head", "dropout": 0.2}
    said = "dropout 0.2 is published for the task, but a frozen encoder has no dropout: it is not used"
    assert classifier(network(), **frozen).notes == [said]
    with pytest.raises(FindnaError, match=r"^dropout=0.2: a frozen encoder has no dropout; leave it out$"):
        classifier(network(), **given(**frozen))


def test_pooling_that_cannot_be_is_refused():
    with pytest.raises(
        FindnaError, match=r"^pooling 'class' needs the encoder's output, not that of its first blocks; use 'mean'"
    ):
        classifier(network(), pooling="class", blocks=1)
    with pytest.raises(FindnaError, match=r"^pooling 'class': the recipe has no class tokens; use pooling 'mean'$"):
        classifier(assemble(small("masked_only", "class_tokens=0")[0]).student, pooling="class")


def test_the_head_is_linear_on_standardised_features():
    rows = torch.randn(50, 4) * torch.tensor([1.0, 0.01, 3.0, 2.0]) + torch.tensor([5.0, -7.0, 0.0, 2.0])
    head = StandardisedLinear(4, 3)
    torch.testing.assert_close(head(rows), F.linear(rows, head.weight, head.bias))
    head.mean.copy_(rows.mean(0))
    head.deviation.copy_(rows.std(0, correction=0))
    expected = StandardScaler().fit_transform(rows.double().numpy())
    logits = F.linear(torch.from_numpy(expected).float(), head.weight, head.bias)
    torch.testing.assert_close(head(rows), logits, rtol=1e-4, atol=1e-4)
