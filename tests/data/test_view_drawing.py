"""Drawings of views: every base of a view is drawn once, under the base that it comes from, and every line fits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from findna_kit.builtin.augmentations.deletion import Deletion
from findna_kit.builtin.augmentations.insertion import Insertion
from findna_kit.builtin.augmentations.inversion import Inversion
from findna_kit.builtin.augmentations.mutation import Mutation
from findna_kit.builtin.augmentations.noise import Noise
from findna_kit.builtin.augmentations.reverse_complement import ReverseComplement
from findna_kit.builtin.augmentations.translocation import Translocation
from findna_kit.builtin.maskings.independent import IndependentMasking
from findna_kit.components import View, ViewPlan
from findna_kit.data.crops import CropShare
from findna_kit.data.view_drawing import DrawnView, draw_views
from findna_kit.data.view_layout import ViewBases, places
from findna_kit.data.view_pipeline import ViewPipeline
from tests.windows import random_windows, view_of

AUGMENTATIONS = {
    "deletion": Deletion(Deletion.Config(maximum=9)), "insertion": Insertion(Insertion.Config(maximum=9)),
    "inversion": Inversion(Inversion.Config(maximum=15)), "mutation": Mutation(Mutation.Config(fraction=0.2)),
    "reverse_complement": ReverseComplement(ReverseComplement.Config(probability=0.5)),
    "translocation": Translocation(Translocation.Config(maximum=15)), "noise": Noise(Noise.Config(deviation=0.2)),
}  # fmt: skip
MASK = ("independent", IndependentMasking(IndependentMasking.Config(mask_share=0.5, random_share=0.3)))


def drawn(window, *pipelines, step=0, width=80, blocks=None):
    """The lines of the drawing as text, and the views that it shows."""
    shown = []
    for one in pipelines:
        key = {"seed": 7, "step": step, "rows": torch.arange(1)}
        part, view = one.cropped(window, **key), one.view(window, **key)
        first = int(part.origin[0, 0])
        shown.append(DrawnView(one.name, ("student",), view, (first, first + int(part.lengths[0]))))
    lines = draw_views("title", window, shown, width=width, blocks=blocks)
    return ["".join(text for text, _ in line) for line in lines], [one.view for one in shown]


def pipeline(name, *augmentations, crop=None, mask=None):
    plan = ViewPlan(name, student=True, teacher=False, masked=mask is not None)
    return ViewPipeline(plan, tuple((one, AUGMENTATIONS[one]) for one in augmentations), mask, crop)


def blocks_of(lines, label=10):
    """Of each block: the window's line, and by view the lines with its bases and with the marks below, all as long."""
    found, current = [], None
    for line in lines:
        name, body = line[:label].strip(), line[label:].ljust(200)
        if name == "window" and not line.startswith("window:"):
            current = {"window": [(body, "")]}
            found.append(current)
        elif current is not None and line.startswith("v") and name.split()[0] in ("v1", "v2", "v3"):
            current.setdefault(name.split()[0], []).append((body, " " * 200))
            last = current[name.split()[0]]
        elif current is not None and not name and body.strip() and set(body) <= set("*+<rk "):
            last[-1] = (last[-1][0], body)
    return found


def bases_of(lines, name):
    """What is drawn of a view, from left to right: (position in the window or None, letter, mark)."""
    rows, position = {}, -1
    for block in blocks_of(lines):
        for at, letter in enumerate(block["window"][0][0].rstrip()):
            position += letter != "."
            for number, (bases, marks) in enumerate(block.get(name, [])):
                if bases[at] not in " .-":
                    rows.setdefault(number, []).append((None if letter == "." else position, bases[at], marks[at]))
    return [one for number in sorted(rows) for one in rows[number]]


augmentations = st.lists(st.sampled_from(sorted(AUGMENTATIONS)), max_size=4)
crops = st.sampled_from([None, 50, CropShare("v", 0.3, 0.9)])


