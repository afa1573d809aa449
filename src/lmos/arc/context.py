"""What an agent's functions know of the turn they run in."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar, overload

from lmos.arc import features
from lmos.arc.memory import Memory, Remembering
from lmos.arc.observing.unwatched import UNWATCHED, Unwatched
from lmos.arc.sharing import Shared
from lmos.model import (
    AnonymizationEntity,
    Message,
    Share,
    SharedScope,
    State,
    StatusUpdate,
    Turn,
    TurnEvent,
    Usage,
    User,
    errors,
)
from lmos.model.shared import checked, shared_with

if TYPE_CHECKING:
    from lmos.arc.adl import Line
    from lmos.arc.filters.disguise import Disguise
    from lmos.arc.running import Wanted
    from lmos.arc.signals import Retry

D = TypeVar("D")
V = TypeVar("V", bool, str, int, float)


class _Injected:
    """Marks a parameter that the agent fills, and no model sees."""


INJECTED = _Injected()
#: A tool's parameter that is a dependency: `async def get_bill(ctx: Context, bills: Dep[Bills])`.
#: That the agent has one is checked when it starts.
Dep = Annotated[D, INJECTED]

_IBAN = re.compile(r"\b([A-Z]{2}\d{2})(?:[ ]?[A-Z0-9]{2,4}){2,7}[ ]?([A-Z0-9]{2,4})\b")


class Dependencies:
    """The typed things that an agent was given: stores, clients, settings."""

    def __init__(self, things: tuple[Any, ...]) -> None:
        self._things = things

    def __iter__(self) -> Iterator[Any]:
        return iter(self._things)

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


@dataclass(frozen=True, slots=True)
class Datum:
    """A text that the model was shown in this turn: where it is from, and what it says."""

    name: str
    text: str


class Services(Protocol):
    """What a context can ask of its agent."""

    async def ask_model(
        self, ctx: "Context", prompt: str, *, system: str, model: Any, output: Any
    ) -> Any:
        """A side request to a language model."""
        ...

    async def call_agent(self, ctx: "Context", agent: Any, text: str) -> Any:
        """Another agent's answer."""
        ...

    async def has_model(self, ctx: "Context") -> bool:
        """Whether a language model answers the turn."""
        ...


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
        services: Services | None = None,
    ) -> None:
        self.turn = turn
        self.agent = agent
        self.memory = Memory(state, turn, agent, observe=self._remembered)
        #: What other agents share with this one, by name.
        self.shared = Shared(turn.shared or ())
        #: Goes to the caller with the answer.
        self.output: dict[str, str] = {}
        #: Anything that functions of the agent want to tell each other within the turn.
        self.local: dict[str, Any] = {}
        #: Every text that the model was shown in this turn.
        self.data: list[Datum] = []
        #: What was taken out of the text, the caller's first; goes back with the answer.
        self.entities: list[AnonymizationEntity] = list(turn.anonymization_entities)
        #: Hides private values from the model, where a filter has set it.
        self.disguise: Disguise | None = None
        #: Is told what the agent does, for spans and events.
        self.watch: Unwatched = UNWATCHED
        #: The calls of tools so far.
        self.calls: list[Wanted] = []
        #: The use case that is followed, once it is known.
        self.use_case = ""
        #: The lines that hold of its solution in this turn.
        self.solution: list[Line] = []
        #: Why the turn is run again, where it is.
        self.retry: Retry | None = None
        #: The request of an agent that declares its type, checked.
        self.input: Any = None
        #: What side requests and other agents took.
        self.usage = Usage()
        self._deps = deps
        self._emit = emit
        self._services = services

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

    async def share(
        self,
        name: str,
        value: Any,
        *,
        readers: Sequence[str] = (),
        scope: SharedScope = "conversation",
        ttl: float | None = None,
    ) -> bool:
        """Shares JSON data with the agents that answer in this conversation, or in all of this
        user's (scope `user`): with all of them, or with `readers` alone, which are agents or
        capabilities by name. None takes it back. It is kept for `ttl` seconds, or as long as who
        asks this agent says, once the turn is answered. Whether it is kept at all: not where a
        caller keeps nothing of the kind. `TooLarge` and `InvalidInput` tell what cannot be shared.
        """
        given = Share.model_construct(
            name=name, value=value, readers=tuple(readers), scope=scope, ttl=ttl
        )
        share = checked(given)
        turn = self.turn
        own = share.by(self.agent, turn.turn_id)
        self.shared = Shared(shared_with(self.shared.entries, own))
        if turn.shared is None:
            return False
        self.turn = turn.but(shared=self.shared.entries)
        self._emit(share)
        return True

    def passed_on(self, share: Share) -> None:
        """Shares what an agent that was called here shares."""
        self._emit(share)

    @overload
    async def llm(
        self, prompt: str, *, system: str = "", model: Any = None, output: type[D]
    ) -> D: ...

    @overload
    async def llm(self, prompt: str, *, system: str = "", model: Any = None) -> str: ...

    async def llm(
        self, prompt: str, *, system: str = "", model: Any = None, output: Any = None
    ) -> Any:
        """What a language model answers, beside the turn: the agent's own, or another by its spec.
        With an `output` type, an object of it. `ModelFailed` where the agent has no model.
        """
        return await self._service.ask_model(
            self, prompt, system=system, model=model, output=output
        )

    async def call_agent(self, agent: Any, text: str) -> str:
        """What another agent answers to the text: an `Agent`, a remote one, or one of `agents=` by
        its name. It is asked in this turn's name, for the same user, tenant and channel.
        """
        found: str = await self._service.call_agent(self, agent, text)
        return found

    async def has_model(self) -> bool:
        """Whether a language model answers the turn; none does in direct mode."""
        return self._services is not None and await self._services.has_model(self)

    async def feature(self, name: str, default: V) -> V:
        """The value of a feature that OpenFeature, or the application, switches; of the type of its
        default.
        """
        return await features.value(self.turn, self.agent, name, default)

    def mask_ibans(self, text: str) -> str:
        """The text with the middle of every IBAN replaced by dots."""
        return _IBAN.sub(r"\1 **** \2", text)

    def _remembered(self, what: Remembering) -> None:
        if self.watch.on:
            self.watch.remembered(what)

    @property
    def _service(self) -> Services:
        if self._services is None:
            raise errors.LmosError("this context belongs to no agent, so it cannot ask anybody")
        return self._services
