"""OpenAI's responses and chat completions of real agents, asked by the official client."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import openai as official
import pytest
from serving_parts import Knowing, payer, served, talker

from lmos import Agent
from lmos.llm import ScriptedModel
from lmos.llm.scripted import Refusal, Say


@asynccontextmanager
async def client_of(*agents: Agent[Any, Any]) -> AsyncGenerator[official.AsyncOpenAI, None]:
    async with (
        served(agents) as url,
        official.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


async def test_a_response() -> None:
    said = Say("Hello there, friend.", input_tokens=7, output_tokens=4)
    async with client_of(talker("talker", said)) as client:
        found = await client.responses.create(
            model="talker", input="hi", metadata={"topic": "greeting"}
        )
    assert found.output_text == "Hello there, friend."
    assert (found.status, found.object, found.model) == ("completed", "response", "talker")
    assert found.metadata == {"topic": "greeting"}
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens) == (7, 4)
    (message,) = found.output
    assert message.type == "message"
    assert message.status == "completed"
    assert found.model_extra["lmos"]["agent"] == "talker"  # type: ignore[index]


async def test_a_response_streams() -> None:
    async with client_of(talker()) as client:
        stream = await client.responses.create(model="talker", input="hi", stream=True)
        events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 1
    assert "".join(deltas) == "Hello there, friend."
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "Hello there, friend."


async def test_the_clients_own_stream_helper_follows() -> None:
    async with (
        client_of(talker()) as client,
        client.responses.stream(model="talker", input="hi") as stream,
    ):
        snapshots = [e.snapshot async for e in stream if e.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert snapshots[-1] == final.output_text == "Hello there, friend."


async def test_a_previous_response_leads_to_its_conversation() -> None:
    script = ScriptedModel("Nice to meet you, Ada.", "You are Ada.", "I do not know.")
    async with client_of(Agent(name="a", model=script.model)) as client:
        first = await client.responses.create(model="a", input="I am Ada", instructions="be kind")
        second = await client.responses.create(
            model="a",
            input="who am I?",
            previous_response_id=first.id,
            instructions="be brief",
        )
        await client.responses.create(model="a", input="who am I?")
    assert second.output_text == "You are Ada."
    assert second.previous_response_id == first.id
    asked = str(list(script.requests[1]))
    assert "I am Ada" in asked
    assert "Nice to meet you" in asked
    assert "be brief" in asked
    assert "be kind" not in asked
    assert "Ada" not in str(list(script.requests[2]))


async def test_a_conversation_can_be_named() -> None:
    knowing = Knowing()
    async with client_of(knowing.agent) as client:
        found = await client.responses.create(model="knowing", input="a", conversation="c-1")
        again = await client.responses.create(
            model="knowing", input="b", previous_response_id=found.id
        )
        await client.responses.create(
            model="knowing", input="c", extra_headers={"x-conversation-id": "c-2"}
        )
    ids = [ctx.turn.conversation_id for ctx in knowing.contexts]
    assert ids == ["c-1", "c-1", "c-2"]
    assert again.conversation is not None
    assert again.conversation.id == "c-1"


async def test_items_and_parts_of_the_input() -> None:
    knowing = Knowing()
    given: Any = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "status": "completed",
            "content": [{"type": "output_text", "text": "hi", "annotations": []}],
        },
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "what is this?"},
                {
                    "type": "input_image",
                    "detail": "auto",
                    "image_url": "data:image/png;base64,aGk=",
                },
                {"type": "input_file", "file_url": "https://files.example/1.pdf"},
            ],
        },
    ]
    async with client_of(knowing.agent) as client:
        await client.responses.create(model="knowing", input=given, user="u-1")
    (ctx,) = knowing.contexts
    assert [m.role for m in ctx.messages] == ["developer", "user", "assistant", "user"]
    assert ctx.text == "what is this?"
    assert [b.mime_type for b in ctx.messages[-1].binary_data] == ["image/png", "*/*"]
    assert ctx.user.id == "u-1"


@pytest.mark.parametrize("approve", [True, False])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_sensitive_call_waits_for_approval(approve: bool, stream: bool) -> None:
    agent = payer()
    async with client_of(agent) as client:
        if stream:
            events = [
                e async for e in await client.responses.create(
                    model="payer", input="pay 12", stream=True
                )
            ]  # fmt: skip
            last = events[-1]
            assert last.type == "response.completed"
            asked = last.response
        else:
            asked = await client.responses.create(model="payer", input="pay 12")
        (wanted,) = [item for item in asked.output if item.type == "mcp_approval_request"]
        assert (wanted.name, wanted.arguments) == ("pay", '{"amount": 12}')
        assert "yes or no" in asked.output_text
        assert not agent.paid  # type: ignore[attr-defined]
        await client.responses.create(
            model="payer",
            previous_response_id=asked.id,
            input=[
                {
                    "type": "mcp_approval_response",
                    "approval_request_id": wanted.id,
                    "approve": approve,
                }
            ],
        )
    assert agent.paid == ([12] if approve else [])  # type: ignore[attr-defined]


async def test_chat_tells_of_the_call_and_takes_the_approval_as_a_header() -> None:
    agent = payer()
    headers = {"conversation": "c-9"}
    messages: Any = [{"role": "user", "content": "pay 12"}]
    async with client_of(agent) as client:
        create = client.chat.completions.create
        asked = await create(model="payer", messages=messages, extra_headers=headers)
        extra = asked.model_extra["lmos"]  # type: ignore[index]
        assert extra["input_required"]
        assert "pay" in extra["context"]["approval"]
        messages = [{"role": "user", "content": "go on"}]
        headers["approval"] = "approved"
        await create(model="payer", messages=messages, extra_headers=headers)
    assert agent.paid == [12]  # type: ignore[attr-defined]


async def test_failures_are_the_clients_own() -> None:
    failing = talker("failing", Say(error=Refusal(400)))
    async with client_of(failing) as client:
        create = client.responses.create
        with pytest.raises(official.NotFoundError, match="here is failing"):
            await create(model="nobody", input="x")
        with pytest.raises(official.InternalServerError):
            await create(model="failing", input="x")
        with pytest.raises(official.BadRequestError, match="not the id of a response") as bad:
            await create(model="failing", input="x", previous_response_id="resp_?")
        assert bad.value.param == "previous_response_id"
        with pytest.raises(official.BadRequestError, match="background"):
            await create(model="failing", input="x", background=True)
        output: Any = [{"type": "function_call_output", "call_id": "c", "output": "1"}]
        with pytest.raises(official.BadRequestError, match="agents call their tools"):
            await create(model="failing", input=output)


async def test_a_failure_in_the_middle_fails_the_response() -> None:
    async with client_of(talker("t", Say("half of it", error=ConnectionError("gone")))) as client:
        stream = await client.responses.create(model="t", input="x", stream=True)
        events = [event async for event in stream]
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.code == "server_error"


async def test_headers_become_user_profile_and_context() -> None:
    knowing = Knowing()
    headers = {
        "conversation": "c-1",
        "turn": "t-1",
        "user": "u-9",
        "user-token": "secret",
        "profile_language": "de",
        "profile-tier": "gold",
        "channel": "ivr",
        "tenant": "acme",
        "is_business": "true",
        "Cookie": "session=1",
        "X-Forwarded-For": "192.0.2.1",
    }
    async with client_of(knowing.agent) as client:
        await client.chat.completions.create(
            model="knowing", messages=[{"role": "user", "content": "a"}], user="u-1",
            extra_headers=headers,
        )  # fmt: skip
        await client.responses.create(model="knowing", input="b", extra_headers=headers)
    for ctx in knowing.contexts:
        turn = ctx.turn
        assert (turn.conversation_id, turn.turn_id) == ("c-1", "t-1")
        assert (turn.tenant, turn.channel) == ("acme", "ivr")
        assert (turn.user.id, turn.user.token) == ("u-9", "secret")
        assert turn.user.profile == {"language": "de", "tier": "gold"}
        assert dict(turn.system_context) == {"is_business": "true"}
        assert not turn.user.claims
