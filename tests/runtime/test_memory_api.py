"""Shared values over REST and MCP: of a conversation, a user and a tenant, each to its own."""

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from runtime_parts import Platform
from yarl import URL

from lmos.model import Answer, Done, Message, Share, User

BASE = "/apis/v1/acme"
CONVERSATION, USER = f"{BASE}/conversations/c/memory", f"{BASE}/users/ann/memory"
ANN = {"user": User(id="ann")}


@pytest.fixture
async def session(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(url) as made:
        yield made


async def asked(
    session: aiohttp.ClientSession, method: str, path: str, body: Any = None, status: int = 200
) -> Any:
    async with session.request(method, path, json=body) as response:
        text = await response.text()
        assert response.status == status, text
        return json.loads(text) if text else None


async def names(session: aiohttp.ClientSession, path: str) -> list[str]:
    return [value["name"] for value in (await asked(session, "GET", path))["values"]]


def shared(platform: Platform) -> dict[str, Any]:
    """What orders was told in its last turn."""
    return {value.name: value.value for value in platform.orders.turns[-1].shared or ()}


async def billed(platform: Platform, *shares: Share) -> None:
    said = Answer(message=Message(role="assistant", content="ok"))
    platform.billing.plays(*shares, said, Done())
    await platform.turn("how much do I owe", **ANN)


async def test_what_agents_share_is_read_with_whose_it_is(
    platform: Platform, session: aiohttp.ClientSession
) -> None:
    await billed(
        platform, Share(name="n", value=1, readers=("view-bill",)), Share(name="m", value=2)
    )
    found = await asked(session, "GET", f"{CONVERSATION}/n")
    assert (found["value"], found["agent"], found["readers"]) == (1, "billing", ["view-bill"])
    assert await names(session, CONVERSATION) == ["n", "m"]
    assert await names(session, f"{CONVERSATION}?as=orders") == ["m"]
    assert await names(session, f"{CONVERSATION}?as=billing") == ["n", "m"]
    await asked(session, "GET", f"{CONVERSATION}/n?as=orders", status=404)
    told = await asked(session, "GET", f"{CONVERSATION}?as=nobody", status=404)
    assert told["errorCode"] == "AGENT_NOT_FOUND"


async def test_what_an_application_shares_goes_to_the_agents(
    platform: Platform, session: aiohttp.ClientSession
) -> None:
    await platform.turn("how much do I owe")
    await asked(session, "PUT", f"{CONVERSATION}/cart", {"value": ["phone"]})
    await asked(session, "PUT", f"{CONVERSATION}/not", {"value": 1, "readers": ["view-bill"]})
    await asked(session, "PUT", f"{USER}/plan", {"value": "flex", "ttl": 60})
    await asked(session, "PUT", f"{BASE}/memory/hotline", {"value": "0800"})
    await platform.turn("where is my order", **ANN)
    assert shared(platform) == {"cart": ["phone"], "plan": "flex", "hotline": "0800"}
    await platform.turn("where is my order", "d", user=User(id="ben"))
    assert shared(platform) == {"hotline": "0800"}
    await asked(session, "DELETE", f"{BASE}/memory/hotline", status=204)
    await platform.turn("where is my order", "d", user=User(id="ben"))
    assert shared(platform) == {}
    await asked(session, "DELETE", f"{BASE}/memory/hotline", status=404)


async def test_a_conversation_that_begins_needs_its_channel(
    platform: Platform, session: aiohttp.ClientSession
) -> None:
    body = {"value": 1}
    await asked(session, "PUT", f"{CONVERSATION}/n", body, status=404)
    await asked(session, "PUT", f"{CONVERSATION}/n?channel=web", body)
    await platform.turn("where is my order")
    assert shared(platform) == {"n": 1}


async def test_an_agent_writes_as_itself(
    platform: Platform, session: aiohttp.ClientSession
) -> None:
    await billed(platform, Share(name="n", value=1))
    await asked(session, "PUT", f"{CONVERSATION}/n?as=orders", {"value": 2})
    found = (await asked(session, "GET", CONVERSATION))["values"]
    assert [(v["agent"], v["value"]) for v in found] == [("billing", 1), ("orders", 2)]
    await asked(session, "DELETE", f"{CONVERSATION}/n?as=orders", status=204)
    assert await names(session, CONVERSATION) == ["n"]
    await asked(session, "DELETE", f"{CONVERSATION}/n?as=orders", status=404)
    await asked(session, "PUT", f"{BASE}/memory/n?as=orders", {"value": 2}, status=403)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"value": None}, 400),
        ({"value": 1, "reader": "x"}, 400),
        ({"value": 1, "ttl": 0}, 400),
        ({"value": "x" * 16_400}, 413),
        ({"value": 1, "readers": ["a"] * 21}, 413),
        ([], 400),
    ],
)
async def test_what_cannot_be_kept_is_refused(
    session: aiohttp.ClientSession, body: Any, status: int
) -> None:
    await asked(session, "PUT", f"{USER}/n", body, status=status)
    await asked(session, "PUT", f"{USER}/{'x' * 101}", {"value": 1}, status=413)
    assert await names(session, USER) == []


