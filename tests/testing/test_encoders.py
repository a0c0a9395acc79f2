"""Encoders with a planted fault: the responsible check finds each of them and explains it."""

import pytest
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from findna_kit import alphabet
from findna_kit.components.interfaces import ComponentConfig, Encoder
from findna_kit.testing import Nonconforming, check_encoder
from tests.testing.finding import assert_found, found


class Good(Encoder):
    """A convolution over what is valid, and class tokens that see the mean."""

    class Config(ComponentConfig):
        dim: int = Field(8, gt=0, description="channels")

    def __init__(self, config, *, length, class_tokens):
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth, self.class_tokens = config.dim, 1, class_tokens
        self.embed = nn.Linear(alphabet.CHANNELS, config.dim)
        self.conv = nn.Conv1d(config.dim, config.dim, 3, padding=1)
        self.classes = nn.Parameter(torch.randn(class_tokens, config.dim))

    def forward(self, bases, valid, *, layers=()):
        count = self.class_tokens
        x = self.seen(self.embed(bases[:, count:]), valid[:, count:])
        x = x + self.conv(x.transpose(1, 2)).transpose(1, 2).tanh()
        mean = self.seen(x, valid[:, count:]).sum(1, keepdim=True) / valid[:, count:].sum(1)[:, None, None].clamp(min=1)
        out = torch.cat([mean * self.classes, x], dim=1)
        return out, {layer: out for layer in layers}

    def seen(self, x, valid):
        return x.masked_fill(~valid[..., None], 0)


class ReadsPadding(Good):
    def seen(self, x, valid):
        return x


class MeansOverAll(Good):
    """Padding is zero, but counted."""

    def forward(self, bases, valid, *, layers=()):
        return super().forward(bases, torch.ones_like(valid), layers=layers)


class Unused(Good):
    def __init__(self, config, **sizes):
        super().__init__(config, **sizes)
        self.spare = nn.Linear(3, 3)


class BatchNormed(Good):
    def __init__(self, config, **sizes):
        super().__init__(config, **sizes)
        self.norm = nn.BatchNorm1d(config.dim)

    def seen(self, x, valid):
        return super().seen(self.norm(x.transpose(1, 2)).transpose(1, 2), valid)


class CentresTheBatch(Good):
    """As batch norm does, without being one."""

    def seen(self, x, valid):
        return super().seen(x - x.mean(0, keepdim=True), valid)


class LyingDim(Good):
    def __init__(self, config, **sizes):
        super().__init__(config, **sizes)
        self.dim = config.dim + 2


class LyingStride(Good):
    stride = 2


class LyingBound(Good):
    """Takes class tokens for nucleotides the wrong way round."""

    def __init__(self, config, *, length, class_tokens):
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.max_length = length - 2 * class_tokens


class FixedLength(Good):
    """Positions for its own length, and no word of it."""

    def __init__(self, config, *, length, class_tokens):
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.place = nn.Parameter(torch.randn(length - class_tokens, config.dim))

    def seen(self, x, valid):
        return super().seen(x + self.place[: x.shape[1]], valid)


class HiddenState(Good):
    """Weights that are neither parameter nor buffer."""

    def __init__(self, config, **sizes):
        super().__init__(config, **sizes)
        self.secret = torch.randn(config.dim)

    def seen(self, x, valid):
        return super().seen(x * self.secret.to(x.device), valid)


class Noisy(Good):
    def seen(self, x, valid):
        return super().seen(F.dropout(x, 0.1), valid)


class Counting(Good):
    def __init__(self, config, **sizes):
        super().__init__(config, **sizes)
        self.register_buffer("calls", torch.zeros(()))

    def seen(self, x, valid):
        self.calls += 1
        return super().seen(x, valid)


class InPlace(Good):
    def forward(self, bases, valid, *, layers=()):
        bases.masked_fill_(~valid[..., None], 0)
        return super().forward(bases, valid, layers=layers)


class Overflows(Good):
    """Fine in fp32; in bf16 a difference of two large numbers."""

    def seen(self, x, valid):
        x = x.to(torch.bfloat16) if torch.is_autocast_enabled("cpu") else x
        return super().seen((x + 300) - 300, valid)


class OtherLayers(Good):
    def forward(self, bases, valid, *, layers=()):
        out, _ = super().forward(bases, valid)
        return out, {0: out}


class NamesADevice(Good):
    def __init__(self, config, **sizes):
        super().__init__(config, **sizes)
        self.register_buffer("scale", torch.ones(config.dim, device="cpu"))


class NotInvariant(Good):
    strand = "invariant"


class NotEquivariant(Good):
    strand = "equivariant"


