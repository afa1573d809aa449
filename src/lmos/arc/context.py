"""What an agent's functions know of the turn they run in."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from lmos.arc.memory import Memory
from lmos.model import Message, State, StatusUpdate, Turn, TurnEvent, User, errors

D = TypeVar("D")

_IBAN = re.compile(r"\b([A-Z]{2}\d{2})(?:[ ]?[A-Z0-9]{2,4}){2,7}[ ]?([A-Z0-9]{2,4})\b")


class Dependencies:
    """The typed things that an agent was given: stores, clients, settings."""

    def __init__(self, things: tuple[Any, ...]) -> None:
        self._things = things

    def get(self, type_: type[D]) -> D:
        """The thing of that type. `LmosError` names what there is when there is none."""
        for thing in self._things:
            if isinstance(thing, type_):
                return thing
        there = ", ".join(type(thing).__name__ for thing in self._things) or "nothing"
        raise errors.LmosError(
            f"the agent has no {type_.__name__}; it has {there}. "
            f"Give it one: Agent(..., deps=[{type_.__name__}(...)])"
        )


class Context:
    """The turn as tools, filters and instructions see it."""

    def __init__(
        self,
        turn: Turn,
        *,
        agent: str,
        deps: Dependencies,
        state: State,
        emit: Callable[[TurnEvent], None],
    ) -> None:
        self.turn = turn
        self.agent = agent
        self.memory = Memory(state, turn, agent)
        #: Goes to the caller with the answer.
        self.output: dict[str, str] = {}
        self._deps = deps
        self._emit = emit

    @property
    def text(self) -> str:
        """What the user says in this turn."""
        return self.turn.text

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation, the new message last."""
        return self.turn.messages

    @property
    def user(self) -> User:
        """Who is speaking."""
        return self.turn.user

    @property
    def tenant(self) -> str:
        """The tenant whose channel the message came in on."""
        return self.turn.tenant

    @property
    def channel(self) -> str:
        """The channel, such as `web`."""
        return self.turn.channel

    @property
    def system(self) -> Mapping[str, str]:
        """What the application says about the turn."""
        return self.turn.system_context

    def deps(self, type_: type[D]) -> D:
        """The dependency of that type that the agent was given."""
        return self._deps.get(type_)

    def emit(self, text: str) -> None:
        """Tells the caller what is going on, while the answer is being made."""
        self._emit(StatusUpdate(text=text))

    def mask_ibans(self, text: str) -> str:
        """The text with the middle of every IBAN replaced by dots."""
        return _IBAN.sub(r"\1 **** \2", text)
