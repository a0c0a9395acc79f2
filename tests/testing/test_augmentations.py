"""Augmentations with a planted fault, and unusual correct ones in which no fault may be found."""

from dataclasses import replace

import pytest
import torch
from pydantic import Field

from findna_kit import alphabet
from findna_kit.components.interfaces import Augmentation, ComponentConfig
from findna_kit.components.views import View
from findna_kit.testing import Nonconforming, check_augmentation
from findna_kit.testing.view_checks import count_operations
from tests.testing.finding import assert_found, found


class Roll(Augmentation):
    """A true one: each sequence rolled on its own ring."""

    class Config(ComponentConfig):
        most: int = Field(9, gt=0, description="farthest")

    def source(self, view, draw):
        at, count = torch.arange(view.tokens.shape[1])[None], view.lengths[:, None].clamp(min=1)
        return torch.where(view.valid, (at + draw.integers(0, self.config.most, 1)) % count, at)

    def __call__(self, view, draw):
        return view.gather(self.source(view, draw), padding_stays=True)


class LosesOrigin(Roll):
    def __call__(self, view, draw):
        return view.with_tokens(view.tokens.gather(1, self.source(view, draw)))


class ForgetsOrigin(Roll):
    """Says that every base was put in."""

    def __call__(self, view, draw):
        made = super().__call__(view, draw)
        nowhere = torch.full_like(made.origin, -1)
        return replace(made, origin=nowhere, strand=torch.zeros_like(made.strand), soft_masked=torch.zeros_like(made.valid))


class OffByOne(Roll):
    """Right but for a base at the seam."""

    def __call__(self, view, draw):
        made = super().__call__(view, draw)
        origin = made.origin.clone()
        origin[:, 0] = origin[:, 1]
        return replace(made, origin=origin, soft_masked=view.soft_masked.gather(1, origin.clamp(min=0)) & (origin >= 0))


class LosesStrand(Roll):
    def __call__(self, view, draw):
        at, count = torch.arange(view.tokens.shape[1])[None], view.lengths[:, None]
        turned = torch.where(view.valid & (draw.uniform(1) < 0.5), count - 1 - at, at)
        made = view.gather(turned, flipped=(turned != at) | (count == 1), padding_stays=True)
        return replace(made, strand=made.strand.abs())


class ClaimsWhatItPutsIn(Roll):
    """Random bases in the middle, which are said to come from where they stand; the end falls off."""

    def __call__(self, view, draw):
        length = view.tokens.shape[1]
        at = torch.arange(length)[None].expand(len(view.tokens), -1)
        source = torch.where(view.valid & (at >= 6), (at - 6).where(at >= 12, at), at)
        made = view.gather(source, padding_stays=True)
        random = draw.integers(0, 4, length)
        inside = (at >= 6) & (at < 12) & made.valid & (made.tokens < alphabet.N)
        return made.with_tokens(random.where(inside, made.tokens))


class LoopsOverSequences(Roll):
    def __call__(self, view, draw):
        source = self.source(view, draw)
        rows = [view.tokens[row][source[row]] for row in range(len(source))]
        return view.gather(source, padding_stays=True).with_tokens(torch.stack(rows))


class LoopsInPlainPython(Roll):
    """Calls nothing of torch inside of the loop."""

    def __call__(self, view, draw):
        source = [[place for place in row] for row in self.source(view, draw).tolist()]
        return view.gather(torch.tensor(source), padding_stays=True)


class LoopsOverPositions(Roll):
    def __call__(self, view, draw):
        made = super().__call__(view, draw)
        columns = [made.tokens[:, place] for place in range(made.tokens.shape[1])]
        return made.with_tokens(torch.stack(columns, dim=1))


class InventsN(Roll):
    def __call__(self, view, draw):
        return view.with_tokens(view.tokens.masked_fill(draw.uniform(view.tokens.shape[1]) < 0.1, alphabet.N))


class UnmakesN(Roll):
    def __call__(self, view, draw):
        random = draw.integers(0, 4, view.tokens.shape[1])
        return view.with_tokens(random.where(view.valid & (draw.uniform(view.tokens.shape[1]) < 0.3), view.tokens))


class OneDrawForAll(Roll):
    def source(self, view, draw):
        at, count = torch.arange(view.tokens.shape[1])[None], view.lengths[:, None].clamp(min=1)
        return torch.where(view.valid, (at + draw.integers(0, 30, 1)[0]) % count, at)


class OwnGenerator(Roll):
    def source(self, view, draw):
        at, count = torch.arange(view.tokens.shape[1])[None], view.lengths[:, None].clamp(min=1)
        return torch.where(view.valid, (at + torch.randint(0, 30, (len(at), 1))) % count, at)


class IgnoresTheKey(Roll):
    def source(self, view, draw):
        at, count = torch.arange(view.tokens.shape[1])[None], view.lengths[:, None].clamp(min=1)
        return torch.where(view.valid, (at + draw._rows[:, None]) % count, at)


class InPlace(Roll):
    def __call__(self, view, draw):
        view.tokens[:, 0] = alphabet.complement(view.tokens[:, 0])
        return super().__call__(view, draw)


class Shortens(Roll):
    def __call__(self, view, draw):
        made = super().__call__(view, draw)
        return made._map(lambda tensor: tensor[:, :-1] if tensor.ndim == 2 and tensor.shape[1] else tensor)


class ForgetsLowerCase(Roll):
    def __call__(self, view, draw):
        return replace(super().__call__(view, draw), soft_masked=view.soft_masked)


class PaddingFirst(Roll):
    def __call__(self, view, draw):
        return view.gather(torch.arange(view.tokens.shape[1]).flip(0)[None].expand(len(view.tokens), -1))


