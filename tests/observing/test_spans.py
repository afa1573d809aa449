"""What OpenTelemetry is told of a turn."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from observing_parts import Spans, served
from opentelemetry import trace
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode

from lmos import Agent, Context
from lmos.arc import Budget, HandOver, Remote, observing
from lmos.arc.filters import Admit, Replace, UnresolvedDetector
from lmos.llm import Call, ScriptedModel
from lmos.model import Message, Turn, User, errors

SECRET = "4711-secret"
USE_CASES = f"""
### UseCase: greet
#### Description
The customer says hello.
#### Solution
Call @look_up() and say {SECRET}.
#### Examples
- hello there
"""


def agent(script: ScriptedModel, **options: Any) -> Agent:
    made = Agent(name="seen", description="Is seen.", model=script.model, **options)

    @made.tool
    async def look_up(ctx: Context, what: str) -> str:
        """Looks something up."""
        with trace.get_tracer("mine").start_as_current_span("of the tool"):
            return f"{SECRET} {what}"

    @made.tool
    async def fail() -> str:
        """Fails."""
        raise errors.LmosError(SECRET)

    return made


def turn(text: str, **options: Any) -> Turn:
    user = User(id="u-1", token=SECRET, profile={"name": SECRET})
    message = Message(role="user", content=text)
    return Turn(conversation_id="c", turn_id="t", user=user, messages=(message,), **options)


def script() -> ScriptedModel:
    calls = (Call("look_up", {"what": SECRET}), Call("fail"))
    return ScriptedModel(calls, f"It is {SECRET}. Bye.")


def everything(spans: Spans) -> str:
    """All that was told, as text."""
    return "".join(span.to_json() for span in spans.all)


async def test_the_parts_of_a_turn_have_their_spans(spans: Spans) -> None:
    filters = [Replace("Bye", "Ciao"), UnresolvedDetector("Sorry.")]
    tested = agent(script(), input_filters=[Admit(100, reject="no")], output_filters=filters)
    await tested.run(turn("hello"))
    assert spans.tree() == {
        ("agent seen", ""),
        ("filter input", "agent seen"),
        ("filter Admit", "filter input"),
        ("generate response", "agent seen"),
        ("generate system prompt", "generate response"),
        ("llm", "generate response"),
        ("tool look_up", "generate response"),
        ("of the tool", "tool look_up"),
        ("tool fail", "generate response"),
        ("filter output", "agent seen"),
        ("filter Replace", "filter output"),
        ("filter UnresolvedDetector", "filter output"),
    }
    assert len({span.context.trace_id for span in spans.all if span.context}) == 1


async def test_attributes_are_those_of_the_convention(spans: Spans) -> None:
    tested = agent(script(), settings={"temperature": 0.5, "max_tokens": 9, "seed": 1})
    await tested.run(turn("hello", tenant="acme", channel="web"))
    told = dict(spans.named("agent seen").attributes or {})
    tokens = (told.pop("gen_ai.usage.input_tokens"), told.pop("gen_ai.usage.output_tokens"))
    assert all(isinstance(count, int) and count > 0 for count in tokens)
    assert told == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "seen",
        "gen_ai.agent.version": "1.0.0",
        "gen_ai.agent.description": "Is seen.",
        "gen_ai.conversation.id": "c",
        "gen_ai.request.model": "scripted",
        "gen_ai.output.type": "text",
        "lmos.tenant": "acme",
        "lmos.channel": "web",
        "status": "RESOLVED",
    }
    llm = next(span for span in spans.all if span.name == "llm")
    assert llm.kind is SpanKind.CLIENT
    asked = dict(llm.attributes or {})
    assert asked["gen_ai.operation.name"] == "chat"
    assert asked["gen_ai.request.temperature"] == 0.5
    assert asked["gen_ai.request.max_tokens"] == 9
    assert asked["gen_ai.response.model"] == "scripted"
    tool = dict(spans.named("tool look_up").attributes or {})
    assert tool.pop("gen_ai.tool.call.id")
    assert tool == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look_up",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.description": "Looks something up.",
    }
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI")}
    names = {name for span in spans.all for name in span.attributes or {}}
    assert {name for name in names if name.startswith("gen_ai.")} <= known


async def test_a_failed_tool_is_told_without_its_words(spans: Spans) -> None:
    await agent(script()).run(turn("hello"))
    span = spans.named("tool fail")
    assert span.status.status_code is StatusCode.ERROR
    assert (span.status.description, (span.attributes or {})["error.type"]) == (None, "ToolFailed")
    assert spans.named("agent seen").status.status_code is StatusCode.UNSET


async def test_nothing_that_was_said_is_told(spans: Spans) -> None:
    filters = [Replace(SECRET, SECRET + "!")]
    tested = agent(
        script(),
        use_cases=USE_CASES,
        instructions=SECRET,
        input_filters=filters,
        output_filters=filters,
    )
    await tested.run(turn(f"hello there {SECRET}"))
    assert SECRET not in everything(spans)
    assert "u-1" not in everything(spans)


async def test_what_was_said_is_told_when_switched_on(spans: Spans) -> None:
    observing.configure(observing.Settings(content=True))
    filters = [Replace(SECRET, "***")]
    await agent(script(), instructions="Be kind.", output_filters=filters).run(turn("hello"))
    told = dict(spans.named("agent seen").attributes or {})
    assert (told["arc.input"], told["arc.output"]) == ("hello", "It is ***. Bye.")
    assert told["user.id"] == "u-1"
    llm = [span for span in spans.all if span.name == "llm"][-1]
    asked = json.loads(str((llm.attributes or {})["gen_ai.input.messages"]))
    assert [message["role"] for message in asked][:2] == ["system", "user"]
    assert asked[1]["parts"] == [{"type": "text", "content": "hello"}]
    answered = json.loads(str((llm.attributes or {})["gen_ai.output.messages"]))
    assert answered[0]["parts"][0]["content"] == f"It is {SECRET}. Bye."
    tool = dict(spans.named("tool look_up").attributes or {})
    assert tool["gen_ai.tool.call.result"] == f"{SECRET} {SECRET}"
    assert spans.named("tool fail").status.description == SECRET
    assert SECRET in everything(spans)
    assert f'"token": "{SECRET}"' not in everything(spans)


async def test_openinference_is_the_other_language(spans: Spans) -> None:
    observing.configure(observing.Settings(spec="openinference", content=True))
    await agent(script(), settings={"temperature": 0.5}).run(turn("hello"))
    told = dict(spans.named("agent seen").attributes or {})
    assert told["openinference.span.kind"] == "AGENT"
    assert (told["session.id"], told["input.value"]) == ("c", "hello")
    llm = next(span for span in spans.all if span.name == "llm")
    asked = dict(llm.attributes or {})
    assert asked["openinference.span.kind"] == "LLM"
    assert asked["llm.model_name"] == "scripted"
    assert json.loads(str(asked["llm.invocation_parameters"])) == {"temperature": 0.5}
    assert int(str(asked["llm.token_count.total"])) > 0
    assert asked["llm.input_messages.1.message.role"] == "user"
    assert asked["llm.input_messages.1.message.content"] == "hello"
    call = "llm.output_messages.0.message.tool_calls.0.tool_call.function"
    assert asked[f"{call}.name"] == "look_up"
    assert json.loads(str(asked[f"{call}.arguments"])) == {"what": SECRET}
    assert dict(spans.named("tool look_up").attributes or {})["output.value"]
    assert not [n for s in spans.all for n in s.attributes or {} if n.startswith("gen_ai")]


def test_the_environment_chooses() -> None:
    settings = observing.Settings
    capture = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    assert settings.of({}) == settings("gen_ai", False)
    assert settings.of({"OTEL_SPEC": "OPENINFERENCE", capture: "true"}) == settings(
        "openinference", True
    )
    with pytest.raises(errors.InvalidInput, match="OTEL_SPEC='other' is not GEN_AI"):
        settings.of({"OTEL_SPEC": "other"})


async def test_filters_of_sentences_have_one_span_each(spans: Spans) -> None:
    said = ScriptedModel("One sentence. Two sentences. Three.")
    tested = agent(said, output_filters=[Replace("Two", "2"), Replace("x", "y")])
    await tested.run(turn("hello"))
    filters = [span for span in spans.all if span.name == "filter Replace"]
    assert [(s.attributes or {})["arc.filter.triggered"] for s in filters] == [True, False]
    assert all(s.end_time and s.start_time and s.end_time >= s.start_time for s in filters)


async def test_the_callers_trace_goes_on(spans: Spans) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await agent(script()).run(turn("hello", trace={"traceparent": parent}))
    top = spans.named("agent seen")
    assert top.context is not None
    assert top.parent is not None
    assert f"{top.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{top.parent.span_id:016x}" == "b7ad6b7169203331"


async def test_the_span_around_a_turn_is_its_parent(spans: Spans) -> None:
    with trace.get_tracer("mine").start_as_current_span("request"):
        await agent(script()).run(turn("hello"))
    assert ("agent seen", "request") in spans.tree()


async def test_agents_that_are_called_are_below_the_call(spans: Spans) -> None:
    other = Agent(name="other", model=ScriptedModel("Hi.").model)
    caller = Agent(
        name="caller",
        model=ScriptedModel(Call("other", {"request": "x"}), "Done.").model,
        tools=[other],
    )
    await caller.run(turn("hello"))
    assert ("agent other", "tool other") in spans.tree()


async def test_a_remote_agent_gets_the_trace(spans: Spans) -> None:
    remote = Agent(name="far", model=ScriptedModel("Hi.").model)
    async with served(remote.app()) as url:
        near = Agent(
            name="near",
            model=ScriptedModel("x").model,
            agents=[Remote(url, name="far")],
        )

        @near.input_filter
        async def ask(ctx: Context, text: str) -> None:
            await ctx.call_agent("far", text)

        await near.run(turn("hello"))
    tree = spans.tree()
    assert ("agent far", "filter ask") in tree
    assert len({span.context.trace_id for span in spans.all if span.context}) == 1


async def test_signals_are_no_failures_and_failures_are(spans: Spans) -> None:
    unresolved = agent(ScriptedModel("NO_ANSWER"), output_filters=[UnresolvedDetector("Sorry.")])
    await unresolved.run(turn("hello"))
    top = spans.named("agent seen")
    assert (top.attributes or {})["status"] == "UNRESOLVED"
    assert all(span.status.status_code is StatusCode.UNSET for span in spans.all)

    broken = Agent(name="broken", model=ScriptedModel("x").model)

    @broken.output_filter
    def bad(ctx: Context, text: str) -> str:
        raise ValueError(SECRET)

    with pytest.raises(ValueError, match=SECRET):
        await broken.run(turn("hello"))
    top = spans.named("agent broken")
    assert top.status.status_code is StatusCode.ERROR
    assert (top.attributes or {})["error.type"] == "ValueError"
    assert (top.attributes or {})["status"] == "FAILURE"
    assert SECRET not in everything(spans)


async def test_handovers_are_told(spans: Spans) -> None:
    first = agent(ScriptedModel("x"))

    @first.input_filter
    def away(ctx: Context, text: str) -> str:
        raise HandOver("other")

    await first.run(turn("hello"))
    told = spans.named("agent seen").attributes or {}
    assert told["status"] == "AGENT_HANDOVER[other]"


async def test_a_caller_that_leaves_is_no_failure(spans: Spans) -> None:
    from pydantic_ai.models.function import FunctionModel

    async def endless(messages: Any, info: Any) -> AsyncIterator[str]:
        yield "Hello "
        await asyncio.Event().wait()

    waiting = Agent(name="waiting", model=FunctionModel(stream_function=endless))
    async with aclosing(waiting.respond(turn("hello"))) as events:
        async for event in events:
            if event.type == "text_delta":
                break
    top = spans.named("agent waiting")
    assert (top.attributes or {})["status"] == "CANCELLED"
    assert top.status.status_code is StatusCode.UNSET
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_a_turn_whose_time_is_up_has_failed(spans: Spans) -> None:
    from pydantic_ai.models.function import FunctionModel

    async def endless(messages: Any, info: Any) -> AsyncIterator[str]:
        yield "Hello "
        await asyncio.Event().wait()

    model = FunctionModel(stream_function=endless)
    waiting = Agent(name="waiting", model=model, budget=Budget(seconds=0.05))
    with pytest.raises(errors.DeadlineExceeded):
        await waiting.run(turn("hello"))
    top = spans.named("agent waiting")
    assert (top.attributes or {})["error.type"] == "DeadlineExceeded"
    assert (top.attributes or {})["status"] == "FAILURE"
    assert top.status.status_code is StatusCode.ERROR


async def test_many_turns_at_once_are_not_mixed(spans: Spans) -> None:
    await asyncio.gather(*(agent(script()).run(turn("hello")) for _ in range(20)))
    tops = [span for span in spans.all if span.name == "agent seen"]
    assert len({span.context.trace_id for span in tops if span.context}) == 20
    by_trace: dict[int, set[str]] = {}
    for span in spans.all:
        assert span.context
        by_trace.setdefault(span.context.trace_id, set()).add(span.name)
    assert all(len(names) == 9 for names in by_trace.values())


async def test_reading_use_cases_has_its_span(spans: Spans, tmp_path: Any) -> None:
    (tmp_path / "cases.md").write_text(USE_CASES)
    Agent(name="a", use_cases=tmp_path / "cases.md")
    assert (spans.named("load cases.md").attributes or {})["arc.file"].endswith("cases.md")
