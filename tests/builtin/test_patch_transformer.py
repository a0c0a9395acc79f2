"""The patch Transformer: patches as one matrix product, partial patches, overlapping kernels, and padding that is not there."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from findna_kit.builtin.encoders.attention import rotate, rotation
from findna_kit.builtin.encoders.patch_transformer import PatchTransformer
from findna_kit.model.branch import Branch, encode_bases
from tests.windows import random_windows


def patched(length=64, class_tokens=0, seed=0, **sizes):
    torch.manual_seed(seed)
    config = PatchTransformer.Config(**{"dim": 16, "hidden": 24, "blocks": 2, "heads": 2, "patch": 4, **sizes})
    return PatchTransformer(config, length=length + class_tokens, class_tokens=class_tokens)


def rows_of(window, classes=0):
    bases = torch.cat([torch.zeros(len(window.tokens), classes, 5), encode_bases(window.tokens)], 1)
    return bases, torch.cat([torch.ones(len(window.tokens), classes).bool(), window.valid], 1)


def plain_transformer(encoder, bases, heads):
    """Compute a Transformer over single bases step by step, with the weights of an encoder with `patch: 1`."""
    classes = len(encoder.class_vectors)
    x = torch.cat([encoder.class_vectors.expand(len(bases), -1, -1), encoder.embed(bases[:, classes:])], 1)
    size = x.shape[-1] // heads
    turn = rotation(x.shape[1], size, x.device)
    for block in encoder.blocks:
        q, k, v = block.qkv(block.attention_norm(x)).chunk(3, -1)
        parts = []
        for head in range(heads):
            channels = slice(head * size, (head + 1) * size)
            scores = rotate(q[..., channels], turn) @ rotate(k[..., channels], turn).mT / size**0.5
            parts.append(scores.softmax(-1) @ v[..., channels])
        x = x + block.out(torch.cat(parts, -1))
        norm, widen, gelu, narrow = block.feed_forward
        x = x + narrow(gelu(widen(norm(x))))
    return encoder.norm(x)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_patch_of_one_base_is_a_plain_transformer(classes):
    encoder, (bases, valid) = patched(64, classes, patch=1), rows_of(random_windows(3, 29, padded=False), classes)
    torch.testing.assert_close(encoder(bases, valid)[0], plain_transformer(encoder, bases, 2), rtol=1e-5, atol=1e-5)


@given(st.integers(0, 500), st.integers(1, 9), st.integers(0, 11), st.integers(1, 40))
@settings(max_examples=40)
def test_patches_equal_an_embedding_and_a_convolution(seed, patch, surplus, length):
    """As in GenoJEPA: letters are embedded, then convolved with kernel = stride; a MASK has the zero vector."""
    encoder, kernel = patched(seed=seed, patch=patch, kernel=patch + surplus), patch + surplus
    letters, convolution = torch.randn(5, 7), nn.Conv1d(7, 16, kernel, stride=patch)
    with torch.no_grad():
        encoder.embed.weight.copy_(torch.einsum("cd, odk -> okc", letters, convolution.weight).flatten(1))
        encoder.embed.bias.copy_(convolution.bias)
    tokens = torch.randint(0, 6, (2, length))
    count = -(-length // patch)
    embedded = F.embedding(tokens, torch.cat([letters, torch.zeros(1, 7)]))
    left = surplus // 2
    embedded = F.pad(embedded, (0, 0, left, count * patch + surplus - left - length))
    expected = convolution(embedded.mT).mT
    torch.testing.assert_close(encoder.embed(encoder._patches(encode_bases(tokens))), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", [4, 5, 11])
def test_a_kernel_reads_half_of_its_surplus_on_each_side(kernel):
    encoder = patched(kernel=kernel)
    bases = torch.zeros(1, 40, 5).requires_grad_()
    encoder.embed(encoder._patches(bases))[0, 3].sum().backward()
    read = bases.grad[0].abs().sum(-1).nonzero().flatten()
    start = 12 - (kernel - 4) // 2
    assert read.tolist() == list(range(start, start + kernel))


@given(st.integers(0, 500), st.integers(0, 3), st.integers(2, 45), st.sampled_from([None, 7, 10]))
@settings(max_examples=25)
def test_a_sequence_alone_equals_itself_in_a_padded_batch_with_its_gradient(seed, classes, length, kernel):
    encoder, window = patched(64, classes, seed, kernel=kernel), random_windows(4, length, seed=seed)
    bases, valid = rows_of(window, classes)
    bases = (bases + torch.randn(bases.shape) * ~valid[..., None]).requires_grad_()
    whole, _ = encoder(bases, valid)
    counts = [classes - (-int(count) // 4) for count in window.lengths]
    (gradient,) = torch.autograd.grad(
        torch.stack([whole[row, :count].sin().sum() for row, count in enumerate(counts)]).sum(), bases
    )
    assert gradient[~valid].eq(0).all()
    for row, count in enumerate(counts):
        end = classes + int(window.lengths[row])
        own = bases[row : row + 1, :end].detach().requires_grad_()
        alone, _ = encoder(own, torch.ones(1, end).bool())
        assert alone.shape == (1, count, 16)
        torch.testing.assert_close(whole[row : row + 1, :count], alone, rtol=1e-5, atol=1e-5)
        (expected,) = torch.autograd.grad(alone.sin().sum(), own)
        torch.testing.assert_close(gradient[row : row + 1, :end], expected, rtol=1e-4, atol=1e-5)


def test_a_gradient_reaches_every_parameter():
    encoder, (bases, valid) = patched(64, 3), rows_of(random_windows(4, 18), 3)
    encoder(bases, valid)[0].sin().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_class_rows_and_masks_differ():
    encoder, classes = patched(64, 2), 2
    bases, valid = torch.zeros(1, 2 + 16, 5), torch.ones(1, 18).bool()
    output, _ = encoder(bases, valid)
    assert not output[:, 0].allclose(output[:, 1], atol=1e-3)
    assert not output[:, 0].allclose(output[:, 2], atol=1e-3)
    junk = bases.clone()
    junk[:, :classes] = 5.0
    assert encoder(junk, valid)[0].equal(output), "what enters in class rows is replaced"


def test_pooled_embeddings_of_a_branch_average_the_patches_that_hold_bases():
    branch, window = Branch(patched(64, 1), 1, {}), random_windows(3, 30)
    output = branch.eval()(window, window.tokens, None, wants={"pooled", "class"})
    patches = branch.encode(encode_bases(window.tokens), window.valid)
    for row, length in enumerate(window.lengths.tolist()):
        expected = patches.nucleotides[row, : -(-length // 4)].mean(0)
        torch.testing.assert_close(output.pooled[row], expected, rtol=1e-5, atol=1e-6)
    assert output.class_embeddings.shape == (3, 1, 16)


def test_it_declares_its_sizes():
    encoder = patched(64, 6, blocks=3)
    assert (encoder.dim, encoder.depth, encoder.stride, encoder.max_length) == (16, 3, 4, 64)
    assert (encoder.global_mixing, encoder.strand) == (True, "none")
    assert encoder.embed.weight.shape == (16, 4 * 5)
    assert patched(kernel=9).embed.weight.shape == (16, 9 * 5)


def test_hidden_states_are_those_after_each_block_before_the_norm():
    encoder, (bases, valid) = patched(blocks=3), rows_of(random_windows(2, 16))
    output, hidden = encoder(bases, valid, layers=(0, 2))
    assert sorted(hidden) == [0, 2]
    assert encoder.norm(hidden[2]).equal(output)


@pytest.mark.parametrize("padded", [False, True])
def test_bf16_runs_near_fp32(padded):
    encoder, (bases, valid) = patched(), rows_of(random_windows(3, 22, padded=padded))
    kept = valid[:, ::4]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, hidden = encoder(bases, valid, layers=(0,))
    assert hidden[0].dtype == torch.bfloat16, "no fp32 term makes the residual stream fp32"
    assert output[kept].float().allclose(encoder(bases, valid)[0][kept], atol=0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dim": 18, "heads": 4}, "dim 18 is not an even multiple of heads 4"),
        ({"patch": 8, "kernel": 7}, "kernel 7 is smaller than patch 8: bases would not be read"),
        ({"patch": 0}, "greater than 0"),
    ],
)
def test_incompatible_sizes_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        PatchTransformer.Config(**values)
