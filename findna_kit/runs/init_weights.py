"""Initial weights from another run: whole parts of it, or none."""

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
    """Puts what `init_from` names into the student, and makes the teacher of it anew, by its rule; remarks for the user.

    Raises CheckpointMismatch, with nothing taken, where a part does not fit whole, or belongs to another kind of encoder.
    """
    choice = recipe.init_from
    if choice is None:
        return []
    run = Path(choice.run)
    step = checkpoint.find(run, choice.step)
    remarks = _other_encoder(run, recipe) if "encoder" in choice.parts else []
    saved = checkpoint.load_model(run, step)
    source = checkpoint.prefixed("student", checkpoint.part(choice.branch, saved))
    source |= checkpoint.prefixed("heads", checkpoint.part("heads", saved))
    what = f"init_from: {' and '.join(choice.parts)} of the {choice.branch} of {checkpoint.path_of(run, step)}"
    checkpoint.fill(what, _named(choice, experiment.model_tensors()), _named(choice, source))
    fresh = experiment.teacher_update.initial(experiment.student)
    checkpoint.fill("init_from: the teacher", experiment.teacher.state_dict(), fresh.state_dict())
    return [f"init_from: {what.removeprefix('init_from: ')} is what both branches begin with", *remarks]


def _named(choice: InitialWeights, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The student's tensors of the parts that are wanted."""
    heads = ("student.heads.", "heads.")
    return {
        name: tensor
        for name, tensor in tensors.items()
        if (name.startswith("student.") and not name.startswith(heads) and "encoder" in choice.parts)
        or (name.startswith(heads) and "heads" in choice.parts)
    }


def _other_encoder(run: Path, recipe: Recipe) -> list[str]:
    """What the run's encoder is stated otherwise, as remarks: its tensors may fit all the same. Another kind is refused."""
    node = read_layers(run / RECIPE, ()).root.below("encoder")
    before, now = {"rc": "none"} | ({} if node is None else node.plain()), recipe.encoder.plain()
    if before.get("name") != now["name"]:
        raise CheckpointMismatch(f"init_from: {run} has the encoder {before.get('name')!r}, this recipe {now['name']!r}")
    if before["rc"] != now["rc"]:
        raise CheckpointMismatch(
            f"init_from: {run} has the encoder with rc: {before['rc']}, this recipe with rc: {now['rc']}, whose tensors have "
            "other names; state the same rc"
        )
    return [
        f"init_from: {sentence}; the weights are taken all the same" for sentence in changes(before, now, "encoder").values()
    ]
