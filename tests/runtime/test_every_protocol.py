"""Agents of every protocol behind the runtime: at a path of their own, in time, and when they
leave.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certificates
import pytest
from runtime_parts import BILL, Platform, agent_of, answer, group_of, routing, served, turn_of
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from lmos import Agent, Context
from lmos.arc.serving import app
from lmos.llm import ScriptedModel, embedder
from lmos.model import AgentAddress, AgentStatus, Failed
from lmos.protocols import connecting, http
from lmos.router import VectorRouter
from lmos.runtime import Routings, Supervisor
from lmos.state import MemoryState
from lmos.store import MemoryStore

#: Where each protocol is, below an agent's base.
PATHS = {
    "a2a": "",
    "openai": "/v1#billing",
    "graphql": "/subscriptions",
    "agui": "/agui",
    "mcp": "/mcp",
}
every = pytest.mark.parametrize("protocol", PATHS)


class Behind:
    """The agent, which answers when it is let; it remembers what was asked of it, and how."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.headers: dict[str, str] = {}
        self.hanging = False
        self.left = asyncio.Event()

    def app(self, inner: ASGIApp) -> ASGIApp:
        async def seen(scope: Scope, receive: Receive, send: Send) -> None:
            self.paths.add(scope["path"])
            self.headers |= {k.decode(): v.decode() for k, v in scope.get("headers", ())}
            await inner(scope, receive, send)

        return seen


@asynccontextmanager
async def asked_over(protocol: str, behind: Behind, **options: Any) -> AsyncIterator[Platform]:
    """A runtime before an agent that answers below a path of its own, served with `options`."""
    agent = Agent(
        name="billing",
        version="1.0.0",
        description="Bills.",
        model=ScriptedModel(*["It is 42.50 EUR."] * 9).model,
    )

    @agent.input_filter
    async def hang(ctx: Context, text: str) -> str:
        if behind.hanging:
            try:
                await asyncio.sleep(60)
            finally:
                behind.left.set()
        return text

    inner = app(agent)
    outer = Starlette(routes=[Mount("/agents/billing", inner)])
    store = MemoryStore()
    async with inner.router.lifespan_context(inner), served(behind.app(outer), **options) as url:
        address = AgentAddress(url=f"{url}/agents/billing{PATHS[protocol]}", protocol=protocol)
        found = agent_of("billing", url, BILL).but(status=AgentStatus(address=address))
        await store.apply(found, "test")
        await store.patch_status(found)
        await store.apply(routing("acme", group_of(found, BILL)), "test")
        async with Routings(store, embedder()) as routings:
            supervisor = Supervisor(routings, VectorRouter(embedder()), MemoryState())
            yield Platform(supervisor, store, None, None)  # type: ignore[arg-type]
        await connecting.disconnect()


@every
async def test_it_is_asked_below_its_path_and_told_what_time_is_left(protocol: str) -> None:
    behind = Behind()
    async with asked_over(protocol, behind) as platform:
        events = await platform.turn("how much do I owe")
    assert answer(events) == "It is 42.50 EUR."
    assert all(path.startswith("/agents/billing/") for path in behind.paths)
    if protocol != "mcp":  # its turns travel whole, in the request's metadata
        assert 55 < float(behind.headers["x-turn-timeout"]) < 60


@every
async def test_one_that_hangs_is_left_when_the_time_is_up(protocol: str) -> None:
    behind = Behind()
    async with asked_over(protocol, behind) as platform:
        await platform.turn("how much do I owe", "one")
        behind.hanging = True
        soon = datetime.now(UTC) + timedelta(seconds=1)
        async with asyncio.timeout(10):
            last = (await platform.turn("how much do I owe", "two", deadline=soon))[-1]
            assert isinstance(last, Failed)
            assert last.error.code == "DEADLINE_EXCEEDED"
            await behind.left.wait()


@every
async def test_the_caller_who_leaves_ends_it(protocol: str) -> None:
    behind = Behind()
    async with asked_over(protocol, behind) as platform:
        await platform.turn("how much do I owe", "one")
        behind.hanging = True
        asking = asyncio.create_task(_read(platform))
        async with asyncio.timeout(10):
            while platform.supervisor.admission.running == 0:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)  # it is at the agent now, whose filter hangs
            asking.cancel()
            await behind.left.wait()
        await asyncio.wait([asking])
    assert platform.supervisor.admission.running == 0


async def _read(platform: Platform) -> None:
    turn = turn_of("how much do I owe", "two")
    async with aclosing(platform.supervisor.respond(turn)) as events:
        async for _ in events:
            pass


@every
async def test_it_is_asked_over_https(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its authority is trusted; it is not asked by who does not know who it is."""
    made = certificates.made(tmp_path)
    tls = {"ssl_keyfile": made.key, "ssl_certfile": made.certificate}
    behind = Behind()
    monkeypatch.setenv(http.CA_FILE, str(made.authority))
    async with asked_over(protocol, behind, **tls) as platform:
        assert answer(await platform.turn("how much do I owe")) == "It is 42.50 EUR."
    behind = Behind()
    monkeypatch.delenv(http.CA_FILE)
    async with asked_over(protocol, behind, **tls) as platform:
        (*_, failed) = await platform.turn("how much do I owe")
    assert isinstance(failed, Failed)
    assert failed.error.code == "AGENT_UNAVAILABLE"
    assert not behind.paths


async def test_a_file_of_authorities_that_cannot_be_used_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(http.CA_FILE, "nowhere.pem")
    async with asked_over("a2a", Behind()) as platform:
        (*_, failed) = await platform.turn("how much do I owe")
    assert isinstance(failed, Failed)
    assert "nowhere.pem" in failed.error.message
