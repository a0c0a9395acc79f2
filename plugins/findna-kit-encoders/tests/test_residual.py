"""The building blocks that encoders share: kernel sizes, class vectors, masked convolution and the block loop."""

import pytest
import torch
from findna_kit_encoders.residual import (
    OddKernel,
    PowerOfTwo,
    add_class_vectors,
    convolve_valid,
    initial_class_vectors,
    run_blocks,
)
from pydantic import TypeAdapter, ValidationError
from torch import nn


class Adds(nn.Module):
    """Adds the context and a number of its own."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, x, context):
        return x + context + self.number


def test_blocks_run_in_order_and_only_requested_outputs_are_returned():
    last, hidden = run_blocks([Adds(1), Adds(2), Adds(4)], torch.zeros(2), 10, (2, 0))
    assert last.tolist() == [37, 37]
    assert {layer: state.tolist() for layer, state in hidden.items()} == {0: [11, 11], 2: [37, 37]}
    assert run_blocks([], torch.ones(1), None, ())[1] == {}


def test_class_vectors_are_added_to_the_first_rows_in_the_type_of_the_embeddings():
    x, vectors = torch.ones(2, 5, 3, dtype=torch.bfloat16), torch.full((2, 3), 2.0)
    added = add_class_vectors(x, vectors)
    assert added.dtype == torch.bfloat16
    assert added[:, :2].eq(3).all() and added[:, 2:].eq(1).all()
    assert add_class_vectors(x, torch.zeros(0, 3)).equal(x)


def test_initial_class_vectors_are_small_and_learned():
    torch.manual_seed(0)
    vectors = initial_class_vectors(100, 64)
    assert isinstance(vectors, nn.Parameter)
    assert float(vectors.detach().std()) == pytest.approx(0.02, rel=0.05)


def test_a_convolution_reads_padding_as_zeros():
    torch.manual_seed(0)
    conv = nn.Conv1d(3, 4, 5, padding="same")
    x = torch.randn(1, 8, 3)
    padding = (torch.arange(8) >= 6)[None, :, None]
    alone = convolve_valid(conv, x[:, :6], padding[:, :6])
    torch.testing.assert_close(convolve_valid(conv, x, padding)[..., :6], alone)
    assert alone.shape == (1, 4, 6), "channels first"


def test_kernels_are_odd_and_dilations_powers_of_two():
    assert [TypeAdapter(OddKernel).validate_python(size) for size in (1, 3, 9)] == [1, 3, 9]
    assert [TypeAdapter(PowerOfTwo).validate_python(size) for size in (1, 2, 32)] == [1, 2, 32]
    with pytest.raises(ValidationError, match="must be odd"):
        TypeAdapter(OddKernel).validate_python(4)
    with pytest.raises(ValidationError, match="must be a power of 2"):
        TypeAdapter(PowerOfTwo).validate_python(6)
