"""A language model that plans over a channel's agents: whom it asks, and what it makes of it."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from runtime_parts import BILL, ORDER, Platform, Player, answer, served, turn_of
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from lmos import Supervisor
from lmos.llm import Call, ScriptedModel
from lmos.llm.scripted import Reply, Say
from lmos.model import (
    Answer,
    Decided,
    Description,
    Done,
    Failed,
    Handover,
    InputRequired,
    Message,
    Started,
    StatusUpdate,
    TextDelta,
    ToolCall,
    ToolResult,
    Turn,
    TurnEvent,
    Usage,
    errors,
)
from lmos.router import VectorRouter
from lmos.runtime import PlanLimits
from lmos.state import MemoryState

ASK = "my bill and my parcel"


def to(agent: str, request: str) -> Call:
    return Call(agent, {"request": request})


BOTH = (to("billing", "how much is owed"), to("orders", "where is the parcel"))


async def supervised(platform: Platform, *replies: Reply, **more: Any) -> ScriptedModel:
    """From now on a scripted model plans in acme's channel."""
    scripted = ScriptedModel(*replies)
    await platform.arrange(collaboration="supervised")
    use(platform, scripted.model, **more)
    return scripted


def use(platform: Platform, model: Any, **more: Any) -> None:
    from lmos.llm import embedder

    routings, router = platform.supervisor.routings, VectorRouter(embedder())
    platform.supervisor = Supervisor(routings, router, MemoryState(), model=model, **more)


def statuses(events: list[TurnEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, StatusUpdate)]