async def test_a_full_place_is_told(session: aiohttp.ClientSession) -> None:
    for n in range(64):
        await asked(session, "PUT", f"{USER}/{n}", {"value": n})
    told = await asked(session, "PUT", f"{USER}/more", {"value": 1}, status=413)
    assert "has 64 values" in told["message"]


@pytest.mark.long
async def test_500_attempts_of_another_tenant_reach_nothing(
    platform: Platform, url: str, session: aiohttp.ClientSession
) -> None:
    await billed(
        platform, Share(name="n", value="zebra"), Share(name="u", value="zebra", scope="user")
    )
    await asked(session, "PUT", f"{BASE}/memory/t", {"value": "zebra"})
    before = {path: await names(session, path) for path in (CONVERSATION, USER, f"{BASE}/memory")}
    dice = random.Random(3)
    tenants = ("globex", "acme%2F", "acme%2Fweb", "%2E%2E", "ACME", "acme%20", "users", "%2A")
    places = ("conversations/c", "users/ann", "users/..%2F..%2Facme%2Fann", "conversations/..",
              "conversations/web%2Fc", "users/%2A")  # fmt: skip
    for _ in range(500):
        place = dice.choice((f"{dice.choice(places)}/memory", "memory"))
        name = dice.choice(("", "/n", "/u", "/t", "/%2E%2E"))
        query = dice.choice(("", "?channel=web", "?as=billing", "?channel=web&as=billing"))
        path = f"{dice.choice(tenants)}/{place}{name}{query}"
        target = URL(f"{url}/apis/v1/{path}", encoded=True)
        method = dice.choice(("GET", "DELETE")) if name else "GET"
        async with session.request(method, target) as response:
            text = await response.text()
            assert response.status in (200, 404), (path, response.status)
            assert "zebra" not in text
            assert response.status == 404 or json.loads(text) == {"values": []}
    after = {path: await names(session, path) for path in before}
    assert after == before == {CONVERSATION: ["n"], USER: ["u"], f"{BASE}/memory": ["t"]}


# --- MCP ------------------------------------------------------------------------------------------


async def test_the_official_client_shares_and_reads(platform: Platform, url: str) -> None:
    await billed(platform, Share(name="n", value=1))
    async with (
        streamable_http_client(f"{url}{BASE}/mcp") as (read, write, *_),
        ClientSession(read, write) as client,
    ):
        await client.initialize()
        tools = [tool.name for tool in (await client.list_tools()).tools]
        assert tools == ["list_shared", "read_shared", "share", "take_back"]

        async def call(tool: str, **given: Any) -> Any:
            result = await client.call_tool(tool, given)
            assert not result.is_error, result.content
            return json.loads(result.content[0].text)  # type: ignore[union-attr]

        assert (await call("read_shared", conversation="c", name="n"))["agent"] == "billing"
        await call("share", conversation="c", name="m", value={"x": 1}, as_agent="billing")
        found = (await call("list_shared", conversation="c", as_agent="orders"))["values"]
        assert [(v["name"], v["agent"]) for v in found] == [("n", "billing"), ("m", "billing")]
        await call("take_back", conversation="c", name="n")
        refused = await client.call_tool("read_shared", {"conversation": "c", "name": "n"})
        assert refused.is_error
        wrong = await client.call_tool("share", {"name": "n"})
        assert wrong.is_error
    await platform.turn("where is my order", **ANN)
    assert shared(platform) == {"m": {"x": 1}}


async def test_a_tenant_without_channels_has_no_server(
    platform: Platform, session: aiohttp.ClientSession
) -> None:
    await asked(session, "POST", "/apis/v1/nobody/mcp", {}, status=404)
