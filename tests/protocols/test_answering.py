"""Whatever a responder does, its turn is well-formed and ends in time."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from protocol_agents import (
    Endless,
    Events,
    a_turn,
    broken,
    echo,
    failing,
    failing_late,
    rich,
    said,
    silent,
    soon,
    unknown,
)

from lmos.model import Done, Failed, Responder, Started, TextDelta, Turn, TurnEvent
from lmos.model.errors import DeadlineExceeded, Overloaded
from lmos.model.grammar import checked
from lmos.protocols.answering import Stop, Texts, answered, collect, opening


def whole(responder: Responder, stop: Stop | None = None) -> Responder:
    def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        return answered(responder, turn, stop=stop)

    return checked(respond)


async def lost(turn: Turn) -> Events:
    yield TextDelta(text="who am I")
    yield said("who am I")
    yield Done()


async def talking_on(turn: Turn) -> Events:
    yield Started(agent="a")
    yield said("x")
    yield Done()
    yield TextDelta(text="one more thing")
    raise ValueError("too late")


async def timing_out(turn: Turn) -> Events:
    yield Started(agent="a")
    raise TimeoutError


@pytest.mark.parametrize(
    "responder",
    [echo, rich, failing, failing_late, broken, silent, unknown, lost, talking_on, timing_out],
)
@pytest.mark.parametrize("timed", [True, False])
async def test_the_grammar_holds(responder: Responder, timed: bool) -> None:
    turn = a_turn(deadline=soon(60) if timed else None)
    events = [event async for event in whole(responder)(turn)]
    if responder in (echo, rich, lost, talking_on):
        assert isinstance(events[-1], Done)
    else:
        assert isinstance(events[-1], Failed)
        assert events[-1].error.code != "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("talk", [True, False])
async def test_the_deadline_closes_the_responder(talk: bool) -> None:
    endless = Endless(talk=talk)
    events = [event async for event in whole(endless)(a_turn(deadline=soon(0.5)))]
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].exception(), DeadlineExceeded)
    assert endless.closed.is_set()


async def test_a_deadline_that_has_passed_asks_nobody() -> None:
    endless = Endless()
    events = [event async for event in whole(endless)(a_turn(deadline=soon(-1)))]
    assert isinstance(events[-1], Failed)
    assert not endless.began.is_set()


async def test_stopping_closes_the_responder() -> None:
    endless, stop = Endless(), Stop()
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(collect_all(whole(endless, stop), a_turn()))
        await endless.began.wait()
        stop.request()
    assert isinstance(asked.result()[-1], Failed)
    assert endless.closed.is_set()


async def collect_all(responder: Responder, turn: Turn) -> list[TurnEvent]:
    return [event async for event in responder(turn)]


async def test_the_end_is_told_when_the_responder_has_finished() -> None:
    finished = False

    async def remembering(turn: Turn) -> Events:
        nonlocal finished
        yield Started(agent="a")
        yield said("x")
        yield Done()
        finished = True

    async for event in whole(remembering)(a_turn()):
        if isinstance(event, Done):
            assert finished


async def test_leaving_closes_the_responder() -> None:
    endless = Endless()
    events = whole(endless)(a_turn())
    await anext(events)
    await anext(events)
    await events.aclose()
    assert endless.closed.is_set()


async def test_the_outcome_and_the_text() -> None:
    outcome = await collect(whole(rich)(a_turn()))
    assert outcome.text == "Your bill is 42.50 EUR – paid.\n\nHere it is."
    texts = Texts()
    events = await collect_all(whole(rich), a_turn())
    assert "".join(texts.of(event) for event in events) == outcome.text
    with pytest.raises(Overloaded):
        await collect(whole(failing)(a_turn()))


async def test_an_opening_is_what_comes_with_started() -> None:
    with pytest.raises(Overloaded):
        await opening(whole(failing)(a_turn()))
    events = whole(rich)(a_turn())
    assert [event.type for event in await opening(events)] == ["started", "decision"]
    await events.aclose()