def text(events: list[TurnEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def merged(events: list[TurnEvent]) -> Answer:
    (found,) = (event for event in events if isinstance(event, Answer))
    return found


async def test_agents_are_asked_and_one_answer_is_given(platform: Platform) -> None:
    scripted = await supervised(platform, BOTH, "You owe 42 EUR, and it comes tomorrow.")
    events = await platform.turn(ASK)
    assert events[0] == Started(agent="lmos")
    assert isinstance(events[1], Decided)
    assert (events[1].decision.stage, events[1].decision.model) == ("supervised", "scripted")
    assert answer(events) == text(events) == "You owe 42 EUR, and it comes tomorrow."
    asked = [(e.text, e.agent, e.place) for e in events if isinstance(e, StatusUpdate)]
    assert asked == [
        ("asking billing: how much is owed", "billing", 0),
        ("asking orders: where is the parcel", "orders", 1),
    ]
    answered = [(result.tool, result.content) for result in scripted.last.results]
    assert answered == [
        ("billing", "billing: how much is owed"),
        ("orders", "orders: where is the parcel"),
    ]
    sources = json.loads(merged(events).context["sources"])
    assert [source["agent"] for source in sources] == ["billing", "orders"]
    assert merged(events).context["outcome"] == "supervised"


async def test_the_model_is_told_what_each_agent_can_do(platform: Platform) -> None:
    scripted = await supervised(platform, "Hello.")
    await platform.turn("hello")
    scripted.last.assert_offered("billing", "orders")
    (billing, _) = scripted.last.parameters.function_tools
    assert billing.description
    assert "The billing." in billing.description
    assert "view-bill: The customer wants to see a bill" in billing.description
    assert "how much do I owe" in billing.description


async def test_the_conversation_is_told(platform: Platform) -> None:
    scripted = await supervised(platform, "Hello.", to("billing", "last month"), "41 EUR.")
    await platform.turn("hello")
    await platform.turn("what did I owe last month?")
    said = [p.content for m in scripted.last for p in m.parts if p.part_kind == "text"]
    assert said == ["Hello."]
    heard = [message.content for message in platform.billing.turns[0].messages]
    assert heard == ["hello", "Hello.", "last month"]


async def test_several_are_asked_side_by_side(platform: Platform) -> None:
    one, two = asyncio.Event(), asyncio.Event()

    def meeting(player: Player, here: asyncio.Event, there: asyncio.Event) -> None:
        async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
            here.set()
            await there.wait()
            async for event in player.repeat(turn):
                yield event

        player.play = play

    meeting(platform.billing, one, two)
    meeting(platform.orders, two, one)
    await supervised(platform, BOTH, "Both.")
    async with asyncio.timeout(5):
        assert answer(await platform.turn(ASK)) == "Both."


async def test_what_agents_say_is_asked_again(platform: Platform) -> None:
    scripted = await supervised(
        platform, to("billing", "the bill"), to("orders", "the parcel of it"), "Done."
    )
    events = await platform.turn(ASK)
    assert len(scripted.requests) == 3
    assert [e.place for e in events if isinstance(e, StatusUpdate)] == [0, 1]
    assert platform.orders.turns[0].turn_id.endswith(".1")


async def test_text_between_calls_is_told_apart(platform: Platform) -> None:
    await supervised(platform, Say("Let me see.", calls=(BOTH[0],)), "It is 42 EUR.")
    events = await platform.turn(ASK)
    assert answer(events) == text(events) == "Let me see.\n\nIt is 42 EUR."


async def test_a_failure_is_told_to_the_model(platform: Platform) -> None:
    platform.billing.plays(Failed.of(errors.AgentFailed("the ledger is locked")))
    scripted = await supervised(platform, BOTH, "Only the parcel is known.")
    events = await platform.turn(ASK)
    scripted.last.assert_result("billing", "error: billing could not answer")
    scripted.last.assert_result("billing", "the ledger is locked")
    failed = json.loads(merged(events).context["sources"])[0]
    assert "the ledger is locked" in failed["failure"]
    assert merged(events).context["agents"] == "orders"


async def test_a_question_and_a_handover_reach_the_model(platform: Platform) -> None:
    question = Message(role="assistant", content="Which month?")
    platform.billing.plays(InputRequired(message=question))
    scripted = await supervised(platform, BOTH[0], "Which month do you mean?")
    await platform.turn(ASK)
    scripted.last.assert_result("billing", "billing asks the user: Which month?")
    platform.billing.plays(Handover(to="track-order"))
    scripted = await supervised(platform, BOTH[0], "ok")
    await platform.turn(ASK)
    scripted.last.assert_result("billing", "orders: how much is owed")


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (Call("choir", {"request": "sing"}), "there is no agent 'choir'; ask billing, orders"),
        (Call("billing", {"text": "x"}), "with the text `request`"),
        (Call("billing", {"request": " "}), "with the text `request`"),
        (Call("billing", "{broken"), "with the text `request`"),
    ],
    ids=str,
)
async def test_a_wrong_call_is_told_to_the_model(platform: Platform, call: Call, why: str) -> None:
    scripted = await supervised(platform, call, "I cannot.")
    assert answer(await platform.turn(ASK)) == "I cannot."
    scripted.last.assert_result(call.tool, why)
    assert not platform.billing.turns


async def test_tools_of_the_agents_are_told_as_theirs(platform: Platform) -> None:
    platform.billing.plays(
        ToolCall(id="7", name="get_bill"),
        ToolResult(id="7", name="get_bill", result="42"),
        Answer(message=Message(role="assistant", content="42 EUR")),
        Done(usage=Usage(input_tokens=5, output_tokens=6, requests=1)),
    )
    await supervised(platform, BOTH[0], Say("42 EUR.", input_tokens=10, output_tokens=4))
    events = await platform.turn(ASK)
    assert [e.id for e in events if isinstance(e, ToolCall | ToolResult)] == ["0.7", "0.7"]
    done = events[-1]
    assert isinstance(done, Done)
    assert done.usage.requests == 3
    assert done.usage.output_tokens >= 10
    assert done.usage.model == "scripted"


