"""The control plane ends in what the resolver says, whatever happens, in whatever order."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import pytest

from lmos.controlplane import ControlPlane, Driver, EventLog
from lmos.model import (
    Agent,
    AgentSpec,
    Capability,
    Channel,
    ChannelRouting,
    ChannelSpec,
    Description,
    Key,
    ObjectMeta,
    RequiredCapability,
    Resource,
    errors,
)
from lmos.resolver import resolve
from lmos.store import MemoryStore

T = TypeVar("T")
URL = "http://agent.example"


def offers(*names: str) -> tuple[Capability, ...]:
    return tuple(Capability(name=n.split("@")[0], version=n.split("@")[1]) for n in names)


def agent(name: str, *names: str, **spec: Any) -> Agent:
    given: dict[str, Any] = {"supported_channels": ("web",), **spec}
    if names:
        given["provided_capabilities"] = offers(*names)
    return Agent(metadata=ObjectMeta(name=name), spec=AgentSpec(**given))


def channel(name: str, *required: str, tenant: str = "acme", **labels: str) -> Channel:
    needs = tuple(
        RequiredCapability(name=r.split("@")[0], version=r.split("@")[1]) for r in required
    )
    meta = ObjectMeta(name=name, labels={"tenant": tenant, "channel": "web", **labels})
    return Channel(metadata=meta, spec=ChannelSpec(required_capabilities=needs))


class Agents:
    """What agents at addresses say of themselves; whoever is not here does not answer."""

    def __init__(self) -> None:
        self.says: dict[str, Description | errors.LmosError] = {}

    async def describe(self, url: str) -> Description:
        found = self.says.get(url, errors.AgentUnavailable(f"{url} cannot be reached"))
        if isinstance(found, errors.LmosError):
            raise found
        return found

    async def probe(self, url: str) -> None:
        await self.describe(url)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def agents() -> Agents:
    return Agents()


@pytest.fixture
def events() -> EventLog:
    return EventLog()


@pytest.fixture
async def plane(
    store: MemoryStore, agents: Agents, events: EventLog
) -> AsyncIterator[ControlPlane]:
    async with ControlPlane(
        store, describe=agents.describe, probe=agents.probe, events=events
    ) as running:
        yield running


async def until(read: Callable[[], Awaitable[T]], true: Callable[[T], bool]) -> T:
    """What `read` gives, as soon as it is as wanted."""
    async with asyncio.timeout(10):
        while not true(found := await read()):
            await asyncio.sleep(0.01)
    return found


async def test_an_agent_is_described_and_resolves_a_channel(
    plane: ControlPlane, store: MemoryStore, agents: Agents, events: EventLog
) -> None:
    agents.says[URL] = Description(
        name="billing",
        version="1.2.0",
        supported_channels=("web",),
        capabilities=offers("bill@1.2.0"),
        url=URL + "/a2a",
        source="the card",
    )
    await store.apply(channel("acme-web", "bill@^1"), "me")
    await store.apply(Agent(metadata=ObjectMeta(name="billing"), spec=AgentSpec(url=URL)), "me")
    found = await until(
        lambda: store.get(Channel, "acme-web"),
        lambda c: c is not None and c.status.resolve_status == "RESOLVED",
    )
    assert found
    assert found.status.is_true("Resolved")
    billing = await store.get(Agent, "billing")
    assert billing
    assert billing.status.is_true("Ready")
    assert billing.status.address
    assert billing.status.address.url == URL + "/a2a"
    routing = await until(
        lambda: store.get(ChannelRouting, "acme-web"),
        lambda r: r is not None and bool(r.spec.capability_groups),
    )
    assert routing
    assert routing.metadata.owner_references[0]["uid"] == found.metadata.uid
    reasons = [event.reason for event in events.recent()]
    assert (reasons.count("AgentReady"), "ChannelResolved" in reasons) == (1, True)


async def test_an_agent_that_goes_silent_keeps_its_description_and_comes_back(
    plane: ControlPlane, store: MemoryStore, agents: Agents
) -> None:
    agents.says[URL] = Description(name="a", capabilities=offers("bill@1.0.0"), source="card")
    await store.apply(Agent(metadata=ObjectMeta(name="a"), spec=AgentSpec(url=URL)), "me")

    async def read() -> Agent | None:
        return await store.get(Agent, "a")

    await until(read, lambda a: a is not None and a.status.is_true("Ready"))
    del agents.says[URL]
    await store.apply(
        Agent(metadata=ObjectMeta(name="a", labels={"x": "y"}), spec=AgentSpec(url=URL)), "me"
    )  # any change brings its turn forward
    silent = await until(read, lambda a: a is not None and not a.status.is_true("Ready"))
    assert silent
    assert silent.status.condition("Ready").reason == "Unreachable"  # type: ignore[union-attr]
    assert silent.spec.provided_capabilities == offers("bill@1.0.0")
    agents.says[URL] = Description(name="a", capabilities=offers("bill@2.0.0"), source="card")
    back = await until(read, lambda a: a is not None and a.status.is_true("Ready"))
    assert back
    assert back.spec.provided_capabilities == offers("bill@2.0.0")


async def test_what_a_manifest_says_wins_over_what_the_agent_says(
    plane: ControlPlane, store: MemoryStore, agents: Agents
) -> None:
    agents.says[URL] = Description(
        name="a", description="its own", capabilities=offers("bill@1.0.0"), source="card"
    )
    spec = AgentSpec(url=URL, description="by hand")
    await store.apply(Agent(metadata=ObjectMeta(name="a"), spec=spec), "manifest")
    found = await until(
        lambda: store.get(Agent, "a"), lambda a: a is not None and a.status.is_true("Ready")
    )
    assert found
    assert found.spec.description == "by hand"
    assert found.spec.provided_capabilities == offers("bill@1.0.0")


async def test_a_broken_description_is_told(
    plane: ControlPlane, store: MemoryStore, agents: Agents, events: EventLog
) -> None:
    agents.says[URL] = errors.AgentFailed("the card is no JSON")
    await store.apply(Agent(metadata=ObjectMeta(name="a"), spec=AgentSpec(url=URL)), "me")
    found = await until(
        lambda: store.get(Agent, "a"),
        lambda a: a is not None and a.status.condition("Ready") is not None,
    )
    assert found
    ready = found.status.condition("Ready")
    assert ready
    assert (ready.reason, ready.message) == ("InvalidDescription", "the card is no JSON")
    assert [e.reason for e in events.recent()] == ["AgentNotReady"]


async def test_of_two_channels_that_say_the_same_the_older_counts(
    plane: ControlPlane, store: MemoryStore
) -> None:
    await store.apply(agent("a", "bill@1.0.0"), "me")
    await store.apply(channel("first", "bill@1"), "me")
    await store.apply(channel("second", "bill@1"), "me")
    refused = await until(
        lambda: store.get(Channel, "second"),
        lambda c: c is not None and c.status.condition("Resolved") is not None,
    )
    assert refused
    assert refused.status.condition("Resolved").reason == "Conflict"  # type: ignore[union-attr]
    assert await store.get(ChannelRouting, "second") is None
    await store.delete(Key(kind="Channel", namespace="default", name="first"))
    await until(
        lambda: store.get(Channel, "second"),
        lambda c: c is not None and c.status.resolve_status == "RESOLVED",
    )


async def test_nothing_is_written_when_nothing_changes(
    plane: ControlPlane, store: MemoryStore
) -> None:
    await store.apply(agent("a", "bill@1.0.0"), "me")
    await store.apply(channel("c", "bill@1"), "me")
    await settled(plane, store)
    _, version = await store.list(Agent)
    plane.driver.enqueue(1, Key(kind="Channel", namespace="default", name="c"))
    await plane.driver.idle()
    assert (await store.list(Agent))[1] == version


async def settled(plane: ControlPlane, store: MemoryStore) -> None:
    """Returns when the store has stopped changing."""
    seen, still = "", 0
    while still < 5:
        await asyncio.sleep(0.005)
        await plane.driver.idle()
        _, now = await store.list(Agent)
        seen, still = now, still + 1 if now == seen else 0


@pytest.mark.parametrize("seed", range(8))
async def test_any_story_ends_in_what_the_resolver_says(
    plane: ControlPlane, store: MemoryStore, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        name = f"x{chance.randrange(4)}"
        try:
            match chance.randrange(4):
                case 0:
                    await store.apply(channel(name, f"{chance.choice('ab')}@^1", tenant=name), "me")
                case 1:
                    await store.delete(
                        Key(
                            kind=chance.choice(["Agent", "Channel"]), namespace="default", name=name
                        )
                    )
                case _:
                    version = chance.choice(["1.0.0", "1.1.0", "2.0.0", "bad"])
                    tenants = chance.choice([(), (name,), ("x0", "x1")])
                    offer = f"{chance.choice('ab')}@{version}"
                    await store.apply(agent(name, offer, supported_tenants=tenants), "me")
        except errors.NotFound:
            pass
        if chance.random() < 0.3:
            await asyncio.sleep(0)
    await settled(plane, store)
    agents, _ = await store.list(Agent)
    channels, _ = await store.list(Channel)
    routings, _ = await store.list(ChannelRouting)
    assert {r.name for r in routings} == {c.name for c in channels}
    for found, routing in zip(channels, routings, strict=True):
        expected = resolve(agents, found)
        assert routing.spec == expected.routing.spec
        assert found.status.resolve_status == expected.channel.status.resolve_status


class Flaky:
    """A reconciler that fails for one key, twice."""

    kinds: Sequence[type[Resource]] = (Agent,)

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def keys_for(self, resource: Resource) -> Iterable[Key]:
        return [resource.key]

    async def reconcile(self, key: Key) -> float | None:
        self.calls.append(key.name)
        if key.name == "bad" and self.calls.count("bad") < 3:
            raise errors.AgentUnavailable("not yet")
        return None


async def test_a_key_that_fails_is_tried_again_and_holds_up_nobody(store: MemoryStore) -> None:
    for name in ("bad", "good"):
        await store.apply(Agent(metadata=ObjectMeta(name=name)), "me")
    flaky = Flaky()
    async with Driver(store, [flaky], jitter=lambda: 0.0) as driver:
        async with asyncio.timeout(5):
            while flaky.calls.count("bad") < 3:
                await asyncio.sleep(0.01)
        assert flaky.calls.count("good") == 1
        assert driver.counters.failed == 2
