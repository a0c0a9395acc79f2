"""`findna_kit.load`: a run's frozen model, and the one function by which everybody embeds sequences."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from findna_kit import alphabet, checkpoint, rng
from findna_kit.assemble import assemble
from findna_kit.components.views import View
from findna_kit.distributed import Engine, choose_device, choose_precision
from findna_kit.errors import FindnaError
from findna_kit.model.branch import Pooling as Pooling
from findna_kit.model.branch import apply_heads, read_rows
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from findna_kit.records.missing_components import refuse_missing
from findna_kit.records.run_json import precision_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from findna_kit.model.branch import Branch
    from findna_kit.recipe import Recipe

Strand = Literal["forward", "both"]
Which = Literal["student", "teacher"]

_ROWS_AT_ONCE = 16 * 1024
"""Nucleotides in a pass: bounds memory, and keeps a CPU's activations near its cache."""

log = logging.getLogger(__name__)


class FrozenModel:
    """One branch of a run, without gradient or dropout."""

    def __init__(self, network: Branch, recipe: Recipe, *, branch: Which, step: int, engine: Engine) -> None:
        self.network, self.recipe, self.branch, self.step = network.eval().requires_grad_(False), recipe, branch, step
        self._engine = engine
        self.network.to(engine.device)

    @property
    def engine(self) -> Engine:
        """Where it lies, and how it multiplies."""
        return self._engine

    @property
    def precision(self) -> str:
        """Of the matrix products: bf16 or fp32."""
        return self._engine.precision

    @property
    def dim(self) -> int:
        """Width of an embedding."""
        return self.network.width

    @torch.inference_mode()
    def embed(
        self, sequences: Sequence[str], pooling: Pooling = "mean", *, layer: int | None = None, strand: Strand = "forward"
    ) -> NDArray[np.float32]:
        """Embeddings [n, D] of sequences of any length, in their order.

        pooling: `mean` over the valid nucleotides, the class tokens present but not pooled; `class`: over the class tokens.
        layer: a hidden layer, counted from 0; None: what the encoder gives. strand: `both` averages a sequence's embedding and
        that of its reverse complement. A sequence beyond the encoder's `max_length` is the average of overlapping windows,
        weighted by their nucleotides; that is logged. Raises FindnaError for an empty sequence, class pooling without class
        tokens or of a hidden layer, and a layer that is not there.
        """
        if isinstance(sequences, str):
            raise FindnaError("embed takes a list of sequences, not one string: embed([sequence])")
        self.refuse(pooling, layer)
        tokens = [alphabet.encode(sequence) for sequence in sequences]
        found = self._embedded(tokens, pooling, layer)
        if strand == "both":
            turned = [alphabet.PAIRED[sequence[::-1]] for sequence in tokens]
            found = (found + self._embedded(turned, pooling, layer)) * np.float32(0.5)
        return found

    def refuse(self, pooling: Pooling, layer: int | None) -> None:
        """Raises FindnaError for class pooling without class tokens or of a hidden layer, and a layer that is not there."""
        if pooling == "class" and self.network.class_tokens == 0:
            raise FindnaError("pooling 'class': the recipe has no class tokens; use pooling 'mean'")
        if pooling == "class" and layer is not None:
            raise FindnaError("pooling 'class' is of what the encoder gives, not of a hidden layer; use pooling 'mean'")
        depth = self.network.encoder.depth
        if layer is not None and not 0 <= layer < depth:
            raise FindnaError(f"layer {layer}: the encoder has the hidden layers 0 to {depth - 1}")

    def _embedded(self, tokens: list[NDArray[np.uint8]], pooling: Pooling, layer: int | None) -> NDArray[np.float32]:
        pieces, owner = self._pieces(tokens)
        lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
        found = np.zeros((len(pieces), self.dim), dtype=np.float32)
        for chosen in self._batches(lengths):
            found[chosen] = self._forward([pieces[index] for index in chosen], pooling, layer)
        return _average(found, owner, lengths, len(tokens))

    @torch.inference_mode()
    def base_log_probabilities(self, sequences: Sequence[str], positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Natural log of the probabilities [n, 4] of A C G T at one position of each sequence, where MASK is shown.

        positions [n]: counted from 0. Raises FindnaError where the run learned no nucleotides, a position is outside of its
        sequence, or a sequence is longer than the encoder takes.
        """
        label, head = self._nucleotide_head()
        pieces = [alphabet.encode(sequence) for sequence in sequences]
        lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
        if len(positions) != len(pieces) or np.any((positions < 0) | (positions >= lengths)):
            raise FindnaError("one position inside of each sequence is wanted")
        bound = self.network.encoder.max_length
        if bound is not None and lengths.max(initial=0) > bound:
            raise FindnaError(f"the encoder takes at most {bound} nucleotides; give it shorter stretches")
        found = np.zeros((len(pieces), 4), dtype=np.float32)
        for chosen in self._batches(lengths):
            view = self._view([pieces[index] for index in chosen])
            index = torch.from_numpy(positions[chosen]).to(view.tokens.device)[:, None]
            view = view.with_mask(index, torch.ones_like(index, dtype=torch.float32), torch.full_like(index, alphabet.MASK))
            with self._engine.autocast():
                output = self.network(view, view.student_tokens, None, wants={"masked"})
                logits = apply_heads(read_rows(output, "masked"), self.network.heads[label])[head]
            found[chosen] = logits[:, 0].float().log_softmax(-1).cpu().numpy()
        return found

    def _nucleotide_head(self) -> tuple[str, str]:
        for label, loss in self.recipe.losses.items():
            # A teacher that was not made of its student may lack the head.
            if loss.component.nucleotide_head is not None and label in self.network.heads:
                return label, loss.component.nucleotide_head
        raise FindnaError("the run has no loss that predicts nucleotides, so it cannot be asked for them")

    def _batches(self, lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Rows that go through the network together: of nearly one length, so that little is padded, and bounded in memory."""
        order = np.argsort(-lengths, kind="stable")
        at = 0
        while at < len(order):
            rows = max(1, _ROWS_AT_ONCE // (lengths[order[at]] + self.network.class_tokens))
            yield order[at : at + rows]
            at += rows

    def _pieces(self, sequences: list[NDArray[np.uint8]]) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
        """Windows that the encoder takes, and the sequence that each belongs to."""
        for number, sequence in enumerate(sequences):
            if len(sequence) == 0:
                raise FindnaError(f"sequence {number} is empty: there is nothing to embed")
        bound = self.network.encoder.max_length
        if bound is None or all(len(sequence) <= bound for sequence in sequences):
            return sequences, np.arange(len(sequences))
        longer = sum(len(sequence) > bound for sequence in sequences)
        log.warning("%d of %d sequences are longer than the encoder's %d: windows are averaged", longer, len(sequences), bound)
        pieces, owner = [], []
        for number, sequence in enumerate(sequences):
            over = max(len(sequence) - bound, 0)
            count = -(-2 * over // bound) + 1  # half of each window overlaps
            count += count % 2 * over % 2  # an odd number has one in the middle, which cannot begin at a half
            early = np.arange(count) * over // max(count - 1, 1)
            # Mirrored: the other strand is read in the same windows.
            starts = np.where(np.arange(count) < count // 2, early, over - early[::-1])
            pieces += [sequence[start : start + bound] for start in starts]
            owner += [number] * count
        return pieces, np.array(owner)

    def _view(self, pieces: list[NDArray[np.uint8]]) -> View:
        longest = max(map(len, pieces))
        valid = np.arange(longest) < np.array([len(piece) for piece in pieces])[:, None]
        tokens = np.full(valid.shape, alphabet.N, dtype=np.int64)
        tokens[valid] = np.concatenate(pieces)
        return View.of_windows(torch.from_numpy(tokens), valid=torch.from_numpy(valid)).to(self._engine.device)

    def _forward(self, windows: list[NDArray[np.uint8]], pooling: Pooling, layer: int | None) -> NDArray[np.float32]:
        with self._engine.autocast():
            embeddings = self.network.embed(self._view(windows), pooling, layer)
        return np.asarray(embeddings.cpu().numpy())


def load(
    run: str | Path,
    branch: Which | None = None,
    *,
    step: int | None = None,
    device: str = "auto",
    without: Collection[str] = (),
) -> FrozenModel:
    """The frozen model of a run's folder: unless told otherwise, the branch that its rule serves, at the last step saved;
    of an exported folder, the branch that it holds.

    Raises FindnaError where `run` is no run's folder or has no such checkpoint, and where a component is missing, naming the
    distribution that gave it.
    """
    folder = Path(run)
    chosen = checkpoint.find(folder, step)
    if branch not in (None, "student", "teacher"):
        raise FindnaError(f"branch {branch!r}: student or teacher is wanted")
    components, plugins = load_plugins(without)
    failed = [plugin for plugin in plugins if plugin.failure]
    refuse_missing(folder, components, failed)
    recipe = load_recipe(folder / "recipe.yaml", components, failed=failed)
    saved = checkpoint.load_model(folder, chosen)
    served = _served(folder, branch, recipe.teacher_update.component.export_branch, saved)
    experiment = assemble(recipe, taught=served == "teacher")
    network = experiment.teacher if served == "teacher" else experiment.student
    checkpoint.fill(f"{checkpoint.path_of(folder, chosen)}: the {served}", network.state_dict(), checkpoint.part(served, saved))
    where = choose_device(device)
    engine = Engine(where, choose_precision(precision_of(folder, recipe), where))
    return FrozenModel(network, recipe, branch=served, step=chosen, engine=engine)


def _served(folder: Path, asked: Which | None, rule: Which, saved: Mapping[str, Tensor]) -> Which:
    """The branch asked for, or else the one that the rule serves; of an exported folder, the one that it holds."""
    branches: tuple[Which, ...] = ("student", "teacher")
    held = [branch for branch in branches if any(name.startswith(f"{branch}.") for name in saved)]
    if len(held) != 1:
        return asked or rule
    if asked not in (None, held[0]):
        raise FindnaError(f"{folder}: holds the {held[0]} alone, and the {asked} is asked for; export that one from the run")
    return held[0]


def untrained(model: FrozenModel, number: int) -> FrozenModel:
    """A network of the same kind that has learned nothing: number 0 as the recipe's own seed draws it, others by other seeds.

    Also where the run began with another run's weights (`init_from`), or the encoder with weights of its own (`forget`).
    """
    recipe = model.recipe
    if number:
        recipe = recipe.model_copy(update={"seed": rng.key(recipe.seed, "untrained", number) % 2**63})
    network = assemble(recipe, taught=False).student
    with rng.torch_seed(recipe.seed, "forget", device=torch.device("cpu")):
        network.encoder.reset_parameters()
    return FrozenModel(network, recipe, branch=model.branch, step=0, engine=model.engine)


def _average(
    found: NDArray[np.float32], owner: NDArray[np.int64], lengths: NDArray[np.int64], count: int
) -> NDArray[np.float32]:
    if len(found) == count:
        return found
    total = np.zeros((count, found.shape[1]), dtype=np.float64)
    np.add.at(total, owner, found * lengths[:, None])
    weight = np.bincount(owner, weights=lengths, minlength=count)
    return (total / weight[:, None]).astype(np.float32)
