"""GraphQL over HTTP as its own audits see it, and the clients that others wrote for streams."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from protocol_agents import Endless, echo, failing_late, rich
from protocol_servers import app_of, serving

from lmos.protocols import graphql
from lmos.protocols.directory import several

pytestmark = pytest.mark.outside

QUERY = """
subscription ($agentName: String, $request: AgentRequestInput!) {
  agent(agentName: $agentName, request: $request) {
    type status messages { content } context { key value }
  }
}
"""


class Tools:
    def list(self) -> list[graphql.Tool]:
        return [graphql.Tool("add", "adds", {"type": "object"})]

    async def call(self, name: str, arguments: Any) -> str:
        return str(arguments["a"] + arguments["b"])


@pytest.fixture
def endless() -> Endless:
    return Endless()


@pytest.fixture
async def url(endless: Endless) -> AsyncGenerator[str, None]:
    agents = several({"rich": rich, "late": failing_late, "endless": endless, "echo": echo})
    async with serving(app_of(graphql.routes(agents, tools=Tools(), calling=True))) as base:
        yield base


def asked(agent: str | None = None, **system: str) -> dict[str, Any]:
    context = [{"key": key, "value": value} for key, value in system.items()]
    request = {
        "conversationContext": {"conversationId": "c-1"},
        "messages": [{"role": "user", "content": "hi"}],
        "systemContext": context,
    }
    return {"query": QUERY, "variables": {"agentName": agent, "request": request}}


async def test_graphql_over_http_is_kept(url: str, node: Any) -> None:
    found = await node("audit.mjs", f"{url}/graphql")
    assert len(found) >= 60
    failed = {f"{a['id']} {a['name']}": a.get("reason") for a in found if a["status"] != "ok"}
    assert not failed  # neither what MUST be, nor what SHOULD or MAY be


@pytest.mark.parametrize("kind", ["ws", "sse"])
async def test_a_turn_over_the_client(url: str, node: Any, kind: str) -> None:
    place = at(url, kind)
    found = await node("subscribe.mjs", kind, place, given=asked(enableStreaming="true"))
    assert (found["ended"], found["error"]) == ("complete", None)
    items = [result["data"]["agent"] for result in found["results"]]
    assert [item["type"] for item in items] == [*["INTERMEDIATE_MESSAGE"] * 4, "MESSAGE"]
    assert items[1]["messages"][0]["content"] == "Your bill "
    text = "Your bill is 42.50 EUR – paid.\n\nHere it is."
    assert items[-1]["messages"] == [{"content": text}]


@pytest.mark.parametrize("kind", ["ws", "sse"])
@pytest.mark.parametrize("query", ["{ agent { names } tool { tools { name } } }"])
async def test_a_query_over_the_client(url: str, node: Any, kind: str, query: str) -> None:
    found = await node("subscribe.mjs", kind, at(url, kind), given={"query": query})
    names = ["rich", "late", "endless", "echo"]
    data = {"agent": {"names": names}, "tool": {"tools": [{"name": "add"}]}}
    assert found == {"ended": "complete", "error": None, "results": [{"data": data}]}


async def test_a_failure_reaches_the_websocket_client(url: str, node: Any) -> None:
    found = await node("subscribe.mjs", "ws", at(url, "ws"), given=asked("late"))
    assert found["ended"] == "error"
    assert found["error"][0]["message"] == "the agent fell over"
    found = await node("subscribe.mjs", "ws", at(url, "ws"), given={"query": "{ nothing }"})
    assert "nothing" in found["error"][0]["message"]


async def test_a_failure_reaches_the_stream_client(url: str, node: Any) -> None:
    found = await node("subscribe.mjs", "sse", at(url, "sse"), given=asked("late"))
    assert found["ended"] == "complete"
    assert found["results"][-1]["errors"][0]["message"] == "the agent fell over"


@pytest.mark.parametrize("kind", ["ws", "sse"])
async def test_a_client_that_leaves_ends_the_turn(
    url: str, node: Any, kind: str, endless: Endless
) -> None:
    given = asked("endless", enableStreaming="true") | {"stopAfter": 1}
    found = await node("subscribe.mjs", kind, at(url, kind), given=given)
    assert found["ended"] == "stopped"
    async with asyncio.timeout(5):
        await endless.closed.wait()


def at(url: str, kind: str) -> str:
    return f"{url}/graphql" if kind == "sse" else url.replace("http", "ws") + "/subscriptions"
