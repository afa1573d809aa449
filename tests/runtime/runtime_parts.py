"""Agents on loopback, resources for them, and a platform of two agents and two tenants."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import count
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from lmos.model import (
    Agent,
    AgentAddress,
    AgentSpec,
    AgentStatus,
    Answer,
    Capability,
    CapabilityGroup,
    ChannelRouting,
    ChannelRoutingSpec,
    Description,
    Done,
    Message,
    ObjectMeta,
    Responder,
    RoutedCapability,
    Started,
    TextDelta,
    Turn,
    TurnEvent,
)
from lmos.model.grammar import checked
from lmos.protocols import a2a
from lmos.runtime import Supervisor
from lmos.store import MemoryStore

BILL = Capability(
    id="view_bill",
    name="view-bill",
    version="1.0.0",
    description="The customer wants to see a bill",
    examples=("show me my bill", "how much do I owe"),
)
ORDER = Capability(
    id="track_order",
    name="track-order",
    version="1.0.0",
    description="The customer asks where an order is",
    examples=("where is my order", "track my parcel"),
)

Play = Callable[[Turn], AsyncGenerator[TurnEvent, None]]


class Player:
    """An agent that repeats what it hears, or does what the test says; it remembers its turns."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.turns: list[Turn] = []
        self.closed = asyncio.Event()
        self.play: Play = self.repeat

    @property
    def responder(self) -> Responder:
        return self.respond

    async def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        self.turns.append(turn)
        try:
            yield Started(agent=self.name, version="1.0.0")
            async with aclosing(self.play(turn)) as events:
                async for event in events:
                    yield event
        finally:
            self.closed.set()

    async def repeat(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        yield TextDelta(text=f"{self.name}: ")
        yield TextDelta(text=turn.text)
        yield Answer(message=Message(role="assistant", content=f"{self.name}: {turn.text}"))
        yield Done()

    def slowly(self, seconds: float) -> None:
        """From now on it pauses after its first word."""

        async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
            async for event in self.repeat(turn):
                yield event
                if event == TextDelta(text=f"{self.name}: "):
                    await asyncio.sleep(seconds)

        self.play = play

    def plays(self, *events: TurnEvent | Exception) -> None:
        """From now on it sends these events; an exception is raised."""

        async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
            for event in events:
                if isinstance(event, Exception):
                    raise event
                yield event

        self.play = play


@asynccontextmanager
async def served(app: ASGIApp, port: int = 0, **options: Any) -> AsyncIterator[str]:
    """The app's URL while it is served; at the end all connections are cut at once. `options` are
    uvicorn's.
    """
    listener = socket.socket()
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="critical", lifespan="off", **options)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup([listener])
    try:
        scheme = "https" if config.is_ssl else "http"
        yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for accepting in server.servers:
            accepting.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*server.server_state.tasks, return_exceptions=True)


def serving(responder: Responder, name: str) -> Any:
    """The responder as an A2A agent on loopback; a context manager that gives its URL."""
    return served(Starlette(routes=[*a2a.routes(responder, Description(name=name))]))


def agent_of(name: str, url: str, *offers: Capability) -> Agent:
    return Agent(
        metadata=ObjectMeta(name=name),
        spec=AgentSpec(version="1.0.0", description=f"The {name}.", provided_capabilities=offers),
        status=AgentStatus(address=AgentAddress(url=url)),
    )


def group_of(agent: Agent, *routed: Capability, versions: str = ">=1.0.0") -> CapabilityGroup:
    return CapabilityGroup(
        name=agent.name,
        description=agent.spec.description,
        capabilities=tuple(
            RoutedCapability(
                id=c.id, name=c.name, provided_version=c.version, required_version=versions
            )
            for c in routed
        ),
    )


def routing(tenant: str, *groups: CapabilityGroup) -> ChannelRouting:
    return ChannelRouting(
        metadata=ObjectMeta(
            name=f"{tenant}-web", labels={"tenant": tenant, "channel": "web", "subset": "stable"}
        ),
        spec=ChannelRoutingSpec(capability_groups=groups),
    )


_numbers = count()


def turn_of(
    text: str,
    conversation: str = "c",
    tenant: str = "acme",
    turn_id: str | None = None,
    **more: Any,
) -> Turn:
    return Turn(
        tenant=tenant,
        channel="web",
        conversation_id=conversation,
        turn_id=turn_id or f"t{next(_numbers)}",
        messages=(Message(role="user", content=text),),
        **more,
    )


class Platform:
    """Tenant acme has billing and orders on its channel, tenant globex billing alone."""

    def __init__(
        self, supervisor: Supervisor, store: MemoryStore, billing: Player, orders: Player
    ) -> None:
        self.supervisor = supervisor
        self.store = store
        self.billing = billing
        self.orders = orders

    async def turn(self, text: str, conversation: str = "c", **more: Any) -> list[TurnEvent]:
        turn = turn_of(text, conversation, **more)
        async with aclosing(checked(self.supervisor.respond)(turn)) as events:
            return [event async for event in events]

    async def change(self, agent: Agent) -> None:
        """Puts the agent, status included, into the store, and waits until the routing knows."""
        await self.store.apply(agent, "test")
        await self.store.patch_status(agent)
        await self.settled()

    async def arrange(self, tenant: str = "acme", **how: Any) -> None:
        """Changes how the agents of the tenant's channel answer together."""
        found = await self.store.get(ChannelRouting, f"{tenant}-web")
        assert found
        spec = ChannelRoutingSpec.model_validate(found.spec.model_dump() | how)
        await self.store.apply(found.but(spec=spec), "test")
        await self.settled()

    async def settled(self) -> None:
        """Returns when the routing shows the store as it is now."""
        _, version = await self.store.list(Agent)
        async with asyncio.timeout(5):
            while self.supervisor.routings.version != version:
                await asyncio.sleep(0.01)


def answer(events: list[TurnEvent]) -> str:
    return "".join(e.message.content for e in events if isinstance(e, Answer))
