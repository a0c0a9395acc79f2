"""Inputs for encoders, and properties that every encoder with global mixing must have. The encoders' tests call them."""

import torch
from torch.nn import functional as F

A, C, G, T, N, MASK = range(6)


def rows_of(batch, length, classes=0, *, seed=0, padded=True, dtype=torch.float32):
    """Return bases [B, C + L, 5] with N and MASK, and valid; sequences have any length from 1, the first has full length."""
    numbers = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, (batch, length), generator=numbers)
    tokens[torch.rand(batch, length, generator=numbers) < 0.1] = N
    tokens[torch.rand(batch, length, generator=numbers) < 0.2] = MASK
    lengths = torch.randint(1, length + 1, (batch, 1), generator=numbers) if padded else torch.full((batch, 1), length)
    lengths[0] = length
    valid = torch.arange(length) < lengths
    bases = F.one_hot(tokens.where(valid, torch.tensor(N)), 6)[..., :5].to(dtype)
    return F.pad(bases, (0, 0, classes, 0)), F.pad(valid, (classes, 0), value=True)


def assert_a_padded_row_equals_itself_alone(encoder, bases, valid, *, atol):
    """Assert that a sequence alone equals itself in a padded batch, also in its gradient, and that padding gets no gradient."""
    filled = (bases + torch.randn(bases.shape, dtype=bases.dtype) * ~valid[..., None]).requires_grad_()
    together, _ = encoder(filled, valid)
    (gradient,) = torch.autograd.grad((together * valid[..., None]).sin().sum(), filled)
    assert gradient[~valid].eq(0).all()
    for row, count in enumerate(valid.sum(1).tolist()):
        own = bases[row : row + 1, :count].clone().requires_grad_()
        alone, _ = encoder(own, valid[row : row + 1, :count])
        torch.testing.assert_close(together[row : row + 1, :count], alone, rtol=0, atol=atol)
        (expected,) = torch.autograd.grad(alone.sin().sum(), own)
        torch.testing.assert_close(gradient[row : row + 1, :count], expected, rtol=0, atol=10 * atol)


def assert_padding_of_any_length_changes_nothing(encoder, bases, valid, amounts, *, atol):
    """Assert that the amount of padding has no effect, whatever the size of the FFT or of the scan's tree."""
    alone, _ = encoder(bases, valid)
    for amount in amounts:
        more, _ = encoder(F.pad(bases, (0, 0, 0, amount), value=3.0), F.pad(valid, (0, amount)))
        torch.testing.assert_close(more[:, : valid.shape[1]][valid], alone[valid], rtol=0, atol=atol)


def assert_a_gradient_reaches_every_parameter(encoder, bases, valid):
    encoder.zero_grad()
    encoder(bases, valid)[0][valid].sin().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def assert_bf16_is_near_fp32(encoder, bases, valid, *, atol):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half, _ = encoder(bases, valid)
    assert not half.equal(encoder(bases, valid)[0]), "nothing was done in bf16"
    torch.testing.assert_close(half[valid].float(), encoder(bases, valid)[0][valid], rtol=0, atol=atol)
    half[valid].float().sin().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())


def seen_by(encoder, bases, valid, row):
    """Return the input rows that influence the embedding of a row."""
    bases = bases.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(encoder(bases, valid)[0][:, row].sin().sum(), bases)
    return (gradient[0].abs().sum(-1) > 0).nonzero().flatten().tolist()
