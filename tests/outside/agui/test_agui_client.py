"""AG-UI's own client, which checks the order of events itself, against our server."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from protocol_agents import (
    Endless,
    Recording,
    asking,
    failing_late,
    handing_over,
    rich,
    said,
)
from protocol_servers import app_of, serving

from lmos.model import Done, InputRequired, Message, Started, Turn, TurnEvent
from lmos.protocols import agui
from lmos.protocols.directory import several

pytestmark = pytest.mark.outside


async def paying(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
    yield Started(agent="paying")
    if approval := turn.system_context.get("approval"):
        yield said(f"It was {approval}.")
        yield Done()
        return
    call = json.dumps({"id": "p-1", "tool": "pay", "arguments": {"amount": 5}})
    question = Message(role="assistant", content="Pay 5 EUR?")
    yield InputRequired(message=question, context={"approval": call})


@pytest.fixture
def endless() -> Endless:
    return Endless()


@pytest.fixture
def recording() -> Recording:
    return Recording(rich)


@pytest.fixture
async def url(endless: Endless, recording: Recording) -> AsyncGenerator[str, None]:
    agents = {
        "rich": recording,
        "asking": asking,
        "handing": handing_over,
        "late": failing_late,
        "paying": paying,
        "endless": endless,
    }
    async with serving(app_of(agui.routes(several(agents)))) as base:
        yield f"{base}/agui"


def texts(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(m["role"], m.get("content", "")) for m in found["messages"]]


async def test_a_turn_with_a_tool(url: str, node: Any, recording: Recording) -> None:
    found = await node("run.mjs", url, given={"say": ["my bill?", "again"]})
    assert found["errors"] == []
    first = [
        ("assistant", ""),  # the call
        ("tool", "42.50"),
        ("assistant", "Your bill is 42.50 EUR – paid."),
        ("assistant", "Here it is."),
    ]
    assert texts(found)[:6] == [("user", "my bill?"), *first, ("user", "again")]
    call = found["messages"][1]["toolCalls"][0]["function"]
    assert (call["name"], json.loads(call["arguments"])["month"]) == ("get_bill", "latest")
    custom = [e["name"] for e in found["events"] if e["type"] == "CUSTOM"]
    assert custom[:3] == ["lmos.agent", "lmos.decision", "lmos.status"]
    second = recording.turns[1]
    assert (second.conversation_id, second.user.id, second.text) == ("thread-1", "u-1", "again")
    assert [m.role for m in second.messages] == ["user", "assistant", "assistant", "user"]


async def test_a_question_is_a_message_and_the_chat_goes_on(url: str, node: Any) -> None:
    found = await node("run.mjs", f"{url}/asking", given={"say": ["pay", "17"]})
    assert found["errors"] == []
    assert texts(found) == [
        ("user", "pay"),
        ("assistant", "Which account?"),
        ("user", "17"),
        ("assistant", "account 17"),
    ]


@pytest.mark.parametrize(
    ("resume", "expected"),
    [
        ({"status": "resolved", "payload": {"approved": True}}, "It was approved."),
        ({"status": "cancelled"}, "It was denied."),
    ],
)
async def test_an_approval_is_an_interrupt(
    url: str, node: Any, resume: dict[str, Any], expected: str
) -> None:
    found = await node("run.mjs", f"{url}/paying", given={"say": ["pay"]})
    (waiting,) = found["pendingInterrupts"]
    assert (waiting["id"], waiting["reason"]) == ("p-1", "approval")
    found = await node("run.mjs", f"{url}/paying", given={"say": ["pay", {"resume": resume}]})
    assert found["errors"] == []
    assert found["pendingInterrupts"] == []
    assert texts(found)[-1] == ("assistant", expected)


async def test_a_hand_over_is_said(url: str, node: Any) -> None:
    found = await node("run.mjs", f"{url}/handing", given={"say": ["hi"]})
    assert found["errors"] == []
    assert texts(found)[-1] == ("assistant", "not my job")
    assert found["events"][-1]["result"]["handover"]["to"] == "billing-agent"


async def test_a_failure_reaches_the_client(url: str, node: Any) -> None:
    found = await node("run.mjs", f"{url}/late", given={"say": ["hi"]})
    last = found["events"][-1]
    assert (last["type"], last["message"]) == ("RUN_ERROR", "the agent fell over")
    missing = await node("run.mjs", f"{url}/nobody", given={"say": ["hi"]})
    assert "404" in missing["errors"][0]


async def test_an_aborted_run_ends_the_turn(url: str, node: Any, endless: Endless) -> None:
    given = {"say": ["hi"], "stopAt": "TEXT_MESSAGE_CONTENT"}
    found = await node("run.mjs", f"{url}/endless", given=given)
    assert "TEXT_MESSAGE_CONTENT" in [event["type"] for event in found["events"]]
    assert found["events"][-1]["code"] == "abort"  # told by the client itself
    async with asyncio.timeout(5):
        await endless.closed.wait()
