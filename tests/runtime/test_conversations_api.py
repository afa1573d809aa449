"""Conversations over HTTP: found, read and really deleted, each tenant's by itself."""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import aiohttp
import pytest
from runtime_parts import Platform
from yarl import URL

from lmos.model import ChannelRouting, Done, Turn, TurnEvent, User
from lmos.runtime.decisions import LogSettings
from lmos.state import forget_user

BASE = "/apis/v1/acme/conversations"
ANN, BEN = {"user": User(id="ann")}, {"user": User(id="ben")}


@pytest.fixture(autouse=True)
def _keeping(platform: Platform) -> None:
    platform.supervisor.log.settings = LogSettings("kept")


@pytest.fixture
async def session(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(url) as made:
        yield made


async def got(session: aiohttp.ClientSession, path: str, **query: str) -> Any:
    async with session.get(path, params=query) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def pages(session: aiohttp.ClientSession, **query: str) -> list[str]:
    """The ids of all conversations that a list leads to."""
    found: list[str] = []
    while True:
        page = await got(session, BASE, **query)
        found += [item["conversationId"] for item in page["conversations"]]
        if "next" not in page:
            return found
        query["after"] = page["next"]


async def test_the_conversations_with_the_newest_turns_come_first(
    platform: Platform, session: aiohttp.ClientSession
) -> None:
    for name in ("a", "b", "c", "a", "d", "b"):
        await platform.turn("how much do I owe", name)
    await platform.turn("how much do I owe", "x", tenant="globex")
    for limit in ("1", "2", "3", "50"):
        assert await pages(session, limit=limit) == ["b", "d", "a", "c"]
    [first, *_] = (await got(session, BASE))["conversations"]
    assert first["lastTurnAt"].startswith("20")
    assert (first["channel"], first["agent"], first["messages"]) == ("web", "billing", 4)


async def test_the_conversations_of_a_user(
    platform: Platform, session: aiohttp.ClientSession
) -> None:
    for name, who in (("a", ANN), ("b", BEN), ("c", ANN), ("d", ANN), ("a", ANN), ("b", BEN)):
        await platform.turn("how much do I owe", name, **who)
    for limit in ("1", "3", "50"):
        assert await pages(session, user="ann", limit=limit) == ["a", "d", "c"]
    assert await pages(session, user="ben") == ["b"]
    assert await pages(session, user="nobody") == []
    async with session.get(BASE, params={"user": ""}) as response:
        assert response.status == 400


async def test_what_was_said_and_how_it_was_decided(
    platform: Platform, session: aiohttp.ClientSession
) -> None:
    await platform.turn("how much do I owe", turn_id="t1", **ANN)
    await platform.turn("where is my order", turn_id="t2", **ANN)
    told = await got(session, f"{BASE}/c")
    assert [(m["role"], m["content"]) for m in told["messages"]] == [
        ("user", "how much do I owe"),
        ("assistant", "billing: how much do I owe"),
        ("user", "where is my order"),
        ("assistant", "orders: where is my order"),
    ]
    assert [(t["turnId"], t["agents"], t["ended"]) for t in told["turns"]] == [
        ("t1", ["billing"], "done"),
        ("t2", ["orders"], "done"),
    ]
    assert (told["users"], told["agent"]) == (["ann"], "orders")


async def test_deleting_leaves_nothing(platform: Platform, session: aiohttp.ClientSession) -> None:
    await platform.turn("zebra how much do I owe", "gone", turn_id="t", **ANN)
    await platform.turn("how much do I owe", "stays", **ANN)
    feedback = {"rating": -1, "comment": "zebra is wrong"}
    async with session.post(f"{BASE}/gone/turns/t/feedback", json=feedback) as response:
        assert response.status == 200
    async with session.delete(f"{BASE}/gone") as response:
        assert response.status == 204
    left = [item async for item in platform.supervisor.state.scan("")]
    assert "zebra" not in json.dumps(left)
    assert [key for key, _ in left if "gone" in key] == ["deleted/acme/web/gone"]
    assert await pages(session) == await pages(session, user="ann") == ["stays"]
    for path in (f"{BASE}/gone", f"{BASE}/gone/turns/t"):
        async with session.get(path) as response:
            assert response.status == 404
    async with session.delete(f"{BASE}/gone") as response:
        assert response.status == 404


async def test_a_running_turn_ends_before_its_conversation_is_deleted(
    platform: Platform, session: aiohttp.ClientSession
) -> None:
    gate, heard = asyncio.Event(), asyncio.Event()

    async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        heard.set()
        await gate.wait()
        async for event in platform.billing.repeat(turn):
            yield event

    platform.billing.play = play
    turn = asyncio.create_task(platform.turn("zebra how much do I owe", "c", **ANN))
    await heard.wait()
    deleting = asyncio.create_task(session.delete(f"{BASE}/c"))
    while not platform.supervisor._lines._lines["conversation/acme/web/c/turn"].length > 1:
        await asyncio.sleep(0.01)
    gate.set()
    assert isinstance((await turn)[-1], Done)
    assert (await deleting).status == 204
    left = [item async for item in platform.supervisor.state.scan("")]
    assert "zebra" not in json.dumps(left)


async def test_what_is_still_to_be_logged_goes_with_its_conversation(
    platform: Platform, session: aiohttp.ClientSession
) -> None:
    log = platform.supervisor.log
    gate, append = asyncio.Event(), log.append

    async def held(trail: Any) -> None:
        await gate.wait()
        await append(trail)

    log.append = held  # type: ignore[method-assign]
    await platform.turn("zebra how much do I owe")
    await log.note_deleted("acme", "web", "c")
    gate.set()
    await platform.supervisor.recorder.written()
    assert await log.of_conversation("acme", "web", "c") == []
    log.append = append  # type: ignore[method-assign]
    await platform.turn("a new beginning: how much do I owe")
    await platform.supervisor.recorder.written()
    assert len(await log.of_conversation("acme", "web", "c")) == 1


async def test_a_forgotten_user_leaves_no_decisions(
    platform: Platform, session: aiohttp.ClientSession
) -> None:
    await platform.turn("zebra how much do I owe", **ANN)
    await platform.supervisor.recorder.written()
    await forget_user(platform.supervisor.state, "acme", "ann")
    left = [item async for item in platform.supervisor.state.scan("")]
    assert "zebra" not in json.dumps(left)
    assert await pages(session) == []


async def test_a_conversation_of_a_channel_that_is_gone_is_still_found(
    platform: Platform, session: aiohttp.ClientSession
) -> None:
    await platform.turn("how much do I owe")
    await platform.supervisor.recorder.written()
    routing = await platform.store.get(ChannelRouting, "acme-web")
    assert routing
    await platform.store.delete(routing.key)
    async with asyncio.timeout(5):
        while platform.supervisor.routings.channels("acme"):
            await asyncio.sleep(0.01)
    assert (await got(session, f"{BASE}/c"))["channel"] == "web"
    async with session.delete(f"{BASE}/c") as response:
        assert response.status == 204


TENANTS = ("globex", "acm", "acme%2Fweb", "acme%2F", "%2E%2E", "acme%00", "*", "acme%25", "ACME")
IDS = ("c", "web%2Fc", "..%2Fc", "%2E%2E%2Facme%2Fweb%2Fc", "c%2Fhistory", "%25", "acme%2Fweb%2Fc")
ENDS = ("", "/turns/t", "/turns/..", "/turns/t/feedback")
QUERIES = ("", "?channel=web", "?channel=..", "?channel=acme%2Fweb")


@pytest.mark.long
async def test_no_tenant_reaches_anothers_conversations(
    platform: Platform, url: str, session: aiohttp.ClientSession
) -> None:
    await platform.turn("zebra how much do I owe", "c", turn_id="t", **ANN)
    await platform.supervisor.recorder.written()
    dice = random.Random(7)
    for _ in range(300):
        path = f"{dice.choice(TENANTS)}/conversations/{dice.choice(IDS)}{dice.choice(ENDS)}"
        target = URL(f"{url}/apis/v1/{path}{dice.choice(QUERIES)}", encoded=True)
        method = dice.choice(("GET", "DELETE", "POST"))
        body = {"rating": 1} if method == "POST" else None
        async with session.request(method, target, json=body) as response:
            assert response.status in (400, 404, 405), (method, path, response.status)
            assert "zebra" not in await response.text()
    for tenant, query in itertools.product(TENANTS, ("", "?user=ann")):
        target = URL(f"{url}/apis/v1/{tenant}/conversations{query}", encoded=True)
        async with session.get(target) as response:
            assert response.status in (200, 404)
            assert response.status == 404 or (await response.json())["conversations"] == []
    assert len((await got(session, f"{BASE}/c"))["messages"]) == 2