class TakesNoiseAway(Roll):
    def __call__(self, view, draw):
        return replace(view, deviation=torch.zeros(len(view.tokens)))


class OriginInTheView(Roll):
    """Right for a window, wrong for what another augmentation has made."""

    def __call__(self, view, draw):
        source = self.source(view, draw)
        return replace(view.gather(source), origin=source.masked_fill(~view.valid, -1), strand=view.valid.to(torch.int8))


class Nothing(Roll):
    """Draws nothing and does nothing: that is no fault."""

    def __call__(self, view, draw):
        return view


class ChangesByNeighbours(Roll):
    """Substitutions that hang on the next base, as those of CpG do: `origin` stays true."""

    def __call__(self, view, draw):
        after = torch.cat([view.tokens[:, 1:], view.tokens[:, :1]], dim=1)
        rate = torch.where(after == alphabet.G, 0.6, 0.1)
        chosen = (draw.uniform(view.tokens.shape[1]) < rate) & (view.tokens < alphabet.N)
        return view.with_tokens((view.tokens ^ 2).where(chosen, view.tokens))


class Repeats(Roll):
    """The first three bases stand there twice, the second time on the other strand; the end falls off."""

    def __call__(self, view, draw):
        at = torch.arange(view.tokens.shape[1])[None].expand(len(view.tokens), -1)
        source = torch.where(at < 3, at, torch.where(at < 6, 5 - at, at - 3))
        source = torch.where(view.valid & (view.lengths[:, None] > 6), source, at)
        return view.gather(source, flipped=(at >= 3) & (at < 6) & view.valid & (view.lengths[:, None] > 6), padding_stays=True)


@pytest.mark.parametrize("component", [Nothing, ChangesByNeighbours, Repeats], ids=lambda component: component.__name__)
def test_what_is_true_is_not_blamed(component):
    assert found("augmentation", component) == {}


def test_one_without_a_fault_conforms():
    check_augmentation(Roll)


PLANTED = {
    LosesOrigin: (
        {"origin", "unknown"},
        "that position follows when the base is replaced by A, C, G and T), but `origin` there is",
        "`View.gather` moves",
    ),
    ForgetsOrigin: ({"origin", "unknown", "composes"}, "but `origin` there is -1", "`View.gather` moves"),
    OffByOne: ({"origin", "columns_consistent", "unknown"}, "is at position 0 of its view", "but `origin` there is"),
    LosesStrand: ({"origin"}, "is complemented at position", "but `strand` there is +1", "with `flipped`"),
    ClaimsWhatItPutsIn: ({"origin"}, "where the base does not come from that position", "have origin -1 and strand 0"),
    LoopsOverSequences: ({"vectorised"}, "there is a loop over the samples", "whole tensors [B, L]"),
    LoopsInPlainPython: ({"vectorised"}, "there is a loop over the samples", "for 130"),
    LoopsOverPositions: ({"vectorised"}, "there is a loop over the positions", "sequences of 192"),
    InventsN: ({"unknown", "origin"}, "are N although the window has no N", "insert A, C, G or T only"),
    UnmakesN: ({"unknown", "origin"}, "became bases; an N must stay N", "below alphabet.N"),
    OneDrawForAll: ({"randomness"}, "share random numbers", "use a separate row for each sample"),
    OwnGenerator: (
        {"randomness", "origin", "noise"},
        "two calls with the same draw gave different",
        "take every random number from `draw`",
    ),
    IgnoresTheKey: ({"randomness"}, "6 different draws gave the same views", "take random numbers from `draw`"),
    InPlace: (
        {"input_unchanged", "randomness", "origin", "noise"},
        "the input view's tokens was changed in place",
        "new tensors",
    ),
    ForgetsLowerCase: ({"columns_consistent"}, "`soft_masked` does not follow the bases", "`View.gather` moves"),
    PaddingFirst: ({"columns_consistent"}, "a valid position follows padding", "padding must be last"),
    TakesNoiseAway: ({"noise"}, "came back with less", "add to its square"),
    OriginInTheView: (
        {"composes", "unknown"},
        "`origin` is a position in the window, not in the input view",
        "move it with the tokens",
    ),
}


@pytest.mark.parametrize("component", PLANTED, ids=lambda component: component.__name__)
def test_a_planted_fault_is_found_in_words(component):
    assert_found("augmentation", component, *PLANTED[component])


def test_another_length_is_found():
    (sentence,) = found("augmentation", Shortens, checks=["columns_consistent"])["columns_consistent"]
    assert "(12, 50) and is torch.int64 (12, 49)" in sentence
    assert "shape and type must stay" in sentence


def test_the_message_names_class_and_parameters():
    with pytest.raises(Nonconforming, match=r"^augmentation LosesOrigin\(most=5\) does not conform:\n  origin: the base at"):
        check_augmentation(LosesOrigin, {"most": 5})


def test_a_view_from_a_global_generator_is_found_by_resuming():
    """Each run continues the generator's sequence from where the previous run stopped."""
    (sentence,) = found("augmentation", OwnGenerator, checks=["resume"])["resume"]
    assert "differs from 5 uninterrupted steps" in sentence


def test_work_counts_calls_of_torch_and_lines():
    def three():
        for _ in range(3):
            torch.zeros(1) + 1

    def thirty():
        for _ in range(30):
            torch.zeros(1) + 1

    assert count_operations(thirty) - count_operations(three) == 27 * 4, "a call, an addition, and the lines of head and body"
    assert isinstance(View.of_windows(torch.zeros(1, 2)), View)
