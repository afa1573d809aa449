"""Turns through the supervisor to real agents on loopback."""

import asyncio
from contextlib import aclosing

import pytest
from runtime_parts import Platform, answer, routing, turn_of

from lmos.model import (
    Answer,
    ChannelRouting,
    Decided,
    Failed,
    Handover,
    InputRequired,
    Message,
    Started,
    StatusUpdate,
    TextDelta,
    errors,
)


async def test_the_right_agent_answers_and_events_come_through(platform: Platform) -> None:
    events = await platform.turn("how much do I owe you")
    assert [e.type for e in events] == [
        "started", "decision", "text_delta", "text_delta", "message", "done",
    ]  # fmt: skip
    assert isinstance(events[0], Started)
    assert events[0].agent == "billing"
    assert answer(events) == "billing: how much do I owe you"


async def test_a_follow_up_stays_and_a_change_of_subject_leaves(platform: Platform) -> None:
    await platform.turn("how much do I owe you")
    assert answer(await platform.turn("and last month?")).startswith("billing")
    assert answer(await platform.turn("where is my parcel")).startswith("orders")
    assert answer(await platform.turn("why?")).startswith("orders")


async def test_the_agent_gets_the_conversation(platform: Platform) -> None:
    await platform.turn("how much do I owe you")
    await platform.turn("and last month?")
    seen = platform.billing.turns[-1]
    assert [m.content for m in seen.messages] == [
        "how much do I owe you", "billing: how much do I owe you", "and last month?",
    ]  # fmt: skip
    assert (seen.tenant, seen.channel, seen.conversation_id) == ("acme", "web", "c")
    assert seen.deadline is not None


async def test_an_explicit_agent_is_honoured_and_an_unknown_one_refused(
    platform: Platform,
) -> None:
    assert answer(await platform.turn("how much do I owe", agent="orders")).startswith("orders")
    with pytest.raises(errors.AgentNotFound, match="it has billing, orders"):
        await platform.turn("hi", agent="nobody")


async def test_what_nobody_offers_is_declined_by_the_platform(platform: Platform) -> None:
    events = await platform.turn("what is the capital of Peru")
    assert isinstance(events[0], Started)
    assert events[0].agent == "lmos"
    assert isinstance(events[1], Decided)
    assert events[1].decision.outcome == "out_of_scope"
    assert "The billing" in answer(events)
    assert not platform.billing.turns


async def test_tenants_are_apart(platform: Platform) -> None:
    await platform.turn("how much do I owe, my code is 1234", conversation="same")
    await platform.turn("how much do I owe", conversation="same", tenant="globex")
    assert len(platform.billing.turns[-1].messages) == 1
    with pytest.raises(errors.ChannelNotFound) as caught:
        await platform.turn("hi", tenant="initech")
    assert "acme" not in str(caught.value)
    events = await platform.turn("where is my parcel", tenant="globex")
    assert not answer(events).startswith("orders")


async def test_a_handover_is_followed(platform: Platform) -> None:
    platform.billing.plays(Handover(to="orders"))
    events = await platform.turn("how much do I owe")
    assert any(isinstance(e, StatusUpdate) and "orders" in e.text for e in events)
    assert answer(events).startswith("orders")
    assert [e.context for e in events if isinstance(e, Answer)] == [{"agent": "orders"}]
    platform.billing.plays(Handover(capability="track-order"))
    assert answer(await platform.turn("how much do I owe")).startswith("orders")


@pytest.mark.parametrize(
    ("to", "code"), [("nobody", "AGENT_NOT_FOUND"), ("billing", "AGENT_CLIENT_EXCEPTION")]
)
async def test_a_handover_to_a_stranger_or_in_circles_is_refused(
    platform: Platform, to: str, code: str
) -> None:
    platform.billing.plays(Handover(to=to))
    last = (await platform.turn("how much do I owe"))[-1]
    assert isinstance(last, Failed)
    assert last.error.code == code


