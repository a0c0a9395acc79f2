"""The numbers: by hand, turned with the alleles, and the same on the other strand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from findna_kit import alphabet
from findna_kit.components.views import View
from findna_kit.inference.frozen_model import FrozenModel
from findna_kit.inference.variants.alleles import Allele
from findna_kit.inference.variants.scores import variant_window
from tests.variants import GENOME, ONE, at, numbers, other, row, turned


def test_exchanging_the_alleles_turns_the_ratio_and_keeps_the_distance(score):
    """The genome with every alternative in it, asked for the way back."""
    places = [1, 2, 31, 32, 33, 120, 149, 204, 299, 300]
    there = score([row("one", place, at(place), other(at(place))) for place in places])
    for line, place in zip(there, places, strict=True):
        changed = {**GENOME, "one": ONE[: place - 1] + other(at(place)) + ONE[place:]}
        (back,) = score([row("one", place, other(at(place)), at(place))], genome=changed)
        # A batch of its own rounds otherwise; the next test has equal batches.
        np.testing.assert_allclose(float(back["llr"]), -float(line["llr"]), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(numbers([back], "cosine", "euclidean"), numbers([line], "cosine", "euclidean"), rtol=1e-2)


def test_the_ratio_turns_to_the_last_digit(score):
    for place in (1, 120, 300):
        (there,) = score([row("one", place, at(place), other(at(place)))])
        changed = {**GENOME, "one": ONE[: place - 1] + other(at(place)) + ONE[place:]}
        (back,) = score([row("one", place, other(at(place)), at(place))], genome=changed)
        assert float(there["llr"]) == -float(back["llr"]) != 0


def test_the_ratios_of_one_base_are_those_of_its_probabilities(score, model):
    rows = score([row("one", 90, at(90), ",".join(other(at(90), by) for by in (1, 2, 3)))])
    values = [1.0, *np.exp(numbers(rows, "llr")[:, 0])]
    model_share = values / np.sum(values)
    middle = window_of("one", 90)
    forward, backward = by_hand_logs(model, *middle), by_hand_logs(model, turned(middle[0]), middle[1])[::-1]
    both = np.exp((forward + backward) / 2)
    order = ["ACGT".index(base) for base in (at(90), *(other(at(90), by) for by in (1, 2, 3)))]
    np.testing.assert_allclose(model_share, (both / both.sum())[order], rtol=1e-4)


def window_of(contig, position):
    """The run's length is 64: 31 bases on each side of one in the middle."""
    return GENOME[contig][position - 32 : position + 31].upper(), 31


def by_hand_logs(model, text, offset):
    view = View.of_windows(torch.from_numpy(alphabet.encode(text)[None].astype(np.int64)))
    shown = view.with_mask(torch.tensor([[offset]]), torch.ones(1, 1), torch.tensor([[alphabet.MASK]]))
    with torch.inference_mode():
        output = model.network(shown, shown.student_tokens, None, wants={"masked"})
        return model.network.heads["masked"]["classifier"](output.embeddings[0, offset]).log_softmax(-1).double().numpy()


@pytest.mark.parametrize("strand", ["both", "forward"])
def test_scores_are_those_computed_by_hand(score, model, strand):
    (found,) = score([row("one", 90, at(90), other(at(90)))], strand=strand)
    reference, offset = window_of("one", 90)
    alternative = reference[:offset] + other(at(90)) + reference[offset + 1 :]
    ways = [lambda text: text, turned] if strand == "both" else [lambda text: text]
    ratios, cosines, lengths = [], [], []
    for way in ways:
        logs = by_hand_logs(model, way(reference), offset)
        alleles = [way(base) for base in (at(90), other(at(90)))]
        ratios.append(logs["ACGT".index(alleles[1])] - logs["ACGT".index(alleles[0])])
        one, two = (model.embed([way(text)])[0].astype(np.float64) for text in (reference, alternative))
        cosines.append(1 - one @ two / np.sqrt((one @ one) * (two @ two)))
        lengths.append(np.sqrt(((one - two) ** 2).sum()))
    wanted = [np.mean(ratios), np.mean(cosines), np.mean(lengths)]
    np.testing.assert_allclose(numbers([found])[0], wanted, rtol=1e-3, atol=1e-9)


