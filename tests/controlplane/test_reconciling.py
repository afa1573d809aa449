"""What the reconcilers write of agents and channels, and what they leave alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from lmos.controlplane import AgentReconciler, ControlPlane, EventLog
from lmos.controlplane.agents import DESCRIBE_EVERY, PROBE_EVERY
from lmos.model import (
    Agent,
    AgentAddress,
    AgentSpec,
    Capability,
    Channel,
    ChannelRouting,
    ChannelSpec,
    Condition,
    Description,
    Key,
    ObjectMeta,
    RequiredCapability,
    errors,
)
from lmos.store import MemoryStore

URL = "http://agent.example"
KEY = Key(kind="Agent", namespace="default", name="a")
BILL = Capability(name="bill", version="1.0.0")
ORDER = Capability(name="order", version="1.0.0")


class World:
    """What agents at addresses say of themselves, a clock, and what was asked."""

    def __init__(self) -> None:
        self.says: dict[str, Description | Exception] = {}
        self.now = 0.0
        self.asked: list[str] = []
        self.while_asked: Callable[[], Awaitable[object]] | None = None

    async def describe(self, url: str) -> Description:
        self.asked.append("describe")
        found = self._at(url)
        if self.while_asked:
            await self.while_asked()
        return found

    async def probe(self, url: str) -> None:
        self.asked.append("probe")
        self._at(url)

    def _at(self, url: str) -> Description:
        found = self.says.get(url, errors.AgentUnavailable(f"{url} cannot be reached"))
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def events() -> EventLog:
    return EventLog()


@pytest.fixture
def reconciler(store: MemoryStore, world: World, events: EventLog) -> AgentReconciler:
    return AgentReconciler(store, world.describe, world.probe, events, clock=lambda: world.now)


@pytest.fixture
async def plane(store: MemoryStore, world: World, events: EventLog) -> AsyncIterator[ControlPlane]:
    async with ControlPlane(
        store, describe=world.describe, probe=world.probe, events=events
    ) as running:
        yield running


def description(*offers: Capability, **more: Any) -> Description:
    return Description(name="a", capabilities=offers, source="the card", **more)


def announced(url: str = URL, **spec: Any) -> Agent:
    return Agent(metadata=ObjectMeta(name="a"), spec=AgentSpec(url=url, **spec))


def provider(name: str, *offers: Capability, **spec: Any) -> Agent:
    given = {"supported_channels": ("web",), "provided_capabilities": offers, **spec}
    return Agent(metadata=ObjectMeta(name=name), spec=AgentSpec(**given))


def channel(name: str, tenant: str = "acme") -> Channel:
    needs = (RequiredCapability(name="bill", version="^1"),)
    labels = {"tenant": tenant, "channel": "web"}
    return Channel(
        metadata=ObjectMeta(name=name, labels=labels), spec=ChannelSpec(required_capabilities=needs)
    )


async def found(store: MemoryStore) -> Agent:
    agent = await store.get(Agent, "a")
    assert agent
    return agent


def ready(agent: Agent) -> Condition:
    condition = agent.status.condition("Ready")
    assert condition
    return condition


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await true():
            await asyncio.sleep(0.005)


# --- agents ---------------------------------------------------------------------------------------


async def test_capabilities_status_and_address_come_from_the_description(
    store: MemoryStore, world: World, reconciler: AgentReconciler
) -> None:
    world.says[URL] = description(BILL, version="1.2.0", url=URL + "/a2a", protocol="openai")
    await store.apply(announced(), "manifest")
    assert await reconciler.reconcile(KEY) == PROBE_EVERY
    agent = await found(store)
    assert agent.spec.provided_capabilities == (BILL,)
    assert agent.spec.version == "1.2.0"
    assert agent.status.address == AgentAddress(url=URL + "/a2a", protocol="openai")
    assert agent.status.source == "the card"
    assert agent.status.is_true("Described")
    assert (ready(agent).status, ready(agent).reason) == ("True", "Answering")
    assert ready(agent).last_transition_time


async def test_between_descriptions_it_is_only_probed(
    store: MemoryStore, world: World, reconciler: AgentReconciler
) -> None:
    world.says[URL] = description(BILL)
    await store.apply(announced(), "manifest")
    for world.now in (0.0, DESCRIBE_EVERY - 1, DESCRIBE_EVERY):
        await reconciler.reconcile(KEY)
    assert world.asked == ["describe", "probe", "describe"]


async def test_a_new_address_is_described_at_once(
    store: MemoryStore, world: World, reconciler: AgentReconciler
) -> None:
    world.says = {URL: description(BILL), URL + "/new": description(ORDER)}
    for url in (URL, URL + "/new"):
        await store.apply(announced(url), "manifest")
        await reconciler.reconcile(KEY)
    agent = await found(store)
    assert agent.spec.provided_capabilities == (ORDER,)
    assert agent.status.address == AgentAddress(url=URL + "/new")


async def test_what_the_agent_no_longer_says_goes(
    store: MemoryStore, world: World, reconciler: AgentReconciler
) -> None:
    await store.apply(announced(), "manifest")
    for says in (description(BILL, ORDER, version="1.0.0"), description(ORDER)):
        world.says[URL] = says
        await reconciler.reconcile(KEY)
        world.now += DESCRIBE_EVERY
    agent = await found(store)
    assert (agent.spec.provided_capabilities, agent.spec.version) == ((ORDER,), "")
    assert agent.spec.url == URL


async def test_fields_of_a_manifest_are_left_alone_however_often_it_is_described(
    store: MemoryStore, world: World, reconciler: AgentReconciler
) -> None:
    await store.apply(announced(description="by hand"), "manifest")
    for offers in ((BILL,), (BILL, ORDER), (ORDER,)):
        world.says[URL] = description(*offers, description="its own", version="3")
        await reconciler.reconcile(KEY)
        agent = await found(store)
        assert agent.spec.provided_capabilities == offers
        assert (agent.spec.description, agent.spec.version) == ("by hand", "3")
        world.now += DESCRIBE_EVERY


@pytest.mark.parametrize(
    ("failure", "reason", "described"),
    [
        (errors.AgentUnavailable("nobody there"), "Unreachable", "True"),
        (errors.AgentFailed("the card is no JSON"), "InvalidDescription", "False"),
    ],
)
async def test_an_agent_that_fails_keeps_what_was_known_and_recovers(
    store: MemoryStore,
    world: World,
    reconciler: AgentReconciler,
    events: EventLog,
    failure: errors.LmosError,
    reason: str,
    described: str,
) -> None:
    world.says[URL] = description(BILL)
    await store.apply(announced(), "manifest")
    await reconciler.reconcile(KEY)
    before = await found(store)
    world.now += DESCRIBE_EVERY
    world.says[URL] = failure
    pauses = [await reconciler.reconcile(KEY) for _ in range(9)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    agent = await found(store)
    assert (ready(agent).reason, ready(agent).message) == (reason, failure.message)
    condition = agent.status.condition("Described")
    assert condition
    assert condition.status == described
    assert (agent.spec, agent.status.address) == (before.spec, before.status.address)
    world.says[URL] = description(ORDER)
    await reconciler.reconcile(KEY)
    assert ready(await found(store)).status == "True"
    assert (await found(store)).spec.provided_capabilities == (ORDER,)
    assert [e.reason for e in events.recent()] == ["AgentReady", "AgentNotReady", "AgentReady"]
    assert [e.type for e in events.recent()] == ["Normal", "Warning", "Normal"]


async def test_an_agent_without_an_address_is_not_asked(
    store: MemoryStore, world: World, reconciler: AgentReconciler, events: EventLog
) -> None:
    await store.apply(provider("a", BILL), "manifest")
    assert await reconciler.reconcile(KEY) is None
    assert ready(await found(store)).reason == "NoAddress"
    assert (world.asked, events.recent()) == ([], [])


async def test_nothing_is_written_while_nothing_changes(
    store: MemoryStore, world: World, reconciler: AgentReconciler, events: EventLog
) -> None:
    world.says[URL] = description(BILL)
    await store.apply(announced(), "manifest")
    await reconciler.reconcile(KEY)
    version = (await found(store)).metadata.resource_version
    for _ in range(20):
        world.now += DESCRIBE_EVERY / 3
        await reconciler.reconcile(KEY)
    assert (await found(store)).metadata.resource_version == version
    assert len(events.recent()) == 1


async def test_an_agent_removed_while_it_is_described_stays_removed(
    store: MemoryStore, world: World, reconciler: AgentReconciler
) -> None:
    world.says[URL] = description(BILL)
    world.while_asked = lambda: store.delete(KEY)
    await store.apply(announced(), "manifest")
    await reconciler.reconcile(KEY)
    assert await store.get(Agent, "a") is None
    assert await reconciler.reconcile(KEY) is None


async def test_an_agent_made_anew_is_described_anew(
    store: MemoryStore, world: World, reconciler: AgentReconciler
) -> None:
    world.says[URL] = description(BILL)
    await store.apply(announced(), "manifest")
    await reconciler.reconcile(KEY)
    await store.delete(KEY)
    await store.apply(announced(), "manifest")
    await reconciler.reconcile(KEY)
    agent = await found(store)
    assert agent.spec.provided_capabilities == (BILL,)
    assert agent.status.address == AgentAddress(url=URL)


async def test_an_agent_moved_while_it_is_described_is_described_where_it_is(
    store: MemoryStore, world: World, reconciler: AgentReconciler
) -> None:
    world.says = {URL: description(BILL), URL + "/new": description(ORDER)}
    world.while_asked = lambda: store.apply(announced(URL + "/new"), "manifest")
    await store.apply(announced(), "manifest")
    for _ in range(2):  # the change itself brings the second turn
        await reconciler.reconcile(KEY)
    agent = await found(store)
    assert agent.spec.provided_capabilities == (ORDER,)
    assert agent.status.address == AgentAddress(url=URL + "/new")


# --- channels -------------------------------------------------------------------------------------


async def test_a_channel_follows_its_agents(
    plane: ControlPlane, store: MemoryStore, events: EventLog
) -> None:
    async def status(wanted: str) -> bool:
        c = await store.get(Channel, "c")
        return bool(c and c.status.conditions and c.status.resolve_status == wanted)

    await store.apply(channel("c"), "manifest")
    await until(lambda: status("UNRESOLVED"))
    await store.apply(provider("a", BILL), "manifest")
    await until(lambda: status("RESOLVED"))
    routing = await store.get(ChannelRouting, "c")
    assert routing
    assert [group.name for group in routing.spec.capability_groups] == ["a"]
    await store.delete(KEY)
    await until(lambda: status("UNRESOLVED"))
    emptied = await store.get(ChannelRouting, "c")
    assert emptied is None or not emptied.spec.capability_groups
    assert [e.reason for e in events.recent()] == [
        "ChannelUnresolved", "ChannelResolved", "ChannelUnresolved",
    ]  # fmt: skip


async def test_a_routing_belongs_to_its_channel_and_goes_with_it(
    plane: ControlPlane, store: MemoryStore
) -> None:
    async def routed() -> bool:
        return await store.get(ChannelRouting, "c") is not None

    await store.apply(provider("a", BILL), "manifest")
    made = await store.apply(channel("c"), "manifest")
    await until(routed)
    routing = await store.get(ChannelRouting, "c")
    assert routing
    (owner,) = routing.metadata.owner_references
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Channel", "c", made.metadata.uid)
    await store.delete(made.key)
    await plane.driver.idle()
    assert not await routed()


async def test_a_channels_settings_go_with_its_routing(
    plane: ControlPlane, store: MemoryStore
) -> None:
    async def settings() -> dict[str, str]:
        routing = await store.get(ChannelRouting, "web")
        return dict(routing.metadata.annotations) if routing else {}

    ours, theirs = "lmos.eclipse/decision-inputs", "example.org/owner"
    for said in ("kept", "hashed"):
        web = channel("web")
        annotated = web.metadata.but(annotations={ours: said, theirs: "team a"})
        await store.apply(web.but(metadata=annotated), "test")

        async def follows(said: str = said) -> bool:
            return await settings() == {ours: said}

        await until(follows)


async def test_a_routing_that_somebody_removes_comes_back(
    plane: ControlPlane, store: MemoryStore
) -> None:
    async def routed() -> bool:
        return await store.get(ChannelRouting, "c") is not None

    await store.apply(provider("a", BILL), "manifest")
    await store.apply(channel("c"), "manifest")
    await until(routed)
    await store.delete(Key(kind="ChannelRouting", namespace="default", name="c"))
    await until(routed)


async def test_another_tenant_in_the_labels_resolves_again(
    plane: ControlPlane, store: MemoryStore
) -> None:
    async def status(wanted: str) -> bool:
        c = await store.get(Channel, "c")
        routing = await store.get(ChannelRouting, "c")
        tenant = routing.tenant if routing else ""
        return c is not None and (c.status.resolve_status, tenant) == (wanted, c.tenant)

    await store.apply(provider("a", BILL, supported_tenants=("acme",)), "manifest")
    await store.apply(channel("c", "acme"), "manifest")
    await until(lambda: status("RESOLVED"))
    await store.apply(channel("c", "globex"), "manifest")
    await until(lambda: status("UNRESOLVED"))
    await store.apply(channel("c", "acme"), "manifest")
    await until(lambda: status("RESOLVED"))


async def test_an_agent_of_another_namespace_does_not_count(
    plane: ControlPlane, store: MemoryStore
) -> None:
    async def reported() -> bool:
        c = await store.get(Channel, "c")
        return bool(c and c.status.conditions)

    there = ObjectMeta(name="a", namespace="elsewhere")
    await store.apply(provider("a", BILL).but(metadata=there), "manifest")
    await store.apply(channel("c"), "manifest")
    await until(reported)
    found = await store.get(Channel, "c")
    assert found
    assert found.status.resolve_status == "UNRESOLVED"