async def test_turns_of_a_conversation_wait_for_each_other(platform: Platform) -> None:
    platform.billing.slowly(0.02)
    await asyncio.gather(*(platform.turn(f"how much do I owe {n}") for n in range(4)))
    counts = [len(turn.messages) for turn in platform.billing.turns]
    assert counts == [1, 3, 5, 7]


async def test_too_many_waiting_turns_are_turned_away(platform: Platform) -> None:
    platform.billing.slowly(0.05)
    results = await asyncio.gather(
        *(platform.turn("how much do I owe") for _ in range(14)), return_exceptions=True
    )
    refused = [r for r in results if isinstance(r, errors.Overloaded)]
    assert refused
    assert len(refused) < 14


async def test_leaving_ends_the_agents_turn(platform: Platform) -> None:
    platform.billing.slowly(30)
    async with aclosing(platform.supervisor.respond(turn_of("how much do I owe"))) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    async with asyncio.timeout(5):
        await platform.billing.closed.wait()


async def test_a_new_routing_is_live_at_once(platform: Platform) -> None:
    found = await platform.store.get(ChannelRouting, "acme-web")
    assert found
    await platform.store.apply(routing("globex", *found.spec.capability_groups), "test")
    async with asyncio.timeout(5):
        while not answer(
            await platform.turn("where is my parcel", "new", tenant="globex")
        ).startswith("orders"):
            await asyncio.sleep(0.01)


async def test_conversations_do_not_wait_for_each_other(platform: Platform) -> None:
    platform.billing.slowly(30)
    async with asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(platform.turn("how much do I owe", "slow"))
        async with asyncio.timeout(5):
            while not platform.billing.turns:
                await asyncio.sleep(0.01)
            platform.billing.play = platform.billing.repeat
            assert answer(await platform.turn("how much do I owe", "quick")).startswith("billing")
        slow.cancel()


async def test_a_reply_goes_to_the_agent_that_asked(platform: Platform) -> None:
    question = InputRequired(message=Message(role="assistant", content="What is your address?"))
    platform.billing.plays(question)
    assert (await platform.turn("show me my bill"))[-1] == question
    platform.billing.play = platform.billing.repeat
    reply = "Main Street 5, 10115 Berlin"
    events = await platform.turn(reply)
    assert answer(events) == f"billing: {reply}"
    decided = next(e.decision for e in events if isinstance(e, Decided))
    assert (decided.sticky, decided.reason) == (True, "billing waits for the reply to its question")
    assert [m.content for m in platform.billing.turns[-1].messages] == [
        "show me my bill", "What is your address?", reply,
    ]  # fmt: skip
    again = next(e.decision for e in await platform.turn(reply) if isinstance(e, Decided))
    assert "waits" not in again.reason  # nobody asked this time


async def test_a_question_can_be_left_for_another_subject(platform: Platform) -> None:
    question = InputRequired(message=Message(role="assistant", content="Which month?"))
    platform.billing.plays(question)
    await platform.turn("show me my bill")
    assert answer(await platform.turn("where is my order")).startswith("orders")


async def test_what_agents_do_is_counted(platform: Platform) -> None:
    await platform.turn("how much do I owe")
    await platform.turn("what is the capital of Peru")
    platform.orders.plays(RuntimeError("broken"))
    await platform.turn("where is my order")
    metrics = platform.supervisor.metrics
    outcomes = sorted((how, n) for (_, how, _), n in metrics.outcomes.items())
    assert outcomes == [("out_of_scope", 1), ("route", 2)]
    assert metrics.deciding.count == 3
    agents = {part.agent: figures for part, figures in metrics.agents.items()}
    assert (agents["billing"].whole.count, agents["orders"].whole.count) == (1, 1)
    assert (agents["billing"].failures, agents["orders"].failures) == (0, 1)
    assert agents["billing"].whole.seconds >= agents["billing"].first.seconds > 0
    assert {(part.tenant, part.subset, part.version) for part in metrics.agents} == {
        ("acme", "stable", "1.0.0")
    }
