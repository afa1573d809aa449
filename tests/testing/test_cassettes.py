"""Recording and replaying model traffic, against real servers of OpenAI's protocol on loopback."""

import json
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml
from bills import billing
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import ModelRateLimitError
from pydantic_ai.messages import ModelRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lmos import Agent
from lmos.model import errors
from lmos.testing import Asking, Call, Cassette, CassetteError, ScriptedModel
from lmos.testing.scrubbing import Scrubber

Tape = Callable[..., Cassette]
KEY = "sk-test-0123456789abcdef0123"


@asynccontextmanager
async def served(app: Any) -> AsyncGenerator[str, None]:
    """The app's URL while it is served; ended at once."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="off")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup([listener])
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await server.shutdown()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
async def taped() -> AsyncGenerator[Callable[..., Cassette], None]:
    """Makes cassettes, and closes what they have opened."""
    async with AsyncExitStack() as stack:
        made: list[Cassette] = []

        def make(*arguments: Any, **options: Any) -> Cassette:
            made.append(Cassette(*arguments, **options))
            stack.push_async_callback(made[-1].close)
            return made[-1]

        yield make


def provider(answer: Callable[[dict[str, Any]], dict[str, Any] | int]) -> Starlette:
    """A model behind OpenAI's protocol that calls tools, as our own agents' server does not."""

    async def completions(request: Request) -> Response:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        asked = await request.json()
        said = answer(asked)
        if isinstance(said, int):
            return JSONResponse({"error": {"message": f"no, {KEY}"}}, said)
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        common = {"id": "c1", "created": 1, "model": "tiny"}
        reason = "tool_calls" if "tool_calls" in said else "stop"
        if not asked.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", **said}, "finish_reason": reason}
            return JSONResponse(
                {**common, "object": "chat.completion", "choices": [choice], "usage": usage}
            )
        chunk = {**common, "object": "chat.completion.chunk"}
        pieces = [
            {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", **said}}]},
            {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
            {**chunk, "choices": [], "usage": usage},
        ]
        lines = [f"data: {json.dumps(piece)}\n\n" for piece in pieces]
        return Response("".join([*lines, "data: [DONE]\n\n"]), media_type="text/event-stream")

    return Starlette(routes=[Route("/v1/chat/completions", completions, methods=["POST"])])


def calling(asked: dict[str, Any]) -> dict[str, Any]:
    """Calls the tool, then says what it was told."""
    last = asked["messages"][-1]
    if last["role"] == "tool":
        return {"content": f"The tool said {last['content']}"}
    function = {"name": "get_bill", "arguments": '{"month": "previous"}'}
    call = {"index": 0, "id": "random-id-1", "type": "function", "function": function}
    return {"content": None, "tool_calls": [call]}


async def test_traffic_is_replayed_without_the_model_and_without_a_key(
    taped: Tape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "deep" / "bill.yaml"
    async with served(provider(calling)) as url:
        recorded = await Asking()(
            billing(), "and before?", model=taped(file).around(f"openai:tiny@{url}/v1")
        )
    assert recorded.called("get_bill", month="previous")
    assert "39.90" in recorded.text
    monkeypatch.delenv("OPENAI_API_KEY")
    cassette = taped(file)
    replayed = await Asking()(billing(), "and before?", model=cassette.around("openai:tiny"))
    assert not cassette.recording
    assert (replayed.text, replayed.usage) == (recorded.text, recorded.usage)
    assert [(c.name, c.arguments) for c in replayed.calls] == [
        (c.name, c.arguments) for c in recorded.calls
    ]
    assert replayed.usage.input_tokens == 22
    assert cassette.unused == []


async def test_an_agent_of_ours_as_the_model(taped: Tape, tmp_path: Path) -> None:
    """Our own server of OpenAI's protocol, whole and streamed."""
    file = tmp_path / "ours.yaml"
    served_agent = Agent(name="teller", model=ScriptedModel("It is a fine day.").model)
    async with served(served_agent.app()) as url:
        model = taped(file).around(f"openai:teller@{url}/v1")
        asking = Agent(name="asking", model=model)
        streamed = (await asking.run("what is it like?")).text
        whole = (await model_request(model, [ModelRequest.user_text_prompt("and now?")])).text
    assert streamed == whole == "It is a fine day."
    replayed = taped(file, mode="replay").around("openai:teller")
    assert (await Agent(name="asking", model=replayed).run("what is it like?")).text == streamed
    again = await model_request(replayed, [ModelRequest.user_text_prompt("and now?")])
    assert again.text == whole


