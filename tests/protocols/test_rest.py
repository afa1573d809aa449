"""The runtime's REST API: JSON, events, and its client."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from protocol_agents import (
    Endless,
    Recording,
    a_turn,
    asking,
    broken,
    echo,
    events_of,
    failing,
    failing_late,
    handing_over,
    names,
    rich,
    silent,
    soon,
    unknown,
)
from protocol_servers import Serve

from lmos.model import Failed, InputRequired, Message, Responder, User, errors
from lmos.protocols import http, lmos, sse

PATH = "/apis/v1/acme/chat/c-1/message"
BODY: dict[str, Any] = {
    "inputContext": {"messages": [{"role": "user", "content": "hello"}]},
    "systemContext": {"channelId": "web"},
}


async def post(url: str, body: Any = BODY, **headers: str) -> aiohttp.ClientResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await http.session().post(url + PATH, data=data, headers=named)
    if response.content_type != "text/event-stream":
        await response.read()
    return response


async def test_an_answer_is_the_originals_message_with_additions(serve: Serve) -> None:
    url = await serve(lmos.chat_routes(echo))
    response = await post(url, x_turn_id="t-9", x_subset="canary")
    assert response.status == 200
    assert response.headers["x-turn-id"] == "t-9"
    body = await response.json()
    assert body["content"] == "acme/web/canary: hello"
    assert body["anonymizationEntities"] == []
    assert (body["agent"], body["turnId"], body["conversationId"]) == ("echo", "t-9", "c-1")
    assert body["context"] == {"mood": "calm"}
    assert body["usage"]["outputTokens"] == 4


async def test_the_whole_conversation_reaches_the_responder(serve: Serve) -> None:
    asked = Recording()
    url = await serve(lmos.chat_routes(asked))
    body = {
        "inputContext": {
            "messages": [
                {"role": "assistant", "content": "hi", "turnId": "t-0"},
                {"role": "user", "content": "my bill", "format": "text"},
            ],
            "explicitAgent": "billing-agent",
            "anonymizationEntities": [{"type": "name", "value": "Ann", "replacement": "N1"}],
        },
        "systemContext": {"channelId": "web", "contextParams": [{"key": "lang", "value": "de"}]},
        "userContext": {
            "userId": "u-1",
            "userToken": "tok",
            "contextParams": [{"key": "tier", "value": "gold"}],
        },
    }
    response = await post(url, body, traceparent="00-1-2-01")
    assert response.status == 200
    turn = asked.turns[0]
    assert turn.turn_id == response.headers["x-turn-id"]
    assert (turn.text, turn.history[0].turn_id, turn.agent) == ("my bill", "t-0", "billing-agent")
    assert turn.user == User(id="u-1", token="tok", profile={"tier": "gold"})
    assert turn.system_context == {"lang": "de"}
    assert turn.anonymization_entities[0].replacement == "N1"
    assert turn.trace == {"traceparent": "00-1-2-01"}


async def test_it_is_also_below_the_prefix_of_the_originals_gateway(serve: Serve) -> None:
    url = await serve(lmos.chat_routes(echo))
    response = await http.session().post(f"{url}/lmos/runtime{PATH}", json=BODY)
    assert (await response.json())["content"] == "acme/web/stable: hello"


async def test_events_stream_while_they_happen(serve: Serve) -> None:
    endless = Endless()
    url = await serve(lmos.chat_routes(endless))
    response = await post(url, accept="text/event-stream")
    assert response.content_type == "text/event-stream"
    events = sse.parse(response.content.iter_any())
    first, second = await anext(events), await anext(events)
    assert (first.name, first.id, json.loads(first.data)) == (
        "started",
        "1",
        {"type": "started", "agent": "endless", "version": ""},
    )
    assert (second.name, second.id) == ("text_delta", "2")
    await events.aclose()
    response.close()


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
async def test_a_client_that_leaves_closes_the_responder(serve: Serve, accept: str) -> None:
    endless = Endless()
    url = await serve(lmos.chat_routes(endless))
    request = asyncio.create_task(post(url, accept=accept))
    async with asyncio.timeout(5):
        await endless.began.wait()
        if accept == "text/event-stream":
            (await request).close()
        request.cancel()
        await endless.closed.wait()
    await asyncio.gather(request, return_exceptions=True)


async def test_silence_is_broken_by_comments(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "KEEP_ALIVE", 0.01)
    url = await serve(lmos.chat_routes(Endless()))
    response = await post(url, accept="text/event-stream")
    seen = b""
    async with asyncio.timeout(5):
        while seen.count(b": keep-alive\n\n") < 2:
            seen += await response.content.readany()
    response.close()


@pytest.mark.parametrize(
    ("responder", "status", "code"),
    [
        (failing, 429, "OVERLOADED"),
        (unknown, 404, "AGENT_NOT_FOUND"),
        (silent, 502, "AGENT_CLIENT_EXCEPTION"),
    ],
)
@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
async def test_a_turn_that_fails_at_once_has_the_errors_status(
    serve: Serve, responder: Responder, status: int, code: str, accept: str
) -> None:
    response = await post(await serve(lmos.chat_routes(responder)), accept=accept)
    assert response.status == status
    assert response.content_type == "application/problem+json"
    body = await response.json()
    assert (body["errorCode"], body["status"], body["instance"]) == (code, status, PATH)
    assert body["message"] == body["detail"]
    assert response.headers.get("retry-after") == ("7" if status == 429 else None)


async def test_a_turn_that_fails_later_ends_the_stream_with_an_error(serve: Serve) -> None:
    response = await post(await serve(lmos.chat_routes(failing_late)), accept="text/event-stream")
    assert response.status == 200
    events = [event async for event in sse.parse(response.content.iter_any())]
    assert [event.name for event in events] == ["started", "text_delta", "error"]
    assert json.loads(events[-1].data)["error"]["message"] == "the agent fell over"


async def test_an_unexpected_error_keeps_its_inside_to_itself(serve: Serve) -> None:
    response = await post(await serve(lmos.chat_routes(broken)))
    assert response.status == 500
    assert "secret" not in await response.text()


async def test_a_question_back_and_a_handover_are_answers(serve: Serve) -> None:
    question = await (await post(await serve(lmos.chat_routes(asking)))).json()
    assert question["inputRequired"] is True
    assert (question["content"], question["context"]) == ("Which account?", {"wants": "account"})
    handover = await (await post(await serve(lmos.chat_routes(handing_over)))).json()
    assert handover["content"] == "not my job"
    assert handover["handover"]["to"] == "billing-agent"


# --- the client -----------------------------------------------------------------------------------


@pytest.mark.parametrize("responder", [echo, rich, asking, handing_over, failing_late, broken])
async def test_the_client_gives_the_very_events(serve: Serve, responder: Responder) -> None:
    there = lmos.responder(await serve(lmos.chat_routes(responder)))
    here = await events_of(there, a_turn())
    if responder in (failing_late, broken):
        assert names(here) == ["started", "text_delta", "error"]
    else:
        assert here == await events_of(responder, a_turn())


async def test_the_client_sends_the_turn(serve: Serve) -> None:
    asked = Recording()
    turn = a_turn(
        conversation_id="a b?ü日%2F\n",
        subset="canary",
        system_context={"lang": "de"},
        user=User(id="u", token="tok", profile={"tier": "gold"}),
        agent="echo",
        trace={"traceparent": "00-1-2-01"},
        messages=(Message(role="assistant", content="hi"), Message(role="user", content="yö")),
    )
    await events_of(lmos.responder(await serve(lmos.chat_routes(asked)) + "/"), turn)
    assert asked.turns == [turn]


async def test_the_client_gives_the_platforms_own_errors(serve: Serve) -> None:
    events = await events_of(lmos.responder(await serve(lmos.chat_routes(failing))), a_turn())
    assert isinstance(events[-1], Failed)
    error = events[-1].exception()
    assert isinstance(error, errors.Overloaded)
    assert error.retry_after == 7


async def test_the_client_keeps_the_deadline_and_closes_the_far_responder(serve: Serve) -> None:
    endless = Endless()
    there = lmos.responder(await serve(lmos.chat_routes(endless)))
    events = await events_of(there, a_turn(deadline=soon(1)))
    assert names(events) == ["started", "text_delta", "error"]
    assert isinstance(events[-1], Failed)
    assert events[-1].error.code == "DEADLINE_EXCEEDED"
    async with asyncio.timeout(5):
        await endless.closed.wait()


async def test_nobody_there_is_agent_unavailable() -> None:
    events = await events_of(lmos.responder("http://127.0.0.1:9"), a_turn())
    await http.close_session()
    assert names(events) == ["started", "error"]
    assert isinstance(events[-1], Failed)
    assert events[-1].error.code == "AGENT_UNAVAILABLE"
    assert "http://127.0.0.1:9" in events[-1].error.message


async def test_a_conversation_goes_on_after_a_question(serve: Serve) -> None:
    there = lmos.responder(await serve(lmos.chat_routes(asking)))
    assert isinstance((await events_of(there, a_turn("my account")))[-1], InputRequired)
    assert names(await events_of(there, a_turn("12"))) == ["started", "message", "done"]
