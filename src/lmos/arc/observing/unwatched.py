"""The watch of a turn that nobody watches: it does nothing, in no time."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from lmos.arc.observing.events import RESOLVED
from lmos.model import Turn

if TYPE_CHECKING:
    from lmos.arc.adl import Option
    from lmos.arc.memory import Remembering
    from lmos.arc.running import Wanted


class Seen:
    """Something that is being watched; it is told what came of it."""

    def __init__(self) -> None:
        self.result: Any = None

    def told(self, result: Any) -> None:
        """What came of it."""
        self.result = result


class _Nothing(Seen, AbstractContextManager["Seen"]):
    """What is seen of something that nobody watches."""

    def told(self, result: Any) -> None:
        """Forgets it."""

    def __enter__(self) -> Seen:
        return self

    def __exit__(self, *raised: object) -> None:
        return None


NOTHING = _Nothing()
Watched = AbstractContextManager[Seen]


class Unwatched:
    """The watch of a turn that nobody watches. A `Watch` does the same and tells of it."""

    on = False

    def agent(self, agent: Any) -> Watched:
        """All of the turn."""
        return NOTHING

    def continued(self, turn: Turn) -> Turn:
        """The turn with trace headers that continue the span around the call."""
        return turn

    def stage(self, name: str) -> Watched:
        """A part of the turn: `filter input`, `generate response` and so on."""
        return NOTHING

    def filter(self, function: Any, text: str) -> Watched:
        """A filter at work; it is told the new text."""
        return NOTHING

    def sentence(self, function: Any, text: str) -> Watched:
        """A filter at work on one sentence; `filtered` tells of all of them at once."""
        return NOTHING

    def filtered(self) -> None:
        """No more sentences come."""

    def llm(self, models: Any, history: Sequence[Any], parameters: Any) -> Watched:
        """A request to a model; it is told the response."""
        return NOTHING

    def tool(self, call: "Wanted") -> Watched:
        """A tool at work; what came of it is in the call."""
        return NOTHING

    def limit(self, name: str) -> Watched:
        """Waiting for a place."""
        return NOTHING

    def answered(self, text: str, status: str = RESOLVED, *, broken: bool = False) -> None:
        """The turn ends with this text; `broken` off by a signal."""

    def handed_over(self, to: str) -> None:
        """The turn goes to another agent."""

    def routing(self) -> Watched:
        """Finding the use case; it is told the decision."""
        return NOTHING

    def took(self, case: str, option: "Option | None", offered: "Sequence[Option]") -> None:
        """The user's message takes one of the options of a use case's flow, or none."""

    def shown(self, name: str, text: str) -> None:
        """A model is shown a text."""

    def remembered(self, what: "Remembering") -> None:
        """Something was put into memory, or read from it."""


UNWATCHED = Unwatched()