async def test_the_file_can_be_read_and_holds_no_secret(taped: Tape, tmp_path: Path) -> None:
    file = tmp_path / "bill.yaml"
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLXg"
    async with served(provider(calling)) as url:
        cassette = taped(file, secrets=["Rosebud"])
        agent = billing(
            cassette.around(f"openai:tiny@{url}/v1"),
            instructions=f"The key is {KEY}, the word is Rosebud, the token is {token}.",
            settings={"temperature": 0.5, "extra_headers": {"X-Key": "very-private"}},
        )
        await agent.run("and before?")
    text = file.read_text()
    for secret in (KEY, "Rosebud", token, "very-private", "random-id-1", url):
        assert secret not in text
    assert "The key is <OPENAI_API_KEY>, the word is <secret>" in text
    first, second = yaml.safe_load(text)["traffic"]
    assert first["request"]["settings"] == {"temperature": 0.5}
    assert first["request"]["messages"][-1] == {"user": "and before?"}
    assert first["response"]["parts"] == [{"call": "get_bill", "arguments": {"month": "previous"}}]
    assert second["request"]["messages"][-1]["result"] == "get_bill"
    assert second["response"]["usage"] == {"input_tokens": 11, "output_tokens": 7}


async def test_a_changed_request_fails_with_what_is_different(taped: Tape, tmp_path: Path) -> None:
    file = tmp_path / "bill.yaml"
    async with served(provider(calling)) as url:
        model = taped(file).around(f"openai:tiny@{url}/v1")
        await billing(model, instructions="Be brief.").run("and before?")
    changed = billing(taped(file).around("openai:tiny"), instructions="Be verbose.")
    with pytest.raises(CassetteError) as raised:
        await changed.run("and before?")
    told = str(raised.value).splitlines()
    assert any(line.startswith("-") and "Be brief." in line for line in told)
    assert any(line.startswith("+") and "Be verbose." in line for line in told)
    assert not any(line.startswith(("-", "+")) and "view_bill" in line for line in told)
    assert "--cassettes=record" in told[-1]


async def test_record_writes_anew_and_replay_never_asks(taped: Tape, tmp_path: Path) -> None:
    file = tmp_path / "bill.yaml"
    with pytest.raises(CassetteError, match="there is no recording"):
        taped(file, mode="replay")
    said = iter(["one", "two"])
    request = [ModelRequest.user_text_prompt("hi")]
    async with served(provider(lambda _: {"content": next(said)})) as url:
        for expected in ("one", "two"):
            model = taped(file, mode="record").around(f"openai:tiny@{url}/v1")
            assert (await model_request(model, request)).text == expected
        replayed = taped(file, mode="replay").around(f"openai:tiny@{url}/v1")
        assert (await model_request(replayed, request)).text == "two"
    assert len(yaml.safe_load(file.read_text())["traffic"]) == 1


async def test_the_same_request_gets_its_answers_in_order(taped: Tape, tmp_path: Path) -> None:
    file = tmp_path / "bill.yaml"
    said = iter(["one", "two"])
    request = [ModelRequest.user_text_prompt("hi")]
    async with served(provider(lambda _: {"content": next(said)})) as url:
        model = taped(file).around(f"openai:tiny@{url}/v1")
        for _ in range(2):
            await model_request(model, request)
    model = taped(file).around("openai:tiny")
    assert [(await model_request(model, request)).text for _ in range(3)] == ["one", "two", "two"]


