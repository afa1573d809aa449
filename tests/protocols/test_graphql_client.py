"""Our client of ARC's GraphQL: against our server, and against servers as the original is one."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from protocol_agents import (
    Endless,
    Recording,
    a_turn,
    asking,
    echo,
    events_of,
    failing,
    failing_late,
    handing_over,
    names,
    rich,
    soon,
)
from protocol_servers import Serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from lmos.model import (
    AgentAddress,
    AnonymizationEntity,
    Answer,
    Capability,
    Decided,
    Description,
    Done,
    Failed,
    Handover,
    InputRequired,
    Message,
    Started,
    ToolCall,
    ToolResult,
    Usage,
    User,
    errors,
)
from lmos.protocols import a2a, graphql
from lmos.protocols.connecting import connect
from lmos.protocols.directory import one, several
from lmos.registry import describe

RICH = "Your bill is 42.50 EUR – paid.\n\nHere it is."


async def test_a_turn_comes_through_whole(serve: Serve) -> None:
    url = await serve(graphql.routes(one("rich", rich)))
    events = await events_of(graphql.responder(url), a_turn())
    kinds = ["started", "decision", "status", "tool_call", "tool_result"]
    assert names(events) == [*kinds, *["text_delta"] * 4, "message", "done"]
    assert events[0] == Started(agent="rich", version="2.0.0")
    assert isinstance(events[1], Decided)
    assert events[3] == ToolCall(id="1", name="get_bill", arguments={"month": "latest", "limit": 3})
    assert events[4] == ToolResult(id="1", name="get_bill", result="42.50")
    assert "".join(e.text for e in events if e.type == "text_delta") == RICH
    answer, done = events[-2:]
    assert isinstance(answer, Answer)
    assert answer.message.content == RICH
    assert answer.message.binary_data[0].mime_type == "image/png"
    assert answer.context == {"bill": "7"}
    assert done == Done(usage=Usage(model="m", input_tokens=10, output_tokens=5, requests=2))


async def test_the_turn_reaches_the_other_side(serve: Serve) -> None:
    asked = Recording()
    url = await serve(graphql.routes(several({"other": rich, "asked": asked})))
    history = (
        Message(role="system", content="be brief"),
        Message(role="assistant", content="hello"),
        Message(role="user", content="and now?"),
    )
    entity = AnonymizationEntity(type="NAME", value="Ann", replacement="<1>")
    turn = a_turn(
        messages=history,
        user=User(id="u-1", token="tok", profile={"lang": "en"}),
        system_context={"beta": "true"},
        anonymization_entities=(entity,),
        subset="canary",
        trace={"traceparent": "00-1-2-01"},
    )
    place = f"{url.replace('http', 'ws')}/subscriptions#asked"
    events = await events_of(graphql.responder(place), turn)
    (got,) = asked.turns
    assert (got.tenant, got.channel, got.subset) == ("acme", "web", "canary")
    assert (got.conversation_id, got.turn_id, got.user) == ("c-1", "t-1", turn.user)
    assert [(m.role, m.content) for m in got.messages] == [
        ("assistant", "hello"),
        ("user", "and now?"),
    ]
    assert got.system_context["beta"] == "true"
    assert got.anonymization_entities == (entity,)
    assert got.trace == turn.trace
    assert isinstance(events[-2], Answer)
    assert events[-2].anonymization_entities == (entity,)


async def test_other_endings(serve: Serve) -> None:
    agents = {"a": asking, "h": handing_over, "f": failing, "l": failing_late}
    url = await serve(graphql.routes(several(agents)))

    async def last(agent: str) -> Any:
        return (await events_of(graphql.responder(url, agent), a_turn()))[-1]

    question = await last("a")
    assert isinstance(question, InputRequired)
    assert (question.message.content, question.context) == ("Which account?", {"wants": "account"})
    assert await last("h") == Handover(
        to="billing-agent", capability="view-bill", reason="not my job"
    )
    failed = (await last("f")).exception()
    assert isinstance(failed, errors.Overloaded)
    assert (failed.message, failed.retry_after) == ("too many turns", 7)
    assert (await last("l")).error.details == {"hint": "restart"}
    assert (await last("nobody")).error.code == "AGENT_NOT_FOUND"


async def test_leaving_ends_the_turn_there(serve: Serve) -> None:
    endless = Endless()
    url = await serve(graphql.routes(one("endless", endless)))
    events = graphql.responder(url)(a_turn())
    async with asyncio.timeout(5):
        while (await anext(events)).type != "text_delta":
            pass
        await events.aclose()
        await endless.closed.wait()


async def test_the_deadline_holds(serve: Serve) -> None:
    endless = Endless(talk=False)
    url = await serve(graphql.routes(one("endless", endless)))
    last = (await events_of(graphql.responder(url), a_turn(deadline=soon(0.2))))[-1]
    assert isinstance(last, Failed)
    assert last.error.code == "DEADLINE_EXCEEDED"
    async with asyncio.timeout(5):
        await endless.closed.wait()


async def test_many_turns_at_once(serve: Serve) -> None:
    url = await serve(graphql.routes(one("echo", echo)))
    ask = connect(AgentAddress(url=url, protocol="graphql"))
    turns = [a_turn(str(number)) for number in range(100)]
    found = await asyncio.gather(*(events_of(ask, turn) for turn in turns))
    texts = [events[-2].message.content for events in found if isinstance(events[-2], Answer)]
    assert texts == [f"acme/web/stable: {number}" for number in range(100)]


# --- servers as the original is one ---------------------------------------------------------------

Script = Sequence[Any]


def original(script: Script, asked: list[Any] | None = None) -> list[BaseRoute]:
    """Acknowledges, waits for the subscription, then sends the script and closes."""

    async def subscriptions(socket: WebSocket) -> None:
        await socket.accept()
        assert (await socket.receive_json())["type"] == "connection_init"
        await socket.send_json({"type": "connection_ack", "payload": None})
        subscribed = await socket.receive_json()
        if asked is not None:
            asked.append(subscribed["payload"])
        for sent in script:
            if isinstance(sent, str):
                await socket.send_text(sent)
            else:
                await socket.send_json({"id": subscribed["id"], **sent})
        await socket.close()

    return [WebSocketRoute("/subscriptions", subscriptions)]


def result(**fields: Any) -> dict[str, Any]:
    whole = {
        "status": None,
        "type": "MESSAGE",
        "responseTime": -1.0,
        "messages": [],
        "context": None,
        "toolCalls": None,
        "anonymizationEntities": None,
    }
    return {"type": "next", "payload": {"data": {"agent": whole | fields}}}


def says(text: str, **fields: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "format": "text", "turnId": None}
    return result(messages=[message | {"binaryData": None}], **fields)


def event(kind: str, /, **data: Any) -> dict[str, Any]:
    context = {"eventType": kind, "eventData": json.dumps(data)}
    return result(type="EVENT", context=[{"key": k, "value": v} for k, v in context.items()])


COMPLETE = {"type": "complete"}


async def test_the_original_answers(serve: Serve) -> None:
    asked: list[Any] = []
    script = [
        event("AgentStartedEvent", agent={"name": "billing", "version": "1"}),
        event("LLMStartedEvent", model="gpt"),
        says("one moment", type="INTERMEDIATE_MESSAGE"),
        event("LLMFunctionCalledEvent", name="get_bill", param='{"month": 3}', result="42"),
        event("LLMFinishedEvent", model="gpt", promptTokens=7, completionTokens=2),
        event("LLMFinishedEvent", model="gpt", promptTokens=3, completionTokens=1),
        event("Unheard", of=1),
        result(type="EVENT", context=[{"key": "eventData", "value": "{"}]),
        says("42 EUR", status="null", context=[{"key": "useCase", "value": "view_bill"}]),
        COMPLETE,
    ]
    url = await serve(original(script, asked))
    events = await events_of(graphql.responder(url), a_turn())
    kinds = ["started", "status", "tool_call", "tool_result", "message", "done"]
    assert names(events) == kinds
    assert events[0] == Started(agent="billing")
    assert events[2] == ToolCall(id="1", name="get_bill", arguments={"month": 3})
    assert events[3] == ToolResult(id="1", name="get_bill", result="42")
    assert isinstance(events[4], Answer)
    assert events[4].context == {"useCase": "view_bill"}
    assert events[5] == Done(usage=Usage(model="gpt", input_tokens=10, output_tokens=3, requests=2))
    # What the original's schema requires is all there.
    request = asked[0]["variables"]["request"]
    assert set(request) == {"messages", "conversationContext", "systemContext", "userContext"}
    assert request["userContext"]["profile"] == []
    assert all({"role", "content", "format"} <= set(message) for message in request["messages"])


async def test_the_original_hands_over_and_classifies(serve: Serve) -> None:
    url = await serve(original([says("to sales", status="AGENT_HANDOVER[sales]"), COMPLETE]))
    assert (await events_of(graphql.responder(url), a_turn()))[-1] == Handover(
        to="sales", reason="to sales"
    )
    url = await serve(original([says("a person, please", status="AGENT_HANDOVER"), COMPLETE]))
    assert (await events_of(graphql.responder(url), a_turn()))[-1] == Handover(
        reason="a person, please"
    )
    url = await serve(original([says("?", status="UNRESOLVED"), COMPLETE]))
    answer = (await events_of(graphql.responder(url), a_turn()))[-2]
    assert isinstance(answer, Answer)
    assert answer.context == {"classification": "UNRESOLVED"}


BAD: dict[str, tuple[Script, str]] = {
    "an error": ([{"type": "error", "payload": [{"message": "boom"}]}], "boom"),
    "an odd error": ([{"type": "error", "payload": None}], "no reason given"),
    "errors in a result": ([{"type": "next", "payload": {"errors": [{"message": "bad"}]}}], "bad"),
    "an error as a result": ([says("fell over", type="ERROR")], "fell over"),
    "no data": ([{"type": "next", "payload": {"data": None}}], "without data"),
    "no payload": ([{"type": "next"}], "without payload"),
    "no message": ([result()], "answered nothing"),
    "complete alone": ([COMPLETE], "ended without an answer"),
    "half": ([says("hm", type="INTERMEDIATE_MESSAGE")], "closed the connection"),
    "not JSON": (["{"], "not JSON"),
    "not an object": (["[]"], "not a message"),
    "odd shapes": ([result(messages=[1])], "cannot be read"),
    "odd context": ([result(context={"a": 1})], "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
async def test_whatever_comes_back_the_turn_ends_well_formed(serve: Serve, case: str) -> None:
    script, words = BAD[case]
    url = await serve(original(script))
    last = (await events_of(graphql.responder(url), a_turn()))[-1]
    assert isinstance(last, Failed)
    assert last.error.code == "AGENT_CLIENT_EXCEPTION"
    assert words in last.error.message


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "AGENT_CLIENT_EXCEPTION"), (429, "OVERLOADED"), (503, "AGENT_UNAVAILABLE")],
)
async def test_a_server_that_refuses(serve: Serve, status: int, code: str) -> None:
    async def refuse(socket: WebSocket) -> None:
        await socket.send_denial_response(Response("", status))

    url = await serve([WebSocketRoute("/subscriptions", refuse)])
    last = (await events_of(graphql.responder(url), a_turn()))[-1]
    assert isinstance(last, Failed)
    assert last.error.code == code


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "ws://127.0.0.1:9/subscriptions", "http://"])
async def test_nobody_there(serve: Serve, url: str) -> None:
    last = (await events_of(graphql.responder(url), a_turn()))[-1]
    assert isinstance(last, Failed)
    assert last.error.code == "AGENT_UNAVAILABLE"


# --- descriptions ---------------------------------------------------------------------------------

CARD = {
    "name": "billing-agent",
    "description": "Bills",
    "url": "",
    "version": "1.2.0",
    "capabilities": {
        "streaming": False,
        "pushNotifications": False,
        "stateTransitionHistory": False,
    },
    "defaultInputModes": [],
    "defaultOutputModes": [],
    "skills": [{"id": "view_bill", "name": "view-bill", "examples": ["my bill"], "tags": None}],
}


def told(card: Any) -> Callable[[Request], Any]:
    async def get(request: Request) -> Response:
        return JSONResponse(card)

    return get


async def test_an_agent_of_arc_is_known_by_its_endpoint(serve: Serve) -> None:
    routes = graphql.routes(several({"first": echo, "billing-agent": rich}))
    url = await serve([*routes, Route("/.well-known/agent.json", told(CARD))])
    found = await describe(url)
    assert (found.name, found.version, found.protocol) == ("billing-agent", "1.2.0", "graphql")
    (capability,) = found.capabilities
    assert capability == Capability(
        id="view_bill", name="view-bill", version="1.2.0", examples=("my bill",)
    )
    asked = await describe(f"{url}#billing-agent")
    respond = connect(AgentAddress(url=asked.url, protocol=asked.protocol))
    answer = (await events_of(respond, a_turn()))[-2]
    assert isinstance(answer, Answer)
    assert answer.message.content == RICH
    with pytest.raises(errors.AgentFailed, match="no agent 'sales'"):
        await graphql.describe(f"{url}#sales")


async def test_an_old_card_alone_is_no_agent_of_arc(serve: Serve) -> None:
    url = await serve([Route("/.well-known/agent.json", told(CARD))])
    with pytest.raises(errors.AgentFailed, match="does not describe an agent"):
        await describe(url)


async def test_our_own_agents_stay_with_a2a(serve: Serve) -> None:
    description = Description(name="a", version="1.0.0")
    url = await serve([*graphql.routes(one("a", echo)), *a2a.routes(echo, description)])
    assert (await describe(url)).protocol == "a2a"
