"""One message that asks for several things, answered by several agents in one answer."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from runtime_parts import Platform, Play, Player, answer, turn_of

from lmos.llm import embedder
from lmos.model import (
    Answer,
    Candidate,
    Decided,
    Decision,
    Done,
    Failed,
    InputRequired,
    Message,
    Started,
    StatusUpdate,
    SubTask,
    TextDelta,
    Turn,
    TurnEvent,
    Usage,
    errors,
)
from lmos.router import RoutingRequest, RoutingTable, VectorRouter
from lmos.runtime import Supervisor
from lmos.runtime.collaboration.subtasks import PARALLEL
from lmos.state import MemoryState

BILL = SubTask(text="how much do I owe", agent="billing")
PARCEL = SubTask(text="where is my order", agent="orders")


class Splitting:
    """A router that splits the first message of a conversation and leaves others to the vectors."""

    name = "splitting"

    def __init__(self, *tasks: SubTask) -> None:
        candidates = tuple(Candidate(agent=task.agent, probability=0.5) for task in tasks)
        self.decision = Decision(outcome="multi", candidates=candidates, tasks=tasks, confidence=1)
        self.vectors = VectorRouter(embedder())

    async def decide(self, request: RoutingRequest, table: RoutingTable) -> Decision:
        if len(request.messages) == 1:
            return self.decision
        return await self.vectors.decide(request, table)


def split(platform: Platform, *tasks: SubTask) -> Platform:
    supervisor = Supervisor(platform.supervisor.routings, Splitting(*tasks), MemoryState())
    return Platform(supervisor, platform.store, platform.billing, platform.orders)


def meeting(player: Player, here: asyncio.Event, there: asyncio.Event) -> Play:
    """An agent that says that it is asked, and answers when the other one is asked too."""

    async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        here.set()
        await there.wait()
        async for event in player.repeat(turn):
            yield event

    return play


def failing(text: str) -> Failed:
    return Failed.of(errors.AgentFailed(text))


async def test_one_answer_tells_every_part_and_whose_it_is(platform: Platform) -> None:
    events = await split(platform, BILL, PARCEL).turn("my bill and my parcel")
    assert events[0] == Started(agent="lmos")
    assert isinstance(events[1], Decided)
    statuses = [event.text for event in events if isinstance(event, StatusUpdate)]
    assert statuses == ["asking billing: how much do I owe", "asking orders: where is my order"]
    told = "billing: billing: how much do I owe\n\norders: orders: where is my order"
    assert answer(events) == told
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == told
    (merged,) = (event for event in events if isinstance(event, Answer))
    assert merged.context["agents"] == "billing,orders"
    assert isinstance(events[-1], Done)


async def test_what_does_not_depend_on_each_other_is_asked_side_by_side(
    platform: Platform,
) -> None:
    one, two = asyncio.Event(), asyncio.Event()
    platform.billing.play = meeting(platform.billing, one, two)
    platform.orders.play = meeting(platform.orders, two, one)
    async with asyncio.timeout(5):
        events = await split(platform, BILL, PARCEL).turn("my bill and my parcel")
    assert "could not" not in answer(events)


async def test_what_needs_an_answer_is_asked_after_it_and_reads_it(platform: Platform) -> None:
    async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        assert not platform.billing.turns
        async for event in platform.orders.repeat(turn):
            yield event

    platform.orders.play = play
    events = await split(platform, BILL.but(after=(1,)), PARCEL).turn("the bill for my parcel")
    assert "could not" not in answer(events)
    heard = [message.content for message in platform.billing.turns[0].messages]
    assert heard == ["where is my order", "orders: where is my order", "how much do I owe"]
    assert answer(events).startswith("billing: billing: ")


@pytest.mark.parametrize("after", [(1,), (0,), (7,), (-1,)])
async def test_an_order_that_cannot_be_kept_is_the_one_they_stand_in(
    platform: Platform, after: tuple[int, ...]
) -> None:
    async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        assert platform.billing.closed.is_set()
        async for event in platform.orders.repeat(turn):
            yield event

    platform.orders.play = play
    both = BILL.but(after=after), PARCEL.but(after=(0,))
    events = await split(platform, *both).turn("my bill and my parcel")
    assert "could not" not in answer(events)
    assert "orders: orders: " in answer(events)


async def test_a_part_that_fails_leaves_the_other(platform: Platform) -> None:
    platform.orders.plays(failing("the depot is closed"))
    events = await split(platform, BILL, PARCEL).turn("my bill and my parcel")
    first, second = answer(events).split("\n\n")
    assert first == "billing: billing: how much do I owe"
    assert second.startswith("orders could not answer 'where is my order': ")
    assert "the depot is closed" in second
    assert isinstance(events[-1], Done)


async def test_who_needs_an_answer_that_is_missing_is_not_asked(platform: Platform) -> None:
    platform.billing.plays(failing("the ledger is locked"))
    other = PARCEL.but(text="and my other parcel")
    tasks = BILL, PARCEL.but(after=(0,)), other
    events = await split(platform, *tasks).turn("my bill and its parcel")
    assert [turn.text for turn in platform.orders.turns] == ["and my other parcel"]
    assert "it needs the answer to 'how much do I owe', which is missing" in answer(events)


async def test_an_agent_that_is_not_there_is_told(platform: Platform) -> None:
    stranger = SubTask(text="sing", agent="choir")
    events = await split(platform, stranger, PARCEL).turn("sing, and where is my order")
    assert "choir could not answer 'sing': " in answer(events)
    assert "orders: orders: where is my order" in answer(events)


async def test_the_turn_fails_when_every_part_does(platform: Platform) -> None:
    platform.billing.plays(failing("the ledger is locked"))
    platform.orders.plays(failing("the depot is closed"))
    events = await split(platform, BILL, PARCEL).turn("my bill and my parcel")
    assert isinstance(events[-1], Failed)
    assert "the ledger is locked" in events[-1].error.message
    assert "the depot is closed" in events[-1].error.message
    assert not answer(events)


async def test_a_question_is_a_part_and_gets_the_reply(platform: Platform) -> None:
    question = Message(role="assistant", content="Which month?")
    platform.billing.plays(InputRequired(message=question))
    both = split(platform, BILL, PARCEL)
    events = await both.turn("my bill and my parcel")
    assert "billing: Which month?" in answer(events)
    assert isinstance(events[-1], Done)
    platform.billing.play = platform.billing.repeat
    assert answer(await both.turn("March")) == "billing: March"


async def test_what_the_parts_took_is_added(platform: Platform) -> None:
    said = Answer(message=Message(role="assistant", content="done"))
    platform.billing.plays(said, Done(usage=Usage(input_tokens=3, output_tokens=1, requests=1)))
    platform.orders.plays(said, Done(usage=Usage(input_tokens=4, output_tokens=2, requests=1)))
    done = (await split(platform, BILL, PARCEL).turn("my bill and my parcel"))[-1]
    assert isinstance(done, Done)
    assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.requests) == (7, 3, 2)


async def test_leaving_ends_all_that_is_being_asked(platform: Platform) -> None:
    never, one, two = asyncio.Event(), asyncio.Event(), asyncio.Event()
    platform.billing.play = meeting(platform.billing, one, never)
    platform.orders.play = meeting(platform.orders, two, never)
    supervisor = split(platform, BILL, PARCEL).supervisor
    async with asyncio.timeout(5):
        async with aclosing(supervisor.respond(turn_of("my bill and my parcel"))) as events:
            async for event in events:
                if getattr(event, "text", "") == "asking orders: where is my order":
                    await asyncio.gather(one.wait(), two.wait())
                    break
        await asyncio.gather(platform.billing.closed.wait(), platform.orders.closed.wait())


async def test_only_so_many_are_asked_at_the_same_time(platform: Platform) -> None:
    full, release = asyncio.Event(), asyncio.Event()
    most = now = 0

    async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        nonlocal most, now
        now += 1
        most = max(most, now)
        if now == PARALLEL:
            full.set()
        await release.wait()
        now -= 1
        async for event in platform.billing.repeat(turn):
            yield event

    platform.billing.play = play
    tasks = [BILL.but(text=f"bill {number}") for number in range(PARALLEL + 2)]
    async with asyncio.timeout(5):
        turn = asyncio.create_task(split(platform, *tasks).turn("all my bills"))
        await full.wait()
        release.set()
        told = answer(await turn).split("\n\n")
    assert told == [f"billing: billing: {task.text}" for task in tasks]
    assert most == PARALLEL
