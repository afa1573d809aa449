"""How much the log keeps of turns, and for how long."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from lmos.model import errors

#: What is kept of what users say: their words, a hash of them, or no record at all.
Inputs = Literal["kept", "hashed", "off"]

#: The annotation of a Channel, or of its routing, that says it for that channel.
ANNOTATION = "lmos.eclipse/decision-inputs"

DAY = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is kept of users' words where a channel does not say otherwise, and the days after which
    a record is gone.
    """

    inputs: Inputs = "hashed"
    days: float = 30.0

    @property
    def ttl(self) -> float:
        """The seconds that a record is kept."""
        return self.days * DAY

    def inputs_of(self, annotations: Mapping[str, str]) -> Inputs:
        """What is kept on the channel with these annotations. A word that is none keeps no words:
        who mistypes the setting is not to find users' words in the log.
        """
        said = annotations.get(ANNOTATION)
        if said is None:
            return self.inputs
        return cast(Inputs, said) if said in get_args(Inputs) else "hashed"


def inputs_named(word: str) -> Inputs:
    """The setting of that name; `InvalidInput` names those that there are."""
    if word not in get_args(Inputs):
        raise errors.InvalidInput(
            f"LMOS_DECISIONS={word!r}: it must be one of {', '.join(get_args(Inputs))}"
        )
    return cast(Inputs, word)
