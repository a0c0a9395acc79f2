"""Fine-tuning begins from the linear probe of the network as it is, and is not chosen where it is worse."""

import numpy as np
import pytest
import torch

from findna_kit.errors import NotFinite
from findna_kit.evaluation.finetuning.classifier import StandardisedLinear
from findna_kit.evaluation.finetuning.probe_start import begin_from_probe
from findna_kit.evaluation.protocols import Features, probe
from findna_kit.inference.frozen_model import FrozenModel
from tests.building import small
from tests.evaluation.finetuning.cases import CONV, ENGINE, network, planted, tune


def drawn(classes, rows=60, dim=5, strands=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % classes
    centres = 2 * torch.randn(classes, dim, generator=torch.Generator().manual_seed(9))
    return 100 + centres[labels] + torch.randn(strands, rows, dim, generator=generator), labels


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("strands", [1, 2])
def test_the_head_gives_the_probabilities_of_the_probe(classes, strands):
    train, validation = drawn(classes, strands=strands), drawn(classes, strands=strands, seed=1)
    head = StandardisedLinear(5, classes)
    chosen = begin_from_probe(head, train, validation)
    (x, y), (v, w) = ((features.flatten(0, 1).numpy(), np.tile(labels, strands)) for features, labels in (train, validation))
    fitted = probe(Features(x, y, v, w, classes))
    assert chosen == fitted.chosen
    np.testing.assert_allclose(head(torch.from_numpy(v)).softmax(1).detach(), fitted.scores(v), atol=1e-4)


def test_a_class_without_samples_gets_a_small_probability():
    (features, labels), validation = drawn(2), drawn(2, seed=1)
    head = StandardisedLinear(5, 3)
    begin_from_probe(head, (features, labels * 2), (validation[0], validation[1] * 2))
    probabilities = head(validation[0][0]).softmax(1)
    assert probabilities[:, 1].max() < 0.01
    assert (probabilities.argmax(1) == validation[1] * 2).float().mean() > 0.8


def test_embeddings_that_are_not_finite_are_refused():
    train, validation = drawn(2), drawn(2)
    train[0][0, 3] = torch.inf
    with pytest.raises(NotFinite, match="embeddings are not finite before fine-tuning"):
        begin_from_probe(StandardisedLinear(5, 2), train, validation)


def frozen_probe(branch, task):
    """The test probabilities of the probe on the frozen model's embeddings."""
    frozen = FrozenModel(branch, small("self_distill", CONV)[0], branch="student", step=0, engine=ENGINE)
    train, validation, test = (frozen.embed(task.splits[name].sequences) for name in ("train", "validation", "test"))
    fitted = probe(Features(train, task.splits["train"].labels, validation, task.splits["validation"].labels, 2))
    return fitted, fitted.scores(test)


@pytest.mark.parametrize("scope", ["full", "head"])
def test_where_every_epoch_is_worse_the_probe_is_the_result(tmp_path, scope):
    """An untrained network moves far before it learns: raw heads left it far below its own probe."""
    task, branch = planted(rows=(128, 64, 64)), network()
    fitted, probabilities = frozen_probe(branch, task)
    said = []
    tuned = tune(branch, tmp_path, task, scope=scope, epochs=1, learning_rate=10.0, warmup=0.0, log=said.append)
    assert tuned.chosen["epoch"] == 0
    assert tuned.chosen["validation_mcc"] == tuned.chosen["probe"]["validation_mcc"] == pytest.approx(fitted.score)
    assert tuned.chosen["probe"]["C"] == fitted.chosen["C"]
    np.testing.assert_allclose(np.exp(tuned.scores), probabilities, atol=1e-3)
    assert said[0] == f"planted: begins from the linear probe, mcc {fitted.score:.4f}"
    resumed = tune(branch, tmp_path, task, scope=scope, epochs=1, learning_rate=10.0, warmup=0.0)
    assert np.array_equal(resumed.scores, tuned.scores)
    assert resumed.chosen == tuned.chosen


def test_patience_counts_epochs_and_not_the_probe(tmp_path):
    """The first epochs may be worse than the probe: they must not end what gets better."""
    task = planted(rows=(64, 32, 32))
    tuned = tune(network(), tmp_path, task, epochs=4, patience=2, learning_rate=1e-3)
    assert tuned.chosen["epochs_run"] >= 3
