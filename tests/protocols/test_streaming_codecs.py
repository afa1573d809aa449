"""GraphQL and AG-UI as pure functions: whatever is said comes through, whatever comes is read."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_agents import a_turn, echo, said

from lmos.model import (
    TERMINAL,
    Answer,
    Done,
    LmosError,
    Started,
    TextDelta,
    ToolCall,
    ToolResult,
    TurnEvent,
    errors,
)
from lmos.protocols import agui, graphql
from lmos.protocols.agui import codec as agui_codec
from lmos.protocols.agui.translator import Translator as AguiTranslator
from lmos.protocols.directory import one, several
from lmos.protocols.graphql import codec
from lmos.protocols.graphql.reading import acceptable
from lmos.protocols.graphql.translator import Translator
from lmos.protocols.text import json_text

JSON: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
ANSWER = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4)
SAID: Any = st.lists(st.tuples(ANSWER, st.booleans(), st.none() | JSON), min_size=1, max_size=4)


def turn_events(answers: list[tuple[list[str], bool, Any]]) -> list[TurnEvent]:
    """Answers in pieces or whole, with tools before some."""
    events: list[TurnEvent] = [Started(agent="a")]
    for number, (pieces, streamed, argument) in enumerate(answers):
        if argument is not None:
            events.append(ToolCall(id=str(number), name="f", arguments={"x": argument}))
            events.append(ToolResult(id=str(number), name="f", result="y"))
        if streamed:
            events += [TextDelta(text=piece) for piece in pieces]
        events.append(said("".join(pieces)))
    return [*events, Done()]


def text_of(events: list[TurnEvent]) -> str:
    return "\n\n".join(e.message.content for e in events if isinstance(e, Answer))


@settings(deadline=None)
@given(SAID)
def test_text_and_tools_come_through_graphql(answers: list[tuple[list[str], bool, Any]]) -> None:
    events = turn_events(answers)
    system = {"enableStreaming": "true", "enableEventing": "true"}
    reply = codec.Reply(a_turn(system_context=system), 0.0)
    translator = Translator("a", "a")
    results = [json.loads(json_text(r)) for e in events for r in reply.of(e, 1.0)]
    found = [event for r in results for event in translator.read({"agent": r})]
    assert text_of(found) == text_of(events)
    deltas = "".join(e.text for e in found if isinstance(e, TextDelta))
    assert deltas in ("", text_of(events))
    calls = [e for e in events if isinstance(e, ToolCall)]
    assert [e for e in found if isinstance(e, ToolCall)] == calls
    assert sum(isinstance(e, TERMINAL) for e in found) == 1


@settings(deadline=None)
@given(SAID)
def test_text_and_tools_come_through_agui(answers: list[tuple[list[str], bool, Any]]) -> None:
    events = turn_events(answers)
    run, translator = agui_codec.Run(a_turn()), AguiTranslator("a", "a")
    sent = [run.begin(), *(found for event in events for found in run.of(event))]
    lines = [event.model_dump_json(by_alias=True).encode() for event in sent]
    found = [event for line in lines for event in translator.read(line)]
    assert text_of(found) == text_of(events)
    assert "".join(e.text for e in found if isinstance(e, TextDelta)) == "".join(
        e.message.content for e in events if isinstance(e, Answer)
    )
    calls = [e.arguments for e in events if isinstance(e, ToolCall)]
    assert [e.arguments for e in found if isinstance(e, ToolCall)] == calls
    assert isinstance(found[-1], Done)


FIELDS = st.sampled_from(
    [
        "type",
        "status",
        "messages",
        "context",
        "toolCalls",
        "anonymizationEntities",
        "content",
        "key",
        "value",
    ]
)
KINDS = st.sampled_from(["MESSAGE", "EVENT", "INTERMEDIATE_MESSAGE", "ERROR"]) | JSON


@settings(deadline=None)
@given(st.lists(st.dictionaries(FIELDS, JSON | KINDS) | JSON, max_size=5), KINDS)
def test_any_result_is_read_or_refused(results: list[Any], kind: Any) -> None:
    translator = Translator("a", "a")
    for result in results:
        if isinstance(result, dict):
            result = {**result, "type": kind}
        try:
            translator.read({"agent": result})
        except LmosError:
            return


NAMES = st.sampled_from(
    [
        "RUN_STARTED",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
        "TOOL_CALL_RESULT",
        "TOOL_CALL_CHUNK",
        "CUSTOM",
        "MESSAGES_SNAPSHOT",
        "RUN_FINISHED",
        "RUN_ERROR",
        "STATE_DELTA",
    ]
)
OURS = st.sampled_from(
    ["lmos.agent", "lmos.decision", "lmos.context", "lmos.handover", "lmos.status"]
)
PARTS = st.sampled_from(
    ["messageId", "delta", "toolCallId", "content", "value", "outcome", "usage", "messages"]
)


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, st.dictionaries(PARTS, JSON, max_size=4), OURS), max_size=8))
def test_any_event_is_read_or_refused(events: list[tuple[str, dict[str, Any], str]]) -> None:
    translator = AguiTranslator("a", "a")
    for kind, parts, name in events:
        try:
            translator.read(json.dumps({**parts, "type": kind, "name": name}).encode())
        except LmosError:
            return


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", ["application/json", "application/graphql-response+json", "text/event-stream"]),
        ("text/html", []),
        ("application/*;q=0.5, text/event-stream", ["text/event-stream", "application/json"]),
        (
            "application/graphql-response+json, application/json;q=0.9",
            ["application/graphql-response+json", "application/json"],
        ),
        ("application/json;q=0, */*", ["application/graphql-response+json"]),
        ("application/json;q=x", []),
    ],
)
def test_what_a_client_accepts(accept: str, expected: list[str]) -> None:
    assert acceptable(accept)[: max(len(expected), 1)] == expected


def test_text_holds_what_json_cannot() -> None:
    assert json_text({"n": 2**70, 1: object}) == json.dumps(
        {"n": 2**70, "1": str(object)}, separators=(",", ":")
    )


def test_names_of_agents() -> None:
    assert several({"b": echo, "a": echo}).names() == ["b", "a"]
    with pytest.raises(errors.AgentNotFound, match="here are none"):
        several({}).responder(None)


@pytest.mark.parametrize(("module", "extra"), [("graphql", graphql), ("ag_ui", agui)])
def test_what_is_not_installed_is_said(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: Any
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(errors.MissingExtra, match=r"pip install 'lmos\["):
        extra.routes(one("echo", echo))
