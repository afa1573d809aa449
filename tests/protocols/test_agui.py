"""AG-UI over the wire: our server read with the protocol's own types, our client against it."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest
from ag_ui.core import Event
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
    said,
    soon,
)
from protocol_servers import Serve
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from lmos.model import (
    AgentAddress,
    Answer,
    BinaryData,
    Decided,
    Done,
    Failed,
    Handover,
    InputRequired,
    Message,
    Responder,
    Started,
    TextDelta,
    ToolCall,
    ToolResult,
    Turn,
    TurnEvent,
    Usage,
    User,
)
from lmos.protocols import agui
from lmos.protocols.connecting import connect
from lmos.protocols.directory import one, several

EVENT: TypeAdapter[Any] = TypeAdapter(Event)


def asked(text: str = "hi", **more: Any) -> dict[str, Any]:
    messages = [{"id": "m-1", "role": "user", "content": text}]
    return {"threadId": "c-1", "runId": "r-1", "messages": messages} | more


async def post(url: str, body: Any) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return response.status, await response.text()


async def run(url: str, body: Any) -> list[Any]:
    """The events of a run, each read by the protocol's own types."""
    status, text = await post(url, body)
    assert status == 200, text
    frames = text.strip().split("\n\n")
    found = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    for event in found:
        EVENT.validate_python(event)
    return found


async def ran(serve: Serve, responder: Responder, **more: Any) -> list[Any]:
    return await run(await serve(agui.routes(one("a", responder))) + "/agui", asked(**more))


def kinds(events: list[Any]) -> list[str]:
    return [e["name"] if e["type"] == "CUSTOM" else e["type"] for e in events]


async def test_everything_that_may_come_in_a_turn(serve: Serve) -> None:
    events = await ran(serve, rich)
    assert kinds(events) == [
        "RUN_STARTED",
        "lmos.agent",
        "lmos.decision",
        "lmos.status",
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
        "TOOL_CALL_RESULT",
        "TEXT_MESSAGE_START",
        *["TEXT_MESSAGE_CONTENT"] * 3,
        "TEXT_MESSAGE_END",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "lmos.context",
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]
    assert events[0] == {
        "type": "RUN_STARTED",
        "threadId": "c-1",
        "runId": "r-1",
        "protocolVersion": "1.0",
    }
    assert events[1]["value"] == {"agent": "rich", "version": "2.0.0"}
    assert json.loads(events[5]["delta"]) == {"month": "latest", "limit": 3}
    assert (events[7]["toolCallId"], events[7]["content"]) == ("r-1-1", "42.50")
    text = "".join(e.get("delta", "") for e in events if e["type"] == "TEXT_MESSAGE_CONTENT")
    assert text == "Your bill is 42.50 EUR – paid.Here it is."
    assert events[8]["messageId"] != events[13]["messageId"]
    assert events[15]["value"]["context"] == {"bill": "7"}
    assert events[-1]["usage"] == [
        {"model": "m", "inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
    ]


async def test_text_before_a_tool_is_a_message_of_its_own(serve: Serve) -> None:
    async def looking(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        yield Started(agent="a")
        yield TextDelta(text="Let me see. ")
        yield ToolCall(id="1", name="look")
        yield ToolResult(id="1", name="look", error="no such bill")
        yield TextDelta(text="Nothing.")
        yield said("Let me see. Nothing.")
        yield Done()

    events = await ran(serve, looking)
    text = ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"]
    call = ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "TOOL_CALL_RESULT"]
    assert kinds(events)[2:] == [*text, *call, *text, "RUN_FINISHED"]
    url = await serve(agui.routes(one("a", looking)))
    found = await events_of(agui.responder(f"{url}/agui"), a_turn())
    assert ToolResult(id="t-1-1", name="look", error="no such bill") in found
    assert [e.message.content for e in found if isinstance(e, Answer)] == [
        "Let me see. ",
        "Nothing.",
    ]


async def test_a_question_and_a_hand_over_are_told_and_said(serve: Serve) -> None:
    question = await ran(serve, asking)
    text = ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED"]
    assert kinds(question)[2:] == ["lmos.input_required", *text]
    assert question[-3]["delta"] == "Which account?"
    assert question[-1]["result"] == {"inputRequired": True}
    handed = await ran(serve, handing_over)
    assert kinds(handed)[2:] == ["lmos.handover", *text]
    assert handed[-1]["result"]["handover"]["to"] == "billing-agent"


async def approving(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
    yield Started(agent="a")
    if "approval" in turn.system_context:
        yield said(f"{turn.system_context['approval']}: {turn.text}")
        yield Done()
        return
    call = json.dumps({"id": "p-1", "tool": "pay", "arguments": {"amount": 5}})
    question = Message(role="assistant", content="Pay 5 EUR?")
    yield InputRequired(message=question, context={"approval": call})


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"status": "resolved", "payload": {"approved": True}}, "approved: yes"),
        ({"status": "resolved", "payload": True}, "approved: yes"),
        ({"status": "resolved"}, "approved: yes"),
        ({"status": "resolved", "payload": {"approved": False}}, "denied: no"),
        ({"status": "cancelled"}, "denied: no"),
    ],
)
async def test_an_approval_interrupts_the_run(
    serve: Serve, entry: dict[str, Any], expected: str
) -> None:
    url = await serve(agui.routes(one("a", approving))) + "/agui"
    outcome = (await run(url, asked()))[-1]["outcome"]
    assert outcome["type"] == "interrupt"
    (interrupt,) = outcome["interrupts"]
    assert (interrupt["id"], interrupt["message"]) == ("p-1", "Pay 5 EUR?")
    assert interrupt["metadata"]["tool"] == "pay"
    said = {"id": "m-2", "role": "assistant", "content": "Pay 5 EUR?"}
    resumed = asked(resume=[{"interruptId": "p-1", **entry}])
    resumed["messages"].append(said)
    events = await run(url, resumed)
    assert [e["delta"] for e in events if "delta" in e] == [expected]