class Invariant(Good):
    """The mean over both strands, of class tokens and of positions."""

    strand = "invariant"

    def forward(self, bases, valid, *, layers=()):
        count = self.class_tokens
        at, lengths = torch.arange(valid.shape[1])[None], valid.sum(1, keepdim=True)
        turned = torch.where((at >= count) & (at < lengths), lengths - 1 + count - at, at)[..., None]
        one, _ = super().forward(bases, valid)
        two, _ = super().forward(bases[..., [3, 2, 1, 0, 4]].gather(1, turned.expand_as(bases)), valid)
        out = (one + two.gather(1, turned.expand_as(two))) / 2
        return out, {layer: out for layer in layers}


def test_those_without_a_fault_conform():
    check_encoder(Good)
    assert found("encoder", Invariant) == {}


PLANTED = {
    ReadsPadding: ({"padding"}, "other values were put into the padding", "nothing may change"),
    MeansOverAll: ({"padding"}, "padding", "leave it out of a mean"),
    Unused: ({"gradients"}, "no gradient reaches spare.weight, spare.bias", "remove it from the module"),
    LyingDim: ({"shapes"}, "the embeddings are (2, 1, 8); expected (2, 1, 10)", "dim 10"),
    LyingStride: ({"shapes", "padding", "batch", "precision", "gradients"}, "stride 2", ""),
    LyingBound: ({"declares"}, "max_length 37; expected None or at least 40", "`length` includes class tokens"),
    HiddenState: ({"state"}, "a new instance with the same state_dict gives other embeddings", "Register them"),
    Noisy: (
        {"deterministic", "padding", "hidden", "batch", "state", "precision"},
        "two calls in evaluation mode give different embeddings",
        "off after eval()",
    ),
    Counting: ({"pure"}, "changed calls", "state changes once per step"),
    InPlace: ({"pure", "gradients", "padding"}, "changed `bases` or `valid` in place", "copy them first"),
    Overflows: ({"precision"}, "under torch.autocast(bfloat16)", "`.float()`"),
    OtherLayers: ({"hidden"}, "no hidden layer was requested and [0] were returned", "expected an empty dict"),
    NamesADevice: ({"meta"}, "scale is on another device", "do not name a device"),
    NotInvariant: ({"strand"}, "declares strand 'invariant'", "valid positions in reverse order"),
    NotEquivariant: ({"strand"}, "declares strand 'equivariant'", "the halves of the channels swapped"),
    CentresTheBatch: (
        {"batch", "padding"},
        "the embeddings of a sequence alone and in a batch of 3 differ",
        "Use no statistics over the batch",
    ),
}


@pytest.mark.parametrize("component", PLANTED, ids=lambda component: component.__name__)
def test_a_planted_fault_is_found_in_words(component):
    assert_found("encoder", component, *PLANTED[component])


def test_batch_normalisation_is_found_by_name_and_by_what_it_does():
    faults = found("encoder", BatchNormed)
    assert "contains batch normalisation (norm); use LayerNorm" in faults["batch_norm"][0]
    assert "changed norm.running_mean, norm.running_var" in faults["pure"][0]


def test_what_an_encoder_raises_is_said_with_its_place():
    (sentence,) = found("encoder", FixedLength, checks=["shapes"])["shapes"]
    assert sentence.startswith("raised RuntimeError at test_encoders.py:")
    assert "in seen: The size of tensor" in sentence
    assert "Require that embeddings are [B, C + ceil(L / stride), dim]" in sentence


def test_all_that_is_wrong_comes_at_once():
    class Both(Unused, OtherLayers):
        pass

    with pytest.raises(Nonconforming) as raised:
        check_encoder(Both, {"dim": 6})
    lines = str(raised.value).splitlines()
    assert lines[0].endswith("Both(dim=6) does not conform:")
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["hidden", "gradients"]
    assert isinstance(raised.value, AssertionError)


def test_parameters_that_the_config_refuses():
    with pytest.raises(Nonconforming, match=r"parameters: Config rejects the parameters \{'dim': 0\}: dim: Input should be"):
        check_encoder(Good, {"dim": 0})


def test_compiling_that_changes_what_comes_out_is_found():
    class Differs(Good):
        def seen(self, x, valid):
            return super().seen(x * (2.0 if torch.compiler.is_compiling() else 1.0), valid)

    (sentence,) = found("encoder", Differs, checks=["compiled"])["compiled"]
    assert "under torch.compile(backend='aot_eager'), the embeddings differ" in sentence


def test_state_that_a_checkpoint_does_not_hold_is_found_by_resuming():
    class Drifts(Good):
        """Grows with every forward in training, in a plain attribute."""

        calls = 0

        def seen(self, x, valid):
            self.calls += self.training
            return super().seen(x * (1 + 0.01 * self.calls), valid)

    (sentence,) = found("encoder", Drifts, checks=["resume"])["resume"]
    assert sentence.startswith("training for 5 steps, interrupted after step 3 and resumed, differs from 5 uninterrupted steps")
    assert "student.encoder." in sentence