@settings(deadline=None)
@given(augmentations, augmentations, crops, st.integers(0, 999), st.integers(40, 100))
def test_every_base_is_drawn_once_and_where_it_comes_from(first, second, crop, step, width):
    window = random_windows(1, 90, seed=step, padded=False)
    made = [pipeline("v1", *first, crop=crop), pipeline("v2", *second, mask=MASK)]
    lines, views = drawn(window, *made, step=step, width=width)
    assert max(map(len, lines)) <= width
    for name, view in zip(("v1", "v2"), views, strict=True):
        tokens, origin, strand = view.student_tokens[0].tolist(), view.origin[0].tolist(), view.strand[0].tolist()
        letters = ["ACGTN#"[token] for token in tokens]
        soft = view.soft_masked[0].tolist()
        letters = [letter.lower() if low else letter for letter, low in zip(letters, soft, strict=True)]
        wanted = [(None if place < 0 else place, letter) for place, letter in zip(origin, letters, strict=True)]
        found = bases_of(lines, name)
        assert sorted((str(place), letter) for place, letter, _ in found) == sorted((str(p), x) for p, x in wanted)
        weights = dict(zip(view.masked_index[0].tolist(), view.masked_weight[0].tolist(), strict=True))
        by_place = {place: mark for place, _, mark in found if place is not None}
        for at, place in enumerate(origin):
            if place >= 0 and not weights.get(at):
                there = int(window.tokens[0, place])
                expected = there if strand[at] > 0 or there > 3 else 3 - there
                assert by_place[place] == ("*" if tokens[at] != expected else "<" if strand[at] < 0 else " ")
            elif place >= 0 and tokens[at] != 5:
                assert by_place[place] == ("k" if tokens[at] == int(view.tokens[0, at]) else "r")
        assert sum(mark == "+" for _, _, mark in found) == sum(place < 0 for place in origin)


def test_inserted_bases_stand_beside_the_base_before_them_in_the_direction_of_its_strand():
    bases = ViewBases([0] * 7, [0] * 7, [-1, 5, 4, -1, -1, 8, -1], [0, -1, -1, 0, 0, 1, 0], [False] * 7, {})
    at = [(place.slot, place.number) for place in places(bases)]
    assert at == [(6, 0), (5, None), (4, None), (4, 1), (4, 0), (8, None), (9, 0)]


def test_a_known_view():
    window = view_of("ACGTACGTACGTACGTACGT")
    keep = torch.tensor([[2, 3, 4, -1, -1, 9, 10, 13, 12, 11]])
    inserted = torch.full((1, 10), 3)
    flipped = torch.tensor([[False] * 7 + [True] * 3])
    view = View.of_windows(window.tokens).gather(keep.clamp(min=0)).gather(
        torch.arange(10)[None].where(keep >= 0, -1), inserted=inserted, flipped=flipped
    )  # fmt: skip
    view = view.with_mask(torch.tensor([[0, 1]]), torch.ones(1, 2), torch.tensor([[5, 0]]))
    lines = draw_views("title", window, [DrawnView("v1", ("student", "teacher"), view, (2, 16))], width=60)
    text = ["".join(part for part, _ in line) for line in lines]
    assert text == [
        "title",
        "",
        "v1 (seen by student and teacher): crop of 14 bases at 2;",
        "  bases 2 to 4, then 2 inserted, then bases 9 to 10, then",
        "  bases 13 to 11 of the other strand; 2 masked: 1 by MASK, 1",
        "  by a random base, 0 unchanged.",
        "",
        "          0           10",
        "window    ACGTA..CGTACGTACGTACGT",
        "v1     <>   #AATT----CGATG--",
        "             r ++      <<<",
        "",
        "# MASK; r masked, a random base is shown; + inserted;",
        "  < other strand, read from right to left; - not in the",
        "  view; . no base: another view has inserted bases here",
    ]


def test_a_base_that_appears_twice_gets_a_row_of_its_own():
    window = view_of("ACGTACGT")
    view = View.of_windows(window.tokens).gather(torch.tensor([[0, 1, 2, 3, 2, 3, 4, 5]]))
    text, _ = [], None
    for line in draw_views("title", window, [DrawnView("v1", ("student",), view, (0, 8))], width=60):
        text.append("".join(part for part, _ in line))
    assert [line for line in text if line.startswith("v1  ")] == ["v1     >  ACGTAC--", "v1     >    GT"]


def test_crops_are_drawn_where_they_are_and_left_out_of_blocks_without_them():
    lines, (left, right) = drawn(
        random_windows(1, 90, padded=False), pipeline("v1", crop=20), pipeline("v2", crop=20), step=3, width=40
    )
    blocks = blocks_of(lines)
    assert len(blocks) == 3
    for name, view in (("v1", left), ("v2", right)):
        held = {int(place) // 30 for place in view.origin[0]}
        assert {number for number, block in enumerate(blocks) if name in block} == held


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_long_window_is_cut_and_the_drawing_says_so(blocks):
    lines, _ = drawn(random_windows(1, 90, padded=False), pipeline("v1"), width=40, blocks=blocks)
    assert len(blocks_of(lines)) == blocks
    said = f"The first {blocks} of 3 blocks of lines are shown." in " ".join(" ".join(lines).split())
    assert said == (blocks < 3)
