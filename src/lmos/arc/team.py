"""Several agents on one turn: handed over, one after the other, called by each other, far away.

An agent here is anything with a name that answers turns: an `Agent`, a `Team`, a `Chain`, or a
`Remote` behind a URL. Who asks one does not see which it is.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from lmos.arc import features
from lmos.arc.adl import UseCase
from lmos.arc.context import Context
from lmos.arc.requests import Asked
from lmos.arc.result import request_text
from lmos.arc.tools import Tool, tool_of
from lmos.model import (
    Answer,
    Description,
    Done,
    Failed,
    Handover,
    InputRequired,
    Message,
    Responder,
    Share,
    Started,
    State,
    StatusUpdate,
    TextDelta,
    Turn,
    TurnEvent,
    Usage,
    errors,
)
from lmos.model.base import unique
from lmos.model.shared import shared_with
from lmos.state import MemoryState, key_of

#: Agents that one turn may be handed on to, and that may call each other in a row.
LIMIT = 20

_CALLING: ContextVar[tuple[str, ...]] = ContextVar("calling", default=())


class Answering(Protocol):
    """Anything with a name that answers turns."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def responder(self) -> Responder:
        """How it is asked."""
        ...


@dataclass(frozen=True, slots=True)
class Named:
    """A responder with a name."""

    name: str
    responder: Responder


class Remote(Asked):
    """An agent at a URL, over the protocol that it speaks: `a2a`, `openai`, `graphql`, `agui`,
    `mcp` or `lmos`.

        agent = Agent(name="a", agents=[Remote("http://billing:8000", name="billing-agent")])
    """

    def __init__(self, url: str, *, name: str, protocol: str = "a2a") -> None:
        self.name = name
        self.url = url
        self.protocol = protocol

    @property
    def responder(self) -> Responder:
        """How it is asked."""
        from lmos.model import AgentAddress
        from lmos.protocols.connecting import connect

        return connect(AgentAddress(url=self.url, protocol=self.protocol))

    async def stop(self) -> None:
        """Closes what this process has open to others; they may be asked again."""
        from lmos.protocols.connecting import disconnect

        await disconnect()


