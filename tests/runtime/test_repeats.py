"""Turns that are sent again, to the same runtime and to another one; turns of a conversation that
go to several runtimes.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from runtime_parts import Platform, answer, turn_of

import states
from lmos.llm import embedder
from lmos.model import (
    Answer,
    Decided,
    Done,
    Failed,
    InputRequired,
    Message,
    State,
    TextDelta,
    Turn,
    TurnEvent,
    User,
    errors,
)
from lmos.router import VectorRouter
from lmos.runtime import Supervisor
from lmos.runtime.order import Lines
from lmos.runtime.repeats import KEPT, SIZE
from lmos.state.keys import conversation_of
from lmos.state.leases import FileLocks, KeyLeases

OWE = "how much do I owe"


def whole(events: list[TurnEvent]) -> list[TurnEvent]:
    """The events without the pieces that the text came in."""
    return [e for e in events if not isinstance(e, TextDelta)]


async def test_a_repeated_turn_gets_its_answer_and_nobody_is_asked(platform: Platform) -> None:
    first = await platform.turn(OWE, turn_id="one")
    again = await platform.turn(OWE, turn_id="one")
    assert whole(again) == whole(first)
    assert "".join(e.text for e in again if isinstance(e, TextDelta)) == answer(first)
    assert len(platform.billing.turns) == 1
    await platform.turn("and last month?", turn_id="two")
    assert whole(await platform.turn(OWE, turn_id="one")) == whole(first)  # not the last one
    assert len(platform.billing.turns[-1].messages) == 3


async def test_a_question_is_repeated_and_the_reply_still_finds_who_asked(
    platform: Platform,
) -> None:
    question = InputRequired(message=Message(role="assistant", content="Which month?"))
    platform.billing.plays(question)
    for _ in range(2):
        assert (await platform.turn("show me my bill", turn_id="one"))[-1] == question
    platform.billing.play = platform.billing.repeat
    assert answer(await platform.turn("Main Street 5", turn_id="two")).startswith("billing")


async def test_what_the_platform_says_itself_is_repeated(platform: Platform) -> None:
    first = await platform.turn("what is the capital of Peru", turn_id="one")
    assert whole(await platform.turn("what is the capital of Peru", turn_id="one")) == whole(first)
    assert platform.supervisor.metrics.deciding.count == 1


async def test_a_repetition_joins_the_turn_that_is_still_running(platform: Platform) -> None:
    platform.billing.slowly(0.05)
    results = await asyncio.gather(*(platform.turn(OWE, turn_id="one") for _ in range(5)))
    assert {answer(events) for events in results} == {f"billing: {OWE}"}
    assert len(platform.billing.turns) == 1


@pytest.mark.parametrize("other", [{"text": "where is my parcel"}, {"agent": "orders"}])
async def test_an_id_that_was_something_elses_is_refused(
    platform: Platform, other: dict[str, str]
) -> None:
    await platform.turn(OWE, turn_id="one", user=User(id="me"))
    with pytest.raises(errors.Conflict, match="turn id one was given to another message"):
        await platform.turn(**{"text": OWE, "turn_id": "one", "user": User(id="me"), **other})  # type: ignore[arg-type]
    assert not platform.orders.turns


async def test_nobody_is_told_what_somebody_else_was(platform: Platform) -> None:
    await platform.turn(OWE, turn_id="one", user=User(id="me"))
    with pytest.raises((errors.Conflict, errors.NotFound)):
        await platform.turn(OWE, turn_id="one", user=User(id="somebody-else"))


async def test_ids_belong_to_a_conversation_of_a_tenant(platform: Platform) -> None:
    await platform.turn(OWE, turn_id="one")
    await platform.turn(OWE, "another", turn_id="one")
    await platform.turn(OWE, turn_id="one", tenant="globex")
    assert len(platform.billing.turns) == 3


async def test_what_failed_is_tried_again(platform: Platform) -> None:
    platform.billing.plays(TextDelta(text="bil"), RuntimeError("broken"))
    assert isinstance((await platform.turn(OWE, turn_id="one"))[-1], Failed)
    platform.billing.play = platform.billing.repeat
    assert answer(await platform.turn(OWE, turn_id="one")) == f"billing: {OWE}"


async def test_when_the_first_caller_leaves_the_turn_is_the_other_ones(
    platform: Platform,
) -> None:
    platform.billing.slowly(30)
    async with aclosing(platform.supervisor.respond(turn_of(OWE, turn_id="one"))) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
        platform.billing.play = platform.billing.repeat
        joined = asyncio.create_task(platform.turn(OWE, turn_id="one"))
        await asyncio.sleep(0)
    assert answer(await joined) == f"billing: {OWE}"
    assert len(platform.billing.turns) == 2


async def test_only_the_last_turns_of_a_conversation_are_kept(platform: Platform) -> None:
    for number in range(KEPT + 1):
        await platform.turn(OWE, turn_id=str(number))
    for number in range(1, KEPT + 1):
        await platform.turn(OWE, turn_id=str(number))
    assert len(platform.billing.turns) == KEPT + 1
    await platform.turn(OWE, turn_id="0")
    assert len(platform.billing.turns) == KEPT + 2


async def test_an_answer_too_large_to_keep_is_not_asked_for_again(platform: Platform) -> None:
    platform.billing.plays(
        Answer(message=Message(role="assistant", content="x" * (SIZE + 1))), Done()
    )
    await platform.turn(OWE, turn_id="one")
    with pytest.raises(errors.Conflict, match="read the answer in the conversation"):
        await platform.turn(OWE, turn_id="one")
    assert len(platform.billing.turns) == 1


# --- several runtimes -----------------------------------------------------------------------------

shared = states.over(states.SHARED)


@pytest.fixture
async def two(platform: Platform, state: State) -> AsyncIterator[tuple[Platform, Platform]]:
    """Two runtimes before the same agents, which share the state."""
    found = []
    for _ in range(2):
        routings = platform.supervisor.routings
        supervisor = Supervisor(routings, VectorRouter(embedder()), state)
        found.append(Platform(supervisor, platform.store, platform.billing, platform.orders))
    yield found[0], found[1]
    for runtime in found:
        await runtime.supervisor.close()


@shared
async def test_another_runtime_repeats_the_answer(two: tuple[Platform, Platform]) -> None:
    one, other = two
    first = await one.turn(OWE, turn_id="one")
    assert whole(await other.turn(OWE, turn_id="one")) == whole(first)
    assert len(one.billing.turns) == 1


@shared
async def test_another_runtime_joins_the_turn_that_is_still_running(
    two: tuple[Platform, Platform],
) -> None:
    two[0].billing.slowly(0.1)
    results = await asyncio.gather(*(p.turn(OWE, turn_id="one") for p in two for _ in range(3)))
    assert {answer(events) for events in results} == {f"billing: {OWE}"}
    assert len(two[0].billing.turns) == 1


@shared
async def test_turns_of_a_conversation_wait_for_each_other_across_runtimes(
    two: tuple[Platform, Platform],
) -> None:
    two[0].billing.slowly(0.02)
    turns = [p.turn(f"{OWE} {n}", turn_id=f"{p is two[0]}{n}") for p in two for n in range(3)]
    await asyncio.gather(*turns)
    counts = [len(turn.messages) for turn in two[0].billing.turns]
    assert counts == [1, 3, 5, 7, 9, 11]


@shared
async def test_the_follow_up_goes_on_at_another_runtime(two: tuple[Platform, Platform]) -> None:
    await two[0].turn(OWE)
    events = await two[1].turn("and last month?")
    assert answer(events).startswith("billing")
    assert next(e.decision for e in events if isinstance(e, Decided)).sticky


@shared
async def test_the_lease_of_a_runtime_that_ended_without_a_word_runs_out(
    place: states.Place,
) -> None:
    turn = turn_of(OWE)
    await place.state.put(conversation_of(turn, "turn"), 1, ttl=60)  # nobody gives it back
    lines = Lines(KeyLeases(place.state))
    waiting = asyncio.create_task(_through(lines, turn))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await place.elapse(61)
    async with asyncio.timeout(5):
        await waiting


async def test_the_lock_of_a_runtime_that_is_killed_is_free_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path / "locks")]
    held = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert held.stdout
        assert await held.stdout.readline() == b"held\n"
        locks = FileLocks(tmp_path / "locks")
        assert await locks.take("a") is None
        other = await locks.take("b")
        assert other
        await other()
    finally:
        held.kill()
        await held.communicate()
    give_back = await locks.take("a")
    assert give_back
    await give_back()


HOLDING = """
import asyncio, pathlib, sys, time
from lmos.state.leases import FileLocks
locks = FileLocks(pathlib.Path(sys.argv[1]))
asyncio.run(locks.take("a"))
print("held", flush=True)
time.sleep(60)
"""


async def test_a_lease_is_kept_up_while_its_turn_runs_and_then_given_back() -> None:
    place = states.InMemory()
    turn = turn_of(OWE)
    lines = Lines(KeyLeases(place.state, 0.06))
    async with lines.turn(turn, _later()):
        for _ in range(4):
            before = (await place.state.get(conversation_of(turn, "turn")))[1]
            async with asyncio.timeout(5):
                while (await place.state.get(conversation_of(turn, "turn")))[1] == before:
                    await asyncio.sleep(0.005)
    assert await place.state.get(conversation_of(turn, "turn")) is None


async def test_who_waits_for_another_runtime_is_told_when_the_time_is_up() -> None:
    place = states.InMemory()
    turn = turn_of(OWE)
    async with Lines(KeyLeases(place.state)).turn(turn, _later()):
        with pytest.raises(errors.DeadlineExceeded, match="earlier turns"):
            await _through(Lines(KeyLeases(place.state)), turn, seconds=0.05)


def _later(seconds: float = 60) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def _through(lines: Lines, turn: Turn, seconds: float = 60) -> None:
    async with lines.turn(turn, _later(seconds)):
        pass
