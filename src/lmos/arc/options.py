"""The options of a flow: which one a user takes."""

import re
from collections.abc import Sequence

from lmos.arc.adl import Option

#: Command that leaves a flow.
RESET = "RESET"


def taken(options: Sequence[Option], text: str) -> Option | None:
    """The option that the text names: all of it, else one whose words stand in it, the longest."""
    said = _plain(text)
    named = [option for option in options if not option.default and not option.otherwise]
    for option in named:
        if _plain(option.option) == said:
            return option
    standing = [o for o in named if re.search(rf"\b{re.escape(_plain(o.option))}\b", said)]
    return max(standing, key=lambda o: len(o.option), default=None)


def instead(options: Sequence[Option]) -> Option | None:
    """What is taken when the text names none: the default, else what is for all the rest."""
    default = next((option for option in options if option.default), None)
    return default or next((option for option in options if option.otherwise), None)


def _plain(text: str) -> str:
    return re.sub(r"[^\w]+", " ", text.lower()).strip()