class Party(Asked):
    """Several agents under one name, served like one: it starts and stops them, and offers what
    they offer. Tools are theirs alone.
    """

    tools: Mapping[str, Tool] = MappingProxyType({})
    use_cases: tuple[UseCase, ...] = ()
    features: frozenset[str] = frozenset()

    def __init__(
        self, name: str, members: Sequence[Answering], description: str, version: str
    ) -> None:
        self.name = name
        self.version = version
        self.members = tuple(map(an_agent, members))
        told = (str(getattr(member, "description", "")) for member in self.members)
        self.description = description or " ".join(dict.fromkeys(filter(None, told)))

    @property
    def responder(self) -> Responder:
        """All of them as a responder."""
        return self.respond

    def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """Answers a turn with events."""
        raise NotImplementedError

    def describe(self, url: str = "") -> Description:
        """What they say of themselves together; of a capability the first one's."""
        described = [m.describe() for m in self.members if hasattr(m, "describe")]
        capabilities = {c.key: c for d in reversed(described) for c in d.capabilities}
        return Description(
            name=self.name,
            version=self.version,
            description=self.description,
            supported_tenants=_tenants(described),
            supported_channels=unique(c for d in described for c in d.supported_channels),
            capabilities=tuple(capabilities.values()),
            url=url,
        )

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files that `reload` reads."""
        return tuple(file for member in self.members for file in getattr(member, "sources", ()))

    def check(self) -> None:
        """Raises `InvalidInput` with what is wrong in the first agent that has a mistake."""
        for member in self.members:
            if hasattr(member, "check"):
                member.check()

    def reload(self) -> bool:
        """Reads use cases again; whether any have changed."""
        changed = [member.reload() for member in self.members if hasattr(member, "reload")]
        return any(changed)

    async def start(self) -> None:
        """Starts the agents."""
        for member in self.members:
            if hasattr(member, "start"):
                await member.start()

    async def stop(self) -> None:
        """Stops the agents."""
        await stop_all(self.members)


def _tenants(described: Sequence[Description]) -> tuple[str, ...]:
    """Whom any of them serves; every tenant (none is named) where one of them does."""
    if not all(d.supported_tenants for d in described):
        return ()
    return unique(tenant for d in described for tenant in d.supported_tenants)


class Team(Party):
    """Agents that hand turns over to each other. The first one answers, or the first whose features
    are on, later the one that answered last; a handover to a stranger goes on to whoever asked the
    team.

        team = Team("support", [billing, orders])
    """

    def __init__(
        self,
        name: str,
        agents: Sequence[Answering],
        *,
        description: str = "",
        version: str = "1.0.0",
        limit: int = LIMIT,
        state: State | None = None,
    ) -> None:
        if not agents:
            raise errors.InvalidInput(f"the team {name} has no agents")
        super().__init__(name, agents, description, version)
        self._agents = by_name(agents)
        self._limit = limit
        self._state = state or MemoryState()

    async def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """Answers a turn with events; `turn.agent` chooses one of the team."""
        key = f"{key_of('team', turn)}/{self.name}"
        kept = await self._state.get(key)
        first = turn.agent or (kept[0] if kept else "")
        first = first or (await features.active(list(self._agents.values()), turn)).name
        if first not in self._agents:
            there = ", ".join(self._agents)
            text = f"the team {self.name} has no agent {first!r}; it has {there}"
            raise errors.AgentNotFound(text)
        last = first
        async with aclosing(
            handing_over(self._agents[first], turn, self._agents.get, self._limit)
        ) as events:
            async for agent, event in events:
                last = agent.name
                if isinstance(event, Done | InputRequired):
                    await self._state.put(key, last)
                yield event


class Chain(Party):
    """Agents that answer one after the other: each reads the answers of those before it, and the
    last one's is the answer. Where one fails, `on_failure` answers, once.
    """

    def __init__(
        self,
        name: str,
        agents: Sequence[Answering],
        *,
        description: str = "",
        version: str = "1.0.0",
        on_failure: Answering | None = None,
    ) -> None:
        if not agents:
            raise errors.InvalidInput(f"the chain {name} has no agents")
        members = [*agents, *([on_failure] if on_failure else [])]
        super().__init__(name, members, description, version)
        self._agents = self.members[: len(agents)]
        self._on_failure = on_failure

    async def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """Answers a turn with events."""
        yield Started(agent=self.name)
        usage = Usage()
        for agent in self._agents[:-1]:
            yield StatusUpdate(text=f"asking {agent.name}")
            shared: list[Share] = []
            try:
                answer, used = await asked(agent, turn, shared=shared.append)
            except errors.LmosError as error:
                async for event in self._instead(turn, agent, error):
                    yield event
                return
            usage = usage.plus(used)
            for share in shared:
                yield share
                turn = sharing(turn, agent.name, share)
            turn = turn.but(messages=(*turn.messages, answer))
        last = self._agents[-1]
        yield StatusUpdate(text=f"asking {last.name}")
        async for event in self._last(last, turn, usage):
            yield event

    async def _last(
        self, agent: Answering, turn: Turn, usage: Usage
    ) -> AsyncGenerator[TurnEvent, None]:
        began = False
        try:
            async with aclosing(agent.responder(turn)) as events:
                async for event in events:
                    if isinstance(event, Started):
                        continue
                    if isinstance(event, Failed) and not began:
                        raise event.exception()
                    began = began or isinstance(event, TextDelta | Answer)
                    if isinstance(event, Done):
                        event = event.but(usage=usage.plus(event.usage))
                    yield event
        except errors.LmosError as error:
            if began:
                raise
            async for event in self._instead(turn, agent, error):
                yield event

    async def _instead(
        self, turn: Turn, failed: Answering, error: errors.LmosError
    ) -> AsyncGenerator[TurnEvent, None]:
        if self._on_failure is None:
            raise errors.AgentFailed(f"{failed.name} in the chain {self.name}: {error.message}")
        yield StatusUpdate(text=f"{failed.name} failed; asking {self._on_failure.name}")
        async with aclosing(self._on_failure.responder(turn)) as events:
            async for event in events:
                if not isinstance(event, Started):
                    yield event


async def handing_over(
    first: Answering,
    turn: Turn,
    find: Callable[[str], Answering | None],
    limit: int = LIMIT,
) -> AsyncGenerator[tuple[Answering, TurnEvent], None]:
    """The events of an agent and of those that it hands over to, each with whose it is. Only the
    first `Started` is told; a handover to one that is not found is the end of the turn.
    """
    path = [first]
    while True:
        target: Answering | None = None
        said: list[Message] = []
        async with aclosing(path[-1].responder(turn)) as events:
            async for event in events:
                if isinstance(event, Started) and len(path) > 1:
                    yield path[-1], StatusUpdate(text=f"handed over to {event.agent}")
                    continue
                if isinstance(event, Handover) and (target := find(event.to)) is not None:
                    turn = event.onward(turn)
                    break
                if isinstance(event, Answer):
                    said.append(event.message)
                if isinstance(event, Share):
                    turn = sharing(turn, path[-1].name, event)
                yield path[-1], event
        if target is None:
            return
        names = [agent.name for agent in path]
        if target.name in names or len(path) > limit:
            circle = " -> ".join([*names, target.name])
            raise errors.AgentFailed(f"the agents hand the turn over in circles: {circle}")
        path.append(target)
        turn = turn.but(messages=(*turn.messages[:-1], *said, turn.messages[-1]), agent=None)


def sharing(turn: Turn, agent: str, share: Share) -> Turn:
    """The turn for who is asked next, with what the agent shares."""
    if turn.shared is None:
        return turn
    return turn.but(shared=shared_with(turn.shared, share.by(agent, turn.turn_id)))


async def asked(
    agent: Answering, turn: Turn, caller: str = "", shared: Callable[[Share], None] | None = None
) -> tuple[Message, Usage]:
    """What the agent answers to the turn, as one message, and what that took. A question counts as
    an answer; `AgentFailed` when it hands over, or is asked by itself by way of others. `shared` is
    told what it shares.
    """
    calling = _CALLING.get() or ((caller,) if caller else ())
    if agent.name in calling or len(calling) >= LIMIT:
        circle = " -> ".join([*calling, agent.name])
        raise errors.AgentFailed(f"the agents call each other in circles: {circle}")
    token = _CALLING.set((*calling, agent.name))
    said: list[str] = []
    usage = Usage()
    try:
        async with aclosing(agent.responder(turn)) as events:
            async for event in events:
                match event:
                    case Answer() | InputRequired():
                        said.append(event.message.content)
                    case Share() if shared:
                        shared(event)
                    case Done():
                        usage = event.usage
                    case Failed():
                        raise event.exception()
                    case Handover():
                        to = event.to or event.capability
                        raise errors.AgentFailed(f"{agent.name} hands over to {to!r}")
    finally:
        _CALLING.reset(token)
    return Message(role="assistant", content="\n\n".join(said), turn_id=turn.turn_id), usage


async def stop_all(agents: Iterable[Answering]) -> None:
    """Stops those of the agents that can be stopped, each once."""
    for agent in {id(agent): agent for agent in agents}.values():
        if (stop := getattr(agent, "stop", None)) is not None:
            await stop()


def an_agent(given: Answering) -> Answering:
    """The agent as it is. `InvalidInput` when it is none."""
    if not (hasattr(given, "responder") and hasattr(given, "name")):
        text = f"{given!r} is no agent; give an Agent, a Team, a Chain or a Remote"
        raise errors.InvalidInput(text)
    return given


def by_name(agents: Iterable[Answering]) -> dict[str, Answering]:
    """The agents by their names. `InvalidInput` when two have the same, or one is no agent."""
    found: dict[str, Answering] = {}
    for agent in agents:
        if an_agent(agent).name in found:
            raise errors.InvalidInput(f"two agents are named {agent.name}; rename one of them")
        found[agent.name] = agent
    return found


def tool_of_agent(agent: Answering, name: str, description: str, request: Any) -> Tool:
    """The agent as a tool; `request` is the type of what it is asked."""

    async def ask(ctx: Context, request: Any) -> str:
        return await ctx.call_agent(agent, request_text(request))

    ask.__annotations__["request"] = request
    ask.__doc__ = description or f"Asks {agent.name}."
    return tool_of(ask, name=name)
