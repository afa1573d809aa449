"""Turns through the supervisor to real agents on loopback."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
import uvicorn
from starlette.applications import Starlette

from lmos.llm import embedder
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
    Decided,
    Description,
    Done,
    Failed,
    Handover,
    Message,
    ObjectMeta,
    Responder,
    RoutedCapability,
    Started,
    StatusUpdate,
    TextDelta,
    Turn,
    TurnEvent,
    errors,
)
from lmos.model.grammar import checked
from lmos.protocols import a2a, http
from lmos.router import VectorRouter
from lmos.runtime import Routings, Supervisor
from lmos.state import MemoryState
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


class Player:
    """An agent that does what the test says, and remembers its turns."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.turns: list[Turn] = []
        self.closed = asyncio.Event()
        self.handover: Handover | None = None
        self.wait = 0.0
        self.breaks = False

    async def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        self.turns.append(turn)
        try:
            yield Started(agent=self.name, version="1.0.0")
            if self.handover:
                yield self.handover
                return
            yield TextDelta(text=f"{self.name}: ")
            await asyncio.sleep(self.wait)
            if self.breaks:
                raise RuntimeError("broken inside")
            text = f"{self.name}: {turn.text}"
            yield TextDelta(text=turn.text)
            yield Answer(message=Message(role="assistant", content=text))
            yield Done()
        finally:
            self.closed.set()


@asynccontextmanager
async def serving(responder: Responder, name: str) -> AsyncIterator[str]:
    """The responder as an A2A agent on loopback."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    app = Starlette(routes=[*a2a.routes(responder, Description(name=name))])
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await task
        listener.close()


def resources(name: str, capability: Capability, url: str) -> tuple[Agent, CapabilityGroup]:
    agent = Agent(
        metadata=ObjectMeta(name=name),
        spec=AgentSpec(description=f"The {name}.", provided_capabilities=(capability,)),
        status=AgentStatus(address=AgentAddress(url=url)),
    )
    routed = RoutedCapability(
        name=capability.name, provided_version=capability.version, required_version="1", url=url
    )
    return agent, CapabilityGroup(name=name, description=f"The {name}.", capabilities=(routed,))


def routing(tenant: str, *groups: CapabilityGroup) -> ChannelRouting:
    return ChannelRouting(
        metadata=ObjectMeta(
            name=f"{tenant}-web", labels={"tenant": tenant, "channel": "web", "subset": "stable"}
        ),
        spec=ChannelRoutingSpec(capability_groups=groups),
    )


class Platform:
    """Two agents behind two tenants' channels."""

    def __init__(self, supervisor: Supervisor, store: MemoryStore) -> None:
        self.supervisor = supervisor
        self.store = store
        self.billing: Player
        self.orders: Player

    async def turn(
        self, text: str, conversation: str = "c", tenant: str = "acme", agent: str | None = None
    ) -> list[TurnEvent]:
        turn = Turn(
            tenant=tenant,
            channel="web",
            conversation_id=conversation,
            turn_id="t",
            messages=(Message(role="user", content=text),),
            agent=agent,
        )
        async with aclosing(checked(self.supervisor.respond)(turn)) as events:
            return [event async for event in events]


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    billing, orders = Player("billing"), Player("orders")
    store = MemoryStore()
    async with serving(billing.respond, "billing") as one, serving(orders.respond, "orders") as two:
        first, group = resources("billing", BILL, one)
        second, other = resources("orders", ORDER, two)
        for agent in (first, second):
            await store.apply(agent, "test")
            await store.patch_status(agent)
        await store.apply(routing("acme", group, other), "test")
        await store.apply(routing("globex", group), "test")
        async with Routings(store, embedder()) as routings:
            supervisor = Supervisor(routings, VectorRouter(embedder()), MemoryState())
            made = Platform(supervisor, store)
            made.billing, made.orders = billing, orders
            yield made
        await http.close_session()


def answer(events: list[TurnEvent]) -> str:
    return "".join(e.message.content for e in events if isinstance(e, Answer))


async def test_the_right_agent_answers_and_events_come_through(platform: Platform) -> None:
    events = await platform.turn("how much do I owe you")
    assert [e.type for e in events] == [
        "started", "decision", "text_delta", "text_delta", "message", "done",
    ]  # fmt: skip
    assert isinstance(events[0], Started)
    assert events[0].agent == "billing"
    assert answer(events) == "billing: how much do I owe you"


async def test_a_follow_up_stays_and_a_change_of_subject_leaves(platform: Platform) -> None:
    await platform.turn("how much do I owe you")
    assert answer(await platform.turn("and last month?")).startswith("billing")
    assert answer(await platform.turn("where is my parcel")).startswith("orders")
    assert answer(await platform.turn("why?")).startswith("orders")


async def test_the_agent_gets_the_conversation(platform: Platform) -> None:
    await platform.turn("how much do I owe you")
    await platform.turn("and last month?")
    seen = platform.billing.turns[-1]
    assert [m.content for m in seen.messages] == [
        "how much do I owe you", "billing: how much do I owe you", "and last month?",
    ]  # fmt: skip
    assert (seen.tenant, seen.channel, seen.conversation_id) == ("acme", "web", "c")
    assert seen.deadline is not None


