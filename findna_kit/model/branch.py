"""A branch, student or teacher: an encoder with class embeddings and heads; and the one-hot encoding of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from einops import einsum
from torch import Tensor, nn
from torch.nn import functional as F

from findna_kit import alphabet, rng
from findna_kit.components.heads import BatchNorm as BatchNorm
from findna_kit.components.interfaces import BranchOutput, Encoder, Reads
from findna_kit.components.strands import average_halves, embedding_width
from findna_kit.model.patches import masked_patches

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from findna_kit.components.views import View

Pooling = Literal["mean", "mean_std", "class"]
"""Ways to pool the embeddings of a sequence into one; `Branch.embed` defines them."""
_MINIMUM_VARIANCE = 1e-12


def encode_bases(tokens: Tensor, noise: Tensor | None = None) -> Tensor:
    """Return one-hot bases [B, L, 5] over A C G T N, with zeros for MASK. `noise` [B, L, 5] is added except at MASK."""
    # A table lookup: F.one_hot first makes int64 of every channel, and takes ten times as long.
    # The identity has one row more than columns: row MASK = 5 is zero.
    bases = F.embedding(tokens, torch.eye(alphabet.CHANNELS + 1, alphabet.CHANNELS, device=tokens.device))
    if noise is None:
        return bases
    noisy = torch.ones(alphabet.CHANNELS + 1, alphabet.CHANNELS, device=tokens.device)
    noisy[alphabet.MASK] = 0
    for part in rng.batch_slices(len(tokens), tokens.shape[1] * alphabet.CHANNELS, tokens.device):
        # The factor has all five channels: broadcasting one would take twice as long.
        bases[part].addcmul_(noise[part], F.embedding(tokens[part], noisy))
    return bases


class ClassPool(nn.Module):
    """Class embeddings for an encoder that does not mix globally: C learned queries attend to the valid nucleotides."""

    def __init__(self, dim: int, class_tokens: int) -> None:
        super().__init__()
        # Small queries: attention starts almost uniform over the positions.
        self.queries = nn.Parameter(torch.randn(class_tokens, dim) * dim**-0.5)

    def forward(self, embeddings: Tensor, valid: Tensor) -> Tensor:
        """Return the class embeddings [B, C, D] of nucleotide embeddings [B, L, D] with mask `valid` [B, L]."""
        # Divided by the root of the width, as in dot-product attention: products of wider embeddings would sharpen the softmax.
        scores = einsum(self.queries.to(embeddings.dtype), embeddings, "c d, b l d -> b c l") * embeddings.shape[-1] ** -0.5
        # The softmax is computed in fp32: in bf16 the weights of long sequences would not add up to 1.
        share = scores.float().masked_fill(~valid[:, None], -torch.inf).softmax(-1)
        classes: Tensor = einsum(share.to(embeddings.dtype), embeddings, "b c l, b l d -> b c d")
        return classes


@dataclass(frozen=True)
class Encoding:
    """The output of the encoder for one batch, with class tokens and nucleotides apart.

    rows [B, L', dim]: the nucleotides' embeddings as the encoder returns them, L' = ceil(L / stride) · classes [B, C, D]: the
    class tokens; C = 0 for an encoder that gets none · nucleotides [B, L', D]: like `rows`, but for an equivariant encoder the
    mean of both halves, so that D is half of its `dim` · valid [B, L'] · hidden: the requested layers, with class tokens.
    """

    rows: Tensor
    classes: Tensor
    nucleotides: Tensor
    valid: Tensor
    hidden: Mapping[int, Tensor]

    def of_layer(self, layer: int | None) -> Tensor:
        """Return the nucleotides' embeddings [B, L', D]: those of a requested hidden layer, or with None of the output."""
        if layer is None:
            return self.nucleotides
        states = self.hidden[layer]
        # Hidden states may begin with class tokens; the nucleotides are the last rows.
        return states[:, states.shape[1] - self.valid.shape[1] :]


class Branch(nn.Module):
    """Student or teacher: an encoder, and the twin heads of every loss by the loss's label."""

    def __init__(self, encoder: Encoder, class_tokens: int, heads: Mapping[str, Mapping[str, nn.Module]]) -> None:
        super().__init__()
        self.class_tokens = class_tokens
        self.encoder = encoder
        self.class_pool = (
            None if encoder.global_mixing or class_tokens == 0 else ClassPool(embedding_width(encoder), class_tokens)
        )
        self.heads = nn.ModuleDict({label: nn.ModuleDict(dict(chain)) for label, chain in heads.items()})

    @property
    def width(self) -> int:
        """Return the width D of pooled and class embeddings and of hidden states, as losses see them."""
        return embedding_width(self.encoder)

    def encode(self, bases: Tensor, valid: Tensor, *, layers: Sequence[int] = ()) -> Encoding:
        """Run the encoder on one-hot bases [B, L, 5] and their mask `valid` [B, L], and split off the class tokens."""
        rows = self.class_tokens if self.encoder.global_mixing else 0
        # Class tokens enter as zeros, but count as valid: an encoder that mixes globally fills them from the nucleotides.
        embeddings, hidden = self.encoder(F.pad(bases, (0, 0, rows, 0)), F.pad(valid, (rows, 0), value=True), layers=layers)
        equivariant = self.encoder.strand == "equivariant"
        joined = average_halves(embeddings) if equivariant else embeddings
        return Encoding(
            rows=embeddings[:, rows:],
            classes=joined[:, :rows],
            nucleotides=joined[:, rows:],
            # Of `stride` positions the first decides. Padding is last, so every embedding that has read a base is valid.
            valid=valid[:, :: self.encoder.stride],
            hidden={layer: average_halves(states) for layer, states in hidden.items()} if equivariant else hidden,
        )

    def attention(self, bases: Tensor, valid: Tensor, layer: int) -> Tensor | None:
        """Return the attention weights [B, heads, R, R] of a layer, class tokens first; None if the encoder has none."""
        # An encoder that mixes locally gets no class tokens.
        rows = self.class_tokens if self.encoder.global_mixing else 0
        return self.encoder.attention(F.pad(bases, (0, 0, rows, 0)), F.pad(valid, (rows, 0), value=True), layer=layer)

    def class_embeddings(self, encoding: Encoding) -> Tensor:
        """Return the class embeddings [B, C, D]: the class tokens' own, or attention pooling if the encoder mixes locally."""
        if self.class_pool is None:
            return encoding.classes
        pooled: Tensor = self.class_pool(encoding.nucleotides, encoding.valid)
        return pooled

    def forward(
        self, view: View, tokens: Tensor, noise: Tensor | None, *, wants: Collection[Reads], layers: Sequence[int] = ()
    ) -> BranchOutput:
        """Return the outputs named in `wants` for `tokens` [B, L]: clean tokens of `view`, or those of the student."""
        encoding = self.encode(encode_bases(tokens, noise), view.valid, layers=layers)
        stride, equivariant = self.encoder.stride, self.encoder.strand == "equivariant"
        patched = "masked" in wants and stride > 1
        return BranchOutput(
            view=view,
            # Both halves of an equivariant encoder: a tied head has to tell the strands apart, which their mean does not.
            embeddings=encoding.rows if {"masked", "all"} & set(wants) else None,
            class_embeddings=self.class_embeddings(encoding) if "class" in wants else None,
            pooled=pool(encoding.nucleotides, encoding.valid) if "pooled" in wants else None,
            masked_patches=masked_patches(encoding.rows, view, stride, equivariant=equivariant) if patched else None,
            hidden=encoding.hidden,
        )

    def embed(self, view: View, pooling: Pooling, layer: int | None = None) -> Tensor:
        """Return one embedding [B, D], fp32, of each sequence of `view`.

        pooling: `mean` over valid nucleotides; `mean_std`: that and the standard deviation over them, [B, 2 D] (statistics
        pooling; Snyder et al. 2018, x-vectors); `class`: the mean over the class tokens. layer: a hidden layer to pool instead
        of the output.
        """
        layers = () if layer is None else (layer,)
        encoding = self.encode(encode_bases(view.tokens), view.valid, layers=layers)
        if layer is None and pooling == "class":
            return self.class_embeddings(encoding).float().mean(1)
        rows = encoding.of_layer(layer)
        mean = pool(rows, encoding.valid).float()
        return mean if pooling == "mean" else torch.cat([mean, _deviation(rows, encoding.valid, mean)], dim=1)


def pooled_width(pooling: Pooling, dim: int) -> int:
    """Return the width of an embedding that is pooled from embeddings [B, L, dim]."""
    return 2 * dim if pooling == "mean_std" else dim


def pool(embeddings: Tensor, valid: Tensor) -> Tensor:
    """Return the mean over valid nucleotides in fp32: [B, L, D] and [B, L] to [B, D]; zero if none is valid."""
    # Summed in fp32, since a sum over thousands of positions loses digits in bf16.
    count = valid.sum(1, keepdim=True).clamp(min=1)
    return (embeddings * valid[..., None]).sum(1, dtype=torch.float32) / count


def _deviation(embeddings: Tensor, valid: Tensor, mean: Tensor) -> Tensor:
    """Return the standard deviation over valid nucleotides in fp32: [B, L, D], [B, L] and [B, D] to [B, D]."""
    # From differences to the mean: the mean of squares minus the squared mean would lose digits.
    variance = pool((embeddings.float() - mean[:, None]).square(), valid)
    # The root has no gradient at 0, where a sequence of one base is.
    return (variance + _MINIMUM_VARIANCE).sqrt()


def read_rows(output: BranchOutput, reads: Reads) -> Tensor:
    """Return the embeddings that a loss's heads are applied to: [B, M, D], [B, C, D], [B, D] or [B, L, D]."""
    if reads == "class":
        rows = output.class_embeddings
    elif reads == "pooled":
        rows = output.pooled
    elif reads == "all" or output.embeddings is None:
        rows = output.embeddings
    elif output.masked_patches is not None:
        rows = output.masked_patches
    else:
        # Only the masked positions, M of L: a head on all positions would cost several times as much.
        index = output.view.masked_index[..., None].expand(-1, -1, output.embeddings.shape[-1])
        rows = output.embeddings.gather(1, index)
    if rows is None:
        raise ValueError(f"the branch was not asked for what `head_input: {reads}` needs")
    return rows


def apply_heads(
    rows: Tensor, twins: nn.Module, own: nn.Module | None = None, *, own_before: str | None = None
) -> dict[str, Tensor]:
    """Apply a chain of heads, each head to the output of the one before it; return every output by name.

    own: the student's own heads, applied before the twin head `own_before`, or after all twin heads.
    """
    before: list[tuple[str, nn.Module]] = []
    after: list[tuple[str, nn.Module]] = []
    for name, head in twins.items():  # type: ignore[operator]
        (after if after or name == own_before else before).append((name, head))
    outputs = {}
    for name, head in (*before, *(own.items() if own is not None else ()), *after):  # type: ignore[operator]
        outputs[name] = rows = head(rows)
    return outputs