async def test_failures(serve: Serve) -> None:
    early, late = await ran(serve, failing), await ran(serve, failing_late)
    assert early[-1] == {"type": "RUN_ERROR", "message": "too many turns", "code": "OVERLOADED"}
    assert kinds(late)[-2:] == ["TEXT_MESSAGE_END", "RUN_ERROR"]
    assert late[-1]["code"] == "AGENT_CLIENT_EXCEPTION"


async def test_the_request_reaches_the_responder(serve: Serve) -> None:
    recording = Recording()
    prefix = "/{tenant}/{channel}"
    routes = agui.routes(several({"first": rich, "second": recording}), prefix=prefix)
    url = await serve(routes) + "/acme/web/agui/second"
    picture = {"type": "data", "value": "aGk=", "mimeType": "image/png"}
    linked = {"type": "url", "value": "https://pictures.example/1"}
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"id": "1", "role": "system", "content": "be brief"},
        {"id": "2", "role": "assistant", "toolCalls": [call]},
        {"id": "3", "role": "tool", "content": "42", "toolCallId": "t"},
        {"id": "4", "role": "reasoning", "content": "hm"},
        {"id": "5", "role": "assistant", "content": "hello"},
        {
            "id": "6",
            "role": "user",
            "content": [
                {"type": "text", "text": "what is"},
                {"type": "text", "text": "this?"},
                {"type": "image", "source": picture},
                {"type": "video", "source": linked},
            ],
        },
    ]
    body = asked(
        messages=messages,
        context=[{"description": "page", "value": "/bills"}],
        forwardedProps={"userId": "u-1", "beta": True, "limit": 3, "deep": {"a": 1}},
        state={"a": 1},
        tools=[{"name": "f", "description": "d"}],
    )
    await run(url, body)
    (turn,) = recording.turns
    assert (turn.tenant, turn.channel) == ("acme", "web")
    assert (turn.conversation_id, turn.turn_id, turn.user.id) == ("c-1", "r-1", "u-1")
    assert [m.role for m in turn.messages] == ["system", "assistant", "user"]
    assert turn.text == "what is\nthis?"
    assert turn.messages[-1].binary_data == (
        BinaryData(mime_type="image/png", data_as_base64="aGk="),
        BinaryData(mime_type="video/*", source="https://pictures.example/1"),
    )
    assert turn.system_context == {"page": "/bills", "beta": "true", "limit": "3"}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "threadId"),
        ([], 400, "not valid"),
        (asked(messages=[]), 400, "there are no messages"),
        (asked(messages=[{"id": "1", "role": "user"}]), 400, "content"),
        (asked("x" * 100_001), 413, "100001 characters"),
        (asked(threadId=" "), 400, "threadId is empty"),
        (asked(context=[{"description": str(n), "value": ""} for n in range(201)]), 413, "context"),
        (asked(forwardedProps={str(n): "" for n in range(201)}), 413, "forwardedProps"),
    ],
)
async def test_what_is_wrong_with_a_request_is_said(
    serve: Serve, body: Any, status: int, words: str
) -> None:
    url = await serve(agui.routes(one("a", echo)))
    found, text = await post(f"{url}/agui", body)
    assert found == status
    assert words in text


