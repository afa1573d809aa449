"""What clients of the original's runtime send and expect, word for word."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from runtime_parts import Platform, served

from lmos.controlplane import api
from lmos.model import Channel, ChannelSpec, ObjectMeta, RequiredCapability
from lmos.runtime import app

#: A request as the original documents it, with all that it may have.
CONVERSATION: dict[str, Any] = {
    "inputContext": {
        "messages": [
            {"role": "user", "content": "hello", "format": "text", "turnId": "1",
             "binaryData": None},
            {"role": "assistant", "content": "How can I help?", "format": "text"},
            {"role": "user", "content": "show me my bill", "format": "text", "turnId": "2",
             "binaryData": [{"mimeType": "image/png", "dataAsBase64": "aGk=", "source": None}]},
        ],
        "explicitAgent": None,
        "anonymizationEntities": [{"type": "NAME", "value": "Ada", "replacement": "<NAME-1>"}],
    },
    "systemContext": {
        "channelId": "web", "contextParams": [{"key": "locale", "value": "de"}],
    },
    "userContext": {
        "userId": "u-1", "userToken": "secret", "contextParams": [{"key": "vip", "value": "true"}],
    },
}  # fmt: skip
CHAT = "/apis/v1/acme/chat/c-1/message"


@pytest.fixture
async def session(platform: Platform) -> AsyncIterator[aiohttp.ClientSession]:
    needs = (RequiredCapability(name="view-bill", version=">=1.0.0"),)
    labels = {"tenant": "acme", "channel": "web", "subset": "stable", "version": "1.0.0"}
    await platform.store.apply(
        Channel(
            metadata=ObjectMeta(name="acme-web", labels=labels),
            spec=ChannelSpec(required_capabilities=needs),
        ),
        "test",
    )
    routes = [*app.routes(platform.supervisor), *api.tenant_routes(platform.store)]
    async with served(app.application(routes)) as url, aiohttp.ClientSession(url) as made:
        yield made


@pytest.mark.parametrize("prefix", ["", "/lmos/runtime"])
async def test_a_message(session: aiohttp.ClientSession, platform: Platform, prefix: str) -> None:
    headers = {"x-turn-id": "turn-1", "x-subset": "stable"}
    async with session.post(prefix + CHAT, json=CONVERSATION, headers=headers) as response:
        body = await response.json()
        assert (response.status, response.content_type) == (200, "application/json")
    assert body["content"] == "billing: show me my bill"
    assert isinstance(body["anonymizationEntities"], list)
    turn = platform.billing.turns[-1]
    assert (turn.tenant, turn.channel, turn.conversation_id) == ("acme", "web", "c-1")
    assert (turn.turn_id, turn.subset) == ("turn-1", "stable")
    assert (turn.user.id, turn.user.token, turn.user.profile) == ("u-1", "secret", {"vip": "true"})
    assert turn.system_context == {"locale": "de"}
    assert [m.content for m in turn.history] == ["hello", "How can I help?"]
    assert turn.anonymization_entities[0].replacement == "<NAME-1>"
    assert turn.messages[-1].binary_data[0].mime_type == "image/png"


ERRORS = {
    "no such channel": ({"systemContext": {"channelId": "fax"}}, 404, "AGENT_NOT_FOUND"),
    "no such agent": ({"explicitAgent": "nobody"}, 404, "AGENT_NOT_FOUND"),
    "no messages": ({"messages": []}, 400, "INVALID_REQUEST"),
    "no channel": ({"systemContext": {}}, 400, "INVALID_REQUEST"),
}


@pytest.mark.parametrize("what", ERRORS)
async def test_an_error_has_a_code_and_a_message(session: aiohttp.ClientSession, what: str) -> None:
    change, status, code = ERRORS[what]
    given = CONVERSATION["inputContext"]
    inner = {k: v for k, v in change.items() if k != "systemContext"}
    outer = {k: v for k, v in change.items() if k == "systemContext"}
    body = {**CONVERSATION, "inputContext": {**given, **inner}, **outer}
    async with session.post(CHAT, json=body, headers={"x-turn-id": "t"}) as response:
        found = await response.json(content_type=None)
    assert (response.status, found["errorCode"]) == (status, code)
    assert found["message"]
    assert found["status"] == status  # and beside it what RFC 9457 has
    assert found["type"].startswith("urn:lmos:error:")


async def test_unreadable_bodies_are_invalid_requests(session: aiohttp.ClientSession) -> None:
    for body in (b"", b"{", b"[]", b"null", b'{"inputContext": 5}'):
        async with session.post(CHAT, data=body, headers={"x-turn-id": "t"}) as response:
            found = await response.json(content_type=None)
            assert (response.status, found["errorCode"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("prefix", ["", "/lmos/runtime"])
async def test_agents(session: aiohttp.ClientSession, prefix: str) -> None:
    query = {"tenantId": "acme", "channelId": "web", "subset": "stable"}
    async with session.get(f"{prefix}/apis/v1/agents", params=query) as response:
        body = await response.json()
    assert (response.status, body["subset"]) == (200, "stable")
    agent = body["agents"][0]
    assert set(agent) >= {"id", "name", "version", "description", "capabilities"}
    assert set(agent["capabilities"][0]) >= {"id", "name", "version", "description"}
    async with session.get(f"{prefix}/apis/v1/agents/acme/web") as response:
        assert (await response.json())[0]["addresses"][0]["url"].startswith("http://")
    async with session.get(f"{prefix}/apis/v1/agents", params={"tenantId": "acme"}) as response:
        assert response.status == 400


async def test_channels_and_routings(session: aiohttp.ClientSession) -> None:
    headers = {"x-subset": "stable", "x-namespace": "default"}
    base = "/apis/v1/tenants/acme/channels"
    async with session.get(base, headers=headers) as response:
        assert [found["kind"] for found in await response.json()] == ["Channel"]
    async with session.get(f"{base}/web", headers=headers) as response:
        assert (await response.json())["metadata"]["name"] == "acme-web"
    async with session.get(f"{base}/web/routing", headers=headers) as response:
        routing = await response.json()
        tag = response.headers["etag"]
    assert routing["kind"] == "ChannelRouting"
    assert routing["spec"]["capabilityGroups"][0]["capabilities"][0]["name"] == "view-bill"
    async with session.get(f"{base}/web/routing", headers={"if-none-match": tag}) as response:
        assert response.status == 304
    for missing in (f"{base}/fax", f"{base}/fax/routing"):
        async with session.get(missing) as response:
            assert response.status == 404
            assert (await response.json(content_type=None))["error"]
    async with session.get(f"{base}/web", headers={"x-namespace": "elsewhere"}) as response:
        assert response.status == 404


async def test_graphql_as_the_original_serves_it(session: aiohttp.ClientSession) -> None:
    """Tenant and channel in the system context, `agentName` of no account."""
    query = """subscription($request: AgentRequestInput!) { agent(request: $request) {
        status messages { content role format } anonymizationEntities { type } } }"""
    request = {
        "messages": [{"role": "user", "content": "show me my bill", "format": "text"}],
        "conversationContext": {"conversationId": "c-9"},
        "systemContext": [
            {"key": "tenantId", "value": "acme"}, {"key": "channelId", "value": "web"},
        ],
        "userContext": {"userId": "u-1", "profile": []},
    }  # fmt: skip
    async with session.ws_connect("/subscriptions") as socket:  # without a sub-protocol, as theirs
        await socket.send_json({"type": "connection_init"})
        assert (await socket.receive_json(timeout=5))["type"] == "connection_ack"
        payload = {"query": query, "variables": {"request": request}}
        await socket.send_json({"type": "subscribe", "id": "1", "payload": payload})
        messages = []
        while (found := await socket.receive_json(timeout=10))["type"] == "next":
            messages += found["payload"]["data"]["agent"]["messages"]
        assert found["type"] == "complete"
    assert messages[-1]["content"] == "billing: show me my bill"


async def test_health(session: aiohttp.ClientSession) -> None:
    for path in ("/health", "/health/live", "/health/ready"):
        async with session.get(path) as response:
            assert (await response.json())["status"] == "UP"
