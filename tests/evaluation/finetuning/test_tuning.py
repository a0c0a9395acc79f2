"""Fine-tuning learns what is there, moves what it may, chooses on validation, and repeats its digits."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from findna_kit import alphabet, checkpoint
from findna_kit.distributed import Engine
from findna_kit.errors import FindnaError, NotFinite
from findna_kit.evaluation.finetuning import FinetuneSettings
from findna_kit.evaluation.finetuning.batching import batches
from findna_kit.evaluation.finetuning.classifier import Classifier
from findna_kit.evaluation.finetuning.split_reader import DeviceSplit
from findna_kit.evaluation.finetuning.tuning import CLIP_NORM, _Tuning
from findna_kit.evaluation.tasks import TaskSplit
from findna_kit.plugins.loading import load_plugins
from tests.evaluation.finetuning.cases import CPU, ENGINE, MIXER, network, planted, shaken, truth_score, tune

TASK = planted()
OPTIMIZERS = load_plugins()[0].optimizers
TURN = np.array([alphabet.T, alphabet.G, alphabet.C, alphabet.A, alphabet.N], dtype=np.uint8)


def other_strand(sequences):
    return [alphabet.decode(TURN[alphabet.encode(sequence)[::-1]]) for sequence in sequences]


def with_test(task, sequences, labels=None):
    labels = np.zeros(len(sequences), dtype=np.int64) if labels is None else labels
    return replace(task, splits={**task.splits, "test": TaskSplit(sequences, labels)})


def same(one, other):
    return np.array_equal(one.scores, other.scores) and one.chosen == other.chosen


def test_it_learns_a_motif_and_no_labels_that_mean_nothing(tmp_path):
    task = planted(rows=(256, 64, 128))
    learned = tune(network(), tmp_path / "learned", task, epochs=8)
    assert truth_score(task, learned) > 0.85
    assert learned.chosen["validation_mcc"] > 0.7
    noise = planted(rows=(256, 64, 128), noise=True)
    assert 0.35 < truth_score(noise, tune(network(), tmp_path / "noise", noise, epochs=8, patience=None)) < 0.65


def test_scores_are_log_probabilities_and_chosen_is_ready_for_json(tmp_path):
    tuned = tune(network(), tmp_path, TASK)
    assert tuned.scores.dtype == np.float32
    assert tuned.scores.shape == (64, 2)
    np.testing.assert_allclose(np.exp(tuned.scores).sum(1), 1, atol=1e-5)
    assert json.loads(json.dumps(tuned.chosen, allow_nan=False)) == tuned.chosen
    assert list(tuned.chosen) == [
        "epoch", "validation_mcc", "probe", "epochs_run", "stopped_early", "settings", "blocks", "precision", "micro_batch",
        "notes",
    ]  # fmt: skip
    assert tuned.chosen["settings"] == FinetuneSettings(batch_size=8, epochs=2, learning_rate=5e-3).model_dump()
    assert (tuned.chosen["precision"], tuned.chosen["micro_batch"]) == ("fp32", 8)


@pytest.mark.parametrize(("pooling", "strand"), [("mean", "forward"), ("class", "both")])
def test_three_classes_by_either_pooling_and_strand(tmp_path, strand, pooling):
    task = planted(3, rows=(240, 60, 90))
    tuned = tune(network(), tmp_path, task, pooling=pooling, strand=strand, epochs=10)
    assert tuned.scores.shape == (90, 3)
    assert truth_score(task, tuned) > 0.6


def test_a_head_alone_learns_and_leaves_the_encoder_as_it_was(tmp_path):
    task = planted(rows=(256, 64, 128))
    branch = network()
    tuned = tune(branch, tmp_path, task, scope="head", epochs=20, learning_rate=5e-2)
    assert truth_score(task, tuned) > 0.6
    model, _, values = checkpoint.load(tmp_path, tuned.chosen["epochs_run"])
    assert sorted(values["moved"]) == ["head.bias", "head.weight"]
    assert sorted(model) == ["head.bias", "head.deviation", "head.mean", "head.weight"]


@pytest.mark.parametrize("scope", ["full", "head"])
def test_what_moves_is_what_the_scope_says_and_never_the_network_itself(tmp_path, scope):
    branch = network()
    before = {name: tensor.clone() for name, tensor in branch.state_dict().items()}
    tuning = begun(branch, TASK, scope=scope)
    tuning.restore(tmp_path, "digest", print)
    tuning.epoch()
    after = tuning.classifier.branch.state_dict()
    still = [name for name, tensor in after.items() if torch.equal(tensor, before[name])]
    unread = {"class_pool.queries"}  # mean pooling has no use for it
    assert set(still) == (set(after) if scope == "head" else unread)
    assert all(torch.equal(tensor, before[name]) for name, tensor in branch.state_dict().items())


def begun(branch, task, *, strand="forward", **changes):
    settings = FinetuneSettings(**{"batch_size": 8, "epochs": 2, "learning_rate": 5e-3, **changes})
    classifier = Classifier(branch, len(task.classes), settings, pooling="mean", seed=3, sources={})
    return _Tuning(classifier, ENGINE, task, settings, optimizer=OPTIMIZERS[settings.optimizer], strand=strand, seed=3)


def test_epochs_are_adamw_on_the_mean_cross_entropy_by_a_warm_cosine(tmp_path):
    tuning = begun(network(), TASK, warmup=0.2, weight_decay=0.3, learning_rate=2e-2)
    oracle = begun(network(), TASK).classifier.train()
    tuning.restore(tmp_path, "digest", print)
    # From the probe of the network as it is (test_probe_start.py).
    oracle.head.load_state_dict(tuning.classifier.head.state_dict())
    for _ in range(2):
        tuning.epoch()

    named = [parameter for name, parameter in oracle.named_parameters() if name != "branch.class_pool.queries"]
    groups = [
        {"params": [parameter for parameter in named if parameter.ndim > 1], "weight_decay": 0.3},
        {"params": [parameter for parameter in named if parameter.ndim == 1], "weight_decay": 0.0},
    ]
    adamw, part = torch.optim.AdamW(groups, lr=0.0), DeviceSplit(TASK.splits["train"], CPU)
    steps = 2 * 12
    order = [rows for epoch in (1, 2) for rows in batches(part.sequences.lengths, 8, seed=3, epoch=epoch)]
    for step, rows in enumerate(order):
        done = step / steps
        share = done / 0.2 if done < 0.2 else (1 + math.cos(math.pi * (done - 0.2) / 0.8)) / 2
        for group in adamw.param_groups:
            group["lr"] = 2e-2 * share
        adamw.zero_grad()
        F.cross_entropy(oracle.head(oracle.embed(part.sequences.view(rows), ENGINE)), part.labels[rows]).backward()
        torch.nn.utils.clip_grad_norm_(named, CLIP_NORM)
        adamw.step()
    for name, tensor in tuning.classifier.state_dict().items():
        torch.testing.assert_close(
            tensor, oracle.state_dict()[name], rtol=1e-3, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("name", ["lion", "muon", "sgd"])
def test_another_optimizer_tunes_and_goes_on_where_it_was_cut(tmp_path, name):
    """Bit for bit: the whole, and the same cut after an epoch."""
    whole = tune(network(), tmp_path / "whole", TASK, optimizer=name, epochs=3, patience=None)
    assert whole.chosen["settings"]["optimizer"] == name
    tune(network(), tmp_path / "other", TASK, epochs=3, patience=None)
    first = begun(network(), TASK, optimizer=name, epochs=3, patience=None)
    first.restore(tmp_path / "cut", "digest", print)
    first.epoch()
    first.save(tmp_path / "cut", "digest")
    again = begun(network(), TASK, optimizer=name, epochs=3, patience=None)
    again.restore(tmp_path / "cut", "digest", print)
    while not again.ended:
        again.epoch()
    assert np.array_equal(again.tested().scores, whole.scores)


def test_the_default_optimizer_is_not_part_of_the_settings_identity():
    assert "optimizer" not in FinetuneSettings().model_dump()
    assert FinetuneSettings(optimizer="lion").model_dump()["optimizer"] == "lion"


def test_micro_batches_agree_to_rounding(tmp_path):
    some = {size: tune(network(), tmp_path / str(size), TASK, epochs=1, micro_batch=size) for size in (2, 8, "auto")}
    assert [tuned.chosen["micro_batch"] for tuned in some.values()] == [2, 8, 8]
    for size in (2, "auto"):
        np.testing.assert_allclose(some[size].scores, some[8].scores, atol=2e-4)


def test_on_a_gpu_a_pass_is_what_fits_its_memory(tmp_path, monkeypatch):
    """No GPU here: the memory is played, all else is real."""
    tuning, tried = begun(network(), TASK), []
    embed = Classifier.embed

    def short_of_memory(classifier, view, engine):
        tried.append(tuple(view.tokens.shape))
        if len(view.tokens) > 3:
            raise torch.OutOfMemoryError("played")
        return embed(classifier, view, engine)

    before = {name: tensor.clone() for name, tensor in tuning.classifier.state_dict().items()}
    monkeypatch.setattr(Classifier, "embed", short_of_memory)
    size = tuning._tried_size()
    longest = int(tuning.train.sequences.lengths.max())
    assert tried == [(8, longest), (4, longest), (2, longest)]
    assert size.samples(longest) == 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in tuning.classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in tuning.classifier.parameters())
    assert not tuning.optimizer.moved


@pytest.mark.parametrize("encoder", ["conv", "mixer"])
def test_order_and_padding_change_no_score_beyond_rounding(tmp_path, encoder):
    branch = network() if encoder == "conv" else network(MIXER)
    sequences = TASK.splits["test"].sequences
    plain = tune(branch, tmp_path / "plain", TASK, epochs=1)
    turned = tune(branch, tmp_path / "turned", with_test(TASK, [*sequences[::-1], "ACGT" * 40]), epochs=1, micro_batch=100)
    np.testing.assert_allclose(turned.scores[:-1][::-1], plain.scores, atol=1e-3)


def test_both_strands_are_one(tmp_path):
    turned = with_test(TASK, other_strand(TASK.splits["test"].sequences))
    for strand in ("both", "forward"):
        plain, flipped = (
            tune(network(), tmp_path / f"{strand}{number}", task, strand=strand, epochs=1).scores
            for number, task in enumerate((TASK, turned))
        )
        assert np.allclose(plain, flipped, atol=1e-4) == (strand == "both")


def test_both_strands_average_probabilities(tmp_path):
    tuning = begun(network(), TASK, strand="both")
    tuning.restore(tmp_path, "digest", print)
    tuning.classifier.eval()
    sequences = TASK.splits["test"].sequences
    either = []
    for seen in (sequences, other_strand(sequences)):
        part = DeviceSplit(TaskSplit(seen, TASK.splits["test"].labels), CPU)
        with torch.no_grad():
            view = part.sequences.view(torch.arange(len(seen)))
            either.append(tuning.classifier.head(tuning.classifier.embed(view, ENGINE)).softmax(1))
    found = tuning.reader.log_probabilities(DeviceSplit(TASK.splits["test"], CPU)).exp()
    torch.testing.assert_close(found, (either[0] + either[1]) / 2, rtol=1e-4, atol=1e-5)


def test_training_shows_both_strands_only_where_asked(tmp_path):
    one, both = (tune(network(), tmp_path / strand, TASK, strand=strand, epochs=1) for strand in ("forward", "both"))
    assert one.chosen["settings"] == both.chosen["settings"]
    seen = [first_loss(tmp_path / strand) for strand in ("forward", "both")]
    assert seen[0] != seen[1]


def first_loss(folder):
    return checkpoint.load(folder, 1)[2]["history"][0]["loss"]


def test_it_stops_early_and_takes_the_first_best_epoch(tmp_path):
    said = []
    noise = planted(rows=(64, 32, 32), noise=True)
    tuned = tune(network(), tmp_path, noise, epochs=60, patience=2, log=said.append)
    scores = [epoch["score"] for epoch in checkpoint.load(tmp_path, tuned.chosen["epochs_run"])[2]["history"]]
    assert tuned.chosen["stopped_early"]
    assert tuned.chosen["epochs_run"] == len(scores) == len(said) - 1 < 60
    assert tuned.chosen["epoch"] == scores.index(max(scores)) + 1 == len(scores) - 2
    assert tuned.chosen["validation_mcc"] == max(scores)
    assert said[1].startswith("planted: epoch 1 of 60: loss ")
    assert f", mcc {scores[0]:.4f}" in said[1]


def test_of_equal_epochs_the_first_is_chosen_and_patience_counts_from_it():
    tuning = begun(network(), TASK, epochs=9, patience=3)
    tuning.probe = {"validation_mcc": 0.4}
    assert (tuning.chosen, tuning.ended) == (0, False)
    for score, chosen, ended in [(0.5, 1, False), (0.7, 2, False), (0.7, 2, False), (0.6, 2, False), (0.7, 2, True)]:
        tuning.history.append({"loss": 1.0, "score": score})
        assert (tuning.chosen, tuning.ended) == (chosen, ended)


def test_the_scores_are_of_the_chosen_epoch(tmp_path):
    noise = planted(rows=(64, 32, 32), noise=True)
    tuned = tune(network(), tmp_path, noise, epochs=60, patience=2)
    until = tuned.chosen["epoch"]
    tuning = begun(network(), noise, epochs=60, patience=2)
    tuning.restore(tmp_path / "again", "digest", print)
    for _ in range(until):
        tuning.epoch()
    tuning.classifier.eval()
    assert np.array_equal(tuning.reader.log_probabilities(DeviceSplit(noise.splits["test"], CPU)).numpy(), tuned.scores)


def test_without_patience_every_epoch_is_run(tmp_path):
    noise = planted(rows=(32, 16, 16), noise=True)
    tuned = tune(network(), tmp_path, noise, epochs=12, patience=None)
    assert (tuned.chosen["epochs_run"], tuned.chosen["stopped_early"]) == (12, False)


def test_where_validation_has_one_class_accuracy_chooses(tmp_path):
    validation = TaskSplit(TASK.splits["validation"].sequences, np.ones(48, dtype=np.int64))
    tuned = tune(network(), tmp_path, replace(TASK, splits={**TASK.splits, "validation": validation}), epochs=1)
    assert 0 <= tuned.chosen["validation_accuracy"] <= 1
    assert "validation_mcc" not in tuned.chosen


def test_labels_of_the_test_change_nothing(tmp_path):
    test = TASK.splits["test"]
    turned = with_test(TASK, test.sequences, 1 - test.labels)
    assert same(tune(network(), tmp_path / "a", TASK), tune(network(), tmp_path / "b", turned))


def test_the_same_arguments_give_the_same_digits_whatever_torch_s_generator_holds(tmp_path):
    dropping = network(
        "encoder={name: dilated_conv, dim: 16, hidden: 16, blocks: 2, kernel: 5, largest_dilation: 2, dropout: 0.2}"
    )
    torch.manual_seed(1)
    one = tune(dropping, tmp_path / "one", TASK, strand="both")
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    assert same(one, tune(dropping, tmp_path / "two", TASK, strand="both"))
    assert torch.equal(before, torch.random.get_rng_state())
    tune(dropping, tmp_path / "other", TASK, strand="both", seed=4)
    tune(dropping, tmp_path / "still", TASK, strand="both", dropout=0.0)
    # The losses, because the scores may be those of the probe, which has no seed.
    losses = {name: first_loss(tmp_path / name) for name in ("one", "two", "other", "still")}
    assert losses["one"] == losses["two"]
    assert len(set(losses.values())) == 3


def test_a_partial_use_of_the_blocks_is_in_the_result(tmp_path):
    said = []
    first = tune(network(), tmp_path / "first", TASK, blocks=1, epochs=1, log=said.append)
    whole = tune(network(), tmp_path / "whole", TASK, blocks=9, epochs=1)
    assert first.chosen["blocks"] == {"used": 1, "of": 2}
    assert first.chosen["notes"] == ["1 of the encoder's 2 blocks are used"]
    assert said[0] == "planted: 1 of the encoder's 2 blocks are used"
    assert whole.chosen["blocks"] == {"used": 2, "of": 2}
    assert not np.allclose(first.scores, whole.scores, atol=1e-3)
    with pytest.raises(FindnaError, match=r"^blocks=9: the encoder has 2"):
        tune(network(), tmp_path / "given", TASK, blocks=9, sources={"blocks": "given"})


def test_blocks_that_are_not_used_do_not_matter(tmp_path):
    branch = network()
    one = tune(branch, tmp_path / "one", TASK, blocks=1, epochs=1)
    shaken(branch.encoder.blocks[1], "other")
    assert np.array_equal(one.scores, tune(branch, tmp_path / "two", TASK, blocks=1, epochs=1).scores)


def test_bf16_is_the_engine_s_and_weights_stay_fp32(tmp_path):
    tuned = tune(network(), tmp_path / "bf16", TASK, engine=Engine(CPU, "bf16"), epochs=1, learning_rate=1e-4)
    assert tuned.chosen["precision"] == "bf16"
    assert {tensor.dtype for tensor in checkpoint.load_model(tmp_path / "bf16", 1).values()} == {torch.float32}
    full = tune(network(), tmp_path / "fp32", TASK, epochs=1, learning_rate=1e-4)
    assert not np.array_equal(tuned.scores, full.scores)
    np.testing.assert_allclose(np.exp(tuned.scores), np.exp(full.scores), atol=0.15)


def test_a_loss_that_is_not_finite_stops_it(tmp_path):
    with pytest.raises(NotFinite) as caught:
        tune(network(MIXER), tmp_path, TASK, learning_rate=1e30, warmup=0.0)
    assert caught.value.exit_code == 3
    told = r"^fine-tuning on planted, epoch 1, step \d+ of 24: the loss is \S+ and the gradient norm \S+; try a lower "
    caught.match(told + "learning_rate$")


def test_sequences_beyond_the_encoder_are_refused(tmp_path):
    bounded = network("encoder={name: transformer, dim: 16, hidden: 16, blocks: 1, heads: 2}")
    assert tune(bounded, tmp_path / "short", TASK, epochs=1).scores.shape == (64, 2)
    with pytest.raises(FindnaError) as caught:
        tune(bounded, tmp_path / "long", with_test(TASK, ["A" * 64, "A" * 65, "C" * 90]))
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(
        "planted: 2 of test's 3 sequences are longer than the 64 nucleotides that the encoder supports (the longest has 90); "
    )
    assert not (tmp_path / "long").exists()


def test_an_empty_sequence_is_refused(tmp_path):
    with pytest.raises(FindnaError, match=r"^planted: sequence 1 of test is empty: remove it$"):
        tune(network(), tmp_path, with_test(TASK, ["ACGT", ""]))


def test_several_processes_are_refused(tmp_path):
    engine = Engine(CPU, "fp32", rank=0, world_size=2)
    with pytest.raises(FindnaError, match=r"^fine-tuning runs in one process; start it without a launcher$"):
        tune(network(), tmp_path, TASK, engine=engine)
