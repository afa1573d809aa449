"""What happens in agents, as events and figures."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from lmos import Agent, Context
from lmos.arc import HandOver, RateLimit, observing
from lmos.arc.filters import Replace, UnresolvedDetector
from lmos.arc.observing import events
from lmos.arc.observing.metrics import SERIES
from lmos.llm import Call, ScriptedModel
from lmos.model import errors

SECRET = "4711-secret"


class Kept(list[events.Event]):
    """The events so far."""

    def of(self, type_: type[events.Event]) -> list[Any]:
        return [event for event in self if isinstance(event, type_)]


@pytest.fixture
def kept() -> Iterator[Kept]:
    found = Kept()
    observing.bus.listen(found.append)
    yield found
    observing.bus.stop(found.append)


def agent(*said: Any, **options: Any) -> Agent:
    made = Agent(name="seen", model=ScriptedModel(*said).model, **options)

    @made.tool
    async def look_up(ctx: Context, what: str) -> str:
        """Looks something up."""
        await ctx.memory.put("looked", what)
        return str(await ctx.memory.get("looked"))

    @made.tool
    async def fail() -> str:
        """Fails."""
        raise errors.LmosError(SECRET)

    return made


async def test_a_turn_is_told_in_order_with_the_originals_names(kept: Kept) -> None:
    calls = (Call("look_up", {"what": SECRET}), Call("fail"))
    tested = agent(calls, f"It is {SECRET}.", output_filters=[Replace("is", "was")])
    await tested.run(SECRET, conversation="c")
    names = [event.type for event in kept]
    assert names[0] == "AgentLoadedEvent"
    assert names[1] == "AgentStartedEvent"
    assert names[-1] == "AgentFinishedEvent"
    assert {*names} == {
        "AgentLoadedEvent",
        "AgentStartedEvent",
        "DataAddedEvent",
        "LLMStartedEvent",
        "LLMFinishedEvent",
        "LLMFunctionStartedEvent",
        "LLMFunctionCalledEvent",
        "MemoryStoreEvent",
        "MemoryRetrieveEvent",
        "FilterExecutedEvent",
        "AgentFinishedEvent",
    }
    assert {event.context.get("conversationId") for event in kept[1:]} == {"c"}
    first, last = kept.of(events.LLMFinishedEvent)
    assert (first.function_call_count, first.called_functions) == (2, ("look_up", "fail"))
    assert last.total_tokens == last.prompt_tokens + last.completion_tokens > 0
    assert last.result == f"It is {SECRET}."
    by_name = {event.name: event for event in kept.of(events.LLMFunctionCalledEvent)}
    assert (by_name["look_up"].result, by_name["fail"].error) == (SECRET, SECRET)
    (end,) = kept.of(events.AgentFinishedEvent)
    assert (end.input, end.output, end.flow_break) == (SECRET, f"It was {SECRET}.", False)


async def test_payloads_have_the_originals_keys_and_nothing_that_was_said(kept: Kept) -> None:
    calls = (Call("look_up", {"what": SECRET}), Call("fail"))
    await agent(calls, f"It is {SECRET}.", output_filters=[Replace("is", "was")]).run(SECRET)
    payloads = {event.type: event.payload() for event in kept}
    assert SECRET not in json.dumps(payloads)
    assert {*payloads["LLMFinishedEvent"]} >= {
        *("model", "totalTokens", "promptTokens", "completionTokens", "functionCallCount"),
        *("duration", "settings", "finishReasons", "timestamp", "context"),
    }
    assert {*payloads["AgentFinishedEvent"]} >= {
        *("agent", "model", "input", "output", "duration", "flowBreak", "tools")
    }
    assert {*payloads["FilterExecutedEvent"]} >= {
        *("name", "duration", "input", "output", "triggered")
    }
    assert {*payloads["LLMFunctionCalledEvent"]} >= {*("name", "param", "result", "duration")}
    told = json.dumps([event.payload(content=True) for event in kept])
    assert told.count(SECRET) > 5


async def test_breaks_handovers_and_limits_are_told(kept: Kept) -> None:
    await agent("NO_ANSWER", output_filters=[UnresolvedDetector("Sorry.")]).run("x")
    (end,) = kept.of(events.AgentFinishedEvent)
    assert (end.flow_break, end.status, end.output) == (True, "UNRESOLVED", "Sorry.")
    (executed,) = kept.of(events.FilterExecutedEvent)
    assert executed.triggered

    away = agent("x", limit=RateLimit(1, per=60, timeout=0))

    @away.input_filter
    def hand(ctx: Context, text: str) -> str:
        raise HandOver("other")

    await away.run("x")
    (handed,) = kept.of(events.AgentHandOverTriggered)
    assert handed.payload()["fromAgent"] == "seen"
    assert handed.payload()["toAgent"] == "other"
    with pytest.raises(errors.Overloaded):
        await away.run("x")
    assert len(kept.of(events.RateLimitTimeoutEvent)) == 1
    assert kept.of(events.AgentFinishedEvent)[-1].error == "Overloaded"


async def test_use_cases_and_agents_that_do_not_start_are_told(kept: Kept) -> None:
    cases = '### UseCase: hi\n#### Description\nHello.\n#### Solution\n"Hi."\n'
    await Agent(name="direct", model="direct", use_cases=cases + "#### Examples\n- hello\n").run(
        "hello"
    )
    (used,) = kept.of(events.UseCaseEvent)
    assert (used.name, used.content) == ("hi", '"Hi."')
    (routed,) = kept.of(events.RouterRoutedEvent)
    assert routed.destination == "hi"
    with pytest.raises(errors.InvalidInput):
        await Agent(name="wrong", model="direct", use_cases=cases + "@no_tool()\n").run("hello")
    assert [e.error_message is None for e in kept.of(events.AgentLoadedEvent)] == [True, False]


FLOW = """
### UseCase: router
#### Description
The customer has trouble with the internet router.
#### Solution
"Which light is red?"
[power] "Plug it in."
[network] "Restart it."
#### Examples
- my router does not work
"""


async def test_options_of_flows_are_told(kept: Kept) -> None:
    direct = Agent(name="direct", model="direct", use_cases=FLOW)
    await direct.run("my router does not work", conversation="c")
    assert (await direct.run("network", conversation="c")).text == "Restart it."
    (option,) = kept.of(events.FlowOptionEvent)
    told = option.payload()
    assert (told["useCaseId"], told["matchedOption"]) == ("router", "network")
    assert told["flowOptions"] == ["power", "network"]


async def test_a_subscriber_gets_what_comes_and_loses_the_oldest_when_slow() -> None:
    bus = events.Bus()
    with bus.subscribe(behind=3) as slow, bus.subscribe() as quick:
        for number in range(5):
            bus.publish(events.AgentStartedEvent(agent=str(number)))
        await asyncio.to_thread(bus.publish, events.AgentStartedEvent(agent="thread"))
        seen = [await anext(slow) for _ in range(3)]
        assert [getattr(event, "agent", "") for event in seen] == ["3", "4", "thread"]
        assert (slow.lost, quick.lost) == (3, 0)
        waiting = asyncio.create_task(anext(slow))
        await asyncio.sleep(0)
        bus.publish(events.AgentStartedEvent(agent="new"))
        assert getattr(await waiting, "agent", "") == "new"
    assert not bus.active


async def test_a_follower_that_fails_harms_nobody(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: events.Event) -> None:
        raise ValueError("broken")

    observing.bus.listen(broken)
    try:
        assert (await agent("Hi.").run("x")).text == "Hi."
    finally:
        observing.bus.stop(broken)
    assert "a follower of events failed at AgentStartedEvent" in caplog.text


async def test_nobody_follows_by_default() -> None:
    seen: list[bool] = []
    tested = agent("Hi.")

    @tested.output_filter
    def look(ctx: Context, text: str) -> None:
        seen.append(ctx.watch.on)

    await tested.run("x")
    assert seen == [False]


async def test_figures_are_rendered_for_prometheus() -> None:
    metrics = observing.Metrics()
    metrics.begin()
    try:
        tested = agent(Call("look_up", {"what": "x"}), "Hi.", output_filters=[Replace("x", "y")])
        await tested.run("x")
        await agent("NO_ANSWER", output_filters=[UnresolvedDetector("Sorry.")]).run("x")
    finally:
        metrics.end()
    text = metrics.render()
    labels = 'agent="seen",model="scripted",flowBreak="false",tools="look_up,fail"'
    assert f"arc_agent_finished_seconds_count{{{labels}}} 1\n" in text
    assert f'arc_agent_finished_seconds{{{labels},quantile="0.95"}} ' in text
    assert 'arc_agent_flowBreak_total{agent="seen"} 1\n' in text
    assert 'called_tools="look_up"' in text
    assert 'arc_filter_executed_seconds_count{name="Replace",agent="seen"} 1\n' in text
    counted = re.search(r'arc_llm_finished_executor_total{.*type="function_calls"} (\d+)', text)
    assert counted
    assert counted[1] == "1"
    for line in text.splitlines():
        assert re.fullmatch(r"# TYPE \w+ \w+|\w+(\{(\w+=\"[^\"]*\",?)+\})? [\d.e+-]+", line), line
    families = re.findall(r"# TYPE (\w+)", text)
    assert len(families) == len({*families})


def test_series_are_bounded_and_labels_escaped() -> None:
    metrics = observing.Metrics(events.Bus())
    for number in range(SERIES + 10):
        metrics.time("arc.test", 0.1, agent=f'a"{number}\n')
        metrics.count("arc.test", agent=f"b{number}")
    text = metrics.render()
    assert 'arc_test_seconds_count{agent="other"} 10' in text
    assert 'arc_test_total{agent="other"} 10' in text
    assert r'{agent="a\"7\n"}' in text
    assert 'arc_test_seconds{agent="other",quantile="0.5"} 0.1' in text