async def test_an_agent_that_is_not_there(serve: Serve) -> None:
    url = await serve(agui.routes(several({"a": echo, "b": echo})))
    status, text = await post(f"{url}/agui/c", asked())
    assert status == 404
    assert "here are a, b" in text


async def test_a_client_that_leaves_ends_the_turn(serve: Serve) -> None:
    endless = Endless()
    url = await serve(agui.routes(one("a", endless)))
    async with asyncio.timeout(5):
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/agui", json=asked()) as response,
        ):
            await endless.began.wait()
            response.close()
        await endless.closed.wait()


# --- our client -----------------------------------------------------------------------------------


async def test_a_turn_comes_through_whole(serve: Serve) -> None:
    url = await serve(agui.routes(one("rich", rich)))
    respond = connect(AgentAddress(url=f"{url}/agui", protocol="agui"))
    events = await events_of(respond, a_turn())
    here = names(await events_of(rich, a_turn()))
    assert names(events) == [*here[:-2], "text_delta", "message", "done"]
    assert events[0] == Started(agent="rich", version="2.0.0")
    assert isinstance(events[1], Decided)
    call = ToolCall(id="t-1-1", name="get_bill", arguments={"month": "latest", "limit": 3})
    assert call in events
    last = events[-2]
    assert isinstance(last, Answer)
    assert last.context == {"bill": "7"}
    assert last.message.binary_data[0].mime_type == "image/png"
    usage = Usage(model="m", input_tokens=10, output_tokens=5, requests=1)
    assert events[-1] == Done(usage=usage)


async def test_the_turn_reaches_the_other_side(serve: Serve) -> None:
    recording = Recording()
    url = await serve(agui.routes(one("a", recording)))
    picture = BinaryData(mime_type="image/png", data_as_base64="aGk=")
    turn = a_turn(
        messages=(
            Message(role="assistant", content="hello"),
            Message(role="user", content="look", binary_data=(picture,)),
        ),
        user=User(id="u-1", token="secret"),
        system_context={"beta": "true"},
        subset="canary",
        trace={"traceparent": "00-1-2-01"},
    )
    await events_of(agui.responder(f"{url}/agui"), turn)
    (got,) = recording.turns
    assert got.messages == turn.messages
    assert (got.conversation_id, got.turn_id, got.user) == ("c-1", "t-1", User(id="u-1"))
    assert (got.subset, got.trace) == ("canary", turn.trace)
    assert got.system_context == {"beta": "true"}


async def test_other_endings(serve: Serve) -> None:
    agents = {"a": asking, "h": handing_over, "f": failing, "l": failing_late, "p": approving}
    url = await serve(agui.routes(several(agents)))

    async def last(agent: str) -> Any:
        return (await events_of(agui.responder(f"{url}/agui/{agent}"), a_turn()))[-1]

    question = await last("a")
    assert isinstance(question, InputRequired)
    assert (question.message.content, question.context) == ("Which account?", {"wants": "account"})
    assert await last("h") == Handover(
        to="billing-agent", capability="view-bill", reason="not my job"
    )
    assert (await last("f")).error.code == "OVERLOADED"
    assert (await last("l")).error.message == "the agent fell over"
    approval = await last("p")
    assert json.loads(approval.context["approval"])["tool"] == "pay"
    assert (await last("nobody")).error.code == "AGENT_CLIENT_EXCEPTION"


