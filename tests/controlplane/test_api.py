"""The platform's resources over HTTP: lists, single ones, the operator's paths, watches, events."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import uvicorn
from starlette.applications import Starlette

from lmos.controlplane import EventLog
from lmos.controlplane.api import routes
from lmos.model import (
    Agent,
    AgentSpec,
    Capability,
    CapabilityGroup,
    Channel,
    ChannelRouting,
    ChannelRoutingSpec,
    ChannelSpec,
    Key,
    ObjectMeta,
    RequiredCapability,
    RoutedCapability,
)
from lmos.store import MemoryStore

GROUP = "/apis/lmos.eclipse/v1"
CHANNELS = "/apis/v1/tenants/acme/channels"


class Client:
    """Asks the server under test."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.get(self._url + path, headers=named) as response:
            return response.status, await response.json(content_type=None)

    def stream(self, path: str, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._session.get(self._url + path, headers=named)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(log_length=20)


@pytest.fixture
def events() -> EventLog:
    return EventLog()


@pytest.fixture
async def client(store: MemoryStore, events: EventLog) -> AsyncIterator[Client]:
    config = uvicorn.Config(
        Starlette(routes=routes(store, events)),
        port=0,
        log_level="critical",
        lifespan="off",
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(session, f"http://127.0.0.1:{port}")
    finally:
        for accepting in server.servers:
            accepting.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*server.server_state.tasks, return_exceptions=True)


def agent(name: str, namespace: str = "default", **labels: str) -> Agent:
    offers = (Capability(name="bill", version="1.0.0"),)
    return Agent(
        metadata=ObjectMeta(name=name, namespace=namespace, labels=labels),
        spec=AgentSpec(provided_capabilities=offers),
    )


def channel(name: str, tenant: str = "acme", namespace: str = "default", **labels: str) -> Channel:
    needs = (RequiredCapability(name="bill", version="^1"),)
    given = {"tenant": tenant, "channel": "web", **labels}
    return Channel(
        metadata=ObjectMeta(name=name, namespace=namespace, labels=given),
        spec=ChannelSpec(required_capabilities=needs),
    )


def routing(name: str, **labels: str) -> ChannelRouting:
    routed = RoutedCapability(name="bill", provided_version="1.0.0")
    group = CapabilityGroup(name="a", capabilities=(routed,))
    return ChannelRouting(
        metadata=ObjectMeta(
            name=name,
            labels={"tenant": "acme", "channel": "web", **labels},
            owner_references=({"kind": "Channel", "name": name, "uid": "1"},),
        ),
        spec=ChannelRoutingSpec(capability_groups=(group,)),
    )


def names(body: Any) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"]]


# --- as a Kubernetes API server -------------------------------------------------------------------


async def test_a_list_has_its_kind_its_version_and_its_items(
    client: Client, store: MemoryStore
) -> None:
    await store.apply(agent("b"), "me")
    last = await store.apply(agent("a"), "me")
    status, body = await client.get(f"{GROUP}/agents")
    assert status == 200
    assert (body["apiVersion"], body["kind"]) == ("lmos.eclipse/v1", "AgentList")
    assert body["metadata"]["resourceVersion"] == last.metadata.resource_version
    assert names(body) == ["a", "b"]
    assert body["items"][0]["kind"] == "Agent"
    assert body["items"][0]["spec"]["providedCapabilities"][0]["name"] == "bill"
    assert names((await client.get(f"{GROUP}/channels"))[1]) == []


async def test_a_list_can_be_of_one_namespace_and_of_some_labels(
    client: Client, store: MemoryStore
) -> None:
    await store.apply(agent("a", team="x", stage="dev"), "me")
    await store.apply(agent("b", "other", team="x"), "me")
    await store.apply(agent("c", team="y"), "me")
    for query, expected in (
        ("", ["a", "c", "b"]),
        ("?labelSelector=team=x", ["a", "b"]),
        ("?labelSelector=team%3D%3Dx,stage%3Ddev", ["a"]),
        ("?labelSelector=team=z", []),
    ):
        assert names((await client.get(f"{GROUP}/agents{query}"))[1]) == expected, query
    there = f"{GROUP}/namespaces/other/agents"
    assert names((await client.get(there))[1]) == ["b"]
    assert names((await client.get(f"{there}?labelSelector=team=y"))[1]) == []
    for bad in ("team", "team!%3Dx"):
        status, body = await client.get(f"{GROUP}/agents?labelSelector={bad}")
        assert (status, body["kind"], body["reason"]) == (400, "Status", "Invalid")


async def test_one_resource(client: Client, store: MemoryStore) -> None:
    made = await store.apply(agent("a"), "me")
    status, body = await client.get(f"{GROUP}/namespaces/default/agents/a")
    assert (status, body["kind"]) == (200, "Agent")
    assert body["metadata"]["uid"] == made.metadata.uid


@pytest.mark.parametrize(
    "path",
    [
        "/namespaces/default/agents/a",
        "/namespaces/default/agent/a",
        "/namespaces/elsewhere/agents/b",
        "/pods",
    ],
)
async def test_what_is_not_there_is_a_status(client: Client, store: MemoryStore, path: str) -> None:
    await store.apply(agent("b"), "me")
    status, body = await client.get(GROUP + path)
    assert status == 404
    assert (body["kind"], body["status"], body["reason"], body["code"]) == (
        "Status", "Failure", "NotFound", 404,
    )  # fmt: skip
    assert body["message"]


# --- watches --------------------------------------------------------------------------------------


async def lines(response: aiohttp.ClientResponse, count: int) -> list[tuple[str, str]]:
    """The next changes of a watch: their types, and the names of the resources."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            line = json.loads(await response.content.readline())
            found.append((line["type"], line["object"]["metadata"].get("name", "")))
    return found


async def test_a_watch_goes_on_from_a_list(client: Client, store: MemoryStore) -> None:
    await store.apply(agent("before"), "me")
    _, body = await client.get(f"{GROUP}/agents")
    version = body["metadata"]["resourceVersion"]
    await store.apply(agent("between"), "me")
    path = f"{GROUP}/agents?watch=true&resourceVersion={version}"
    async with client.stream(path) as response:
        assert await lines(response, 1) == [("ADDED", "between")]
        await store.apply(agent("between", team="x"), "me")
        await store.apply(channel("of-another-kind"), "me")
        await store.delete(Key(kind="Agent", namespace="default", name="before"))
        assert await lines(response, 2) == [("MODIFIED", "between"), ("DELETED", "before")]


async def test_a_watch_can_be_of_one_namespace_and_of_some_labels(
    client: Client, store: MemoryStore
) -> None:
    path = f"{GROUP}/namespaces/default/agents?watch=1&resourceVersion=0&labelSelector=team=x"
    async with client.stream(path) as response:
        await store.apply(agent("a", "elsewhere", team="x"), "me")
        await store.apply(agent("b", team="y"), "me")
        await store.apply(agent("c", team="x"), "me")
        assert await lines(response, 1) == [("ADDED", "c")]


async def test_a_watch_without_a_version_begins_now(client: Client, store: MemoryStore) -> None:
    await store.apply(agent("before"), "me")
    async with client.stream(f"{GROUP}/agents?watch=true") as response:
        await store.apply(agent("after"), "me")
        assert await lines(response, 1) == [("ADDED", "after")]


async def test_a_watch_from_too_long_ago_says_that_it_is_gone(
    client: Client, store: MemoryStore
) -> None:
    for number in range(30):
        await store.apply(agent("a", number=str(number)), "me")
    async with client.stream(f"{GROUP}/agents?watch=true&resourceVersion=1") as response:
        found = [json.loads(line) async for line in response.content]
    assert [(line["type"], line["object"]["code"]) for line in found] == [("ERROR", 410)]
    assert found[0]["object"]["reason"] == "Expired"


@pytest.mark.parametrize("version", ["abc", "-1", "%C2%B2", "9" * 5000, ""])
async def test_a_version_that_was_never_given_out_is_refused(client: Client, version: str) -> None:
    path = f"{GROUP}/agents?watch=true&resourceVersion={version}"
    status, body = await client.get(path)
    assert (status, body["kind"]) == (400, "Status")


# --- as the original operator ---------------------------------------------------------------------


async def test_the_channels_of_a_tenant(client: Client, store: MemoryStore) -> None:
    await store.apply(channel("acme-web"), "me")
    await store.apply(channel("acme-next", subset="canary"), "me")
    await store.apply(channel("acme-far", namespace="far"), "me")
    await store.apply(channel("globex-web", tenant="globex"), "me")

    async def listed(**headers: str) -> list[str]:
        _, body = await client.get(CHANNELS, **headers)
        return [c["metadata"]["name"] for c in body]

    assert await listed() == ["acme-web"]
    assert await listed(x_subset="canary") == ["acme-next"]
    assert await listed(x_namespace="far") == ["acme-far"]
    assert await listed(x_subset="canary", x_namespace="far") == []
    _, one = await client.get(f"{CHANNELS}/web", x_subset="canary")
    assert one["metadata"]["name"] == "acme-next"
    assert (await client.get("/apis/v1/tenants/nobody/channels"))[1] == []


async def test_a_routing_by_tenant_channel_and_subset(client: Client, store: MemoryStore) -> None:
    await store.apply(routing("r"), "me")
    await store.apply(routing("next", subset="canary"), "me")
    status, body = await client.get(f"{CHANNELS}/web/routing")
    assert (status, body["metadata"]["name"]) == (200, "r")
    assert body["spec"]["capabilityGroups"][0]["name"] == "a"
    assert "ownerReferences" not in body["metadata"]
    _, canary = await client.get(f"{CHANNELS}/web/routing", x_subset="canary")
    assert canary["metadata"]["name"] == "next"
    for path, headers in (
        (f"{CHANNELS}/ivr/routing", {}),
        (f"{CHANNELS}/ivr", {}),
        (f"{CHANNELS}/web/routing", {"x_subset": "beta"}),
        (f"{CHANNELS}/web/routing", {"x_namespace": "far"}),
    ):
        status, body = await client.get(path, **headers)
        assert (status, body["errorCode"]) == (404, "NOT_FOUND"), path
        assert (body["status"], body["detail"]) == (404, body["error"])
        assert "acme" in body["message"]


async def test_an_etag_spares_what_is_known(client: Client, store: MemoryStore) -> None:
    await store.apply(routing("r"), "me")
    path = f"{CHANNELS}/web/routing"
    async with client.stream(path) as response:
        tag = response.headers["etag"]
    for header, status in ((tag, 304), (f'W/{tag}, "x"', 304), ("*", 304), ('"x"', 200)):
        async with client.stream(path, if_none_match=header) as response:
            assert response.status == status, header
            assert response.headers["etag"] == tag
            assert bool(await response.read()) == (status == 200)
    await store.apply(routing("r", more="label"), "me")
    async with client.stream(path, if_none_match=tag) as response:
        assert response.status == 200
        assert response.headers["etag"] != tag


# --- events ---------------------------------------------------------------------------------------


async def frame(response: aiohttp.ClientResponse) -> tuple[str, dict[str, Any]]:
    """The next server-sent event: its id and its data."""
    async with asyncio.timeout(5):
        text = (await response.content.readuntil(b"\n\n")).decode()
    fields = dict(line.split(": ", 1) for line in text.strip().splitlines())
    return fields["id"], json.loads(fields["data"])


async def test_recent_events(client: Client, events: EventLog) -> None:
    events.record("AgentReady", "it answers", object="Agent default/a")
    events.record("AgentNotReady", "it does not", warning=True)
    _, found = await client.get("/apis/v1/events?watch=false")
    assert [(e["number"], e["type"], e["reason"]) for e in found] == [
        (1, "Normal", "AgentReady"), (2, "Warning", "AgentNotReady"),
    ]  # fmt: skip
    assert found[0]["object"] == "Agent default/a"


async def test_events_are_followed_and_taken_up_again(client: Client, events: EventLog) -> None:
    events.record("One", "first")
    async with client.stream("/apis/v1/events") as response:
        assert response.content_type == "text/event-stream"
        number, event = await frame(response)
        assert (number, event["reason"]) == ("1", "One")
        events.record("Two", "second")
        number, event = await frame(response)
        assert (number, event["reason"]) == ("2", "Two")
    events.record("Three", "third")
    for last, reason in (("2", "Three"), ("²", "One"), ("x", "One")):
        async with client.stream("/apis/v1/events", last_event_id=last) as response:
            assert (await frame(response))[1]["reason"] == reason
