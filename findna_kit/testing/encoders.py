"""What is asked of an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from findna_kit import alphabet, rng
from findna_kit.components import heads
from findna_kit.model.branch import encode_bases
from findna_kit.testing.checks import CPU, abbreviate, identical, make_checks, relative_difference
from findna_kit.testing.encoder_instances import CLASSES, LENGTH, all_outputs, build_encoder, embed, expected_rows
from findna_kit.testing.encoder_runs import compiled, resume
from findna_kit.testing.samples import given, with_class_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from findna_kit.components.interfaces import Encoder
    from findna_kit.testing.checks import Case

ROUNDING = 1e-4
"""Of the largest number: what other lengths and batches may change in fp32."""
COARSE = 0.1
"""Of the size of the embeddings: what bf16 may change."""


def declares(case: Case) -> Iterator[str]:
    """Declares `dim`, `depth`, `stride` and `max_length` as whole numbers that hold."""
    encoder = build_encoder(case)
    for name, least in (("dim", 1), ("depth", 1), ("stride", 1)):
        value = getattr(encoder, name, None)
        if type(value) is not int or value < least:
            yield f"`{name}` is {value!r}; a whole number from {least} up is wanted: set self.{name} in __init__"
    bound = encoder.max_length
    if bound is not None and (type(bound) is not int or bound < LENGTH):
        yield (
            f"built for windows of {LENGTH} nucleotides (length={LENGTH + CLASSES}, class_tokens={CLASSES}), it says "
            "max_length "
            f"{bound!r}; None, or at least {LENGTH} is wanted: `length` counts class rows, `max_length` does not"
        )
    if encoder.strand == "equivariant" and encoder.dim % 2:
        yield f"is equivariant with an odd dim {encoder.dim}; the two halves are swapped on the other strand: dim must be even"


def shapes(case: Case) -> Iterator[str]:
    """Gives [B, C + ceil(L / stride), dim], float32 and finite, of any length up to its own; beyond, if unbounded."""
    for class_tokens in (0, CLASSES):
        encoder = build_encoder(case, class_tokens)
        for length in (1, 2, 17, LENGTH - 1, LENGTH, *(() if encoder.max_length is not None else (97,))):
            embeddings, _ = embed(encoder, given(encoder, [length, max(1, length - 3)], length, class_tokens))
            wanted = (2, expected_rows(encoder, class_tokens, length), encoder.dim)
            what = f"2 sequences of {length} with class_tokens={class_tokens} (built for {LENGTH})"
            if tuple(embeddings.shape) != wanted:
                yield (
                    f"of {what} it made {tuple(embeddings.shape)}; {wanted} is wanted: [B, class rows + ceil(L / stride), dim] "
                    f"by what it declares (dim {encoder.dim}, stride {encoder.stride}, global_mixing {encoder.global_mixing})"
                )
                break
            if embeddings.dtype != torch.float32 or not embeddings.isfinite().all():
                yield (
                    f"of {what} it made {embeddings.dtype} numbers, {int((~embeddings.isfinite()).sum())} not finite; wanted: "
                    "finite float32"
                )
                break


def padding(case: Case) -> Iterator[str]:
    """What is not `valid` changes nothing that is: not the bases under padding, nor how much padding there is."""
    encoder, lengths = build_encoder(case), [30, 23, 9]
    inputs = given(encoder, lengths, 30, CLASSES)
    plain = all_outputs(encoder, inputs)
    bases, valid = inputs
    noise = torch.randn(bases.shape, generator=torch.Generator().manual_seed(1))
    tried = {
        "other bases were put under the padding": (bases + 10 * noise.masked_fill(valid[..., None], 0), valid),
        "10 more positions of padding were added": given(encoder, lengths, LENGTH, CLASSES),
    }
    for what, changed in tried.items():
        yield from _moved(encoder, lengths, plain, all_outputs(encoder, changed), what)
    short = [part[1:2, : part.shape[1] - 7] for part in inputs]
    alone = all_outputs(encoder, (short[0], short[1]))
    second = {name: state[1:2] for name, state in plain.items()}
    yield from _moved(encoder, lengths[1:2], second, alone, "the padding was cut off")


def _moved(
    encoder: Encoder, lengths: list[int], before: dict[str, Tensor], after: dict[str, Tensor], what: str
) -> Iterator[str]:
    changes: dict[str, float] = {}
    for name in before:
        for row, length in enumerate(lengths):
            kept = expected_rows(encoder, CLASSES, length)
            changes[name] = max(changes.get(name, 0.0), relative_difference(after[name][row, :kept], before[name][row, :kept]))
    if moved := [f"{name} (by {change:.1g} of their size)" for name, change in changes.items() if not change <= ROUNDING]:
        yield (
            f"{what}, and what it makes of class rows and valid positions changed: {abbreviate(moved)}; nothing may change. Hide "
            "what "
            "is not `valid` wherever positions meet: set it to zero before a convolution or a sum, mask it in attention, leave "
            "it out of a mean"
        )


def batch(case: Case) -> Iterator[str]:
    """A row does not depend on its neighbours in the batch."""
    encoder = build_encoder(case)
    for total, lengths in ((LENGTH, [LENGTH] * 3), (LENGTH, [LENGTH, 22, 31])):
        bases, valid = given(encoder, lengths, total, CLASSES)
        together, _ = embed(encoder, (bases, valid))
        for row, length in enumerate(lengths):
            alone, _ = embed(encoder, (bases[row : row + 1], valid[row : row + 1]))
            kept = expected_rows(encoder, CLASSES, length)
            if not (change := relative_difference(alone[0, :kept], together[row, :kept])) <= ROUNDING:
                yield (
                    f"a sequence alone differs from the same one in a batch of {len(lengths)} by {change:.1g} of its size; "
                    "wanted: "
                    "the same. No statistics over the batch: normalise each position or row by itself (LayerNorm, RMSNorm)"
                )
                return


def batch_norm(case: Case) -> Iterator[str]:
    """Has no batch normalisation: rows would depend on their neighbours, and a forward would move state."""
    kinds = (nn.modules.batchnorm._BatchNorm, heads.BatchNorm)
    if found := [name or "itself" for name, module in build_encoder(case).named_modules() if isinstance(module, kinds)]:
        yield f"has batch normalisation ({abbreviate(found)}); put LayerNorm or another norm of each row by itself in its place"


def hidden(case: Case) -> Iterator[str]:
    """Gives the hidden layers that are asked for and only those, one row for each embedding; asking changes no embedding."""
    encoder = build_encoder(case)
    inputs = given(encoder, [LENGTH, 17], LENGTH, CLASSES)
    plain, none = embed(encoder, inputs)
    if none:
        yield f"was asked for no hidden layer and gave {sorted(none)}; wanted: an empty dict"
    for asked in sorted({(0,), (encoder.depth - 1,), tuple(range(encoder.depth))}):
        embeddings, states = embed(encoder, inputs, asked)
        if set(states) != set(asked):
            yield f"was asked for the hidden layers {list(asked)} of depth {encoder.depth} and gave {sorted(states)}"
        elif wrong := {layer: tuple(state.shape) for layer, state in states.items() if state.shape[:-1] != plain.shape[:-1]}:
            yield (
                f"hidden layers have the shapes {wrong}; {tuple(plain.shape[:-1])} and a width is wanted, rows as the "
                "embeddings'"
            )
        if not identical(embeddings, plain):
            yield f"its embeddings are others when the hidden layers {list(asked)} are asked for; asking must change nothing"


def precision(case: Case) -> Iterator[str]:
    """Under bf16 autocast it stays finite and near fp32."""
    encoder = build_encoder(case)
    inputs = given(encoder, [LENGTH, 17], LENGTH, CLASSES)
    exact, _ = embed(encoder, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse, _ = embed(encoder, inputs)
    for row, length in enumerate((LENGTH, 17)):
        kept = expected_rows(encoder, CLASSES, length)
        one, other = coarse[row, :kept].float(), exact[row, :kept]
        share = float((one - other).square().mean().sqrt() / other.square().mean().sqrt().clamp(min=1e-12))
        if not share <= COARSE:
            yield (
                f"under torch.autocast(bfloat16) its embeddings differ from fp32's by {share:.2g} of their size (root mean "
                "square); "
                f"at most {COARSE} is wanted, and nothing that is not finite: compute exponentials, long sums and FFTs in "
                "`.float()`"
            )
            return


def gradients(case: Case) -> Iterator[str]:
    """Gradients reach every parameter through embeddings and class rows, and the bases."""
    encoder = build_encoder(case).train()
    bases, valid = given(encoder, [LENGTH, 27, LENGTH, 33], LENGTH, CLASSES)
    bases = bases.requires_grad_()
    with rng.torch_seed("conformance", "gradients", device=CPU):
        embeddings, _ = encoder(bases, valid)
        weights = torch.randn_like(embeddings)
    kept = torch.cat(
        [valid[:, : embeddings.shape[1] - valid[:, :: encoder.stride].shape[1]], valid[:, :: encoder.stride]], dim=1
    )
    (embeddings * weights * kept[:, : embeddings.shape[1], None]).sum().backward()
    unused = [
        name for name, one in encoder.named_parameters() if one.requires_grad and (one.grad is None or not one.grad.any())
    ]
    if unused:
        yield (
            f"no gradient reaches {abbreviate(unused)} from the embeddings of a batch of {len(bases)}; it would be saved, counted "
            "and "
            "decayed, and never learn. Use it in forward, or take it out of the module"
        )
    if wrong := [name for name, one in encoder.named_parameters() if one.grad is not None and not one.grad.isfinite().all()]:
        yield f"the gradient of {abbreviate(wrong)} is not finite"
    if bases.grad is None or not bases.grad.any():
        yield "its embeddings do not depend on the bases: no gradient reaches them"


def state(case: Case) -> Iterator[str]:
    """A state_dict, loaded into a fresh instance, gives equal embeddings."""
    encoder, other = build_encoder(case), build_encoder(case, seed=1)
    inputs = given(encoder, [LENGTH, 17], LENGTH, CLASSES)
    before, _ = embed(encoder, inputs)
    other.load_state_dict(encoder.state_dict(), strict=True)
    after, _ = embed(other, inputs)
    if not identical(before, after):
        yield (
            f"a fresh instance with its state_dict gives other embeddings (by {relative_difference(after, before):.1g} of their size): "
            "something "
            "random or learned is kept outside of parameters and buffers; register it, and not as persistent=False"
        )


def deterministic(case: Case) -> Iterator[str]:
    """One seed builds one network, and in evaluation mode one input gives one embedding."""
    one, two = build_encoder(case, moved=False), build_encoder(case, moved=False)
    if other := [name for name, tensor in one.state_dict().items() if not identical(tensor, two.state_dict()[name])]:
        yield f"built twice from one seed of torch, {abbreviate(other)} differ: draw initial weights from torch's generator alone"
    inputs = given(one, [LENGTH, 17], LENGTH, CLASSES)
    first, second = embed(one, inputs)[0], embed(one, inputs)[0]
    if not identical(first, second):
        yield "called twice in evaluation mode it gives two results: dropout and the like must be off after eval()"


def pure(case: Case) -> Iterator[str]:
    """A forward changes no buffer, no parameter and nothing that it is given."""
    encoder = build_encoder(case).train()
    before = {name: tensor.clone() for name, tensor in (*encoder.named_buffers(), *encoder.named_parameters())}
    bases, valid = given(encoder, [LENGTH, 17], LENGTH, CLASSES)
    kept = bases.clone(), valid.clone()
    with rng.torch_seed("conformance", "pure", device=CPU):
        embed(encoder, (bases, valid))
    moved = [name for name, one in (*encoder.named_buffers(), *encoder.named_parameters()) if not identical(one, before[name])]
    if moved:
        yield (
            f"a forward in training mode moved {abbreviate(moved)}; state moves once a step, and an encoder's by the optimizer alone"
        )
    if not (identical(bases, kept[0]) and identical(valid, kept[1])):
        yield (
            "a forward changed `bases` or `valid` in place; both branches and every pass are shown the same tensors: copy first"
        )


def meta(case: Case) -> Iterator[str]:
    """Is built on torch's meta device, as `findna-kit check` builds it."""
    with torch.device("meta"):
        encoder = case.component(case.config, length=LENGTH + CLASSES, class_tokens=CLASSES)
    placed = [name for name, tensor in (*encoder.named_parameters(), *encoder.named_buffers()) if tensor.device.type != "meta"]
    if placed:
        yield f"built under torch.device('meta'), {abbreviate(placed)} is on another device: do not name a device in __init__"


