"""One message that asks for several things, answered by several agents in one answer."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from a2a.helpers import new_text_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Role
from runtime_parts import ORDER, Platform, Play, Player, agent_of, answer, served, turn_of
from starlette.applications import Starlette

from lmos.llm import embedder
from lmos.model import (
    Answer,
    Candidate,
    Decided,
    Decision,
    Done,
    Failed,
    Handover,
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
from lmos.runtime.collaboration.parts import PARALLEL
from lmos.runtime.collaboration.subtasks import _planned
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


# --- part by part ---------------------------------------------------------------------------------


def in_two(player: Player, release: asyncio.Event) -> Play:
    """An agent that says its first word, and the rest when it is released."""

    async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        yield TextDelta(text=f"{player.name} ")
        await release.wait()
        yield TextDelta(text="done")
        yield Answer(message=Message(role="assistant", content=f"{player.name} done"))
        yield Done()

    return play


def deltas(events: list[TurnEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_the_first_part_is_told_as_it_comes_and_the_others_wait(platform: Platform) -> None:
    release, said = asyncio.Event(), asyncio.Event()
    platform.billing.play = in_two(platform.billing, release)
    whole = platform.orders.play

    async def noticed(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        async for event in whole(turn):
            yield event
        said.set()

    platform.orders.play = noticed
    supervisor = split(platform, BILL, PARCEL).supervisor
    told: list[str] = []
    async with asyncio.timeout(5), aclosing(supervisor.respond(turn_of("both"))) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                told.append(event.text)
            if told == ["billing: ", "billing "]:
                await said.wait()  # the second part is there, and is not shown yet
                release.set()
    assert "".join(told) == "billing: billing done\n\norders: orders: where is my order"
    assert told[:3] == ["billing: ", "billing ", "done"]


async def test_what_goes_on_says_of_which_part(platform: Platform) -> None:
    platform.orders.plays(
        StatusUpdate(text="looking"), Answer(message=Message(role="assistant", content="x")), Done()
    )
    tasks = BILL.but(capability="view-bill"), PARCEL
    events = await split(platform, *tasks).turn("my bill and my parcel")
    found = [event for event in events if isinstance(event, StatusUpdate)]
    assert (
        StatusUpdate(
            text="asking billing: how much do I owe",
            agent="billing",
            capability="view-bill",
            place=0,
        )
        in found
    )
    assert StatusUpdate(text="orders: looking", agent="orders", place=1) in found


async def test_the_sources_are_told(platform: Platform) -> None:
    platform.orders.plays(failing("the depot is closed"))
    tasks = BILL.but(capability="view-bill"), PARCEL
    events = await split(platform, *tasks).turn("my bill and my parcel")
    (merged,) = (event for event in events if isinstance(event, Answer))
    bill, parcel = json.loads(merged.context["sources"])
    assert bill == {"agent": "billing", "task": BILL.text, "capability": "view-bill"}
    assert "the depot is closed" in parcel["failure"]


async def test_a_failure_before_anything_was_said_is_told_with_what_is(platform: Platform) -> None:
    platform.billing.plays(failing("the ledger is locked"))
    events = await split(platform, BILL, PARCEL).turn("my bill and my parcel")
    first, second = answer(events).split("\n\n")
    assert "the ledger is locked" in first
    assert second == "orders: orders: where is my order"
    assert deltas(events) == answer(events)


async def test_a_part_that_breaks_off_keeps_what_it_said(platform: Platform) -> None:
    platform.billing.plays(TextDelta(text="You owe"), failing("the ledger is locked"))
    events = await split(platform, BILL, PARCEL).turn("my bill and my parcel")
    first, second = answer(events).split("\n\n")
    assert first.startswith("billing: You owe\nbilling could not answer 'how much do I owe': ")
    assert second == "orders: orders: where is my order"
    assert deltas(events) == answer(events)


async def test_an_agent_that_raises_leaves_the_other(platform: Platform) -> None:
    platform.billing.plays(RuntimeError("secret"))
    events = await split(platform, BILL, PARCEL).turn("my bill and my parcel")
    assert "billing could not answer" in answer(events)
    assert "orders: orders: where is my order" in answer(events)
    assert "secret" not in answer(events)


async def test_a_part_may_be_handed_over(platform: Platform) -> None:
    platform.billing.plays(Handover(capability="track-order", reason="it is a parcel"))
    events = await split(platform, BILL).turn("my bill")
    assert answer(events) == "orders: orders: how much do I owe"
    handed = StatusUpdate(
        text="handed over to orders: it is a parcel",
        agent="orders", capability="track-order", place=0,
    )  # fmt: skip
    assert handed in events
    platform.billing.plays(Handover(to="choir"))
    events = await split(platform, BILL, PARCEL).turn("my bill", conversation="other")
    assert "handed over to 'choir', which this channel does not have" in answer(events)


async def test_a_part_may_name_a_capability_alone(platform: Platform) -> None:
    tasks = BILL, SubTask(text="where is my order", agent="", capability="track-order")
    events = await split(platform, *tasks).turn("my bill and my parcel")
    assert answer(events).endswith("orders: orders: where is my order")


async def test_a_part_has_its_share_of_the_time(platform: Platform) -> None:
    never = asyncio.Event()
    platform.billing.play = meeting(platform.billing, asyncio.Event(), never)
    deadline = datetime.now(UTC) + timedelta(seconds=3)
    events = await split(platform, BILL, PARCEL).turn("both", deadline=deadline)
    assert datetime.now(UTC) < deadline
    assert "billing could not answer 'how much do I owe': " in answer(events)
    assert "orders: orders: where is my order" in answer(events)
    assert isinstance(events[-1], Done)


async def test_who_comes_after_has_as_much_time(platform: Platform) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=100)
    tasks = BILL, PARCEL.but(after=(0,)), PARCEL.but(after=(1,)), PARCEL
    await split(platform, *tasks).turn("all", deadline=deadline)
    first = platform.billing.turns[0].deadline
    assert first
    assert timedelta(seconds=64) < deadline - first < timedelta(seconds=70)
    alone = next(turn for turn in platform.orders.turns if turn.turn_id.endswith(".3")).deadline
    assert alone
    assert timedelta(seconds=0.5) < deadline - alone < timedelta(seconds=2)


def test_many_parts_in_a_row_are_planned_at_once() -> None:
    tasks = [BILL.but(after=tuple(range(number))) for number in range(200)]
    parts = _planned(tasks)
    assert [part.then for part in parts] == list(reversed(range(200)))
    assert [part.then for part in _planned([BILL.but(after=(9,)), BILL, BILL])] == [2, 1, 0]


async def test_the_fallback_answers_a_part(platform: Platform) -> None:
    await platform.arrange(fallback=[{"agent": "orders"}, "human"])
    platform.billing.plays(failing("the ledger is locked"))
    events = await split(platform, BILL).turn("my bill")
    assert answer(events) == "orders: orders: how much do I owe"
    assert not await platform.supervisor.humans.waiting("acme", "web")


async def test_people_take_over_where_no_part_was_answered(platform: Platform) -> None:
    await platform.arrange(fallback=["human"])
    for player in (platform.billing, platform.orders):
        player.plays(failing("no"))
    both = split(platform, BILL, PARCEL)
    events = await both.turn("my bill and my parcel")
    assert answer(events).endswith("A person will take over and answer you here.")
    assert deltas(events) == answer(events)
    assert await both.supervisor.humans.waiting("acme", "web")


async def test_a_part_that_is_left_to_people_is_told_beside_the_others(platform: Platform) -> None:
    await platform.arrange(fallback=["human"])
    platform.billing.plays(Handover(to="human", reason="a complaint"))
    both = split(platform, BILL, PARCEL)
    events = await both.turn("my bill and my parcel")
    told = answer(events).split("\n\n")
    assert told[0] == "billing could not answer 'how much do I owe': it is left to a human"
    assert told[1] == "orders: orders: where is my order"
    assert told[2].endswith("A person will take over and answer you here.")
    assert deltas(events) == answer(events)
    (held,) = await both.supervisor.humans.waiting("acme", "web")
    assert held.reason == "a complaint"
    assert "A person has taken over" in answer(await both.turn("hello?"))


async def test_an_endless_answer_is_cut(platform: Platform) -> None:
    async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        while True:
            yield TextDelta(text="x" * 100_000)
            await asyncio.sleep(0)

    platform.billing.play = play
    async with asyncio.timeout(20):
        events = await split(platform, BILL, PARCEL).turn("my bill and my parcel")
    assert "its answer is longer than 1000000 characters" in answer(events)
    assert "orders: orders: where is my order" in answer(events)


# --- agents that hear only the new message --------------------------------------------------------


class Hearing(AgentExecutor):
    """An agent of the A2A SDK, which knows nothing of us; it repeats what it hears."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        heard = context.get_user_input()
        await event_queue.enqueue_event(new_text_message(f"heard {heard!r}", role=Role.ROLE_AGENT))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError


