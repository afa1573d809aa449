"""The official OpenAI client against our server, and our client against OpenAI's protocol."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import openai as official
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
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from lmos.model import Answer, Done, Failed, Message, Responder, User, errors
from lmos.protocols import http, openai

RICH = "Your bill is 42.50 EUR – paid.\n\nHere it is."


class Channels:
    """Two models, as the runtime has them."""

    def __init__(self, **responders: Responder) -> None:
        self._responders = {name.replace("_", "/"): r for name, r in responders.items()}

    def list(self) -> Sequence[str]:
        return list(self._responders)

    def responder(self, name: str) -> Responder:
        if name not in self._responders:
            raise errors.ChannelNotFound(f"there is no channel {name!r}")
        return self._responders[name]


async def served(serve: Serve, responder: Responder) -> official.AsyncOpenAI:
    url = await serve(openai.routes(Channels(acme_web=responder, acme_ivr=echo)))
    return official.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def said(text: str = "hi") -> Any:
    return [{"role": "user", "content": text}]


async def test_an_answer(serve: Serve) -> None:
    async with await served(serve, rich) as client:
        found = await client.chat.completions.create(model="acme/web", messages=said())
    assert found.choices[0].message.content == RICH
    assert found.choices[0].finish_reason == "stop"
    assert found.model == "acme/web"
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.total_tokens) == (10, 15)
    extra = found.model_extra["lmos"]  # type: ignore[index]
    assert extra["agent"] == "rich"
    assert extra["decision"]["candidates"][0]["probability"] == 0.97
    assert extra["context"] == {"bill": "7"}


@pytest.mark.parametrize("usage", [True, False])
async def test_an_answer_streams(serve: Serve, usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if usage else {}
    async with await served(serve, rich) as client:
        stream = await client.chat.completions.create(
            model="acme/web", messages=said(), stream=True, **options
        )
        chunks = [chunk async for chunk in stream]
    texts = [c.choices[0].delta.content for c in chunks if c.choices]
    assert "".join(text or "" for text in texts) == RICH
    assert "is 42.50 " in texts
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert [c.usage.total_tokens for c in chunks if c.usage] == ([15] if usage else [])


async def test_the_synchronous_client(serve: Serve) -> None:
    url = await serve(openai.routes(openai.single("rich", rich)))

    def ask() -> tuple[str | None, str]:
        with official.OpenAI(base_url=f"{url}/openai/v1", api_key="none") as client:
            whole = client.chat.completions.create(model="rich", messages=said())
            stream = client.chat.completions.create(model="rich", messages=said(), stream=True)
            pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
            return whole.choices[0].message.content, "".join(pieces)

    assert await asyncio.to_thread(ask) == (RICH, RICH)


async def test_models_are_listed(serve: Serve) -> None:
    async with await served(serve, echo) as client:
        assert [m.id async for m in client.models.list()] == ["acme/web", "acme/ivr"]
        assert (await client.models.retrieve("acme/ivr")).id == "acme/ivr"
        with pytest.raises(official.NotFoundError):
            await client.models.retrieve("acme/sms")


@pytest.mark.parametrize("stream", [True, False])
async def test_errors_are_the_clients_own(serve: Serve, stream: bool) -> None:
    async with await served(serve, failing) as client:
        create = client.chat.completions.create
        with pytest.raises(official.NotFoundError, match="no channel 'acme/sms'") as missing:
            await create(model="acme/sms", messages=said(), stream=stream)
        assert missing.value.code == "model_not_found"
        with pytest.raises(official.RateLimitError) as limited:
            await create(model="acme/web", messages=said(), stream=stream)
        assert limited.value.response.headers["retry-after"] == "7"


async def test_a_failure_in_the_middle_is_raised_there(serve: Serve) -> None:
    async with await served(serve, failing_late) as client:
        stream = await client.chat.completions.create(
            model="acme/web", messages=said(), stream=True
        )
        chunks = [await anext(stream), await anext(stream)]
        with pytest.raises(official.APIError, match="fell over"):
            await anext(stream)
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "half of "]


@pytest.mark.parametrize(
    ("responder", "text", "field"),
    [(asking, "Which account?", "input_required"), (handing_over, "not my job", "handover")],
)
async def test_other_endings(serve: Serve, responder: Responder, text: str, field: str) -> None:
    async with await served(serve, responder) as client:
        create = client.chat.completions.create
        whole = await create(model="acme/web", messages=said())
        stream = await create(model="acme/web", messages=said(), stream=True)
        chunks = [chunk async for chunk in stream]
    assert whole.choices[0].message.content == text
    assert field in whole.model_extra["lmos"]  # type: ignore[index]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == text
    assert field in chunks[-1].model_extra["lmos"]  # type: ignore[index]


async def test_the_request_reaches_the_responder(serve: Serve) -> None:
    asked = Recording()
    messages: Any = [
        {"role": "developer", "content": "be brief"},
        {"role": "system", "content": [{"type": "text", "text": "really"}]},
        {"role": "assistant", "content": None},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is"},
                {"type": "text", "text": "this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                {"type": "image_url", "image_url": {"url": "https://pictures.example/1"}},
                {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
            ],
        },
    ]
    headers = {"X-Conversation-Id": "c-7", "turn": "t-7", "x-subset": "canary"}
    async with await served(serve, asked) as client:
        await client.chat.completions.create(
            model="acme/web", messages=messages, user="u-1", extra_headers=headers, temperature=0.5
        )
        await client.chat.completions.create(model="acme/web", messages=said())
        await client.chat.completions.create(model="acme/web", messages=said())
    turn, second, third = asked.turns
    assert (turn.conversation_id, turn.turn_id, turn.subset) == ("c-7", "t-7", "canary")
    assert turn.user.id == "u-1"
    assert [m.role for m in turn.messages] == ["developer", "system", "assistant", "user"]
    assert turn.text == "what is\nthis?"
    binary = turn.messages[-1].binary_data
    assert [b.mime_type for b in binary] == ["image/png", "image/*", "audio/wav"]
    assert (binary[0].data_as_base64, binary[1].source) == ("aGk=", "https://pictures.example/1")
    assert second.conversation_id != third.conversation_id


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_closes_the_responder(serve: Serve, stream: bool) -> None:
    endless = Endless()
    async with await served(serve, endless) as client:
        task = asyncio.create_task(
            client.chat.completions.create(model="acme/web", messages=said(), stream=stream)
        )
        async with asyncio.timeout(5):
            await endless.began.wait()
            if stream:
                answer: Any = await task
                await answer.close()
            task.cancel()
            await endless.closed.wait()
        await asyncio.gather(task, return_exceptions=True)


# --- our client -----------------------------------------------------------------------------------


async def test_a_remote_model_is_a_responder(serve: Serve) -> None:
    asked = Recording(rich)
    url = await serve(openai.routes(openai.single("rich", asked)))
    turn = a_turn(
        messages=(Message(role="user", content="a"), Message(role="user", content="b")),
        user=User(id="u-1", token="tok"),
        subset="canary",
    )
    events = await events_of(openai.responder(f"{url}/v1#rich"), turn)
    answer, done = events[-2:]
    assert isinstance(answer, Answer)
    assert isinstance(done, Done)
    assert answer.message.content == RICH
    assert "".join(e.text for e in events if e.type == "text_delta") == RICH
    assert (done.usage.model, done.usage.input_tokens) == ("rich", 10)
    assert asked.turns[0].messages == turn.messages
    assert asked.turns[0].conversation_id == "c-1"
    assert asked.turns[0].user == User(id="u-1")


async def test_the_deadline_holds(serve: Serve) -> None:
    endless = Endless()
    url = await serve(openai.routes(openai.single("m", endless)))
    events = await events_of(openai.responder(f"{url}/v1", model="m"), a_turn(deadline=soon(1)))
    assert names(events) == ["started", "text_delta", "error"]
    async with asyncio.timeout(5):
        await endless.closed.wait()


def streamed(*events: bytes) -> Callable[[], Response]:
    async def chunks() -> AsyncGenerator[bytes, None]:
        for event in events:
            yield b"data: %b\n\n" % event

    return lambda: StreamingResponse(chunks(), media_type="text/event-stream")


HALF = json.dumps({"choices": [{"delta": {"content": "half"}}]}).encode()
ANSWERS: dict[str, tuple[Callable[[], Response], str, str]] = {
    "401": (
        lambda: JSONResponse({"error": {"message": "bad key"}}, 401),
        "AGENT_CLIENT_EXCEPTION",
        "bad key",
    ),
    "429": (lambda: Response("", 429), "OVERLOADED", "429"),
    "not a stream": (lambda: JSONResponse({}), "AGENT_CLIENT_EXCEPTION", "broke off"),
    "half": (streamed(HALF), "AGENT_CLIENT_EXCEPTION", "broke off"),
    "an error": (
        streamed(HALF, b'{"error": {"message": "overheated"}}'),
        "AGENT_CLIENT_EXCEPTION",
        "overheated",
    ),
    "nonsense": (streamed(b"{{"), "AGENT_CLIENT_EXCEPTION", "not JSON"),
    "odd shapes": (streamed(b'{"choices": [1]}'), "AGENT_CLIENT_EXCEPTION", "cannot be read"),
    "odd delta": (
        streamed(b'{"choices": [{"delta": "x"}]}'),
        "AGENT_CLIENT_EXCEPTION",
        "cannot be read",
    ),
    "odd text": (
        streamed(b'{"choices": [{"delta": {"content": 7}}]}'),
        "AGENT_CLIENT_EXCEPTION",
        "cannot be read",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_whatever_comes_back_the_turn_ends_well_formed(serve: Serve, case: str) -> None:
    make, code, words = ANSWERS[case]

    async def answer(request: Request) -> Response:
        await request.body()
        return make()

    url = await serve([Route("/v1/chat/completions", answer, methods=["POST"])])
    last = (await events_of(openai.responder(f"{url}/v1", model="m"), a_turn()))[-1]
    await http.close_session()
    assert isinstance(last, Failed)
    assert last.error.code == code
    assert words in last.error.message
