"""The scripted model: what it says, how it fails, and what it tells of what it was sent."""

from typing import Any

import pytest
from bills import billing
from pydantic import BaseModel
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.exceptions import ModelHTTPError, ModelRateLimitError, ModelServerError
from pydantic_ai.messages import ModelRequest, ThinkingPart, UserPromptPart

from lmos import Agent
from lmos.model import TextDelta, errors
from lmos.testing import Asking, Call, Refusal, Request, Say, ScriptedModel


def hi(text: str = "hi") -> list[Any]:
    return [ModelRequest(parts=[UserPromptPart(text)])]


async def streamed(scripted: ScriptedModel) -> tuple[list[str], Any]:
    async with model_request_stream(scripted.model, hi()) as stream:
        kinds = [event.event_kind async for event in stream]
    return kinds, stream.get()


async def test_whole_and_streamed_replies_are_the_same() -> None:
    say = Say("one two", calls=(Call("a", {"x": 1}), Call("b")), thinking="hm")
    scripted = ScriptedModel(say)
    _, whole = await streamed(scripted)
    at_once = await model_request(scripted.model, hi())
    assert whole.text == at_once.text == "one two"
    calls = [[(c.tool_name, c.args_as_dict()) for c in r.tool_calls] for r in (whole, at_once)]
    assert calls == [[("a", {"x": 1}), ("b", {})]] * 2
    assert isinstance(whole.parts[0], ThinkingPart)
    assert len({c.tool_call_id for r in (whole, at_once) for c in r.tool_calls}) == 4


async def test_words_come_one_by_one() -> None:
    answers = [e async for e in billing(ScriptedModel("one two three").model).stream("hi")]
    assert [e.text for e in answers if isinstance(e, TextDelta)] == ["one ", "two ", "three"]


async def test_a_refusal_is_what_a_provider_raises() -> None:
    with pytest.raises(ModelRateLimitError) as raised:
        await model_request(ScriptedModel(Refusal(429, retry_after=2)).model, hi())
    assert isinstance(raised.value, ModelHTTPError)
    assert (raised.value.status_code, raised.value.retry_after) == (429, 2)
    with pytest.raises(ModelServerError):
        await streamed(ScriptedModel(Refusal(502)))


async def test_a_stream_may_break_off() -> None:
    scripted = ScriptedModel(Say("half of", error=Refusal(500)))
    said: list[str] = []

    async def listen() -> None:
        async for event in billing(scripted.model).stream("hi"):
            said.extend([event.text] if isinstance(event, TextDelta) else [])

    with pytest.raises(errors.ModelFailed):
        await listen()
    assert "".join(said) == "half of"


async def test_any_exception_can_be_a_reply() -> None:
    with pytest.raises(ZeroDivisionError):
        await model_request(ScriptedModel(ZeroDivisionError()).model, hi())


async def test_tokens_are_as_given_or_estimated() -> None:
    given = await model_request(
        ScriptedModel(Say("x", input_tokens=7, output_tokens=9)).model, hi()
    )
    assert (given.usage.input_tokens, given.usage.output_tokens) == (7, 9)
    short = await model_request(ScriptedModel("x").model, hi())
    long = await model_request(ScriptedModel("x" * 400).model, hi("y" * 400))
    assert long.usage.input_tokens > short.usage.input_tokens > 0
    assert long.usage.output_tokens > short.usage.output_tokens > 0


async def test_a_reply_may_follow_from_the_request() -> None:
    async def reply(request: Request) -> str:
        return f"you said {request.text!r}"

    assert (await model_request(ScriptedModel(reply).model, hi("ho"))).text == "you said 'ho'"


class Bill(BaseModel):
    amount: str


@pytest.mark.parametrize("reply", [Bill(amount="42.50"), {"amount": "42.50"}])
async def test_data_answers_an_agent_that_asks_for_a_type(reply: Any) -> None:
    agent = Agent(name="typed", model=ScriptedModel(reply).model, output=Bill)
    assert (await agent.run("how much?")).output == Bill(amount="42.50")


async def test_data_is_json_where_no_type_is_asked_for() -> None:
    reply = await model_request(ScriptedModel({"amount": "42.50"}).model, hi())
    assert reply.text == '{"amount": "42.50"}'


async def test_what_the_model_was_sent_can_be_asserted() -> None:
    scripted = ScriptedModel(Call("get_bill", {"month": "previous"}), "It was 39.90.")
    await Asking()(billing(), "show me my bill", model=scripted)
    first, last = scripted.requests
    assert (first.text, first.results) == ("show me my bill", ())
    first.assert_told("### UseCase: view_bill")
    first.assert_offered("get_bill")
    last.assert_result("get_bill", "39.90")
    scripted.assert_done()
    with pytest.raises(AssertionError, match="was not told"):
        first.assert_told("be rude")
    with pytest.raises(AssertionError, match="was not offered"):
        first.assert_offered("pay_bill")
    with pytest.raises(AssertionError, match="no result of get_bill"):
        last.assert_result("get_bill", "42.50")


async def test_a_script_may_be_strict_about_its_end() -> None:
    scripted = ScriptedModel("one", "two", strict=True)
    assert (await model_request(scripted.model, hi())).text == "one"
    with pytest.raises(AssertionError, match="2 replies, and 1 requests"):
        scripted.assert_done()
    await model_request(scripted.model, hi())
    with pytest.raises(AssertionError, match="this is request 3: 'hi'"):
        await model_request(scripted.model, hi())


async def test_requests_need_not_be_kept() -> None:
    scripted = ScriptedModel("x", keep=2)
    for number in range(5):
        await model_request(scripted.model, hi(str(number)))
    assert [request.text for request in scripted.requests] == ["3", "4"]
    assert scripted.count == 5


async def test_a_delay_is_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    scripted = ScriptedModel("a", Say("b", delay=2), Say("c", delay=0), delay=1)
    for _ in range(3):
        await model_request(scripted.model, hi())
    assert waited == [1, 2]
