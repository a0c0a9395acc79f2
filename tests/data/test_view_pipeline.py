"""From a window to a view: folded in the recipe's order, keyed by seed, step, view and place."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from findna_kit import alphabet
from findna_kit.builtin.augmentations.insertion import Insertion
from findna_kit.builtin.augmentations.mutation import Mutation
from findna_kit.builtin.augmentations.neighbour import Neighbour
from findna_kit.builtin.augmentations.noise import Noise
from findna_kit.builtin.augmentations.reverse_complement import ReverseComplement
from findna_kit.builtin.augmentations.translocation import Translocation
from findna_kit.builtin.maskings.independent import IndependentMasking
from findna_kit.components.interfaces import Augmentation, ComponentConfig, Contig, ViewPlan
from findna_kit.components.views import View
from findna_kit.data.crops import CropShare
from findna_kit.data.view_pipeline import ViewPipeline
from findna_kit.errors import FindnaError
from tests.windows import assert_true_to, random_windows

INSERTION = ("insertion", Insertion(Insertion.Config(maximum=6)))
MUTATION = ("mutation", Mutation(Mutation.Config(fraction=0.3)))
NOISE = ("noise", Noise(Noise.Config(deviation=0.5)))
TURN = ("reverse_complement", ReverseComplement(ReverseComplement.Config(probability=1.0)))
ROLL = ("translocation", Translocation(Translocation.Config(minimum=3, maximum=3)))
MASK = ("independent", IndependentMasking(IndependentMasking.Config()))


def pipeline(*augmentations, masking=None, name="first"):
    return ViewPipeline(ViewPlan(name, student=True, teacher=False, masked=masking is not None), augmentations, masking)


def keyed(rows=8, *, seed=7, step=3):
    return {"seed": seed, "step": step, "rows": torch.arange(rows)}


class Shout(Augmentation):
    """Writes down who was before it."""

    class Config(ComponentConfig):
        pass

    def __call__(self, view, draw):
        return replace(view, contig=view.contig * 10 + self.config)


def test_augmentations_are_folded_in_the_order_of_the_recipe():
    window = random_windows(2, 5)
    made = pipeline(*[("shout", Shout(number)) for number in (1, 2, 3)]).view(window, **keyed(2))
    assert made.contig.tolist() == [123, 123]


def test_without_anything_the_view_is_the_window():
    window = random_windows(4, 9)
    assert pipeline().view(window, **keyed(4)) is window
    assert pipeline().name == "first"


@given(st.integers(0, 999), st.lists(st.integers(0, 7), min_size=1, max_size=4))
def test_a_view_is_a_function_of_seed_step_and_row(step, rows):
    window, index = random_windows(8, 30, seed=step), torch.tensor(rows)
    made = pipeline(INSERTION, MUTATION, NOISE, masking=MASK)
    whole = made.view(window, **keyed(step=step))
    some = window.select(index)
    part = made.view(some, seed=7, step=step, rows=index)
    for name in ("tokens", "origin", "masked_index", "masked_weight", "corrupted"):
        assert getattr(part, name).equal(getattr(whole, name)[index])
    noise = made.noise(whole, **keyed(step=step))
    assert made.noise(part, seed=7, step=step, rows=index).equal(noise[index])


def test_views_made_in_blocks_equal_those_made_at_once(monkeypatch):
    window = random_windows(8, 30)
    made = pipeline(INSERTION, TURN, MUTATION, ROLL, NOISE, masking=MASK)
    whole = made.view(window, **keyed())
    monkeypatch.setattr("findna_kit.data.view_pipeline._BLOCK", 100)
    parts = made.view(window, **keyed())
    for column in fields(View):
        assert getattr(parts, column.name).equal(getattr(whole, column.name))


def test_another_seed_step_view_or_position_draws_other_numbers():
    window = random_windows(8, 60, padded=False)
    first = pipeline(INSERTION, masking=MASK)
    made = first.view(window, **keyed())
    others = [
        *[first.view(window, **keyed(**other)) for other in ({"seed": 8}, {"step": 4}, {"step": "validation"})],
        pipeline(INSERTION, masking=MASK, name="second").view(window, **keyed()),
    ]
    for other in others:
        assert not other.origin.equal(made.origin)
        assert not other.masked_index.equal(made.masked_index)
    moved = pipeline(("noise", NOISE[1]), INSERTION).view(window, **keyed())
    assert not moved.origin.equal(made.origin)
    twice = pipeline(MUTATION, MUTATION).view(window, **keyed())
    once = pipeline(MUTATION).view(window, **keyed())
    assert int((twice.tokens != window.tokens).sum()) > int((once.tokens != window.tokens).sum())


def test_the_mask_comes_last_and_its_targets_are_the_views_own_tokens():
    window = random_windows(8, 40)
    made = pipeline(INSERTION, TURN, ROLL, masking=MASK).view(window, **keyed())
    assert_true_to(made, window)
    assert made.masked_targets.equal(made.tokens.gather(1, made.masked_index))
    assert (made.origin.gather(1, made.masked_index)[made.masked_weight > 0] >= 0).all()


def test_the_mask_does_not_move_when_augmentations_are_added():
    window = random_windows(4, 40, unknown=0, padded=False)
    bare = pipeline(masking=MASK).view(window, **keyed(4))
    assert pipeline(TURN, masking=MASK).view(window, **keyed(4)).masked_index.equal(bare.masked_index)


def test_a_plain_view_is_the_window_with_every_masked_base_hidden():
    window = random_windows(8, 40)
    made = pipeline(INSERTION, NOISE, masking=MASK).plain(window, **keyed())
    assert made.tokens.equal(window.tokens)
    assert made.deviation is None
    assert made.masked_weight.sum() > 0
    hidden = made.masked_weight > 0
    assert (made.student_tokens.gather(1, made.masked_index)[hidden] == alphabet.MASK).all()
    assert pipeline(INSERTION).plain(window, **keyed()).student_tokens.equal(window.tokens)


def test_noise_has_the_deviation_that_the_view_states():
    window = random_windows(64, 50, padded=False)
    made = pipeline(NOISE)
    view = made.view(window, **keyed(64))
    noise = made.noise(view, **keyed(64))
    assert noise.shape == (64, 50, 5)
    assert abs(float(noise.std()) - 0.5) < 0.02
    assert abs(float(noise.mean())) < 0.02
    assert made.noise(view, **keyed(64)).equal(noise), "both branches meet the same"
    halved = replace(view, deviation=view.deviation * torch.linspace(0, 1, 64))
    assert made.noise(halved, **keyed(64))[0].abs().max() == 0
    assert made.noise(halved, **keyed(64))[-1].equal(noise[-1])


def test_a_view_that_states_no_noise_has_none():
    made = pipeline(INSERTION)
    assert made.noise(made.view(random_windows(8, 20), **keyed()), **keyed()) is None


def cropping(length, *augmentations, masking=None, name="local"):
    plan = ViewPlan(name, student=True, teacher=False, masked=masking is not None)
    return ViewPipeline(plan, augmentations, masking, crop=length)


@given(st.integers(1, 40), st.integers(0, 99))
def test_a_crop_is_a_contiguous_part_of_its_window(length, seed):
    window = random_windows(16, 40, seed=seed, padded=False)
    made = cropping(length).view(window, **keyed(16, seed=seed))
    first = made.origin[:, :1]
    assert made.origin.equal(first + torch.arange(length))
    assert made.tokens.equal(window.tokens.gather(1, made.origin))
    assert made.soft_masked.equal(window.soft_masked.gather(1, made.origin))
    assert made.start.equal(window.start)


def test_every_place_of_a_crop_is_as_likely_and_each_window_has_its_own():
    window = random_windows(4000, 10, padded=False)
    first = cropping(7).view(window, **keyed(4000)).origin[:, 0]
    counts = torch.bincount(first, minlength=4)
    assert len(counts) == 4
    assert (counts - 1000).abs().max() < 120


@given(st.integers(1, 12), st.integers(0, 99))
def test_a_crop_of_a_padded_window_is_valid_throughout(length, seed):
    window = random_windows(12, 12, seed=seed)
    made = cropping(length).view(window, **keyed(12, seed=seed))
    assert made.lengths.equal(window.lengths.clamp(max=length))
    assert made.valid.equal(torch.arange(length) < made.lengths[:, None]), "padding stands last"


def test_crops_made_alike_differ_and_are_augmented_and_masked():
    window = random_windows(8, 64, padded=False)
    made = [cropping(24, INSERTION, TURN, masking=MASK, name=f"local.{n}").view(window, **keyed(8)) for n in (1, 2)]
    assert not made[0].origin.equal(made[1].origin)
    assert {view.tokens.shape for view in made} == {(8, 24)}
    assert all(view.masked_index.shape == (8, round(0.3 * 24)) for view in made)


@given(st.integers(0, 999), st.floats(0.05, 1), st.floats(0.05, 1), st.sampled_from([1, 3, 16]))
def test_the_length_of_a_share_is_within_its_bounds_and_a_multiple_of_the_stride(step, one, other, stride):
    low, high = sorted((one, other))
    crop = CropShare("local", low, high, stride)
    length, longest = crop.length(64, seed=7, step=step), crop.longest(64)
    assert stride <= length <= longest <= max(round(high * 64), stride)
    assert length % stride == 0
    assert length > low * 64 - 0.5 - stride


def test_every_length_of_a_share_is_as_likely_whatever_the_view():
    first = [CropShare("local", 0.5, 0.8).length(100, seed=7, step=step) for step in range(4000)]
    counts = torch.bincount(torch.tensor(first))
    assert (min(first), max(first)) == (50, 80)
    assert (counts[51:80] - 4000 / 30).abs().max() < 55
    assert first != [CropShare("global", 0.5, 0.8).length(100, seed=7, step=step) for step in range(4000)]
    assert CropShare("local", 0.29, 0.29).longest(100) == 29, "which the float 28.999... stands for"


@given(st.integers(0, 999), st.lists(st.integers(0, 7), min_size=1, max_size=4))
def test_a_step_has_one_length_and_each_window_and_view_its_own_start(step, rows):
    window = random_windows(8, 90, seed=step, padded=False)
    share = CropShare("local", 0.3, 0.6)
    first, second = (cropping(share, TURN, masking=MASK, name=f"local.{n}") for n in (1, 2))
    whole, other = first.view(window, **keyed(step=step)), second.view(window, **keyed(step=step))
    assert whole.tokens.shape == other.tokens.shape == (8, share.length(90, seed=7, step=step))
    assert not whole.origin.equal(other.origin)
    assert len(whole.origin[:, 0].unique()) > 1
    index = torch.tensor(rows)
    part = first.view(window.select(index), seed=7, step=step, rows=index)
    for name in ("tokens", "origin", "masked_index", "masked_weight", "corrupted"):
        assert getattr(part, name).equal(getattr(whole, name)[index])
    longest = first.view(window, **keyed(step=step), longest=True)
    assert longest.tokens.shape == (8, 54)


def test_a_crop_that_does_not_fit_in_a_later_step_is_found_before_the_first():
    side = ("neighbour", Neighbour(Neighbour.Config(side="left", maximum=10)))
    cropping(CropShare("local", 0.1, 0.45), side).check_crop(100)
    with pytest.raises(FindnaError, match="two crops of 46 bases with up to 10 between them do not fit into a window of 100"):
        cropping(CropShare("local", 0.1, 0.46), side).check_crop(100)


def test_validation_uses_the_whole_window():
    window = random_windows(4, 30, padded=False)
    assert cropping(10, masking=MASK).plain(window, **keyed(4)).tokens.equal(window.tokens)


class Second(Augmentation):
    """Puts its view's crop into the second half, and keeps the contigs that it was told of."""

    class Config(ComponentConfig):
        pass

    contigs = ()

    def __call__(self, view, draw):
        return view

    def on_genome(self, contigs):
        self.contigs = tuple(contigs)

    def crop_start(self, window, length, draw):
        half = window.tokens.shape[1] // 2
        return draw.integers(half, window.tokens.shape[1] - length + 1, 1)


def test_an_augmentation_may_decide_the_crop():
    window = random_windows(64, 40, padded=False)
    plan = ViewPlan("second", student=True, teacher=False, masked=False)
    chosen = ViewPipeline(plan, (MUTATION, ("second", Second(Second.Config()))), crop=10).view(window, **keyed(64))
    start = chosen.origin[:, 0]
    assert set(start.tolist()) == set(range(20, 31))
    assert chosen.origin.equal(start[:, None] + torch.arange(10))
    some = ViewPipeline(plan, (MUTATION, ("second", Second(Second.Config()))), crop=10)
    part = some.view(window.select(slice(5, 9)), seed=7, step=3, rows=torch.arange(5, 9))
    assert part.tokens.equal(chosen.tokens[5:9])


def test_components_receive_the_contigs():
    first, second = Second(Second.Config()), Second(Second.Config())
    masking = ("masking", second)
    ViewPipeline(ViewPlan("x", student=True, teacher=False, masked=True), (("a", first),), masking).on_genome(
        [Contig("chr1", 9)]
    )
    assert first.contigs == second.contigs == (Contig("chr1", 9),)
