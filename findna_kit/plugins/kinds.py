"""The table of kinds: everything that the kit knows about a kind of component, in one entry each.

The registries, the recipe's schema, its JSON Schema, `findna-kit components`, the provenance in run.json, `plugins new`, the
conformance checks and the reference pages all go over this table. `docs/architecture.md` says how to add a kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from findna_kit.component_config import ComponentConfig
from findna_kit.schedules import Schedule, ScheduleConfig

ANY = "*"
"""In the path of a kind: any label or index."""


@dataclass(frozen=True)
class Kind:
    """One kind of component.

    - `name`: what a component is called in messages and in run.json.
    - `plural`: the attribute of Components that holds the registry.
    - `base`, `config`: the classes that components and their nested `Config` derive from, or `module:name` of them.
    - `path`: the recipe key at which one is named. ANY stands for a label or an index. The path is empty for a kind that is
      named inside the parameters of other components.
    - `keys`: keys beside the name and the parameters, which the recipe itself reads (recipe/extra_keys.py).
    - `default`: the component that a recipe means where it gives no name.
    - `description`: what it does, for the JSON Schema; needed only where recipe/schema.py has no field for the kind.
    - `title`: heading of the reference page; empty: the plural in words.
    - `template`: file in cli/templates that `plugins new` fills in; empty: a generic one.
    - `check`: `module:attribute` of the conformance checks; empty: there are none.
    """

    name: str
    plural: str
    base: type[Any] | str
    config: type[ComponentConfig] | str = ComponentConfig
    path: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    default: str | None = None
    title: str = ""
    description: str = ""
    template: str = ""
    check: str = ""

    @property
    def base_class(self) -> type[Any]:
        """Return the class that components derive from; import its module if the table only names it."""
        return _class(self.base)

    @property
    def config_class(self) -> type[ComponentConfig]:
        """Return the class that the nested `Config` of a component derives from."""
        return _class(self.config)

    @property
    def heading(self) -> str:
        """Return the title, or else the plural in words: `Teacher updates`."""
        return self.title or self.plural.replace("_", " ").capitalize()

    @property
    def page(self) -> str:
        """Return the file name of the reference page: `teacher-updates.md`."""
        return f"{self.heading.lower().replace(' ', '-')}.md"


def _class(reference: type[Any] | str) -> type[Any]:
    if isinstance(reference, type):
        return reference
    module, _, name = reference.partition(":")
    found: type[Any] = getattr(import_module(module), name)
    return found


# These import torch, which `plugins new` and the completion of kinds do without.
_INTERFACES, _OPTIMIZER = "findna_kit.components.interfaces", "findna_kit.components.optimizer"
# A check is named and not imported: the modules of testing/ lie above this one, and import torch's slow parts.
KINDS: tuple[Kind, ...] = (
    Kind(
        "augmentation", "augmentations", f"{_INTERFACES}:Augmentation", path=("views", ANY, "augment", ANY),
        template="augmentation.py.txt", check="findna_kit.testing.augmentations:AUGMENTATION",
    ),
    Kind(
        "masking", "maskings", f"{_INTERFACES}:Masking", path=("views", ANY, "mask"),
        template="masking.py.txt", check="findna_kit.testing.maskings:MASKING",
    ),
    Kind(
        "encoder", "encoders", f"{_INTERFACES}:Encoder", path=("encoder",), keys=("rc",),
        template="encoder.py.txt", check="findna_kit.testing.encoders:ENCODER",
    ),
    Kind(
        "loss", "losses", f"{_INTERFACES}:Loss", path=("losses", ANY), keys=("weight",),
        template="loss.py.txt", check="findna_kit.testing.losses:LOSS",
    ),
    Kind(
        "teacher_update", "teacher_updates", f"{_INTERFACES}:TeacherUpdate", path=("teacher_update",),
        template="teacher_update.py.txt", check="findna_kit.testing.teacher_updates:TEACHER_UPDATE",
    ),
    # clip_norm is read by the trainer and not by the optimizer, like the weight of a loss.
    Kind(
        "optimizer", "optimizers", f"{_OPTIMIZER}:Optimizer", f"{_OPTIMIZER}:OptimizerConfig", path=("optimizer",),
        keys=("clip_norm",), default="adamw",
        template="optimizer.py.txt", check="findna_kit.testing.optimizers:OPTIMIZER",
    ),
    # No path: a schedule is named in any parameter of the type Schedule.
    Kind(
        "schedule", "schedules", Schedule, ScheduleConfig,
        template="schedule.py.txt", check="findna_kit.testing.schedules:SCHEDULE",
    ),
)  # fmt: skip
"""The kinds, in the order in which listings show them."""