async def test_the_deadline_holds(serve: Serve) -> None:
    endless = Endless()
    url = await serve(agui.routes(one("a", endless)))
    turn = a_turn(deadline=soon(0.2))
    events = await events_of(agui.responder(f"{url}/agui"), turn)
    assert names(events)[-1] == "error"
    async with asyncio.timeout(5):
        await endless.closed.wait()


def sent(*events: Any) -> list[Route]:
    """A server that is not ours."""

    async def answer(request: Request) -> Response:
        await request.body()

        async def chunks() -> AsyncGenerator[bytes, None]:
            for event in events:
                data = event if isinstance(event, str) else json.dumps(event)
                yield f"data: {data}\n\n".encode()

        return StreamingResponse(chunks(), media_type="text/event-stream")

    return [Route("/run", answer, methods=["POST"])]


STARTED = {"type": "RUN_STARTED", "threadId": "c-1", "runId": "t-1"}
FINISHED = {"type": "RUN_FINISHED", "threadId": "c-1", "runId": "t-1"}


async def test_chunks_and_whatever_else_an_agent_sends(serve: Serve) -> None:
    url = await serve(
        sent(
            STARTED,
            {"type": "STEP_STARTED", "stepName": "s"},
            {"type": "STATE_SNAPSHOT", "snapshot": {"a": 1}},
            {"type": "REASONING_MESSAGE_CONTENT", "messageId": "r", "delta": "hm"},
            {"type": "TEXT_MESSAGE_CHUNK", "messageId": "m", "role": "assistant", "delta": "one "},
            {"type": "TEXT_MESSAGE_CHUNK", "delta": "two"},
            {"type": "TOOL_CALL_CHUNK", "toolCallId": "t", "toolCallName": "f", "delta": '{"a"'},
            {"type": "TOOL_CALL_CHUNK", "delta": ": 1}"},
            {"type": "TOOL_CALL_RESULT", "toolCallId": "t", "messageId": "x", "content": "3"},
            {"type": "TEXT_MESSAGE_START", "messageId": "u", "role": "user"},
            {"type": "TEXT_MESSAGE_CONTENT", "messageId": "u", "delta": "not the agent"},
            {"type": "TEXT_MESSAGE_END", "messageId": "u"},
            FINISHED,
        )
    )
    events = await events_of(agui.responder(f"{url}/run", "theirs"), a_turn())
    assert events == [
        Started(agent="theirs"),
        TextDelta(text="one "),
        TextDelta(text="two"),
        said("one two"),
        ToolCall(id="t", name="f", arguments={"a": 1}),
        ToolResult(id="t", name="f", result="3"),
        Done(usage=Usage()),
    ]


async def test_a_snapshot_may_be_all_there_is(serve: Serve) -> None:
    messages = [{"id": "1", "role": "assistant", "content": "all of it"}]
    snapshot = {"type": "MESSAGES_SNAPSHOT", "messages": messages}
    url = await serve(sent(STARTED, snapshot, FINISHED))
    events = await events_of(agui.responder(f"{url}/run"), a_turn())
    assert said("all of it") in events


BAD: dict[str, tuple[list[Any], str]] = {
    "nothing": ([], "broke off"),
    "half": ([STARTED], "broke off"),
    "no answer": ([STARTED, FINISHED], "answered nothing"),
    "not JSON": ([STARTED, "{"], "cannot be read"),
    "odd shapes": ([{"type": 7}], "cannot be read"),
    "an error": ([STARTED, {"type": "RUN_ERROR", "message": "boom"}], "boom"),
}


@pytest.mark.parametrize("case", BAD)
async def test_whatever_comes_back_the_turn_ends_well_formed(serve: Serve, case: str) -> None:
    events, words = BAD[case]
    url = await serve(sent(*events))
    last = (await events_of(agui.responder(f"{url}/run"), a_turn()))[-1]
    assert isinstance(last, Failed)
    assert last.error.code == "AGENT_CLIENT_EXCEPTION"
    assert words in last.error.message