def strand(case: Case) -> Iterator[str]:
    """Is equivariant or invariant under reverse complement, where it says so."""
    encoder = build_encoder(case)
    if encoder.strand == "none":
        return
    step = encoder.stride
    lengths = [LENGTH // step * step, 20 // step * step or step]
    draw = torch.randint(0, alphabet.N + 1, (2, LENGTH), generator=torch.Generator().manual_seed(2))
    at, count = torch.arange(LENGTH), torch.tensor(lengths)[:, None]
    valid = at < count
    tokens = draw.masked_fill(~valid, alphabet.N)
    turned = alphabet.complement(tokens).gather(1, (count - 1 - at).where(valid, at))
    one = all_outputs(encoder, with_class_rows(encoder, encode_bases(tokens), valid, CLASSES))
    two = all_outputs(encoder, with_class_rows(encoder, encode_bases(turned), valid, CLASSES))
    classes = CLASSES if encoder.global_mixing else 0
    for name in one:
        for row, length in enumerate(lengths):
            kept = classes + length // step
            wanted = torch.cat([one[name][row, :classes], one[name][row, classes:kept].flip(0)])
            if encoder.strand == "equivariant":
                wanted = torch.cat([wanted[:, wanted.shape[1] // 2 :], wanted[:, : wanted.shape[1] // 2]], dim=1)
            if not (change := relative_difference(two[name][row, :kept], wanted)) <= ROUNDING:
                swapped = " and the halves of the channels swapped everywhere" if encoder.strand == "equivariant" else ""
                yield (
                    f"says strand {encoder.strand!r}, and of the reverse complement the {name} differ by {change:.1g} of "
                    "their size "
                    f"from what that means: class rows where they were, valid nucleotides in reverse order{swapped}"
                )
                return


ENCODER = make_checks(
    declares, shapes, padding, batch, batch_norm, hidden, precision, gradients, state, deterministic, pure, meta, strand,
    compiled, resume,
)  # fmt: skip
