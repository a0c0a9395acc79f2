"""An evaluation's request, and the predictions that it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from findna_kit.errors import FindnaError, nearest
from findna_kit.evaluation.protocol_table import COUNTING, DEFAULT_OPTIONS, OPTIONS, PROTOCOLS

if TYPE_CHECKING:
    from findna_kit.records.evaluation_json import ContenderName

NetworkName = Literal["encoder", "random_init", "cnn"]


@dataclass(frozen=True)
class EvaluationRequest:
    """The protocols and controls of an evaluation. seeds: repeats of what is random (networks, shots, fine-tuning).

    cnn: whether a small convolutional network is trained on the task from scratch, which takes minutes.
    """

    protocols: tuple[str, ...] = DEFAULT_OPTIONS
    seeds: int = 1
    shuffled_labels: bool = False
    cnn: bool = False

    def __post_init__(self) -> None:
        """Raise FindnaError for an unknown protocol, for no protocol, and for less than one seed."""
        for name in self.protocols:
            if name not in OPTIONS:
                raise FindnaError(f"unknown protocol {name!r}{nearest(name, OPTIONS)}; available: {', '.join(OPTIONS)}")
        if not self.protocols:
            raise FindnaError(f"no protocol was given; available: {', '.join(OPTIONS)}")
        if self.seeds < 1:
            raise FindnaError(f"seeds={self.seeds}: must be 1 or more")

    @property
    def names(self) -> tuple[str, ...]:
        """Return the protocols by their names in PROTOCOLS, each once, in the order of the request."""
        names = (
            name for option in self.protocols for name, protocol in PROTOCOLS.items() if protocol.option == option
        )  # fmt: skip
        # An option may stand for several protocols, and be given twice; order is kept, repeats are dropped.
        return tuple(dict.fromkeys(names))

    def predictions(self, *, one_hot: bool) -> list[PredictionSpec]:
        """Return every prediction that the request needs. one_hot: whether all sequences have one length."""
        wanted: dict[ContenderName, bool] = {
            "encoder": True, "random_init": True, "shuffled_labels": self.shuffled_labels, "cnn": self.cnn, "kmer": True,
            "one_hot": one_hot, "majority": True,
        }  # fmt: skip
        return [
            PredictionSpec(protocol, contender, number)
            for protocol in self.names
            for contender in (name for name, is_wanted in wanted.items() if is_wanted)
            # A network trained on all samples is no control of a few of them.
            if contender != "cnn" or not PROTOCOLS[protocol].counting_random
            # What is not random is computed once, whatever the number of seeds: repeats would be equal.
            for number in range(self.seeds if _is_random(protocol, contender) else 1)
        ]


@dataclass(frozen=True)
class PredictionSpec:
    """One prediction: the contender, the protocol, and the number of the repeat."""

    protocol: str
    contender: ContenderName
    number: int

    @property
    def network(self) -> tuple[NetworkName, int] | None:
        """Return the network whose features or weights it needs, and which of its repeats; None for what needs no network."""
        # Each repeat has its own random initialisation, so that the control's variance is seen.
        if self.contender == "random_init":
            return "random_init", self.number
        if self.contender == "cnn":
            return "cnn", 0
        return None if self.contender in (*COUNTING, "majority") else ("encoder", 0)


def _is_random(protocol: str, contender: ContenderName) -> bool:
    if contender in COUNTING:
        return PROTOCOLS[protocol].counting_random
    if contender == "encoder":
        return PROTOCOLS[protocol].random
    return contender != "majority"  # a random initialisation, shuffled labels, or a network trained from scratch
