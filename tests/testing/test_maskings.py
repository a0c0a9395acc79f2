"""Maskings with a planted fault: the responsible check finds each of them and explains it."""

import pytest
import torch
from pydantic import Field

from findna_kit import alphabet
from findna_kit.components.interfaces import ComponentConfig, Masking
from findna_kit.components.mask_corruption import maskable_bases
from findna_kit.testing import check_masking
from tests.testing.finding import assert_found


class Good(Masking):
    """Five slots, wherever the least is drawn."""

    class Config(ComponentConfig):
        slots: int = Field(5, gt=0, description="positions")

    def may(self, view):
        return maskable_bases(view)

    def __call__(self, view, draw):
        may = self.may(view)
        slots = self.many(view)
        index = draw.uniform(may.shape[1]).masked_fill(~may, 2.0).topk(slots, dim=1, largest=False).indices
        weight = (torch.arange(slots)[None] < may.sum(1, keepdim=True)).float()
        return view.with_mask(index, weight, self.shown(view, index))

    def many(self, view):
        return self.config.slots

    def shown(self, view, index):
        return torch.full_like(index, alphabet.MASK)


class MasksN(Good):
    def may(self, view):
        return view.strand != 0


class MasksPadding(Good):
    def may(self, view):
        return view.tokens <= alphabet.N


class MasksInserted(Good):
    def may(self, view):
        return view.valid & (view.tokens < alphabet.N)


class CountsContent(Good):
    def many(self, view):
        return max(1, int(maskable_bases(view).sum(1).max()) // 5)


class ShowsN(Good):
    def shown(self, view, index):
        return torch.full_like(index, alphabet.N)


class ShowsBeside(Good):
    def shown(self, view, index):
        return torch.full_like(index, 7)


class Twice(Good):
    def __call__(self, view, draw):
        made = super().__call__(view, draw)
        return made.with_mask(made.masked_index[:, :1].expand(-1, 5), made.masked_weight, made.corrupted)


class Heavy(Good):
    def __call__(self, view, draw):
        made = super().__call__(view, draw)
        return made.with_mask(made.masked_index, 1.5 * made.masked_weight, made.corrupted)


class Outside(Good):
    def __call__(self, view, draw):
        made = super().__call__(view, draw)
        return made.with_mask(made.masked_index.where(made.masked_weight > 0, -1), made.masked_weight, made.corrupted)


class ChangesTokens(Good):
    def __call__(self, view, draw):
        made = super().__call__(view, draw)
        return made.with_tokens(made.tokens.scatter(1, made.masked_index, alphabet.A))


class Idle(Good):
    def __call__(self, view, draw):
        made = super().__call__(view, draw)
        return made.with_mask(made.masked_index, 0 * made.masked_weight, made.corrupted)


class Loops(Good):
    def __call__(self, view, draw):
        made = super().__call__(view, draw)
        rows = [row.sort().values for row in made.masked_index]
        return made.with_mask(torch.stack(rows), made.masked_weight, made.corrupted)


class SameForAll(Good):
    def __call__(self, view, draw):
        made = super().__call__(view, draw)
        return view.with_mask(made.masked_index[:1].expand(len(view.tokens), -1), made.masked_weight, made.corrupted)


class PointsAtTheFirst(Good):
    """Its unused slots point at the first masked position, and would show N there."""

    def __call__(self, view, draw):
        made = super().__call__(view, draw)
        used, (index, shown) = made.masked_weight > 0, (made.masked_index, made.corrupted)
        return made.with_mask(index.where(used, index[:, :1]), made.masked_weight, shown.where(used, alphabet.N))


@pytest.mark.parametrize("component", [Good, PointsAtTheFirst])
def test_one_without_a_fault_conforms(component):
    check_masking(component)


PLANTED = {
    MasksN: (
        {"positions"},
        "masked positions with a weight above 0 are N",
        "`maskable_bases` of findna_kit.components",
    ),
    MasksPadding: ({"positions"}, "are padding", "weight 0"),
    MasksInserted: ({"positions"}, "are inserted bases", "weight 0"),
    CountsContent: (
        {"slots", "randomness"},
        "the number of slots M depends on the content of the views",
        "on the length alone",
    ),
    ShowsN: ({"positions"}, "`corrupted` contains [4]", "MASK = 5"),
    ShowsBeside: ({"positions"}, "`corrupted` contains [7]", "MASK = 5"),
    Twice: ({"positions"}, "positions are masked twice", "may be in one slot"),
    Heavy: ({"positions"}, "masked_weight ranges from 1.5 to 1.5", "from 0 (unused) to 1"),
    Outside: ({"positions"}, "masked_index ranges from -1 to", "unused slots must hold a valid index"),
    ChangesTokens: ({"slots", "positions"}, "the view's tokens changed", "tokens are the targets"),
    Idle: ({"something"}, "6 of 6 draws masked no base", "nothing to count"),
    Loops: ({"vectorised"}, "there is a loop over the samples", "whole tensors"),
    SameForAll: ({"randomness", "positions"}, "share random numbers", "a separate row for each sample"),
}


@pytest.mark.parametrize("component", PLANTED, ids=lambda component: component.__name__)
def test_a_planted_fault_is_found_in_words(component):
    assert_found("masking", component, *PLANTED[component])