async def test_what_is_left_to_people_is_told_to_the_model_and_done(platform: Platform) -> None:
    scripted = await supervised(platform, BOTH, "It comes tomorrow.")
    await platform.arrange(fallback=["human"])
    platform.billing.plays(Handover(to="human", reason="a complaint"))
    events = await platform.turn(ASK)
    scripted.last.assert_result("billing", "billing leaves this to a person")
    assert answer(events).startswith("It comes tomorrow.\n\n")
    assert text(events) == answer(events)
    assert await platform.supervisor.humans.waiting("acme", "web")


# --- limits ---------------------------------------------------------------------------------------


async def test_so_many_agents_are_asked_and_no_more(platform: Platform) -> None:
    scripted = await supervised(platform, BOTH, "ok", limits=PlanLimits(calls=1))
    assert answer(await platform.turn(ASK)) == "ok"
    scripted.last.assert_result("orders", "no more agents can be asked")
    assert not platform.orders.turns


async def test_so_many_rounds_and_no_more(platform: Platform) -> None:
    scripted = await supervised(platform, BOTH[0], limits=PlanLimits(rounds=2))
    events = await platform.turn(ASK)
    assert scripted.count == 2
    assert "this is what the agents said" in statuses(events)[-1]
    said = "billing: billing: how much is owed"
    assert answer(events) == text(events) == f"{said}\n\n{said}"
    assert isinstance(events[-1], Done)


async def test_so_many_tokens_and_no_more(platform: Platform) -> None:
    say = Say(calls=(BOTH[0],), input_tokens=90, output_tokens=20)
    scripted = await supervised(platform, say, limits=PlanLimits(tokens=100))
    events = await platform.turn(ASK)
    assert scripted.count == 1
    assert "110 tokens" in statuses(events)[-1]
    assert answer(events).startswith("billing: ")


async def test_the_deadline_holds_with_a_slow_model(platform: Platform) -> None:
    await supervised(platform, BOTH[0], Say("late", delay=3600))
    deadline = datetime.now(UTC) + timedelta(seconds=2)
    events = await platform.turn(ASK, deadline=deadline)
    assert datetime.now(UTC) < deadline
    assert answer(events) == "billing: billing: how much is owed"


async def test_the_deadline_holds_with_a_slow_agent(platform: Platform) -> None:
    platform.billing.slowly(3600)
    scripted = await supervised(platform, BOTH, "Only the parcel.")
    deadline = datetime.now(UTC) + timedelta(seconds=2)
    events = await platform.turn(ASK, deadline=deadline)
    assert datetime.now(UTC) < deadline
    assert answer(events) == "Only the parcel."
    scripted.last.assert_result("billing", "error: billing could not answer")


async def test_a_model_that_fails_fails_the_turn_or_people_take_over(platform: Platform) -> None:
    await supervised(platform, ValueError("no"))
    with pytest.raises(ValueError, match="no"):  # not the provider's: a mistake of ours
        await platform.turn(ASK)
    await supervised(platform, "")
    failed = (await platform.turn(ASK))[-1]
    assert isinstance(failed, Failed)
    assert failed.error.code == "MODEL_FAILED"
    await platform.arrange(fallback=["human"])
    assert "A person will take over" in answer(await platform.turn(ASK))
    assert (await platform.turn(ASK))[0] == Started(agent="lmos")
    (held,) = await platform.supervisor.humans.waiting("acme", "web")
    assert "gave no answer" in held.reason


async def test_leaving_ends_model_and_agents(platform: Platform) -> None:
    platform.billing.slowly(3600)
    await supervised(platform, BOTH[0], "never")
    async with asyncio.timeout(5):
        async with aclosing(platform.supervisor.respond(turn_of(ASK))) as events:
            async for event in events:
                if isinstance(event, StatusUpdate):
                    while not platform.billing.turns:
                        await asyncio.sleep(0.005)
                    break
        await platform.billing.closed.wait()


# --- when -----------------------------------------------------------------------------------------


async def test_who_insists_on_an_agent_gets_it(platform: Platform) -> None:
    scripted = await supervised(platform, "never")
    assert answer(await platform.turn("hello", agent="orders")) == "orders: hello"
    assert not scripted.count


