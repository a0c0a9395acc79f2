"""Conformance checks of encoders. Each function is one check; its docstring is the requirement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from findna_kit import alphabet, rng
from findna_kit.components import heads
from findna_kit.model.branch import encode_bases
from findna_kit.testing.checks import CPU, abbreviate, differing_names, identical, make_checks, relative_difference
from findna_kit.testing.encoder_instances import CLASSES, LENGTH, all_outputs, build_encoder, embed, expected_rows
from findna_kit.testing.encoder_runs import compiled, meta, resume
from findna_kit.testing.samples import encoder_inputs, prepend_class_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.components.interfaces import Encoder
    from findna_kit.testing.checks import Case

ROUNDING = 1e-4
"""Largest relative change in fp32 that counts as rounding, when lengths and batches differ."""
COARSE = 0.1
"""Largest relative change (root mean square) under bf16 autocast."""


def declares(case: Case) -> Iterator[str]:
    """Require that `dim`, `depth`, `stride` and `max_length` are integers that describe the encoder."""
    encoder = build_encoder(case)
    # Losses size their heads and masks from these before the first forward pass.
    for name in ("dim", "depth", "stride"):
        value = getattr(encoder, name, None)
        if type(value) is not int or value < 1:
            yield f"`{name}` is {value!r}; expected an integer of at least 1: set self.{name} in __init__"
    bound = encoder.max_length
    if bound is not None and (type(bound) is not int or bound < LENGTH):
        yield (
            f"built for windows of {LENGTH} bases (length={LENGTH + CLASSES}, class_tokens={CLASSES}), it declares max_length "
            f"{bound!r}; expected None or at least {LENGTH}: `length` includes class tokens, `max_length` does not"
        )
    if encoder.strand == "equivariant" and encoder.dim % 2:
        yield (
            f"an equivariant encoder has an odd dim {encoder.dim}; the two halves are swapped on the other strand, so dim must "
            "be even"
        )


def shapes(case: Case) -> Iterator[str]:
    """Require that embeddings are [B, C + ceil(L / stride), dim], float32 and finite, for every length up to `max_length`."""
    for class_tokens in (0, CLASSES):
        encoder = build_encoder(case, class_tokens)
        # A length beyond the training window, if the encoder declares no bound.
        for length in (1, 2, 17, LENGTH - 1, LENGTH, *(() if encoder.max_length is not None else (97,))):
            embeddings, _ = embed(encoder, encoder_inputs(encoder, [length, max(1, length - 3)], length, class_tokens))
            expected = (2, expected_rows(encoder, class_tokens, length), encoder.dim)
            inputs = f"2 sequences of {length} bases with class_tokens={class_tokens} (built for {LENGTH})"
            if tuple(embeddings.shape) != expected:
                yield (
                    f"for {inputs} the embeddings are {tuple(embeddings.shape)}; expected {expected}: [B, class tokens + "
                    f"ceil(L / stride), dim] with the declared dim {encoder.dim}, stride {encoder.stride} and global_mixing "
                    f"{encoder.global_mixing}"
                )
                break
            if embeddings.dtype != torch.float32 or not embeddings.isfinite().all():
                yield (
                    f"for {inputs} the embeddings are {embeddings.dtype}, {int((~embeddings.isfinite()).sum())} of them not "
                    "finite; expected finite float32"
                )
                break


def padding(case: Case) -> Iterator[str]:
    """Require that padding does not influence valid positions: neither its content nor its amount."""
    encoder, lengths = build_encoder(case), [30, 23, 9]
    inputs = encoder_inputs(encoder, lengths, 30, CLASSES)
    original = all_outputs(encoder, inputs)
    bases, valid = inputs
    # Values that no real input has: an encoder that reads the padding at all will show it.
    noise = torch.randn(bases.shape, generator=torch.Generator().manual_seed(1))
    changes = {
        "other values were put into the padding": (bases + 10 * noise.masked_fill(valid[..., None], 0), valid),
        # More padding changes sums and means over positions that include it.
        "10 more positions of padding were added": encoder_inputs(encoder, lengths, LENGTH, CLASSES),
    }
    for change, changed in changes.items():
        yield from _changed_outputs(encoder, lengths, original, all_outputs(encoder, changed), change)
    # The second sequence alone, without its 7 positions of padding.
    short = [tensor[1:2, : tensor.shape[1] - 7] for tensor in inputs]
    alone = all_outputs(encoder, (short[0], short[1]))
    second = {name: state[1:2] for name, state in original.items()}
    yield from _changed_outputs(encoder, lengths[1:2], second, alone, "the padding was cut off")


def _changed_outputs(
    encoder: Encoder, lengths: list[int], before: dict[str, Tensor], after: dict[str, Tensor], change: str
) -> Iterator[str]:
    """Yield a message if class tokens or valid positions differ by more than rounding."""
    differences: dict[str, float] = {}
    for name in before:
        for index, length in enumerate(lengths):
            rows = expected_rows(encoder, CLASSES, length)
            difference = relative_difference(after[name][index, :rows], before[name][index, :rows])
            differences[name] = max(differences.get(name, 0.0), difference)
    if changed := [f"{name} (by {size:.1g}, relative)" for name, size in differences.items() if not size <= ROUNDING]:
        yield (
            f"{change}, and class tokens and valid positions changed in: {abbreviate(changed)}; nothing may change. Exclude "
            "padding wherever positions are mixed: set it to zero before a convolution or a sum, mask it in attention, leave "
            "it out of a mean"
        )


def batch(case: Case) -> Iterator[str]:
    """Require that the embeddings of a sequence do not depend on the other sequences in the batch."""
    encoder = build_encoder(case)
    for total, lengths in ((LENGTH, [LENGTH] * 3), (LENGTH, [LENGTH, 22, 31])):
        # Equal lengths and different ones: a mean over the batch shows in both, a wrong mask only in the second.
        bases, valid = encoder_inputs(encoder, lengths, total, CLASSES)
        together, _ = embed(encoder, (bases, valid))
        for index, length in enumerate(lengths):
            alone, _ = embed(encoder, (bases[index : index + 1], valid[index : index + 1]))
            rows = expected_rows(encoder, CLASSES, length)
            if not (change := relative_difference(alone[0, :rows], together[index, :rows])) <= ROUNDING:
                yield (
                    f"the embeddings of a sequence alone and in a batch of {len(lengths)} differ by {change:.1g} (relative); "
                    "expected: equal to rounding. Use no statistics over the batch: normalise each position by itself "
                    "(LayerNorm, RMSNorm)"
                )
                return


def batch_norm(case: Case) -> Iterator[str]:
    """Require that there is no batch normalisation, which couples samples and changes buffers in a forward pass."""
    # Statistics over the batch would make an embedding depend on the other sequences of its batch.
    kinds = (nn.modules.batchnorm._BatchNorm, heads.BatchNorm)
    if names := [name or "the encoder" for name, module in build_encoder(case).named_modules() if isinstance(module, kinds)]:
        yield f"contains batch normalisation ({abbreviate(names)}); use LayerNorm or another norm over each position by itself"


def hidden(case: Case) -> Iterator[str]:
    """Require that exactly the requested hidden states are returned, one row per embedding, and no embedding changes."""
    encoder = build_encoder(case)
    inputs = encoder_inputs(encoder, [LENGTH, 17], LENGTH, CLASSES)
    original, none = embed(encoder, inputs)
    if none:
        yield f"no hidden layer was requested and {sorted(none)} were returned; expected an empty dict"
    for requested in sorted({(0,), (encoder.depth - 1,), tuple(range(encoder.depth))}):
        embeddings, states = embed(encoder, inputs, requested)
        if set(states) != set(requested):
            yield f"hidden layers {list(requested)} of depth {encoder.depth} were requested and {sorted(states)} returned"
        elif wrong := {layer: tuple(state.shape) for layer, state in states.items() if state.shape[:-1] != original.shape[:-1]}:
            yield (
                f"hidden states have the shapes {wrong}; expected {tuple(original.shape[:-1])} and a width, one row per "
                "embedding"
            )
        if not identical(embeddings, original):
            yield f"the embeddings change when hidden layers {list(requested)} are requested; they must stay the same"


def precision(case: Case) -> Iterator[str]:
    """Require that under bf16 autocast, embeddings are finite and close to fp32."""
    encoder = build_encoder(case)
    inputs = encoder_inputs(encoder, [LENGTH, 17], LENGTH, CLASSES)
    exact, _ = embed(encoder, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse, _ = embed(encoder, inputs)
    for index, length in enumerate((LENGTH, 17)):
        rows = expected_rows(encoder, CLASSES, length)
        actual, expected = coarse[index, :rows].float(), exact[index, :rows]
        share = float((actual - expected).square().mean().sqrt() / expected.square().mean().sqrt().clamp(min=1e-12))
        if not share <= COARSE:
            yield (
                f"under torch.autocast(bfloat16) the embeddings differ from fp32 by {share:.2g} (relative, root mean square); "
                f"expected: finite and within {COARSE}. Compute exponentials, long sums and FFTs in `.float()`"
            )
            return


def gradients(case: Case) -> Iterator[str]:
    """Require that a gradient reaches every parameter, and the bases."""
    encoder = build_encoder(case).train()
    bases, valid = encoder_inputs(encoder, [LENGTH, 27, LENGTH, 33], LENGTH, CLASSES)
    bases = bases.requires_grad_()
    with rng.torch_seed("conformance", "gradients", device=CPU):
        embeddings, _ = encoder(bases, valid)
        weights = torch.randn_like(embeddings)
    # Which embeddings are valid: class tokens as they are, and the first position of each stride (padding is last).
    strided = valid[:, :: encoder.stride]
    valid_rows = torch.cat([valid[:, : embeddings.shape[1] - strided.shape[1]], strided], dim=1)
    # Random weights: with a plain sum a normalisation at the end would give a gradient of zero.
    (embeddings * weights * valid_rows[:, : embeddings.shape[1], None]).sum().backward()
    unused = [
        name
        for name, parameter in encoder.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    if unused:
        yield (
            f"no gradient reaches {abbreviate(unused)} from the embeddings of a batch of {len(bases)}; the parameter would be "
            "saved, counted and decayed, but never trained. Use it in `forward`, or remove it from the module"
        )
    if wrong := [
        name
        for name, parameter in encoder.named_parameters()
        if parameter.grad is not None and not parameter.grad.isfinite().all()
    ]:
        yield f"the gradient of {abbreviate(wrong)} is not finite"
    if bases.grad is None or not bases.grad.any():
        yield "the embeddings do not depend on the bases: no gradient reaches them"


def state(case: Case) -> Iterator[str]:
    """Require that a state_dict, loaded into a new instance, gives equal embeddings."""
    # From another seed, so that a value that the state_dict does not contain differs.
    encoder, other = build_encoder(case), build_encoder(case, seed=1)
    inputs = encoder_inputs(encoder, [LENGTH, 17], LENGTH, CLASSES)
    before, _ = embed(encoder, inputs)
    other.load_state_dict(encoder.state_dict(), strict=True)
    after, _ = embed(other, inputs)
    if not identical(before, after):
        yield (
            f"a new instance with the same state_dict gives other embeddings ({relative_difference(after, before):.1g}, "
            "relative): random or learned values are stored outside parameters and buffers. Register them, and not with "
            "persistent=False"
        )


def deterministic(case: Case) -> Iterator[str]:
    """Require that equal seeds build equal networks, and in evaluation mode equal inputs give equal embeddings."""
    encoder, other = build_encoder(case, perturbed=False), build_encoder(case, perturbed=False)
    if differing := differing_names(encoder.state_dict(), other.state_dict()):
        yield (
            f"built twice with the same torch seed, {abbreviate(differing)} differ: initialise weights from torch's global "
            "generator alone"
        )
    inputs = encoder_inputs(encoder, [LENGTH, 17], LENGTH, CLASSES)
    if not identical(embed(encoder, inputs)[0], embed(encoder, inputs)[0]):
        yield "two calls in evaluation mode give different embeddings: dropout and other randomness must be off after eval()"


def pure(case: Case) -> Iterator[str]:
    """Require that a forward pass changes no buffer, no parameter and no input."""
    encoder = build_encoder(case).train()
    before = {name: tensor.clone() for name, tensor in (*encoder.named_buffers(), *encoder.named_parameters())}
    bases, valid = encoder_inputs(encoder, [LENGTH, 17], LENGTH, CLASSES)
    original = bases.clone(), valid.clone()
    with rng.torch_seed("conformance", "pure", device=CPU):
        embed(encoder, (bases, valid))
    after = dict((*encoder.named_buffers(), *encoder.named_parameters()))
    if changed := [name for name, tensor in after.items() if not identical(tensor, before[name])]:
        yield (
            f"a forward pass in training mode changed {abbreviate(changed)}; state changes once per step, and an encoder's "
            "state only through the optimizer"
        )
    if not (identical(bases, original[0]) and identical(valid, original[1])):
        yield (
            "a forward pass changed `bases` or `valid` in place; both branches and all passes share these tensors: copy them "
            "first"
        )


def strand(case: Case) -> Iterator[str]:
    """Require that an encoder with strand `equivariant` or `invariant` is so under reverse complement, to rounding."""
    encoder = build_encoder(case)
    if encoder.strand == "none":
        return
    # Multiples of the stride: otherwise the last embedding covers other bases when the sequence is reversed.
    step = encoder.stride
    lengths = [LENGTH // step * step, 20 // step * step or step]
    # With N among the tokens, which is its own complement.
    tokens = torch.randint(0, alphabet.N + 1, (2, LENGTH), generator=torch.Generator().manual_seed(2))
    positions, count = torch.arange(LENGTH), torch.tensor(lengths)[:, None]
    valid = positions < count
    tokens = tokens.masked_fill(~valid, alphabet.N)
    reverse = alphabet.complement(tokens).gather(1, (count - 1 - positions).where(valid, positions))
    forward_outputs = all_outputs(encoder, prepend_class_rows(encoder, encode_bases(tokens), valid, CLASSES))
    reverse_outputs = all_outputs(encoder, prepend_class_rows(encoder, encode_bases(reverse), valid, CLASSES))
    classes = CLASSES if encoder.global_mixing else 0
    for name, output in forward_outputs.items():
        for index, length in enumerate(lengths):
            rows = classes + length // step
            expected = torch.cat([output[index, :classes], output[index, classes:rows].flip(0)])
            # One half of the channels reads the forward strand, the other half the reverse.
            if encoder.strand == "equivariant":
                expected = torch.cat([expected[:, expected.shape[1] // 2 :], expected[:, : expected.shape[1] // 2]], dim=1)
            if not (change := relative_difference(reverse_outputs[name][index, :rows], expected)) <= ROUNDING:
                swapped = ", and the halves of the channels swapped in every row" if encoder.strand == "equivariant" else ""
                yield (
                    f"declares strand {encoder.strand!r}, but for the reverse complement the {name} differ by {change:.1g} "
                    f"(relative) from what that requires: class tokens unchanged, valid positions in reverse order{swapped}"
                )
                return


ENCODER = make_checks(
    declares, shapes, padding, batch, batch_norm, hidden, precision, gradients, state, deterministic, pure, meta, strand,
    compiled, resume,
)  # fmt: skip
