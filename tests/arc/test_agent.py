"""Agents: in direct mode and with a language model, with real tools, memory and filters."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from lmos import Agent, Context
from lmos.arc import Words
from lmos.llm import Call, ScriptedModel
from lmos.model import (
    Answer,
    Done,
    InputRequired,
    Message,
    StatusUpdate,
    TextDelta,
    ToolCall,
    ToolResult,
    Turn,
    TurnEvent,
    User,
    errors,
)
from lmos.model.grammar import checked

CASES = """### UseCase: view_bill
#### Description
The customer wants to see a bill.
#### Solution
Call @get_bill().
"Your {{get_bill.month}} bill is {{get_bill.amount}} EUR."
<web>"See the portal."
#### Examples
- show me my bill
- how much do I owe

### UseCase: order_status
#### Description
The customer asks where an order is.
#### Solution
Call @get_order().
"Order {{get_order}} is on its way."
#### Examples
- where is my order
- track my parcel

### UseCase: close_account
#### Description
The customer wants to close the account.
#### Steps
- "Really close it? Please answer yes or no."
- "Are you very sure?"
#### Solution
Call @close().
"Closed."
#### Examples
- close my account
- delete my account
"""


class Bill(BaseModel):
    month: str
    amount: Decimal


class Bills:
    def of(self, tenant: str, month: str) -> Bill:
        return Bill(month=month, amount=Decimal("42.5") if tenant == "acme" else Decimal(1))


Month = Annotated[Literal["latest", "previous"], Words(previous=("month before", "last month"))]


def make(**more: Any) -> Agent:
    agent = Agent(
        **{
            "name": "billing-agent",
            "use_cases": CASES,
            "model": "direct",
            "deps": [Bills()],
            **more,
        }
    )

    @agent.tool
    async def get_bill(ctx: Context, month: Month = "latest") -> Bill:
        """A bill."""
        return ctx.deps(Bills).of(ctx.tenant, month)

    @agent.tool
    def get_order(
        number: Annotated[int, Field(ge=1000, description="Which order number?")],
    ) -> int:
        """An order."""
        return number

    @agent.tool
    def close(ctx: Context) -> str:
        """Closes the account."""
        if ctx.user.id == "nobody":
            raise errors.LmosError("there is no account")
        return "ok"

    return agent


async def say(
    agent: Agent, text: str, conversation: str = "c", channel: str = "", user: str = "", **more: Any
) -> list[TurnEvent]:
    turn = Turn(
        tenant="acme",
        channel=channel,
        conversation_id=conversation,
        turn_id="t",
        user=User(id=user),
        messages=(Message(role="user", content=text),),
        **more,
    )
    async with aclosing(checked(agent.respond)(turn)) as events:
        return [event async for event in events]


def said(events: list[TurnEvent]) -> str:
    whole = [e.message.content for e in events if isinstance(e, Answer | InputRequired)]
    streamed = "".join(e.text for e in events if isinstance(e, TextDelta))
    assert streamed in ("", "".join(whole))
    return "".join(whole)


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    made = make()
    await made.start()
    yield made
    await made.stop()


async def test_a_use_case_is_found_its_tool_called_and_its_reply_filled(agent: Agent) -> None:
    events = await say(agent, "what do I owe you?")
    assert said(events) == "Your latest bill is 42.50 EUR."
    assert any(isinstance(e, ToolCall) and e.name == "get_bill" for e in events)
    answer = next(e for e in events if isinstance(e, Answer))
    assert answer.context["useCase"] == "view_bill"
    assert isinstance(events[-1], Done)
    assert events[-1].usage.model == "direct"


async def test_conditions_hold_by_channel_and_profile(agent: Agent) -> None:
    assert "See the portal." in said(await say(agent, "show my bill", channel="web"))
    assert "portal" not in said(await say(agent, "show my bill", channel="ivr"))


async def test_a_follow_up_changes_an_argument(agent: Agent) -> None:
    await say(agent, "how much do I owe")
    assert said(await say(agent, "and the month before?")) == "Your previous bill is 42.50 EUR."


async def test_what_is_missing_is_asked_for_and_the_reply_fills_it(agent: Agent) -> None:
    events = await say(agent, "where is my order")
    assert isinstance(events[-1], InputRequired)
    assert said(events) == "Which order number?"
    assert said(await say(agent, "4711")) == "Order 4711 is on its way."
    assert said(await say(agent, "track order 4712", "other")) == "Order 4712 is on its way."


async def test_steps_go_on_with_yes_and_end_with_no(agent: Agent) -> None:
    assert said(await say(agent, "close my account")).startswith("Really")
    assert said(await say(agent, "yes")) == "Are you very sure?"
    assert said(await say(agent, "yes please")) == "Closed."
    await say(agent, "delete my account", "n")
    assert "changed nothing" in said(await say(agent, "no", "n"))
    assert said(await say(agent, "close my account", "n")).startswith("Really")


async def test_a_tool_that_fails_is_told(agent: Agent) -> None:
    for text in ("close my account", "yes"):
        await say(agent, text, user="nobody")
    events = await say(agent, "yes", user="nobody")
    assert "there is no account" in said(events)
    assert next(e for e in events if isinstance(e, Answer)).context["toolError"] == "close"


async def test_what_it_cannot_do_it_says(agent: Agent) -> None:
    events = await say(agent, "what is the capital of Peru")
    assert "I cannot help with that" in said(events)
    assert next(e for e in events if isinstance(e, Answer)).context["unresolved"] == "true"


async def test_conversations_are_apart_and_kept_over_a_restart(tmp_path: Path) -> None:
    spec = f"sqlite:{tmp_path / 'memory.db'}"
    first = make(memory=spec)
    await say(first, "where is my order", "a")
    await first.stop()
    second = make(memory=spec)
    assert said(await say(second, "4711", "a")) == "Order 4711 is on its way."
    assert "cannot help" in said(await say(second, "4711", "b"))
    await second.stop()


async def test_filters_change_what_goes_in_and_out() -> None:
    agent = make()

    @agent.input_filter
    def translate(ctx: Context, text: str) -> str:
        return text.replace("Rechnung", "bill")

    @agent.output_filter
    async def shout(ctx: Context, text: str) -> str:
        return text.upper()

    events = await say(agent, "show me my Rechnung")
    assert said(events) == "YOUR LATEST BILL IS 42.50 EUR."


def test_ibans_are_masked() -> None:
    mask = Context.mask_ibans
    text = "from DE89 3704 0044 0532 0130 00 to GB29NWBK60161331926819, order 4711"
    masked = mask(object.__new__(Context), text)
    assert "3704" not in masked
    assert "NWBK" not in masked
    assert masked.endswith("order 4711")


# --- with a language model ------------------------------------------------------------------------


async def test_a_model_calls_tools_and_streams() -> None:
    script = ScriptedModel((Call("get_bill"), Call("get_order", {"number": 4711})), "All is well.")
    agent = make(model=script.model)
    events = await say(agent, "how is everything?")
    assert said(events) == "All is well."
    results = {e.name: e.result for e in events if isinstance(e, ToolResult)}
    assert results == {"get_bill": '{"month":"latest","amount":"42.5"}', "get_order": "4711"}
    assert isinstance(events[-1], Done)
    assert (events[-1].usage.model, events[-1].usage.requests) == ("scripted", 2)
    prompt = str(script.requests[0])
    assert "- view_bill: The customer wants to see a bill." in prompt


async def test_errors_of_tools_go_back_to_the_model() -> None:
    script = ScriptedModel(
        (Call("nothing"), Call("get_order", {"number": 5}), Call("get_order", {"nummer": "x"})),
        "Sorry.",
    )
    events = await say(make(model=script.model), "hi")
    told = [e.error for e in events if isinstance(e, ToolResult)]
    assert [bool(error) for error in told] == [True, True, True]
    assert "there is no tool 'nothing'" in str(script.requests[1])
    assert "greater than or equal to 1000" in str(script.requests[1])


async def test_a_model_that_never_answers_is_stopped() -> None:
    script = ScriptedModel(Call("get_bill"))
    with pytest.raises(errors.ModelFailed, match="30 rounds"):
        await say(make(model=script.model), "hi")


async def test_an_output_filter_holds_back_the_stream() -> None:
    agent = make(model=ScriptedModel("the secret is out").model)
    agent.output_filter(lambda ctx, text: text.replace("secret", "******"))
    events = await say(agent, "hi")
    assert said(events) == "the ****** is out"
    assert "secret" not in str(events)


async def test_tools_of_one_round_run_side_by_side() -> None:
    agent = Agent(name="a", model=ScriptedModel((Call("one"), Call("two")), "done").model)
    both = asyncio.Barrier(2)

    @agent.tool
    async def one() -> str:
        """One."""
        async with asyncio.timeout(5):
            await both.wait()
        return "1"

    @agent.tool
    async def two() -> str:
        """Two."""
        async with asyncio.timeout(5):
            await both.wait()
        return "2"

    results = [e for e in await say(agent, "hi") if isinstance(e, ToolResult)]
    assert [r.result for r in results] == ["1", "2"]


async def test_instructions_and_status() -> None:
    script = ScriptedModel(Call("work"), "ok")
    agent = Agent(name="a", instructions="Be brief.", model=script.model)

    @agent.instructions
    async def who(ctx: Context) -> str:
        return f"The user is {ctx.user.id}."

    @agent.tool
    def work(ctx: Context) -> str:
        """Works."""
        ctx.emit("working")
        return "done"

    events = await say(agent, "hi", user="u1")
    assert "Be brief." in str(script.requests[0])
    assert "The user is u1." in str(script.requests[0])
    assert any(isinstance(e, StatusUpdate) and e.text == "working" for e in events)


async def test_what_a_tool_tells_arrives_while_it_runs() -> None:
    agent = Agent(name="a", model=ScriptedModel(Call("work"), "ok").model)
    heard = asyncio.Event()

    @agent.tool
    async def work(ctx: Context) -> str:
        """Works until somebody has heard of it."""
        ctx.emit("working")
        async with asyncio.timeout(5):
            await heard.wait()
        return "done"

    turn = Turn(conversation_id="c", turn_id="t", messages=(Message(role="user", content="go"),))
    async with aclosing(agent.respond(turn)) as events:
        async for event in events:
            if isinstance(event, StatusUpdate):
                heard.set()
    assert isinstance(event, Done)


async def test_leaving_ends_the_tool() -> None:
    agent = Agent(name="a", model=ScriptedModel(Call("work"), "ok").model)
    ended = asyncio.Event()

    @agent.tool
    async def work() -> str:
        """Works for ever."""
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return ""

    turn = Turn(conversation_id="c", turn_id="t", messages=(Message(role="user", content="go"),))
    async with aclosing(agent.respond(turn)) as events:
        async for event in events:
            if isinstance(event, ToolCall):
                await asyncio.sleep(0.05)  # the tool is running now
                break
    assert ended.is_set()


# --- mistakes -------------------------------------------------------------------------------------


def test_mistakes_of_a_definition_are_told_with_their_place(tmp_path: Path) -> None:
    agent = Agent(name="a", use_cases=CASES)
    with pytest.raises(errors.InvalidInput, match=r"use_cases:5:\d+: there is no tool 'get_bill'"):
        agent.check()
    with pytest.raises(errors.InvalidInput, match="cannot be read"):
        Agent(name="a", use_cases="missing.md")
    with pytest.raises(errors.InvalidInput, match=r"test_agent\.py:\d+: untyped: .*no type"):

        @agent.tool
        def untyped(x):  # type: ignore[no-untyped-def]
            """No type."""

    def twice() -> str:
        """Twice."""
        return ""

    agent.tool(twice)
    with pytest.raises(errors.InvalidInput, match="two tools named twice"):
        agent.tool(twice)


async def test_a_dependency_that_is_not_there_names_those_that_are() -> None:
    script = ScriptedModel(Call("get_bill"), "sorry")
    events = await say(make(model=script.model, deps=["text"]), "hi")
    error = next(e.error for e in events if isinstance(e, ToolResult))
    assert error
    assert "has no Bills; it has str" in error


def test_capabilities_come_from_the_use_cases() -> None:
    agent = make(version="3.1.0")
    first = agent.capabilities[0]
    assert (first.id, first.name, first.version) == ("view_bill", "view-bill", "3.1.0")
    assert first.examples == ("show me my bill", "how much do I owe")
    assert agent.describe().supported_channels == ("web", "mobile", "ivr")
