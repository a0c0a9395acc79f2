"""How tokens become the input of the encoder, and the outputs of a branch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from findna_kit import alphabet
from findna_kit.builtin.encoders.chordmixer import ChordMixer
from findna_kit.components.interfaces import BranchOutput, ComponentConfig, Encoder
from findna_kit.model.branch import Branch, ClassPool, apply_heads, encode_bases, pool, pooled_width, read_rows
from tests.windows import random_windows, view_of


class Local(Encoder):
    """Sees a few bases at once, two positions to an embedding; keeps what it was given."""

    class Config(ComponentConfig):
        pass

    stride = 2
    global_mixing = False

    def __init__(self, config, *, length, class_tokens):
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth = 6, 1
        self.mix = nn.Conv1d(5, 6, 3, stride=2, padding=1)

    def forward(self, bases, valid, *, layers=()):
        self.given = bases, valid
        return self.mix((bases * valid[..., None]).mT).mT, {}


def mixer(class_tokens=3, length=12, **sizes):
    torch.manual_seed(0)
    config = ChordMixer.Config(**{"dim": 10, "hidden": 12, "blocks": 2, **sizes})
    return Branch(ChordMixer(config, length=length + class_tokens, class_tokens=class_tokens), class_tokens, {})


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_bases_are_one_hot_and_mask_is_zero(tokens):
    rows = encode_bases(torch.tensor([tokens]))[0]
    assert rows.dtype == torch.float32
    for row, token in zip(rows.tolist(), tokens, strict=True):
        assert row == [float(channel == token) for channel in range(5)]


def test_noise_falls_on_every_row_but_mask():
    tokens = torch.tensor([[alphabet.A, alphabet.MASK, alphabet.N, alphabet.T]])
    noise = torch.randn(1, 4, 5)
    assert (encode_bases(tokens, noise) - encode_bases(tokens)).allclose(
        noise * torch.tensor([1, 0, 1, 1.0])[None, :, None], atol=1e-6
    )
    assert encode_bases(tokens, noise)[0, 1].equal(torch.zeros(5))


@given(st.integers(0, 999), st.integers(1, 20))
def test_pooled_is_the_mean_over_valid_positions(seed, length):
    valid = random_windows(4, length, seed=seed).valid
    embeddings = torch.randn(4, length, 7, generator=torch.Generator().manual_seed(seed))
    expected = torch.stack([row[keep].mean(0) for row, keep in zip(embeddings, valid, strict=True)])
    assert pool(embeddings, valid).allclose(expected, atol=1e-6)


@pytest.mark.parametrize("layer", [None, 0])
def test_mean_std_is_the_mean_and_the_deviation_over_valid_nucleotides(layer):
    branch = mixer().eval()
    bases = random_windows(4, 12, seed=3)
    outcome = branch.encode(encode_bases(bases.tokens), bases.valid, layers=() if layer is None else (layer,))
    rows = outcome.nucleotides if layer is None else outcome.hidden[layer][:, 3:]
    expected = [
        torch.cat([row[keep].mean(0), row[keep].std(0, correction=0)]) for row, keep in zip(rows, bases.valid, strict=True)
    ]
    found = branch.embed(bases, "mean_std", layer)
    assert found.shape == (4, pooled_width("mean_std", branch.width))
    assert found.allclose(torch.stack(expected), atol=1e-5)
    assert found[:, : branch.width].equal(branch.embed(bases, "mean", layer))


def test_the_deviation_of_one_base_is_zero_and_its_gradient_finite():
    branch = mixer(length=1)
    branch.embed(random_windows(2, 1, seed=3), "mean_std").sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in branch.encoder.parameters() if parameter.grad is not None)
    assert branch.embed(random_windows(2, 1, seed=3), "mean_std")[:, branch.width :].max() < 1e-5


def test_pooled_is_summed_in_fp32_and_zero_where_nothing_is_valid():
    embeddings = torch.full((1, 4096, 1), 1.01, dtype=torch.bfloat16)
    pooled = pool(embeddings, torch.ones(1, 4096).bool())
    assert pooled.dtype == torch.float32
    assert pooled.item() == pytest.approx(float(embeddings[0, 0, 0]))
    assert pool(embeddings, torch.zeros(1, 4096).bool()).item() == 0


def test_a_branch_returns_the_requested_outputs_only():
    branch, view = mixer(), random_windows(4, 12)
    everything = branch(view, view.tokens, None, wants={"all", "class", "pooled"}, layers=[0])
    assert everything.embeddings.shape == (4, 12, 10)
    assert everything.class_embeddings.shape == (4, 3, 10)
    assert everything.pooled.shape == (4, 10)
    assert list(everything.hidden) == [0]
    assert everything.hidden[0].shape == (4, 15, 10)
    assert everything.pooled.equal(pool(everything.embeddings, view.valid))
    for want, kept in {"masked": "embeddings", "all": "embeddings", "class": "class_embeddings", "pooled": "pooled"}.items():
        output = branch(view, view.tokens, None, wants={want})
        for name in ("embeddings", "class_embeddings", "pooled"):
            made = getattr(output, name)
            assert (made is None) == (name != kept)
            assert made is None or made.equal(getattr(everything, name))
        assert output.view is view


def test_class_rows_are_first_zero_and_valid():
    branch, view = mixer(), view_of("ACGTA", "AC")
    seen = {}
    branch.encoder.register_forward_pre_hook(lambda module, arguments: seen.update(bases=arguments[0], valid=arguments[1]))
    branch(view, view.tokens, None, wants={"class"})
    assert seen["bases"][:, :3].equal(torch.zeros(2, 3, 5))
    assert seen["bases"][:, 3:].equal(encode_bases(view.tokens))
    assert seen["valid"].tolist() == [[True] * 8, [True] * 5 + [False] * 3]


def test_an_encoder_without_global_mixing_gets_class_embeddings_by_attention():
    torch.manual_seed(1)
    branch = Branch(Local(Local.Config(), length=8, class_tokens=0), 2, {})
    view = view_of("ACGTACGT", "ACGTT")
    output = branch(view, view.tokens, None, wants={"class", "pooled", "all"})
    bases, valid = branch.encoder.given
    assert bases.shape == (2, 8, 5), "it gets no class rows"
    assert valid.equal(view.valid)
    assert output.embeddings.shape == (2, 4, 6)
    assert output.class_embeddings.shape == (2, 2, 6)
    kept = view.valid[:, ::2]
    assert output.pooled.allclose(pool(output.embeddings, kept))
    for row in range(2):
        own = output.embeddings[row][kept[row]]
        share = (branch.class_pool.queries @ own.T / 6**0.5).softmax(-1)
        assert output.class_embeddings[row].allclose(share @ own, atol=1e-6)


def test_attention_pooling_is_there_only_where_it_is_needed():
    assert mixer().class_pool is None
    assert Branch(Local(Local.Config(), length=8, class_tokens=0), 0, {}).class_pool is None
    assert isinstance(Branch(Local(Local.Config(), length=8, class_tokens=0), 2, {}).class_pool, ClassPool)


def test_noise_reaches_the_encoder():
    branch, view = mixer(), random_windows(2, 12)
    plain, noisy = (branch(view, view.tokens, noise, wants={"pooled"}).pooled for noise in (None, torch.randn(2, 12, 5)))
    assert not plain.allclose(noisy)
    assert branch(view, view.tokens, torch.zeros(2, 12, 5), wants={"pooled"}).pooled.equal(plain)


def test_rows_follow_the_losss_head_input():
    view = view_of("ACGT", "GGCC").with_mask(torch.tensor([[3, 0], [1, 1]]), torch.ones(2, 2), torch.zeros(2, 2).long())
    output = BranchOutput(view, torch.randn(2, 4, 3), torch.randn(2, 5, 3), torch.randn(2, 3))
    masked = read_rows(output, "masked")
    assert masked.shape == (2, 2, 3)
    for row, slot, place in ((0, 0, 3), (0, 1, 0), (1, 0, 1), (1, 1, 1)):
        assert masked[row, slot].equal(output.embeddings[row, place])
    assert read_rows(output, "class") is output.class_embeddings
    assert read_rows(output, "pooled") is output.pooled
    assert read_rows(output, "all") is output.embeddings


@pytest.mark.parametrize("reads", ["masked", "class", "pooled", "all"])
def test_rows_that_were_not_requested_are_an_error(reads):
    with pytest.raises(ValueError, match=f"the branch was not asked for what `head_input: {reads}` needs"):
        read_rows(BranchOutput(view_of("ACGT")), reads)


def test_heads_are_a_chain_twins_first():
    torch.manual_seed(2)
    twins = nn.ModuleDict({"projector": nn.Linear(3, 4), "logits": nn.Linear(4, 5)})
    own = nn.ModuleDict({"predictor": nn.Linear(5, 2)})
    rows = torch.randn(6, 3)
    outputs = apply_heads(rows, twins, own)
    assert list(outputs) == ["projector", "logits", "predictor"]
    assert outputs["predictor"].equal(own["predictor"](twins["logits"](twins["projector"](rows))))
    assert outputs["projector"].equal(twins["projector"](rows))
    assert apply_heads(rows, nn.ModuleDict()) == {}


def test_heads_of_a_branch_go_by_label():
    branch = Branch(
        ChordMixer(ChordMixer.Config(dim=4), length=8, class_tokens=0), 0, {"mine": {"out": nn.Linear(4, 2)}, "other": {}}
    )
    assert {name for name in branch.state_dict() if name.startswith("heads")} == {
        "heads.mine.out.weight",
        "heads.mine.out.bias",
    }
    output = branch(random_windows(2, 8), random_windows(2, 8).tokens, None, wants={"class"})
    assert output.class_embeddings.shape == (2, 0, 4)
