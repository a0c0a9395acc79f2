"""Operations of a step: those counted by hand, by component, and what has no formula named."""

import pytest
import torch
from torch import nn

from findna_kit.profile.flops import count_flops
from tests.building import experiment_of, small

ROWS, LENGTH, CLASSES, DIM, HIDDEN = 8, 64, 2, 22, 32
MASKED = round(0.3 * LENGTH)


def counted(name, *overrides, micro_batch=8):
    experiment, windows, engine = experiment_of(small(name, *overrides)[0])
    return count_flops(experiment, windows, engine, micro_batch)


def linear(rows, first, second):
    """Forward: a multiplication and an addition for each weight and row."""
    return 2 * rows * first * second


def test_a_known_network_by_hand():
    found = counted("masked_only")
    rows = ROWS * (LENGTH + CLASSES)
    stem, mlp = linear(rows, 5, DIM), linear(rows, DIM, HIDDEN) + linear(rows, HIDDEN, DIM)
    layers = 7  # ceil(log2(66))
    assert found.encoder_forward == stem + layers * mlp
    # Of each layer the gradient of the weights and that of its input; nobody wants the stem's input's.
    assert found.encoder_backward == stem + 2 * layers * mlp
    assert found.losses == {"masked": 3 * linear(ROWS * MASKED, DIM, 4)}
    assert found.teacher == 0
    assert found.uncounted == ()
    assert found.step == found.encoder_forward + found.encoder_backward + found.losses["masked"]


def test_crops_of_a_share_are_counted_at_their_largest_length():
    assert counted("masked_only", "views.masked.length=[0.2, 0.75]") == counted("masked_only", "views.masked.length=48")


def test_convolutions_by_hand_with_and_without_groups():
    plain = counted("masked_only", "class_tokens=0", "encoder={name: dilated_conv, dim: 16, hidden: 16, kernel: 5, blocks: 1}")
    apart = counted("masked_only", "class_tokens=0", "encoder={name: depthwise_conv, dim: 16, kernel: 5, blocks: 1}")
    for found in (plain, apart):
        assert found.encoder_forward > 0
        # At most the stem's input has no gradient: with one group too many counted, this would be far above 2.
        assert 1.5 * found.encoder_forward < found.encoder_backward <= 2 * found.encoder_forward


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_the_backward_pass_of_a_convolution(groups):
    from findna_kit.profile.flops import TOTAL, _Counter

    layer, counter = nn.Conv1d(8, 16, 5, padding="same", groups=groups), _Counter()
    x = torch.randn(3, 8, 50, requires_grad=True)
    forward = 2 * 3 * 50 * 16 * (8 // groups) * 5
    with counter:
        layer(x).sum().backward()
    assert counter.total(TOTAL) == 3 * forward


def test_attention_on_a_cpu_is_counted():
    from findna_kit.profile.flops import TOTAL, _Counter

    q, k, v = (torch.randn(2, 4, 10, 8, requires_grad=True) for _ in range(3))
    counter = _Counter()
    with counter:
        nn.functional.scaled_dot_product_attention(q, k, v).sum().backward()
    product = 2 * 2 * 4 * 10 * 10 * 8
    assert counter.total(TOTAL) == (2 + 5) * product, "two forward; backward the scores again, and two for each of the two"
    assert counter.uncounted() == ()


def test_the_teacher_runs_forward_alone_and_heads_of_both_count_for_the_loss():
    alone, found = counted("masked_only"), counted("self_distill")
    assert found.teacher == found.encoder_forward == alone.encoder_forward
    assert found.encoder_backward == alone.encoder_backward
    assert found.losses["masked"] == alone.losses["masked"]
    rows = ROWS * CLASSES
    projector, prototypes = linear(rows, DIM, 32) + linear(rows, 32, 16), linear(rows, 16, 24)
    # The student's forward and twice as much backward, the teacher's forward.
    assert found.losses["distill"] == 4 * (projector + prototypes)


@pytest.mark.parametrize("name", ["masked_only", "self_distill"])
def test_it_grows_with_the_rows_and_not_with_the_passes(name):
    whole = counted(name)
    assert counted(name, micro_batch=3).by_component() == whole.by_component()
    twice = counted(name, "data.batch_size=16", micro_batch=16).by_component()
    assert twice == {part: 2 * number for part, number in whole.by_component().items()}


def test_a_loss_over_the_whole_batch_forwards_twice_where_the_batch_is_cut():
    once, cut = counted("info_nce"), counted("info_nce", micro_batch=4)
    assert cut.encoder_forward == 2 * once.encoder_forward
    assert cut.encoder_backward == once.encoder_backward
    assert cut.losses == once.losses, "its heads and its matrix are taken once, on all rows"


def test_gradients_and_state_are_left_as_they_were():
    experiment, windows, engine = experiment_of(small("self_distill")[0])
    before = {name: tensor.clone() for name, tensor in {**experiment.model_tensors(), **experiment.loss_tensors()}.items()}
    first = count_flops(experiment, windows, engine, 8)
    after = {**experiment.model_tensors(), **experiment.loss_tensors()}
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert all(parameter.grad is None for parameter in experiment.trainable().values())
    assert not experiment.student._forward_hooks
    assert count_flops(experiment, windows, engine, 8) == first


def test_what_has_no_formula_is_named():
    from findna_kit.profile.flops import _Counter

    counter = _Counter()
    with counter:
        torch.fft.rfft(torch.randn(4, 8))
        torch.linalg.svd(torch.randn(3, 3))
        torch.softmax(torch.randn(3, 3).relu() + 1, -1).sum()
    assert counter.uncounted() == ("aten._fft_r2c", "aten._linalg_svd")


def test_plain_states_a_step_and_a_base():
    found = counted("self_distill")
    plain = found.plain(512)
    assert plain["step"] == sum(plain["step_by_component"].values()) == found.step
    assert plain["base"] == pytest.approx(found.step / 512)
    assert plain["base_by_component"].keys() == {
        "encoder_forward", "encoder_backward", "teacher", "losses.masked", "losses.distill",
    }  # fmt: skip
    assert plain["uncounted"] == []


def test_of_patches_every_masked_base_has_the_logits_of_its_whole_patch():
    sizes = "encoder={name: patch_transformer, dim: 16, hidden: 16, heads: 2, blocks: 1, patch: 8, kernel: 12}"
    found = counted("masked_only", sizes)
    assert found.losses == {"masked": 3 * linear(ROWS * MASKED, 16, 8 * 4)}
    assert found.uncounted == ()
