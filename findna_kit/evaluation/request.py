"""An evaluation's request, and the predictions that it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from findna_kit.errors import FindnaError, nearest
from findna_kit.evaluation.protocol_table import DEFAULT_OPTIONS, OPTIONS, PROTOCOLS

if TYPE_CHECKING:
    from findna_kit.records.evaluation_json import ContenderName

NetworkName = Literal["encoder", "random_init"]


@dataclass(frozen=True)
class EvaluationRequest:
    """The protocols and controls of an evaluation. seeds: repeats of what is random (networks, shots, fine-tuning)."""

    protocols: tuple[str, ...] = DEFAULT_OPTIONS
    seeds: int = 1
    shuffled_labels: bool = False

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

    def predictions(self) -> list[PredictionSpec]:
        """Return every prediction that the request needs."""
        networks: tuple[ContenderName, ...] = ("encoder", "random_init")
        if self.shuffled_labels:
            networks = (*networks, "shuffled_labels")
        return [
            PredictionSpec(protocol, contender, number)
            for protocol in self.names
            for contender in (*networks, "kmer", "majority")
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
        """Return the network whose features or weights it needs, and which of its repeats; None for k-mers and majority."""
        # Each repeat has its own random initialisation, so that the control's variance is seen.
        if self.contender == "random_init":
            return "random_init", self.number
        return None if self.contender in ("kmer", "majority") else ("encoder", 0)


def _is_random(protocol: str, contender: ContenderName) -> bool:
    if contender == "kmer":
        return PROTOCOLS[protocol].kmer_random
    if contender == "encoder":
        return PROTOCOLS[protocol].random
    return contender != "majority"  # a random initialisation, or shuffled labels