async def test_refusals_are_recorded_too(taped: Tape, tmp_path: Path) -> None:
    file = tmp_path / "bill.yaml"
    request = [ModelRequest.user_text_prompt("hi")]
    async with served(provider(lambda _: 429)) as url:
        from openai import AsyncOpenAI
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        client = AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
        real = OpenAIChatModel("tiny", provider=OpenAIProvider(openai_client=client))
        with pytest.raises(ModelRateLimitError):
            await model_request(taped(file).around(real), request)
        await client.close()
    assert KEY not in file.read_text()
    with pytest.raises(ModelRateLimitError):
        await model_request(taped(file).around("openai:tiny"), request)


async def test_texts_can_be_changed_before_they_are_compared(taped: Tape, tmp_path: Path) -> None:
    """Here the user's words do not matter."""

    def scrub(data: dict[str, Any]) -> dict[str, Any]:
        messages = [m for m in data.get("messages", ()) if "user" not in m]
        return {**data, "messages": messages} if "messages" in data else data

    file = tmp_path / "bill.yaml"
    scripted = ScriptedModel("hello")
    recording = taped(file, scrub=scrub).around(scripted.model)
    await model_request(recording, [ModelRequest.user_text_prompt("one")])
    replaying = taped(file, scrub=scrub).around(scripted.model)
    assert (await model_request(replaying, [ModelRequest.user_text_prompt("two")])).text == "hello"
    assert scripted.count == 1


async def test_a_reply_of_several_lines_and_calls_comes_back_as_it_was(
    taped: Tape, tmp_path: Path
) -> None:
    file = tmp_path / "odd.yaml"
    odd = "line: 'one' # no comment\n\n  two \t\n🙂 - three"
    scripted = ScriptedModel((Call("a", {"x": [1, {"y": None}]}), Call("a", "{broken")), odd)
    recording = taped(file).around(scripted.model)
    request = [ModelRequest.user_text_prompt("hi")]
    recorded = [await model_request(recording, request) for _ in range(2)]
    replaying = taped(file).around(scripted.model)
    replayed = [await model_request(replaying, request) for _ in range(2)]
    assert replayed[1].text == recorded[1].text == odd
    assert [c.args for c in replayed[0].tool_calls] == ['{"x": [1, {"y": null}]}', "{broken"]


@pytest.mark.parametrize("text", ["", "version: 2\ntraffic: []\n", "- 1\n", "a: [", "version: 1"])
def test_a_file_that_is_no_recording_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(CassetteError, match=r"bad\.yaml"):
        Cassette(file)


def test_direct_is_no_model_to_record(tmp_path: Path) -> None:
    model = Cassette(tmp_path / "x.yaml").around("direct")
    with pytest.raises(errors.InvalidInput, match="no language model"):
        model._model  # noqa: B018


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Bearer abcdef123456", "Bearer <secret>"),
        ("key AKIAABCDEFGHIJKLMNOP.", "key <secret>."),
        ("ghp_" + "a" * 36, "<secret>"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----!", "<secret>!"),
        ("pass hunter2hunter2 on", "pass <DB_PASSWORD> on"),
        ("nothing to see: sk-short, max_tokens 5", "nothing to see: sk-short, max_tokens 5"),
    ],
)
def test_secrets_are_known_by_value_and_by_shape(text: str, kept: str) -> None:
    scrub = Scrubber(environment={"DB_PASSWORD": "hunter2hunter2", "SHORT_KEY": "on"})
    assert scrub(text) == kept
    assert scrub({"a": [text]}) == {"a": [kept]}


def test_secrets_are_known_by_their_key() -> None:
    data = {"password": "x", "api_key": "y", "access_token": "z", "max_tokens": 5, "keyword": "k"}
    assert Scrubber(environment={})(data) == {
        "password": "<secret>",
        "api_key": "<secret>",
        "access_token": "<secret>",
        "max_tokens": 5,
        "keyword": "k",
    }
