"""The runtime over HTTP: its REST API, and each channel as an OpenAI model and as an A2A agent."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from runtime_parts import Platform, answer, served, turn_of
from starlette.applications import Starlette

from lmos.model import Failed, InputRequired, Message, errors
from lmos.protocols import a2a, agui, graphql, http, openai
from lmos.protocols import lmos as lmos_protocol
from lmos.runtime import app


class Client:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.url = url
        self._session = session

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self._session.get(self.url + path, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        async with self._session.post(self.url + path, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[Client]:
    routes = app.routes(platform.supervisor)
    application = Starlette(routes=routes, exception_handlers=http.exception_handlers)
    async with served(application) as url, aiohttp.ClientSession() as session:
        yield Client(session, url)


def said(text: str, channel: str = "web") -> dict[str, Any]:
    return {
        "inputContext": {"messages": [{"role": "user", "content": text}]},
        "systemContext": {"channelId": channel},
    }


async def test_a_turn_over_rest(client: Client) -> None:
    for prefix in ("", "/lmos/runtime"):
        status, body = await client.post(
            f"{prefix}/apis/v1/acme/chat/c{len(prefix)}/message", said("how much do I owe")
        )
        assert (status, body["agent"]) == (200, "billing")
        assert body["content"] == "billing: how much do I owe"
        assert body["decision"]["outcome"] == "route"


async def test_an_agents_question_over_rest(client: Client, platform: Platform) -> None:
    platform.billing.plays(InputRequired(message=Message(role="assistant", content="Which?")))
    _, body = await client.post("/apis/v1/acme/chat/c/message", said("show me my bill"))
    assert (body["content"], body["inputRequired"]) == ("Which?", True)


async def test_what_is_not_there_is_404_and_names_nothing_of_others(client: Client) -> None:
    status, body = await client.post("/apis/v1/acme/chat/c/message", said("hi", "ivr"))
    assert (status, body["errorCode"]) == (404, "AGENT_NOT_FOUND")
    assert "it has web" in body["message"]
    status, body = await client.post("/apis/v1/initech/chat/c/message", said("hi"))
    assert (status, body["errorCode"]) == (404, "AGENT_NOT_FOUND")
    assert "acme" not in body["message"]
    assert "globex" not in body["message"]
    explicit = said("hi")
    explicit["inputContext"]["explicitAgent"] = "orders"
    status, body = await client.post("/apis/v1/globex/chat/c/message", explicit)
    assert (status, body["errorCode"]) == (404, "AGENT_NOT_FOUND")


async def test_the_agents_of_a_channel(client: Client) -> None:
    status, body = await client.get("/apis/v1/agents?tenantId=acme&channelId=web")
    assert status == 200
    assert body["subset"] == "stable"
    assert [agent["name"] for agent in body["agents"]] == ["billing", "orders"]
    assert body["agents"][0]["capabilities"][0]["name"] == "view-bill"
    assert (await client.get("/apis/v1/agents?tenantId=acme"))[0] == 400
    assert (await client.get("/apis/v1/agents?tenantId=acme&channelId=web&subset=canary"))[0] == 404
    _, found = await client.get("/apis/v1/agents/globex/web")
    assert [agent["name"] for agent in found] == ["billing"]
    assert found[0]["addresses"][0]["url"].startswith("http://127.0.0.1:")


async def test_a_decision_asks_nobody(client: Client, platform: Platform) -> None:
    path = "/apis/v1/tenants/acme/channels/web/decision"
    _, decision = await client.post(path, {"text": "where is my parcel"})
    assert (decision["outcome"], decision["candidates"][0]["agent"]) == ("route", "orders")
    _, whole = await client.post(path, {"messages": [{"role": "user", "content": "my bill"}]})
    assert whole["candidates"][0]["agent"] == "billing"
    assert not platform.orders.turns
    for bad in (
        {},
        [],
        {"text": ""},
        {"messages": []},
        {"messages": [{"role": "king"}]},
        {"text": 5},
    ):
        status, body = await client.post(path, bad)
        assert (status, body["errorCode"]) == (400, "INVALID_REQUEST"), bad
    many = [{"role": "user", "content": "hi"}] * 300
    for large in ({"text": "x" * 200_000}, {"messages": many}):
        assert (await client.post(path, large))[0] == 413


async def test_health(client: Client) -> None:
    for path in ("/health", "/health/live", "/health/ready"):
        assert await client.get(path) == (200, {"status": "UP"})


async def test_channels_are_openai_models(client: Client) -> None:
    _, models = await client.get("/v1/models")
    assert [model["id"] for model in models["data"]] == ["acme/web", "globex/web"]
    respond = openai.responder(f"{client.url}/v1", model="acme/web")
    async with aclosing(respond(turn_of("how much do I owe"))) as events:
        assert answer([event async for event in events]) == "billing: how much do I owe"
    body = {"model": "acme/ivr", "messages": [{"role": "user", "content": "hi"}]}
    assert (await client.post("/v1/chat/completions", body))[0] == 404


async def test_channels_are_agents_of_graphql(client: Client) -> None:
    _, found = await client.post("/graphql", {"query": "{ agent { names } }"})
    assert found["data"]["agent"]["names"] == ["acme/web", "globex/web"]
    respond = graphql.responder(client.url, "acme/web")
    async with aclosing(respond(turn_of("how much do I owe"))) as events:
        assert answer([event async for event in events]) == "billing: how much do I owe"
    # clients of the original name tenant and channel in the turn's context
    for name in (None, "lmos-runtime"):
        async with aclosing(graphql.responder(client.url, name)(turn_of("my bill"))) as events:
            assert answer([event async for event in events]) == "billing: my bill"
    nowhere = turn_of("hi").but(channel="")
    for name, turn, words in (
        ("acme/ivr", turn_of("hi"), "it has web"),
        (None, nowhere, "which channel"),
    ):
        async with aclosing(graphql.responder(client.url, name)(turn)) as events:
            failed = [event async for event in events][-1]
        assert isinstance(failed, Failed)
        assert failed.error.code == "CHANNEL_NOT_FOUND"
        assert words in failed.error.message


async def test_channels_are_agents_of_agui(client: Client) -> None:
    respond = agui.responder(f"{client.url}/agui/acme/web")
    async with aclosing(respond(turn_of("how much do I owe"))) as events:
        assert answer([event async for event in events]) == "billing: how much do I owe"
    said = [{"id": "1", "role": "user", "content": "hi"}]
    body = {"threadId": "c", "runId": "r", "messages": said}
    for path in ("/agui/acme/ivr", "/agui"):
        status, found = await client.post(path, body)
        assert (status, found["errorCode"]) == (404, "AGENT_NOT_FOUND")


async def test_a_channel_is_an_a2a_agent_that_points_at_the_platform(client: Client) -> None:
    base = f"{client.url}/a2a/acme/web"
    _, card = await client.get("/a2a/acme/web/.well-known/agent-card.json")
    assert all(place["url"].startswith(base) for place in card["supportedInterfaces"])
    assert {skill["id"] for skill in card["skills"]} == {"view_bill", "track_order"}
    async with aclosing(a2a.responder(base)(turn_of("how much do I owe"))) as events:
        assert answer([event async for event in events]) == "billing: how much do I owe"
    assert (await client.get("/a2a/acme/ivr/.well-known/agent-card.json"))[0] == 404


async def test_a_turn_over_a2a_belongs_to_the_tenant_of_its_path(
    client: Client, platform: Platform
) -> None:
    turn = turn_of("how much do I owe", tenant="acme")
    async with aclosing(a2a.responder(f"{client.url}/a2a/globex/web")(turn)) as events:
        assert answer([event async for event in events])
    assert platform.billing.turns[-1].tenant == "globex"


async def test_the_platforms_own_client_gets_the_events_and_the_errors(client: Client) -> None:
    respond = lmos_protocol.responder(client.url)
    async with aclosing(respond(turn_of("how much do I owe"))) as events:
        kinds = [event.type async for event in events]
    assert kinds == ["started", "decision", "text_delta", "text_delta", "message", "done"]
    async with aclosing(respond(turn_of("hi", tenant="initech"))) as events:
        last = [event async for event in events][-1]
    assert last.type == "error"
    assert isinstance(last.exception(), errors.ChannelNotFound)


# --- how long a turn may take ---------------------------------------------------------------------


async def test_a_caller_says_how_long_the_turn_may_take(client: Client, platform: Platform) -> None:
    await client.post("/apis/v1/acme/chat/c/message", said("how much do I owe"))
    platform.billing.slowly(30)
    for path, body in (
        ("/apis/v1/acme/chat/d/message", said("how much do I owe")),
        (
            "/v1/chat/completions",
            {
                "model": "acme/web",
                "messages": [{"role": "user", "content": "how much do I owe"}],
            },
        ),
    ):
        status, found = await client.post(path, body, **{"x-turn-timeout": "0.3"})
        assert status == 504, found
    deadline = platform.billing.turns[-1].deadline
    assert deadline
    assert (datetime.now(UTC) - deadline).total_seconds() < 5


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "1e9"])
async def test_a_time_that_makes_no_sense_is_400(client: Client, seconds: str) -> None:
    status, body = await client.post(
        "/apis/v1/acme/chat/c/message", said("hi"), **{"x-turn-timeout": seconds}
    )
    assert (status, body["errorCode"]) == (400, "INVALID_REQUEST")
    assert "x-turn-timeout" in body["message"]


async def test_a_turn_id_given_to_two_messages_is_409(client: Client) -> None:
    path = "/apis/v1/acme/chat/c/message"
    first = await client.post(path, said("how much do I owe"), **{"x-turn-id": "one"})
    assert await client.post(path, said("how much do I owe"), **{"x-turn-id": "one"}) == first
    status, body = await client.post(path, said("where is my parcel"), **{"x-turn-id": "one"})
    assert (status, body["errorCode"]) == (409, "CONFLICT")
