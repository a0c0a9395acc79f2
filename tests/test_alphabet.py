"""The alphabet: letters to tokens, and the other strand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from findna_kit import alphabet

letters = st.text("ACGTN", max_size=200)
tokens = st.lists(st.integers(0, 5), min_size=1, max_size=60).map(torch.tensor)


def test_the_tokens_are_those_of_the_design():
    assert (alphabet.A, alphabet.C, alphabet.G, alphabet.T, alphabet.N, alphabet.MASK) == (0, 1, 2, 3, 4, 5)
    assert alphabet.encode("ACGTN").tolist() == [0, 1, 2, 3, 4]
    assert alphabet.CHANNELS == 5


@given(letters)
def test_encoded_and_decoded_is_the_same(sequence):
    coded = alphabet.encode(sequence)
    assert coded.dtype == np.uint8
    assert alphabet.decode(coded) == sequence
    assert alphabet.decode(alphabet.encode(sequence.lower())) == sequence


@given(letters)
def test_bytes_and_text_are_read_alike(sequence):
    assert np.array_equal(alphabet.encode(sequence.encode()), alphabet.encode(sequence))


@given(st.text(max_size=60))
def test_any_text_gives_one_token_a_letter(sequence):
    coded = alphabet.encode(sequence)
    assert len(coded) == len(sequence)
    known = {letter: token for token, names in enumerate(("Aa", "Cc", "Gg", "TtUu")) for letter in names}
    assert coded.tolist() == [known.get(letter, alphabet.N) for letter in sequence]


@pytest.mark.parametrize("letter", "RYSWKMBDHVX-*. 0")
def test_letters_that_are_no_base_are_n_and_not_mask(letter):
    assert alphabet.encode(letter + letter.lower()).tolist() == [alphabet.N, alphabet.N]
    assert not alphabet.is_known_letter(letter).any()


def test_uracil_is_read_as_thymine_and_counted_as_another_letter():
    assert alphabet.encode("UuT").tolist() == [3, 3, 3]
    assert alphabet.is_known_letter("UuTtNn").tolist() == [False, False, True, True, True, True]


def test_lower_case_is_soft_masked():
    assert alphabet.is_soft_masked("AaNnZz[`{é").tolist() == [False, True, False, True, False, True, *[False] * 4]


def test_mask_has_no_letter():
    with pytest.raises(IndexError):
        alphabet.decode(np.array([0, alphabet.MASK], dtype=np.uint8))


@given(tokens)
def test_complement_is_its_own_inverse_and_leaves_n_and_mask(sequence):
    other = alphabet.complement(sequence)
    assert alphabet.complement(other).equal(sequence)
    assert other.dtype == sequence.dtype
    assert other.tolist() == [[3, 2, 1, 0, 4, 5][token] for token in sequence.tolist()]


@given(letters)
def test_reverse_complement_is_that_of_biology(sequence):
    pairs = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}
    turned = alphabet.complement(torch.from_numpy(alphabet.encode(sequence)).long()).flip(0)
    assert alphabet.decode(turned.numpy().astype(np.uint8)) == "".join(pairs[letter] for letter in reversed(sequence))


@given(st.text("ACGTN", max_size=30))
def test_letters_and_tokens_have_the_same_reverse_complement(letters):
    turned = alphabet.complement(torch.from_numpy(alphabet.encode(letters)[::-1].astype(np.int64)))
    assert alphabet.reverse_complement(letters) == alphabet.decode(turned.numpy().astype(np.uint8))
    assert alphabet.reverse_complement(alphabet.reverse_complement(letters)) == letters