@asynccontextmanager
async def hearing() -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    skill = AgentSkill(id="hear", name="hear", description="Hears", tags=["ears"])
    card = AgentCard(
        name="hearing",
        description="Hears",
        version="1.0.0",
        skills=[skill],
        capabilities=AgentCapabilities(streaming=False),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        supported_interfaces=[
            AgentInterface(url=f"{url}/rpc", protocol_binding="JSONRPC", protocol_version="1.0")
        ],
    )
    handler = DefaultRequestHandler(
        agent_executor=Hearing(), task_store=InMemoryTaskStore(), agent_card=card
    )
    routes = [*create_agent_card_routes(card), *create_jsonrpc_routes(handler, rpc_url="/rpc")]
    async with served(Starlette(routes=routes), int(url.rpartition(":")[2])) as there:
        yield there


async def test_an_agent_of_others_hears_the_answers_it_needs(platform: Platform) -> None:
    async with hearing() as url:
        await platform.change(agent_of("orders", url, ORDER))
        tasks = BILL, PARCEL.but(after=(0,))
        events = await split(platform, *tasks).turn("my bill and its parcel")
    heard = answer(events).split("\n\n")[1]
    assert BILL.text in heard
    assert "billing: how much do I owe" in heard
    assert heard.rstrip("'").endswith(PARCEL.text)
