"""A channel as an MCP server, asked by the official client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx2
import pytest
from identity_parts import ACME, GLOBEX, House, bearer, housed, tenant
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from runtime_parts import answer, turn_of

from lmos.model import Failed, InputRequired, Message, User, errors
from lmos.protocols import connecting, mcp


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with housed() as made:
        yield made
        await made.supervisor.close()
        await connecting.disconnect()


@asynccontextmanager
async def client(
    house: House, credential: str = ACME, **headers: str
) -> AsyncIterator[ClientSession]:
    async with (
        httpx2.AsyncClient(headers={**bearer(credential), **headers}) as sender,
        streamable_http_client(f"{house.url}/mcp/acme/web", http_client=sender) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        await session.initialize()
        yield session


async def call(session: ClientSession, tool: str, text: str, **more: Any) -> dict[str, Any]:
    result = await session.call_tool(tool, {"input": text, **more})
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def test_the_channel_and_its_agents_are_tools(house: House) -> None:
    async with client(house) as session:
        tools = (await session.list_tools()).tools
    assert [tool.name for tool in tools] == ["ask", "ask_billing", "ask_orders"]
    assert "The customer asks where an order is" in (tools[0].description or "")
    assert "where is my order" not in (tools[1].description or "")


async def test_a_tool_answers_as_the_channel_does(house: House) -> None:
    async with client(house) as session:
        first = await call(session, "ask", "where is my order")
        again = await call(session, "ask", "and now?", conversation=first["conversation"])
    assert (first["answer"], first["agent"]) == ("orders: where is my order", "orders")
    assert again["conversation"] == first["conversation"]
    assert [m.content for m in house.orders.turns[1].messages][:2] == [
        "where is my order",
        "orders: where is my order",
    ]
    path = f"{house.url}/apis/v1/acme/conversations/{first['conversation']}"
    async with aiohttp.ClientSession(headers=bearer(ACME)) as caller, caller.get(path) as response:
        assert len((await response.json())["turns"]) == 2  # they are in the log


async def test_an_agents_tool_asks_that_agent(house: House) -> None:
    async with client(house) as session:
        found = await call(session, "ask_billing", "where is my order")
    assert found["answer"] == "billing: where is my order"


async def test_a_question_is_told_as_one(house: House) -> None:
    question = Message(role="assistant", content="Of which month?")
    house.billing.plays(InputRequired(message=question))
    async with client(house) as session:
        found = await call(session, "ask", "show me my bill")
    assert (found["status"], found["answer"]) == ("input_required", "Of which month?")


async def test_a_failure_is_told(house: House) -> None:
    house.billing.plays(Failed.of(errors.AgentFailed("the printer is out of ink")))
    async with client(house) as session:
        result = await session.call_tool("ask", {"input": "show me my bill"})
    assert result.is_error
    assert "out of ink" in str(result.content)


async def test_a_platform_asks_another_ones_channel(house: House) -> None:
    """Whoever knows the extension gets the events as they are, and is no other tenant by it."""
    server = mcp.Server.of(f"{house.url}/mcp/acme/web", headers=bearer(ACME))
    respond = mcp.responder(server, tool="ask")
    turn = turn_of("show me my bill", "c1", tenant="globex", user=User(id="ann"))
    events = [event async for event in respond(turn.but(channel="elsewhere"))]
    assert [event.type for event in events] == [
        *("started", "decision", "text_delta", "text_delta", "message", "done")
    ]
    assert answer(events) == "billing: show me my bill"
    (asked,) = house.billing.turns
    assert (asked.tenant, asked.channel, asked.conversation_id) == ("acme", "web", "c1")


async def test_a_token_says_who_the_user_is(house: House) -> None:
    """Also to an extension that says otherwise: the caller is known where the tool runs."""
    tokens = [{"issuer": house.issuer.url, "audience": "lmos"}]
    await house.change(tenant("acme", ACME, tokens=tokens))
    credential = house.issuer.token("eve", "lmos")
    async with client(house, credential) as session:
        await call(session, "ask", "show me my bill")
    server = mcp.Server.of(f"{house.url}/mcp/acme/web", headers=bearer(credential))
    turn = turn_of("show me my bill", "c2", user=User(id="ann", claims={"verified": True}))
    [event async for event in mcp.responder(server, tool="ask")(turn)]
    assert [t.user.id for t in house.billing.turns] == ["eve", "eve"]
    async with client(house, credential, user="ann") as session:
        await call(session, "ask", "show me my bill")
    assert house.billing.turns[-1].user.id == "eve"
    house.billing.turns.clear()
    for said in ({}, {"user": "ann"}):  # who has a key is trusted to say for whom it asks
        async with client(house, ACME, **said) as session:
            await call(session, "ask", "show me my bill")
    assert [t.user.id for t in house.billing.turns] == ["", "ann"]


async def test_limits_of_a_tenant_hold_here_too(house: House) -> None:
    await house.change(tenant("acme", ACME, limits={"turnsPerSecond": 0.1, "burst": 2}))
    async with client(house) as session:
        results = [await session.call_tool("ask", {"input": "my bill"}) for _ in range(4)]
    assert [result.is_error for result in results] == [False, False, True, True]


@pytest.mark.parametrize(
    ("credential", "path", "status"),
    [
        ("", "acme/web", 401),
        ("guess", "acme/web", 401),
        (GLOBEX, "acme/web", 403),
        (ACME, "acme/elsewhere", 404),
    ],
)
async def test_others_are_refused(house: House, credential: str, path: str, status: int) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = bearer(credential) if credential else {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{house.url}/mcp/{path}", json=body) as response,
    ):
        assert response.status == status
