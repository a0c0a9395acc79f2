"""Input sequences for tests of encoders: random bases, some N and some masked, padded to the longest."""

import torch

CHANNELS = 5


def batch(*lengths, classes=0, seed=0, dtype=torch.float32):
    """Return bases [B, classes + longest, 5] and valid: class rows first, one-hot bases, and noise in the padding."""
    numbers = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    tokens = torch.randint(4, (len(lengths), longest), generator=numbers)
    chance = torch.rand(len(lengths), longest, generator=numbers)
    tokens[chance < 0.05] = 4
    bases = torch.nn.functional.one_hot(tokens, CHANNELS).to(dtype)
    bases[chance > 0.9] = 0
    valid = torch.arange(longest) < torch.tensor(lengths)[:, None]
    junk = torch.randn(bases.shape, generator=numbers).to(dtype)
    bases = torch.where(valid[..., None], bases, junk)
    bases = torch.cat([torch.zeros(len(lengths), classes, CHANNELS, dtype=dtype), bases], dim=1)
    return bases, torch.cat([torch.ones(len(lengths), classes, dtype=torch.bool), valid], dim=1)


def built(kind, *, length=32, class_tokens=0, seed=0, **parameters):
    """Return an encoder of the class `kind`, in evaluation mode."""
    torch.manual_seed(seed)
    return kind(kind.Config(**parameters), length=length + class_tokens, class_tokens=class_tokens).eval()


def reach(encoder, length, at):
    """Return the first and the last of `length` bases on which the embedding `at` depends, by its gradient."""
    bases, valid = batch(length, seed=1, dtype=torch.float64)
    bases.requires_grad_()
    encoder.double()(bases, valid)[0][0, at].sin().sum().backward()
    seen = bases.grad[0].abs().sum(-1).nonzero().flatten()
    return int(seen.min()), int(seen.max())
