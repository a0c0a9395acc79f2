"""The mixer against the reference's formula; rings of any length, padding exact."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from findna_kit.builtin.encoders import chordmixer
from findna_kit.builtin.encoders.chordmixer import ChordMixer, _groups
from findna_kit.model.branch import encode_bases
from tests.windows import random_windows


class Reference(nn.Module):
    """method.md 2.4: x + CircularShift(MLP(x)); 11 groups of 28 channels, group i rolled by -2^(i-1) along the sequence."""

    def __init__(self, mine, groups=11):
        super().__init__()
        self.groups = groups
        self.stem, self.norm = mine.embed, mine.norm
        self.mlps = [
            nn.Sequential(layer.norm, layer.mlp[0], nn.GELU(), layer.mlp[2]) for block in mine.blocks for layer in block
        ]

    def forward(self, rows):
        x = self.stem(rows)
        for mlp in self.mlps:
            parts = torch.split(mlp(x), x.shape[-1] // self.groups, dim=-1)
            rolled = [part if i == 0 else torch.roll(part, -(2 ** (i - 1)), dims=1) for i, part in enumerate(parts)]
            x = x + torch.cat(rolled, dim=-1)
        return self.norm(x)


def mixer(length, class_tokens=0, seed=0, **sizes):
    torch.manual_seed(seed)
    return ChordMixer(
        ChordMixer.Config(**{"dim": 22, "hidden": 16, "blocks": 2, **sizes}), length=length, class_tokens=class_tokens
    )


def rows_of(window, classes=0):
    """Bases [B, C + L, 5] and valid, class rows first."""
    bases = torch.cat([torch.zeros(len(window.tokens), classes, 5), encode_bases(window.tokens)], 1)
    return bases, torch.cat([torch.ones(len(window.tokens), classes).bool(), window.valid], 1)


@pytest.mark.parametrize("length", [1000, 512, 200, 27])
def test_it_is_the_references_mixer_with_its_class_rows_first(length):
    mine = mixer(1010, 10, dim=308, hidden=24, blocks=1, layers=10)
    theirs = Reference(mine)
    nucleotides = encode_bases(random_windows(1, length, padded=False).tokens)
    first = torch.cat([torch.zeros(1, 10, 5), nucleotides], 1).requires_grad_()
    last = torch.cat([nucleotides, torch.zeros(1, 10, 5)], 1).requires_grad_()
    weights = torch.randn(1, length + 10, 308)
    parameters = list(mine.parameters())
    output, _ = mine(first, torch.ones(1, length + 10).bool())
    expected = theirs(last).roll(10, dims=1)
    torch.testing.assert_close(output, expected)
    gradients = torch.autograd.grad((output * weights).sum(), [first, *parameters])
    wanted = torch.autograd.grad((expected * weights).sum(), [last, *parameters])
    torch.testing.assert_close(gradients[0], wanted[0].roll(10, dims=1), rtol=1e-4, atol=1e-5)
    for made, given_ in zip(gradients[1:], wanted[1:], strict=True):
        torch.testing.assert_close(made, given_, rtol=1e-4, atol=1e-5 * float(given_.abs().max()))


@given(st.integers(1, 70), st.integers(0, 5), st.integers(0, 99))
@settings(max_examples=25)
def test_it_equals_the_reference_on_any_ring(length, classes, seed):
    mine = mixer(1024, classes, seed, dim=33, layers=10)
    nucleotides = encode_bases(random_windows(2, length, seed=seed, padded=False).tokens)
    output, _ = mine(torch.cat([torch.zeros(2, classes, 5), nucleotides], 1), torch.ones(2, length + classes).bool())
    expected = Reference(mine)(torch.cat([nucleotides, torch.zeros(2, classes, 5)], 1)).roll(classes, dims=1)
    torch.testing.assert_close(output, expected)


def test_with_a_norm_each_mlp_and_the_output_are_normalised():
    """The same formula with `x + shift(mlp(norm(x)))`, whose norm is LayerNorm, here with a weight that is not 1."""
    mine = mixer(1024, norm="layer", dim=33, layers=10)
    norms = [mine.norm, *(layer.norm for block in mine.blocks for layer in block)]
    for norm in norms:
        assert isinstance(norm, nn.LayerNorm)
        nn.init.normal_(norm.weight)
    bases = encode_bases(random_windows(2, 40, padded=False).tokens)
    torch.testing.assert_close(mine(bases, torch.ones(2, 40).bool())[0], Reference(mine, groups=11)(bases))


def test_without_options_there_is_neither_a_norm_nor_a_class_vector():
    names = {name.rsplit(".", 1)[0] for name in mixer(16, 2, blocks=1, layers=1).state_dict()}
    assert names == {"embed", "blocks.0.0.mlp.0", "blocks.0.0.mlp.2"}


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_learned_class_tokens_take_the_place_of_class_rows(norm):
    plain, learned = (mixer(16, 3, norm=norm, learned_class_tokens=choice) for choice in (False, True))
    other = {name: value for name, value in learned.state_dict().items() if name != "class_vectors"}
    assert all(value.equal(other[name]) for name, value in plain.state_dict().items()), "the other weights are the same"
    bases, valid = rows_of(random_windows(2, 13, padded=False), 3)
    with torch.no_grad():
        learned.class_vectors.copy_(plain.embed.bias.expand(3, -1))
    assert learned(bases, valid)[0].equal(plain(bases, valid)[0]), "a class row of zeros is the bias"
    masked = torch.zeros(1, 16, 5)  # class rows, then MASK rows
    with torch.no_grad():
        learned.class_vectors.normal_()
    output, _ = learned(masked, torch.ones(1, 16).bool())
    assert not output[0, 0].allclose(output[0, 5], atol=1e-2)
    learned(bases, valid)[0].sin().sum().backward()
    assert learned.class_vectors.grad.abs().sum() > 0


def test_class_vectors_begin_as_large_as_embedded_bases():
    encoder = mixer(16, 300, dim=200, blocks=1, learned_class_tokens=True)
    deviation = float(encoder.embed(torch.eye(5)).detach().std())
    assert float(encoder.class_vectors.detach().std()) == pytest.approx(deviation, rel=0.15)


def test_the_papers_parameters_are_counted():
    with torch.device("meta"):
        encoder = ChordMixer(ChordMixer.Config(dim=308, hidden=512, blocks=4), length=1010, class_tokens=10)
        letters = nn.Linear(308, 5)
    assert [len(block) for block in encoder.blocks] == [10] * 4
    assert sum(p.numel() for module in (encoder, letters) for p in module.parameters()) == 12_651_873


def test_eleven_groups_of_28_with_the_papers_offsets():
    groups = _groups(308, 10)
    assert [channels.stop - channels.start for channels, _ in groups] == [28] * 11
    assert [offset for _, offset in groups] == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


@given(st.integers(1, 400), st.integers(1, 24))
def test_groups_cover_every_channel_once(dim, layers):
    groups = _groups(dim, layers)
    assert [channel for channels, _ in groups for channel in range(channels.start, channels.stop)] == list(range(dim))
    widths = [channels.stop - channels.start for channels, _ in groups]
    assert max(widths) - min(widths) <= 1
    assert widths == sorted(widths, reverse=True)


@given(st.integers(0, 500), st.integers(0, 3), st.integers(2, 30))
@settings(max_examples=25)
def test_a_sequence_alone_equals_itself_in_a_padded_batch_with_its_gradient(seed, classes, length):
    encoder, window = mixer(64, classes, seed), random_windows(4, length, seed=seed)
    bases, valid = rows_of(window, classes)
    bases = (bases + torch.randn(bases.shape) * ~valid[..., None]).requires_grad_()  # whatever stands on padding
    whole, _ = encoder(bases, valid)
    (gradient,) = torch.autograd.grad((whole * valid[..., None]).square().sum(), bases)
    assert gradient[~valid].eq(0).all()
    for row in range(4):
        count = classes + int(window.lengths[row])
        own = bases[row : row + 1, :count].detach().requires_grad_()
        alone, _ = encoder(own, torch.ones(1, count).bool())
        torch.testing.assert_close(whole[row : row + 1, :count], alone, rtol=1e-5, atol=1e-5)
        (expected,) = torch.autograd.grad(alone.square().sum(), own)
        torch.testing.assert_close(gradient[row : row + 1, :count], expected, rtol=1e-4, atol=1e-4)


def test_gradients_of_the_shift_are_those_of_finite_differences():
    encoder = mixer(8, 1, dim=7, hidden=3, blocks=1, layers=3).double()
    bases, valid = rows_of(random_windows(2, 6, seed=3, shortest=3), 1)
    for mask in (valid, torch.ones_like(valid)):
        assert torch.autograd.gradcheck(lambda x, mask=mask: encoder(x, mask)[0], bases.double().requires_grad_())


def test_one_block_connects_every_pair_of_positions():
    encoder = mixer(33, blocks=1)
    bases = torch.randn(1, 33, 5, requires_grad=True)
    output, _ = encoder(bases, torch.ones(1, 33).bool())
    for row in (0, 17, 32):
        (gradient,) = torch.autograd.grad(output[0, row].sum(), bases, retain_graph=True)
        assert gradient[0].abs().sum(-1).gt(0).all()


def test_the_number_of_layers_comes_from_the_training_length_and_stays():
    encoder = mixer(210)
    assert [len(block) for block in encoder.blocks] == [8, 8]
    assert len(mixer(210, layers=3).blocks[0]) == 3
    assert len(mixer(1).blocks[0]) == 1
    for length in (1, 2, 100, 700):
        output, _ = encoder(*rows_of(random_windows(1, length, padded=False)))
        assert output.shape == (1, length, 22)
        assert torch.isfinite(output).all()
    assert encoder.max_length is None


def test_hidden_states_are_those_after_each_block():
    encoder, (bases, valid) = mixer(16, blocks=3), rows_of(random_windows(2, 16))
    output, hidden = encoder(bases, valid, layers=(0, 2))
    assert encoder.depth == 3
    assert sorted(hidden) == [0, 2]
    assert hidden[2].equal(output)
    assert not hidden[0].equal(output)
    assert encoder(bases, valid)[1] == {}


def test_dropout_falls_on_the_update_only_while_training():
    encoder, (bases, valid) = mixer(16, dropout=0.5), rows_of(random_windows(2, 16))
    assert not encoder(bases, valid)[0].equal(encoder(bases, valid)[0])
    encoder.eval()
    assert encoder(bases, valid)[0].equal(encoder(bases, valid)[0])


@pytest.mark.parametrize("padded", [False, True])
def test_bf16_runs_forward_and_backward_near_fp32(padded):
    encoder, (bases, valid) = mixer(32, 2), rows_of(random_windows(3, 32, padded=padded), 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = encoder(bases, valid)
    expected, _ = encoder(bases, valid)
    assert output[valid].float().allclose(expected[valid], atol=0.05)
    output.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in encoder.parameters())


# dynamo itself instantiates the Function that it traces, and torch warns of that
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("padded", [False, True])
def test_compiled_equals_eager(padded):
    encoder, (bases, valid) = mixer(32, 2, blocks=1, layers=3), rows_of(random_windows(3, 32, padded=padded), 2)
    results = []
    for run in (encoder, torch.compile(encoder, backend="aot_eager")):
        encoder.zero_grad()
        output, _ = run(bases, valid)
        output.square().sum().backward()
        results.append([output.detach(), *(p.grad.clone() for p in encoder.parameters())])
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager)


@pytest.mark.parametrize(("batch", "length"), [(1, 5), (3, 40), (2, 300)])
def test_shifting_a_small_batch_by_lookup_gives_the_same_bits(batch, length, monkeypatch):
    """There and back: outputs and every gradient."""
    found = []
    for small in (0, 1 << 30):
        monkeypatch.setattr(chordmixer, "_SMALL", small)
        torch.manual_seed(0)
        encoder = ChordMixer(ChordMixer.Config(dim=22, hidden=16, blocks=2), length=64, class_tokens=0)
        bases = torch.randn(batch, length, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
        output, _ = encoder(bases, torch.ones(batch, length, dtype=torch.bool))
        output.square().sum().backward()
        found.append([output, bases.grad, *(parameter.grad for parameter in encoder.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