async def test_an_explicit_agent_is_honoured_and_an_unknown_one_refused(
    platform: Platform,
) -> None:
    assert answer(await platform.turn("how much do I owe", agent="orders")).startswith("orders")
    with pytest.raises(errors.AgentNotFound, match="it has billing, orders"):
        await platform.turn("hi", agent="nobody")


async def test_what_nobody_offers_is_declined_by_the_platform(platform: Platform) -> None:
    events = await platform.turn("what is the capital of Peru")
    assert isinstance(events[0], Started)
    assert events[0].agent == "lmos"
    assert isinstance(events[1], Decided)
    assert events[1].decision.outcome == "out_of_scope"
    assert "The billing" in answer(events)
    assert not platform.billing.turns


async def test_tenants_are_apart(platform: Platform) -> None:
    await platform.turn("how much do I owe, my code is 1234", conversation="same")
    await platform.turn("how much do I owe", conversation="same", tenant="globex")
    assert len(platform.billing.turns[-1].messages) == 1
    with pytest.raises(errors.ChannelNotFound) as caught:
        await platform.turn("hi", tenant="initech")
    assert "acme" not in str(caught.value)
    events = await platform.turn("where is my parcel", tenant="globex")
    assert not answer(events).startswith("orders")


async def test_an_agent_that_is_down_is_a_clear_error(platform: Platform) -> None:
    agent = await platform.store.get(Agent, "orders")
    assert agent
    gone = agent.status.but(address=AgentAddress(url="http://127.0.0.1:9"))
    await platform.store.patch_status(agent.but(status=gone))

    def known(name: str) -> AgentAddress | None:
        return platform.supervisor.routings.find("acme", "web").members[name].address

    async with asyncio.timeout(5):
        while known("orders") != gone.address:
            await asyncio.sleep(0.01)
    last = (await platform.turn("where is my order"))[-1]
    assert isinstance(last, Failed)
    assert last.error.code == "AGENT_UNAVAILABLE"
    assert "orders" in last.error.message


async def test_an_agent_that_breaks_off_is_a_clear_error(platform: Platform) -> None:
    platform.billing.breaks = True
    last = (await platform.turn("how much do I owe"))[-1]
    assert isinstance(last, Failed)
    assert "billing" in last.error.message
    assert "broken inside" not in last.error.message


async def test_a_handover_is_followed(platform: Platform) -> None:
    platform.billing.handover = Handover(to="orders")
    events = await platform.turn("how much do I owe")
    assert any(isinstance(e, StatusUpdate) and "orders" in e.text for e in events)
    assert answer(events).startswith("orders")
    platform.billing.handover = Handover(capability="track-order")
    assert answer(await platform.turn("how much do I owe")).startswith("orders")


@pytest.mark.parametrize(
    ("to", "code"), [("nobody", "AGENT_NOT_FOUND"), ("billing", "AGENT_CLIENT_EXCEPTION")]
)
async def test_a_handover_to_a_stranger_or_in_circles_is_refused(
    platform: Platform, to: str, code: str
) -> None:
    platform.billing.handover = Handover(to=to)
    last = (await platform.turn("how much do I owe"))[-1]
    assert isinstance(last, Failed)
    assert last.error.code == code


async def test_turns_of_a_conversation_wait_for_each_other(platform: Platform) -> None:
    platform.billing.wait = 0.05
    await asyncio.gather(*(platform.turn(f"how much do I owe {n}") for n in range(4)))
    counts = [len(turn.messages) for turn in platform.billing.turns]
    assert counts == [1, 3, 5, 7]


async def test_too_many_waiting_turns_are_turned_away(platform: Platform) -> None:
    platform.billing.wait = 0.2
    results = await asyncio.gather(
        *(platform.turn("how much do I owe") for _ in range(14)), return_exceptions=True
    )
    refused = [r for r in results if isinstance(r, errors.Overloaded)]
    assert refused
    assert len(refused) < 14


async def test_leaving_ends_the_agents_turn(platform: Platform) -> None:
    platform.billing.wait = 30
    turn = Turn(
        tenant="acme",
        channel="web",
        conversation_id="left",
        turn_id="t",
        messages=(Message(role="user", content="how much do I owe"),),
    )
    async with aclosing(platform.supervisor.respond(turn)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    async with asyncio.timeout(5):
        await platform.billing.closed.wait()


async def test_a_new_routing_is_live_at_once(platform: Platform) -> None:
    found = await platform.store.get(ChannelRouting, "acme-web")
    assert found
    await platform.store.apply(routing("globex", *found.spec.capability_groups), "test")
    async with asyncio.timeout(5):
        while not answer(await platform.turn("where is my parcel", "new", "globex")).startswith(
            "orders"
        ):
            await asyncio.sleep(0.01)
