"""The runtime as programs of others see it: raw server-sent events, OpenAI's client, bad bodies."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai as official
import pytest
from runtime_parts import Platform

from lmos.model import TextDelta

CHAT = "/apis/v1/acme/chat/c/message"
DECISION = "/apis/v1/tenants/acme/channels/web/decision"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
async def client(url: str) -> AsyncIterator[official.AsyncOpenAI]:
    async with official.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as made:
        yield made


def said(text: str) -> dict[str, Any]:
    return {
        "inputContext": {"messages": [{"role": "user", "content": text}]},
        "systemContext": {"channelId": "web"},
    }


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def test_a_turn_as_server_sent_events(url: str, session: aiohttp.ClientSession) -> None:
    accept = {"accept": "text/event-stream"}
    body = said("how much do I owe")
    async with session.post(url + CHAT, json=body, headers=accept) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        text = await response.text()
    data = [line[5:] for line in text.splitlines() if line.startswith("data:")]
    found = [json.loads(line) for line in data if line.strip().startswith("{")]
    kinds = [event["type"] for event in found]
    assert kinds == ["started", "decision", "text_delta", "text_delta", "message", "done"]
    deltas = "".join(event["text"] for event in found if event["type"] == "text_delta")
    assert deltas == found[4]["message"]["content"] == "billing: how much do I owe"


async def test_the_next_turn_over_rest_goes_on(
    url: str, session: aiohttp.ClientSession, platform: Platform
) -> None:
    for text in ("how much do I owe", "and last month?"):
        async with session.post(url + CHAT, json=said(text)) as response:
            assert (await response.json())["agent"] == "billing"
    assert len(platform.billing.turns[-1].messages) == 3


@pytest.mark.parametrize("path", [CHAT, DECISION, "/v1/chat/completions"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe"])
async def test_a_bad_body_is_400(
    url: str, session: aiohttp.ClientSession, path: str, body: bytes
) -> None:
    headers = {"content-type": "application/json"}
    async with session.post(url + path, data=body, headers=headers) as response:
        assert response.status == 400
        assert await response.json(content_type=None)


async def test_a_decision_on_what_is_not_there_is_404(
    url: str, session: aiohttp.ClientSession
) -> None:
    for tenant, channel in (("acme", "ivr"), ("initech", "web")):
        path = f"{url}/apis/v1/tenants/{tenant}/channels/{channel}/decision"
        async with session.post(path, json={"text": "hi"}) as response:
            found = await response.json(content_type=None)
        assert (response.status, found["errorCode"]) == (404, "AGENT_NOT_FOUND")


async def test_an_agent_that_breaks_is_an_error_over_rest(
    url: str, session: aiohttp.ClientSession, platform: Platform
) -> None:
    platform.billing.plays(RuntimeError("broken inside"))
    async with session.post(url + CHAT, json=said("how much do I owe")) as response:
        found = await response.json(content_type=None)
    assert response.status >= 500
    assert "billing" in found["message"]
    assert "broken inside" not in json.dumps(found)


# --- OpenAI's own client --------------------------------------------------------------------------


async def test_models_are_channels(client: official.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["acme/web", "globex/web"]


async def test_a_completion(client: official.AsyncOpenAI) -> None:
    found = await client.chat.completions.create(
        model="acme/web", messages=user("where is my parcel")
    )
    (choice,) = found.choices
    assert (choice.message.content, choice.finish_reason) == ("orders: where is my parcel", "stop")


async def test_a_completion_streamed(client: official.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="acme/web", messages=user("how much do I owe"), stream=True
    )
    async with stream:
        chunks = [chunk async for chunk in stream]
    pieces = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert "".join(pieces) == "billing: how much do I owe"
    assert len([piece for piece in pieces if piece]) > 1


async def test_a_channel_that_is_not_there(client: official.AsyncOpenAI) -> None:
    for model in ("acme/ivr", "initech/web", "gpt"):
        with pytest.raises(official.NotFoundError):
            await client.chat.completions.create(model=model, messages=user("hi"))


async def test_an_agent_that_breaks_is_an_error_of_the_completion(
    client: official.AsyncOpenAI, platform: Platform
) -> None:
    platform.billing.plays(TextDelta(text="You"), RuntimeError("broken inside"))
    with pytest.raises(official.InternalServerError, match="billing") as caught:
        await client.chat.completions.create(model="acme/web", messages=user("how much do I owe"))
    assert "broken inside" not in str(caught.value)
