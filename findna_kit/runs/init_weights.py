"""Initial weights from another run (`init_from`): its encoder, its heads, or both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from findna_kit import checkpoint
from findna_kit.errors import CheckpointMismatch
from findna_kit.recipe import changes, read_layers
from findna_kit.records.paths import RECIPE

if TYPE_CHECKING:
    from torch import Tensor

    from findna_kit.recipe import Recipe
    from findna_kit.settings import InitialWeights
    from findna_kit.trainer import Experiment


def take_initial_weights(experiment: Experiment, recipe: Recipe) -> list[str]:
    """Copy the parts that `init_from` names into the student, create the teacher anew from it, and return log lines.

    Raises CheckpointMismatch, with nothing copied, if a part does not fit or the run has another kind of encoder.
    """
    choice = recipe.init_from
    if choice is None:
        return []
    run = Path(choice.run)
    step = checkpoint.find_step(run, choice.step)
    lines = _check_encoder(run, recipe) if "encoder" in choice.parts else []
    saved = checkpoint.load_model(run, step)
    # The chosen branch, which may be the teacher, becomes the student.
    source = checkpoint.add_prefix("student", checkpoint.strip_prefix(choice.branch, saved))
    # Predictors, saved under `heads`, are the student's alone, whichever branch was chosen.
    source |= checkpoint.add_prefix("heads", checkpoint.strip_prefix("heads", saved))
    label = f"{' and '.join(choice.parts)} of the {choice.branch} of {checkpoint.path_of(run, step)}"
    checkpoint.fill(f"init_from: {label}", _select(choice, experiment.model_tensors()), _select(choice, source))
    # The rule decides what its teacher is: a copy of the student, or a network of its own.
    teacher = experiment.teacher_update.initial(experiment.student)
    checkpoint.fill("init_from: the teacher", experiment.teacher.state_dict(), teacher.state_dict())
    return [f"init_from: both branches start with {label}", *lines]


def _select(choice: InitialWeights, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the student's tensors of the chosen parts."""
    heads = ("student.heads.", "heads.")
    return {
        name: tensor
        for name, tensor in tensors.items()
        if (name.startswith("student.") and not name.startswith(heads) and "encoder" in choice.parts)
        or (name.startswith(heads) and "heads" in choice.parts)
    }


def _check_encoder(run: Path, recipe: Recipe) -> list[str]:
    """Return a log line for each parameter of the encoder that differs, since its tensors may fit all the same.

    Raises CheckpointMismatch for an encoder of another name, or with another `rc`, whose tensors have other names.
    """
    # Read as plain YAML: the run's components need not be installed. Older recipes lack `rc`.
    node = read_layers(run / RECIPE, ()).root.below("encoder")
    theirs, ours = {"rc": "none"} | ({} if node is None else node.plain()), recipe.encoder.plain()
    if theirs.get("name") != ours["name"]:
        raise CheckpointMismatch(f"init_from: {run} has the encoder {theirs.get('name')!r}, this recipe {ours['name']!r}")
    if theirs["rc"] != ours["rc"]:
        raise CheckpointMismatch(
            f"init_from: {run} has an encoder with rc: {theirs['rc']}, this recipe one with rc: {ours['rc']}, and their "
            "tensors have different names; state the same rc"
        )
    return [
        f"init_from: {difference}; the weights are used anyway"
        for difference in changes(theirs, ours, "encoder").values()
    ]  # fmt: skip
