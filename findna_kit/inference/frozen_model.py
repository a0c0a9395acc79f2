"""The frozen model of a run, as returned by `findna_kit.load`, and the embedding of sequences with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, get_args

import numpy as np
import torch

from findna_kit import alphabet, checkpoint, rng
from findna_kit.assemble import assemble
from findna_kit.data.sequences import SequenceData, as_sequences
from findna_kit.distributed import Engine, choose_device, choose_precision
from findna_kit.errors import FindnaError
from findna_kit.inference import attributions, masked_bases, mutations, per_base
from findna_kit.inference.batched_network import BatchedNetwork, check_strand, one_sequence, reverse_complement
from findna_kit.inference.batched_network import BranchName as BranchName
from findna_kit.inference.batched_network import Strand as Strand
from findna_kit.model.branch import Pooling as Pooling
from findna_kit.plugins.loading import load_plugins
from findna_kit.recipe import load_recipe
from findna_kit.records.finetuned_json import refuse_finetuned
from findna_kit.records.missing_components import refuse_missing
from findna_kit.records.run_json import precision_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from findna_kit.inference.attributions import Target
    from findna_kit.inference.mutations import Score

POOLINGS: tuple[str, ...] = get_args(Pooling)


class FrozenModel(BatchedNetwork):
    """One branch of a run (student or teacher), for inference: no gradients, no dropout."""

    def embed(
        self, sequences: SequenceData, pooling: Pooling = "mean", *, layer: int | None = None, strand: Strand = "forward"
    ) -> NDArray[np.float32]:
        """Return the embeddings [n, D] of `sequences`, which may have any length, in their order.

        sequences: a list of strings, a pandas DataFrame or Series, or a `datasets` dataset (`as_sequences`).
        pooling: `mean` averages over the valid nucleotides (class tokens are present but not pooled); `mean_std` appends the
        standard deviation over them, so that embeddings are [n, 2 D]; `class` averages over the class tokens. layer: a hidden
        layer, counted from 0; None: the output of the encoder. strand: `both` averages the embedding of a sequence with that of
        its reverse complement.

        A sequence longer than the encoder's `max_length` is embedded in overlapping windows, whose average is weighted by their
        lengths; a warning is logged. Raises FindnaError for an unknown strand and for what `as_sequences` or `check_pooling`
        refuses.
        """
        return self.embed_strands(sequences, (strand,), pooling, layer=layer)[strand]

    @torch.inference_mode()
    def embed_strands(
        self, sequences: SequenceData, strands: Sequence[Strand], pooling: Pooling = "mean", *, layer: int | None = None
    ) -> dict[Strand, NDArray[np.float32]]:  # fmt: skip
        """Return by strand what `embed` returns for it. The forward strand is embedded once for all of them."""
        for strand in strands:
            check_strand(strand)
        self.check_pooling(pooling, layer)
        tokens = [alphabet.encode(sequence) for sequence in as_sequences(sequences)]
        embeddings: dict[Strand, NDArray[np.float32]] = {"forward": self.embed_tokens(tokens, pooling, layer)}
        if "both" in strands:
            reverse = [reverse_complement(sequence) for sequence in tokens]
            # float32 keeps the result independent of numpy's promotion rules.
            embeddings["both"] = (embeddings["forward"] + self.embed_tokens(reverse, pooling, layer)) * np.float32(0.5)
        return {strand: embeddings[strand] for strand in strands}

    def predict(self, sequences: Sequence[str]) -> NoReturn:
        """Raise FindnaError: the frozen model of a run embeds, and a fine-tuned model predicts."""
        raise FindnaError(
            f"{self.recipe.name}: the frozen model of a run embeds, and does not predict: fine-tune it with "
            "`findna-kit finetune RUN TASK --out DIR`, and predict with findna_kit.load(DIR)"
        )

    def check_pooling(self, pooling: Pooling, layer: int | None) -> None:
        """Raise FindnaError if the model cannot pool like this.

        That is the case for an unknown pooling, for class pooling without class tokens or of a hidden layer, and for a hidden
        layer that does not exist.
        """
        if pooling not in POOLINGS:
            raise FindnaError(f"pooling {pooling!r}: must be {', '.join(POOLINGS[:-1])} or {POOLINGS[-1]}")
        if pooling == "class" and self.network.class_tokens == 0:
            raise FindnaError("pooling 'class': the recipe has no class tokens; use pooling 'mean'")
        if pooling == "class" and layer is not None:
            raise FindnaError("pooling 'class' needs the output of the encoder, not a hidden layer; use pooling 'mean'")
        self.check_layer(layer)

    def embed_bases(self, sequence: str, *, layer: int | None = None, strand: Strand = "forward") -> NDArray[np.float32]:
        """Return the embedding of each base of a sequence, [L, D].

        An encoder with a stride gives one embedding per patch of `stride` bases: [ceil(L / stride), D], where row i is that of
        the bases from i * stride on. See `findna_kit.inference.per_base.embed_bases`.
        """
        return per_base.embed_bases(self, [one_sequence(sequence)], layer, strand)[0]

    def base_log_probabilities(self, sequences: Sequence[str], positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the natural log of the probabilities [n, 4] of A C G T at one position of each sequence, shown as MASK.

        positions [n]: counted from 0. Raises FindnaError if the run has no loss that predicts nucleotides, a position lies
        outside its sequence, or a sequence is longer than the encoder's `max_length`.
        """
        return masked_bases.base_log_probabilities(self, sequences, positions)

    def masked_logits(self, sequence: str, *, spacing: int | None = None, strand: Strand = "forward") -> NDArray[np.float32]:
        """Return the natural log of the probabilities [L, 4] of A C G T at each position, where the network sees MASK.

        By default one position is masked at a time, which costs L forward passes; with `spacing` s, the positions i, i + s,
        i + 2 s ... are masked together, which costs s. See `findna_kit.inference.masked_bases.masked_logits`.
        """
        return masked_bases.masked_logits(self, one_sequence(sequence), spacing, strand)

    def mutagenesis(self, sequence: str, *, score: Score = "llr", strand: Strand = "forward") -> NDArray[np.float32]:
        """Return the score [L, 4] of every substitution by A C G T; 0 at the base itself, NaN in the row of an unknown base.

        score: `llr` for the log-likelihood ratio ln p(base) - ln p(base of the sequence) at the masked position; `cosine` or
        `euclidean` for the distance between the embeddings of the sequence and of the mutated one. These are the scores of
        `findna-kit variants`. See `findna_kit.inference.mutations.mutagenesis`.
        """
        return mutations.mutagenesis(self, one_sequence(sequence), score, strand)

    def gradient_times_input(
        self, sequence: str, *, target: Target = None, layer: int | None = None, strand: Strand = "forward"
    ) -> NDArray[np.float32]:
        """Return the gradient times input [L, 4] of a function of the pooled embedding; 0 at the bases that are not there.

        target: None for the norm of the embedding, a number for one of its dimensions, or a direction [D], for example the
        weights of a classifier. See `findna_kit.inference.attributions.gradient_times_input`.
        """
        return attributions.gradient_times_input(self, one_sequence(sequence), target, layer, strand)

    def attention(self, sequence: str, *, layer: int = -1) -> NDArray[np.float32]:
        """Return the attention weights [heads, R, R] of a layer: entry i, j is how much row i reads of row j.

        The first rows are those of the class tokens, the others those of the bases, or of the patches. layer: negative numbers
        count from the end. Raises FindnaError for an encoder without attention.
        """
        return attributions.attention(self, one_sequence(sequence), layer)


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
    refuse_finetuned(folder)
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