def test_an_indels_windows_differ_in_it_alone(score, model):
    (found,) = score([row("one", 90, at(90, 4), at(90))])
    reference, alternative = ONE[60:123], ONE[60:90] + ONE[93:123]
    assert len(reference) == 63
    one, two = model.embed([reference, alternative])
    back_one, back_two = model.embed([turned(reference), turned(alternative)])
    wanted = (np.linalg.norm(one - two) + np.linalg.norm(back_one - back_two)) / 2
    np.testing.assert_allclose(float(found["euclidean"]), wanted, rtol=1e-4)


def test_the_other_strand_of_the_genome_gives_the_same_scores(score):
    snvs = [(place, at(place), other(at(place))) for place in (1, 5, 31, 90, 149, 270, 296, 300)]
    indels = [(90, at(90, 4), at(90)), (2, at(2), at(2) + "GATTACA"), (297, at(297, 3), at(297))]
    there = score([row("one", *one) for one in snvs + indels])
    back = []
    for place, reference, alternative in snvs:
        back.append(row("one", 301 - place, turned(reference), turned(alternative)))
    for place, reference, alternative in indels:
        # The base before an indel is another one on the other strand.
        end, after = place + len(reference), at(place + len(reference))
        back.append(row("one", 301 - end, turned(reference[1:] + after), turned(alternative[1:] + after)))
    here = score(back, genome={**GENOME, "one": turned(ONE)})
    assert [line["status"] for line in here] == [line["status"] for line in there]
    np.testing.assert_allclose(numbers(here, "cosine", "euclidean"), numbers(there, "cosine", "euclidean"), rtol=1e-3)
    np.testing.assert_allclose(numbers(here[:8], "llr"), numbers(there[:8], "llr"), rtol=1e-4, atol=1e-6)


def test_a_window_is_asked_once_for_all_its_alleles(score, monkeypatch):
    asked = {"embed": [], "base_log_probabilities": []}
    for name, calls in asked.items():
        original = getattr(FrozenModel, name)

        def counted(self, sequences, *args, original=original, calls=calls, **kwargs):
            calls.append(len(sequences))
            return original(self, sequences, *args, **kwargs)

        monkeypatch.setattr(FrozenModel, name, counted)
    all_three = ",".join(other(at(90), by) for by in (1, 2, 3))
    rows = [
        row("one", 90, at(90), all_three),
        row("one", 90, at(90), other(at(90))),
        row("one", 89, at(89, 2), at(89) + other(at(90))),
    ]
    found = score(rows)
    assert asked == {"embed": [4, 4], "base_log_probabilities": [1, 1]}
    assert found[0]["llr"] == found[3]["llr"] == found[4]["llr"]


@given(data=st.data(), length=st.integers(3, 400))
def test_a_window_lies_in_its_contig_and_is_that_of_the_other_strand(store, data, length):
    size = data.draw(st.integers(0, min(50, length // 2)))
    start = data.draw(st.integers(0, 300 - size))
    alternative = data.draw(st.text("ACGT", min_size=0 if size else 1, max_size=max(1, min(50, length // 2))))
    there = variant_window(store, Allele("scored", 0, start, ONE[start : start + size].upper(), alternative), length)
    behind = 300 - start - size
    mirrored = Allele("scored", 1, behind, turned(ONE[start : start + size]).upper(), turned(alternative))
    back = variant_window(store, mirrored, length)
    assert (back.reference, back.alternative) == (turned(there.reference), turned(there.alternative))
    side = (length - max(size, len(alternative))) // 2
    assert len(there.reference) == min(300, 2 * side + size)
    assert max(len(there.reference), len(there.alternative)) <= max(length, 1)
    assert there.reference in ONE.upper()
    assert there.alternative == there.reference[: there.offset] + alternative + there.reference[there.offset + size :]
    middle = side <= start and side <= behind
    assert not middle or there.offset == side
