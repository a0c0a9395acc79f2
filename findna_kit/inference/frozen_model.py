"""The frozen model of a run, as returned by `findna_kit.load`, and the embedding of sequences with it."""

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
from findna_kit.model.branch import apply_heads, pooled_width, read_rows
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
BranchName = Literal["student", "teacher"]

MAX_BATCH_BASES = 16 * 1024
"""Largest number of nucleotides in one forward pass: it bounds memory and keeps the activations close to a CPU's cache."""

log = logging.getLogger(__name__)


class FrozenModel:
    """One branch of a run (student or teacher), for inference: no gradients, no dropout."""

    def __init__(self, network: Branch, recipe: Recipe, *, branch: BranchName, step: int, engine: Engine) -> None:
        self.network, self.recipe, self.branch, self.step = network.eval().requires_grad_(False), recipe, branch, step
        self._engine = engine
        self.network.to(engine.device)

    @property
    def engine(self) -> Engine:
        """Return the device and precision that the model computes with."""
        return self._engine

    @property
    def precision(self) -> str:
        """Return the precision of the matrix products, `bf16` or `fp32`."""
        return self._engine.precision

    @property
    def dim(self) -> int:
        """Return the length D of an embedding."""
        return self.network.width

    def embed(
        self, sequences: Sequence[str], pooling: Pooling = "mean", *, layer: int | None = None, strand: Strand = "forward"
    ) -> NDArray[np.float32]:
        """Return the embeddings [n, D] of `sequences`, which may have any length, in their order.

        pooling: `mean` averages over the valid nucleotides (class tokens are present but not pooled); `mean_std` appends the
        standard deviation over them, so that embeddings are [n, 2 D]; `class` averages over the class tokens. layer: a hidden
        layer, counted from 0; None: the output of the encoder. strand: `both` averages the embedding of a sequence with that of
        its reverse complement.

        A sequence longer than the encoder's `max_length` is embedded in overlapping windows, whose average is weighted by their
        lengths; a warning is logged. Raises FindnaError for an empty sequence and for whatever `check_pooling` refuses.
        """
        return self.embed_strands(sequences, (strand,), pooling, layer=layer)[strand]

    @torch.inference_mode()
    def embed_strands(
        self, sequences: Sequence[str], strands: Sequence[Strand], pooling: Pooling = "mean", *, layer: int | None = None
    ) -> dict[Strand, NDArray[np.float32]]:  # fmt: skip
        """Return by strand what `embed` returns for it. The forward strand is embedded once for all of them."""
        if isinstance(sequences, str):
            raise FindnaError("embed takes a list of sequences, not one string: embed([sequence])")
        self.check_pooling(pooling, layer)
        tokens = [alphabet.encode(sequence) for sequence in sequences]
        embeddings: dict[Strand, NDArray[np.float32]] = {"forward": self._embed_tokens(tokens, pooling, layer)}
        if "both" in strands:
            reverse = [alphabet.COMPLEMENT[sequence[::-1]] for sequence in tokens]
            # float32 keeps the result independent of numpy's promotion rules.
            embeddings["both"] = (embeddings["forward"] + self._embed_tokens(reverse, pooling, layer)) * np.float32(0.5)
        return {strand: embeddings[strand] for strand in strands}

    def check_pooling(self, pooling: Pooling, layer: int | None) -> None:
        """Raise FindnaError if the model cannot pool like this.

        That is the case for class pooling without class tokens or of a hidden layer, and for a layer that does not exist.
        """
        if pooling == "class" and self.network.class_tokens == 0:
            raise FindnaError("pooling 'class': the recipe has no class tokens; use pooling 'mean'")
        if pooling == "class" and layer is not None:
            raise FindnaError("pooling 'class' needs the output of the encoder, not a hidden layer; use pooling 'mean'")
        depth = self.network.encoder.depth
        if layer is not None and not 0 <= layer < depth:
            raise FindnaError(f"layer {layer}: the encoder has the hidden layers 0 to {depth - 1}")

    def _embed_tokens(self, tokens: list[NDArray[np.uint8]], pooling: Pooling, layer: int | None) -> NDArray[np.float32]:
        """Return the embeddings [n, D] of encoded sequences, batched by length."""
        windows, owner = self._windows(tokens)
        lengths = np.array([len(window) for window in windows], dtype=np.int64)
        embeddings = np.zeros((len(windows), pooled_width(pooling, self.dim)), dtype=np.float32)
        for batch in self._batches(lengths):
            embeddings[batch] = self._forward([windows[index] for index in batch], pooling, layer)
        return _average(embeddings, owner, lengths, len(tokens))

    @torch.inference_mode()
    def base_log_probabilities(self, sequences: Sequence[str], positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the natural log of the probabilities [n, 4] of A C G T at one position of each sequence, shown as MASK.

        positions [n]: counted from 0. Raises FindnaError if the run has no loss that predicts nucleotides, a position lies
        outside its sequence, or a sequence is longer than the encoder's `max_length`.
        """
        label, head = self._nucleotide_head()
        tokens = [alphabet.encode(sequence) for sequence in sequences]
        lengths = np.array([len(sequence) for sequence in tokens], dtype=np.int64)
        if len(positions) != len(tokens) or np.any((positions < 0) | (positions >= lengths)):
            raise FindnaError("positions must give one position inside each sequence")
        bound = self.network.encoder.max_length
        if bound is not None and lengths.max(initial=0) > bound:
            raise FindnaError(f"the encoder takes at most {bound} nucleotides; give it shorter sequences")
        log_probabilities = np.zeros((len(tokens), 4), dtype=np.float32)
        for batch in self._batches(lengths):
            view = self._view([tokens[index] for index in batch])
            index = torch.from_numpy(positions[batch]).to(view.tokens.device)[:, None]
            # Only this position is masked, whatever the masking of the training was.
            view = view.with_mask(index, torch.ones_like(index, dtype=torch.float32), torch.full_like(index, alphabet.MASK))
            with self._engine.autocast():
                output = self.network(view, view.student_tokens, None, wants={"masked"})
                logits = apply_heads(read_rows(output, "masked"), self.network.heads[label])[head]
            log_probabilities[batch] = logits[:, 0].float().log_softmax(-1).cpu().numpy()
        return log_probabilities

    def _nucleotide_head(self) -> tuple[str, str]:
        """Return the label of the loss that predicts nucleotides and the name of its head."""
        for label, loss in self.recipe.losses.items():
            # A teacher of another architecture than the student may have no such head.
            if loss.component.nucleotide_head is not None and label in self.network.heads:
                return label, loss.component.nucleotide_head
        raise FindnaError("this run has no loss that predicts nucleotides, so it has no probabilities of bases")

    def _batches(self, lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield the indices of sequences to run together: of similar length, so that little is padded, and of bounded size."""
        # Longest first: if memory does not suffice, that shows in the first batch.
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            size = max(1, MAX_BATCH_BASES // (lengths[order[start]] + self.network.class_tokens))
            yield order[start : start + size]
            start += size

    def _windows(self, sequences: list[NDArray[np.uint8]]) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
        """Split sequences into windows that fit the encoder; return them with the index of the sequence of each."""
        for number, sequence in enumerate(sequences):
            if len(sequence) == 0:
                raise FindnaError(f"sequence {number} is empty: there is nothing to embed")
        bound = self.network.encoder.max_length
        if bound is None or all(len(sequence) <= bound for sequence in sequences):
            return sequences, np.arange(len(sequences))
        longer = sum(len(sequence) > bound for sequence in sequences)
        log.warning("%d of %d sequences are longer than the encoder's %d: windows are averaged", longer, len(sequences), bound)
        windows, owner = [], []
        for number, sequence in enumerate(sequences):
            excess = max(len(sequence) - bound, 0)
            count = -(-2 * excess // bound) + 1  # consecutive windows overlap by half
            # An odd count has a window in the middle, which cannot start at half a base.
            count += count % 2 * excess % 2
            left = np.arange(count) * excess // max(count - 1, 1)
            # Starts are symmetric, so that the reverse complement is cut into the same windows.
            starts = np.where(np.arange(count) < count // 2, left, excess - left[::-1])
            windows += [sequence[start : start + bound] for start in starts]
            owner += [number] * count
        return windows, np.array(owner)

    def _view(self, sequences: list[NDArray[np.uint8]]) -> View:
        """Return a batch of sequences, padded to the longest, on the model's device."""
        longest = max(map(len, sequences))
        valid = np.arange(longest) < np.array([len(sequence) for sequence in sequences])[:, None]
        tokens = np.full(valid.shape, alphabet.N, dtype=np.int64)
        tokens[valid] = np.concatenate(sequences)
        return View.of_windows(torch.from_numpy(tokens), valid=torch.from_numpy(valid)).to(self._engine.device)

    def _forward(self, windows: list[NDArray[np.uint8]], pooling: Pooling, layer: int | None) -> NDArray[np.float32]:
        """Run one batch of windows through the network."""
        with self._engine.autocast():
            embeddings = self.network.embed(self._view(windows), pooling, layer)
        return np.asarray(embeddings.cpu().numpy())


def load(
    run: str | Path,
    branch: BranchName | None = None,
    *,
    step: int | None = None,
    device: str = "auto",
    without: Collection[str] = (),
) -> FrozenModel:
    """Load the frozen model of a run's folder, or of an exported one.

    branch: `student` or `teacher`; by default the one that the run's teacher update names, or the only one that an exported
    folder contains. step: a saved step; by default the last one. without: plugins that are not loaded.

    Raises FindnaError if `run` is not the folder of a run, has no such checkpoint, or uses a component that is not installed;
    the message names the distribution that provided it.
    """
    folder = Path(run)
    saved_step = checkpoint.find_step(folder, step)
    if branch not in (None, "student", "teacher"):
        raise FindnaError(f"branch {branch!r}: must be student or teacher")
    components, plugins = load_plugins(without)
    failed = [plugin for plugin in plugins if plugin.failure]
    refuse_missing(folder, components, failed)
    recipe = load_recipe(folder / "recipe.yaml", components, failed=failed)
    tensors = checkpoint.load_model(folder, saved_step)
    # The branch must be known before `assemble`: a teacher of another architecture is only built if it is asked for.
    name = _branch_to_load(folder, branch, recipe.teacher_update.component.export_branch, tensors)
    experiment = assemble(recipe, with_teacher=name == "teacher")
    network = experiment.teacher if name == "teacher" else experiment.student
    source = f"{checkpoint.path_of(folder, saved_step)}: the {name}"
    checkpoint.fill(source, network.state_dict(), checkpoint.strip_prefix(name, tensors))
    # The run's own precision, so that its embeddings are the same on another machine.
    torch_device = choose_device(device)
    engine = Engine(torch_device, choose_precision(precision_of(folder, recipe), torch_device))
    return FrozenModel(network, recipe, branch=name, step=saved_step, engine=engine)


def _branch_to_load(
    folder: Path, requested: BranchName | None, default: BranchName, tensors: Mapping[str, Tensor]
) -> BranchName:  # fmt: skip
    """Return the requested branch or else the default; if the checkpoint holds only one branch, that one."""
    branches: tuple[BranchName, ...] = ("student", "teacher")
    saved = [branch for branch in branches if any(name.startswith(f"{branch}.") for name in tensors)]
    if len(saved) != 1:
        return requested or default
    if requested not in (None, saved[0]):
        raise FindnaError(f"{folder}: contains only the {saved[0]}, not the {requested}; export the {requested} from the run")
    return saved[0]


def untrained(model: FrozenModel, number: int) -> FrozenModel:
    """Return an untrained network of the same architecture, the control that evaluation uses.

    Number 0 has the initial weights of the recipe's own seed, other numbers those of other seeds. Weights taken from another
    run (`init_from`) or from a file (`Encoder.reset_parameters`) are replaced by random ones.
    """
    recipe = model.recipe
    if number:
        recipe = recipe.model_copy(update={"seed": rng.key(recipe.seed, "untrained", number) % 2**63})
    network = assemble(recipe, with_teacher=False).student
    # The key keeps its first name: another one would draw other control networks than earlier versions did.
    with rng.torch_seed(recipe.seed, "forget", device=torch.device("cpu")):
        network.encoder.reset_parameters()
    return FrozenModel(network, recipe, branch=model.branch, step=0, engine=model.engine)


def _average(
    embeddings: NDArray[np.float32], owner: NDArray[np.int64], lengths: NDArray[np.int64], count: int
) -> NDArray[np.float32]:
    """Average the windows' embeddings [windows, D] by sequence, weighted by their lengths; return [count, D]."""
    if len(embeddings) == count:  # one window per sequence
        return embeddings
    total = np.zeros((count, embeddings.shape[1]), dtype=np.float64)
    # Not `total[owner] += ...`: a sequence occurs in `owner` once for each window, and only one of them would be added.
    np.add.at(total, owner, embeddings * lengths[:, None])
    weight = np.bincount(owner, weights=lengths, minlength=count)
    return (total / weight[:, None]).astype(np.float32)
