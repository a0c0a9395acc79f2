"""A Transformer over patches of bases, as GenoJEPA (Wang et al. 2026) and, for images, ViT (Dosovitskiy et al. 2021) have it.

A patch of p bases becomes one token, so that a step costs about 1/p of a Transformer over bases. GenoJEPA embeds each base and
convolves with kernel = stride = p. Both are linear, so one matrix applied to the p one-hot bases of a patch computes the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit import alphabet
from findna_kit.builtin.encoders.attention import (
    AttentionBlock,
    AttentionConfig,
    attention_weights,
    is_unpadded,
    run_blocks,
)
from findna_kit.components import Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence


class PatchTransformer(Encoder):
    """Transformer over patches of `patch` bases, one embedding per patch, with learned class tokens (Wang 2026, GenoJEPA).

    Embeddings depend on where the patches begin; a smaller `patch`, or a `kernel` wider than it, lessens that. `patch: 1` is a
    plain Transformer. If the patches do not divide a sequence, what its last patch lacks counts as zeros. Sequences may not be
    longer than the training windows.
    """

    class Config(AttentionConfig):
        """Sizes of the network."""

        dim: int = Field(192, gt=0, description="channels")
        hidden: int = Field(384, gt=0, description="width of the feed-forward layers")
        heads: int = Field(6, gt=0, description="attention heads; dim must be an even multiple of them")
        patch: int = Field(16, gt=0, le=1024, description="bases per embedding (the stride)")
        kernel: int | None = Field(
            None, gt=0, le=4096,
            description="bases that an embedding reads, at least `patch`: half of the surplus on each side, an odd one more on "
            "the right; null: `patch`, so that patches do not overlap",
        )  # fmt: skip

        @model_validator(mode="after")
        def _covering(self) -> Self:
            """Require that no base lies between two kernels."""
            if self.kernel is not None and self.kernel < self.patch:
                raise ValueError(f"kernel {self.kernel} is smaller than patch {self.patch}: bases would not be read")
            return self

    examples = (
        {"dim": 16, "hidden": 32, "blocks": 2, "heads": 2, "patch": 8, "dropout": 0.1},
        {"dim": 8, "hidden": 8, "blocks": 1, "heads": 2, "patch": 3, "kernel": 8},
    )

    def __init__(self, config: Config, *, length: int, class_tokens: int) -> None:
        super().__init__(config, length=length, class_tokens=class_tokens)
        self.dim, self.depth, self.max_length = config.dim, config.blocks, length - class_tokens
        self.stride, self.kernel = config.patch, config.kernel or config.patch
        self.embed = nn.Linear(alphabet.CHANNELS * self.kernel, config.dim)
        # Class tokens arrive as zeros; these vectors replace them, with the initial scale of BERT.
        self.class_vectors = nn.Parameter(0.02 * torch.randn(class_tokens, config.dim))
        self.blocks = nn.ModuleList(AttentionBlock(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """Return embeddings [B, C + ceil(L / patch), dim] and the hidden states after the blocks in `layers`."""
        x, hidden = run_blocks(self.blocks, *self._rows(bases, valid), layers)
        return self.norm(x), hidden

    def attention(self, bases: Tensor, valid: Tensor, *, layer: int) -> Tensor:
        """Return the attention weights [B, heads, R, R] of a block, R = C + ceil(L / patch)."""
        return attention_weights(self.blocks, *self._rows(bases, valid), layer)

    def _rows(self, bases: Tensor, valid: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the input of the first block, [B, C + ceil(L / patch), dim], and its mask; None if there is no padding."""
        classes = len(self.class_vectors)
        bases, real = bases[:, classes:], valid[:, classes:]
        patch_valid = None
        if not is_unpadded(real):
            # A patch that ends in padding must not read it: padding is encoded as N, or as anything.
            bases = bases.masked_fill(~real[..., None], 0)
            # Padding is last, so a patch holds a base if its first position does.
            patch_valid = torch.cat([valid[:, :classes], real[:, :: self.stride]], dim=1)
        patches = self.embed(self._patches(bases))
        vectors = self.class_vectors.to(patches.dtype).expand(patches.shape[0], -1, -1)
        return torch.cat([vectors, patches], dim=1), patch_valid

    def _patches(self, bases: Tensor) -> Tensor:
        """Return the bases that each patch reads, [B, L, 5] to [B, ceil(L / patch), kernel * 5], with zeros beyond the ends."""
        length = bases.shape[1]
        # Not `-(-length // patch)`: in an ONNX graph the division of a negative number is rounded up.
        count = (length + self.stride - 1) // self.stride
        before = (self.kernel - self.stride) // 2
        after = (count - 1) * self.stride + self.kernel - before - length
        # One row of numbers per sequence: patches are then views of it, and not copied unless they overlap.
        flat = F.pad(bases, (0, 0, before, after)).flatten(1)
        return flat.unfold(1, self.kernel * alphabet.CHANNELS, self.stride * alphabet.CHANNELS)