async def test_another_channel_is_routed(platform: Platform) -> None:
    scripted = await supervised(platform, "never")
    events = await platform.turn("how much do I owe", tenant="globex")
    assert answer(events).startswith("billing: ")
    assert not scripted.count


async def test_without_a_language_model_the_router_decides(platform: Platform) -> None:
    await platform.arrange(collaboration="supervised")
    use(platform, "direct")
    events = await platform.turn("how much do I owe")
    assert events[0].agent == "billing"  # type: ignore[union-attr]
    assert isinstance(events[1], Decided)
    assert "no language model" in events[1].decision.reason


class Given(Player):
    """A player that says what it can do."""

    def describe(self) -> Description:
        offers = BILL if self.name == "billing" else ORDER
        return Description(name=self.name, description=self.name, capabilities=(offers,))


async def test_agents_of_a_program_with_a_model_of_its_own() -> None:
    def reply(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        results = [p for m in messages for p in m.parts if p.part_kind == "tool-return"]
        if results:
            return ModelResponse(parts=[TextPart(f"Found: {results[0].content}")])
        name = info.function_tools[0].name
        return ModelResponse(parts=[ToolCallPart(name, {"request": "how much?"})])

    async def streamed(
        messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
        for number, part in enumerate(reply(messages, info).parts):
            if isinstance(part, TextPart):
                for word in part.content.split(" "):
                    yield f"{word} "
            elif isinstance(part, ToolCallPart):
                yield {number: DeltaToolCall(part.tool_name, part.args_as_json_str())}

    model = FunctionModel(reply, stream_function=streamed)
    billing = Given("billing.agent v2")
    async with Supervisor([billing], collaboration="supervised", model=model) as supervisor:
        outcome = await supervisor.run(ASK)
    assert outcome.text == "Found: billing.agent v2: how much? "
    assert outcome.context["agents"] == "billing.agent v2"


# --- a server that speaks OpenAI's protocol -------------------------------------------------------


def completion(asked: list[dict[str, Any]]) -> Callable[[Request], Any]:
    """A server whose model asks billing and orders at once, then answers with what they said."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        body = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "planner"}
        return b"data: " + json.dumps({**body, "choices": [choice]}).encode() + b"\n\n"

    def call(number: int, name: str, request: str) -> dict[str, Any]:
        function = {"name": name, "arguments": json.dumps({"request": request})}
        return {"index": number, "id": f"call-{number}", "type": "function", "function": function}

    async def complete(request: Request) -> Response:
        body = await request.json()
        asked.append(body)
        results = [m["content"] for m in body["messages"] if m["role"] == "tool"]
        if not body.get("stream"):
            return JSONResponse({"error": {"message": "stream, please"}}, 400)

        async def pieces() -> AsyncIterator[bytes]:
            if results:
                for piece in ("I was told: ", *results):
                    yield chunk({"role": "assistant", "content": piece})
                yield chunk({}, "stop")
            else:
                calls = [call(0, "billing", "how much?"), call(1, "orders", "where?")]
                yield chunk({"role": "assistant", "tool_calls": calls})
                yield chunk({}, "tool_calls")
            yield b"data: [DONE]\n\n"

        return StreamingResponse(pieces(), media_type="text/event-stream")

    return complete


async def test_with_a_server_of_models_on_loopback(platform: Platform) -> None:
    asked: list[dict[str, Any]] = []
    routes = [Route("/v1/chat/completions", completion(asked), methods=["POST"])]
    await platform.arrange(collaboration="supervised")
    async with served(Starlette(routes=routes)) as url:
        use(platform, f"openai:planner@{url}/v1")
        async with platform.supervisor:
            events = await platform.turn(ASK)
    told = "I was told: billing: how much?orders: where?"
    assert answer(events) == text(events) == told
    assert {tool["function"]["name"] for tool in asked[0]["tools"]} == {"billing", "orders"}
    assert len(asked) == 2
