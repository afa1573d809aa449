"""Agents described by whatever documents they offer, at real addresses."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from lmos.model import (
    Agent,
    AgentSpec,
    Capability,
    CapabilityGroup,
    ChannelRouting,
    ChannelRoutingSpec,
    Description,
    ObjectMeta,
    RoutedCapability,
    Turn,
    errors,
)
from lmos.protocols import a2a, http
from lmos.protocols.lmos import capabilities_route
from lmos.registry import Registry, describe, probe
from lmos.store import MemoryStore

OFFER = Capability(
    id="view_bill", name="view-bill", version="2.0.0", description="A bill", examples=("my bill",)
)
SAYS = Description(
    name="billing-agent",
    version="1.2.0",
    description="Bills",
    supported_channels=("web",),
    capabilities=(OFFER,),
)


async def silent(turn: Turn):  # type: ignore[no-untyped-def]
    return
    yield


@asynccontextmanager
async def serving(*routes: BaseRoute) -> AsyncIterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # who asks before the server runs waits for it
    config = uvicorn.Config(Starlette(routes=[*routes]), log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await http.close_session()
        server.should_exit = server.force_exit = True
        await task
        listener.close()


async def test_both_documents_together() -> None:
    async with serving(capabilities_route(SAYS), *a2a.routes(silent, SAYS)) as url:
        found = await describe(url)
        await probe(url)
    assert (found.name, found.version) == ("billing-agent", "1.2.0")
    assert found.capabilities == (OFFER,)
    assert found.supported_channels == ("web",)
    assert found.url.startswith(url)
    assert found.protocol == "a2a"


async def test_either_document_alone() -> None:
    async with serving(capabilities_route(SAYS)) as url:
        assert (await describe(url)).capabilities == (OFFER,)
    async with serving(*a2a.routes(silent, SAYS)) as url:
        found = await describe(url)
        assert [c.key for c in found.capabilities] == ["view_bill"]
        assert found.capabilities[0].examples == ("my bill",)


@pytest.mark.parametrize(
    "answer",
    [
        PlainTextResponse("no json"),
        Response(b"[1, 2]", media_type="application/json"),
        Response(b'{"id": "x", "capabilities": 7}', media_type="application/json"),
        Response(b"{" + b" " * 5_000_000 + b"}", media_type="application/json"),
        RedirectResponse("http://192.0.2.1/elsewhere"),
        PlainTextResponse("gone", 500),
    ],
    ids=["text", "list", "wrong", "huge", "redirect", "500"],
)
async def test_documents_of_no_use_are_refused(answer: Response) -> None:
    routes = [
        Route(f"/.well-known/{name}", lambda _: answer)
        for name in ("capabilities.json", "agent-card.json", "agent.json")
    ]
    async with serving(*routes) as url:
        with pytest.raises(errors.AgentFailed):
            await describe(url)


async def test_a_server_that_is_no_agent_is_told_from_one_that_is_away() -> None:
    async with serving(Route("/", lambda _: PlainTextResponse("hello"))) as url:
        with pytest.raises(errors.AgentFailed, match="does not describe an agent") as caught:
            await describe(url)
        assert not isinstance(caught.value, errors.AgentUnavailable)
        await probe(url)  # it answers, if only 404


async def test_one_good_document_is_enough_beside_a_broken_one() -> None:
    broken = Route("/.well-known/agent-card.json", lambda _: PlainTextResponse("no json"))
    async with serving(broken, capabilities_route(SAYS)) as url:
        found = await describe(url)
    assert (found.name, found.capabilities) == ("billing-agent", (OFFER,))


@pytest.mark.parametrize(
    ("status", "answers"), [(200, True), (302, True), (404, True), (503, False)]
)
async def test_what_a_probe_takes_for_an_answer(status: int, answers: bool) -> None:
    def say(_: object) -> Response:
        return Response(status_code=status, headers={"location": "http://192.0.2.1/"})

    async with serving(Route("/health/ready", say)) as url:
        if answers:
            await probe(url)
            return
        with pytest.raises(errors.AgentUnavailable, match="answers 503"):
            await probe(url)


async def test_nobody_there() -> None:
    with pytest.raises(errors.AgentUnavailable, match=r"127\.0\.0\.1:9"):
        await describe("http://127.0.0.1:9")
    with pytest.raises(errors.AgentUnavailable, match="cannot be reached"):
        await probe("http://127.0.0.1:9")
    with pytest.raises(errors.AgentFailed, match="is no address"):
        await describe("billing")
    await http.close_session()


async def test_search() -> None:
    store = MemoryStore()
    spec = AgentSpec(
        description="Bills", supported_channels=("web",), provided_capabilities=(OFFER,)
    )
    await store.apply(Agent(metadata=ObjectMeta(name="billing"), spec=spec), "me")
    await store.apply(Agent(metadata=ObjectMeta(name="other")), "me")
    routed = RoutedCapability(name="view-bill", provided_version="2.0.0")
    group = CapabilityGroup(name="billing", capabilities=(routed,))
    await store.apply(
        ChannelRouting(
            metadata=ObjectMeta(name="r", labels={"tenant": "acme", "channel": "web"}),
            spec=ChannelRoutingSpec(capability_groups=(group,)),
        ),
        "me",
    )
    registry = Registry(store)
    conditions: list[dict[str, Any]] = [
        {"capability": "view-bill"},
        {"version": "^2"},
        {"capability": "view_bill", "version": ">=2"},
        {"channel": "web"},
        {"text": "my BILL"},
    ]
    for condition in conditions:
        assert [a.name for a in await registry.search(**condition)] == ["billing"], condition
    assert len(await registry.search(tenant="acme")) == 2
    assert await registry.search(capability="view-bill", version="<2") == []
    assert await registry.search(ready=True) == []
    (billing,) = await registry.search(text="bills")
    assert await registry.channels_of(billing) == [("acme", "web")]
