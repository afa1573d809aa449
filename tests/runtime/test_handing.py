"""Agents that hand a turn over: to whom, how often, and what those who take it hear."""

from collections.abc import AsyncGenerator

import pytest
from runtime_parts import Platform, answer

from lmos import Supervisor
from lmos.llm import embedder
from lmos.model import (
    Answer,
    Done,
    Failed,
    Handover,
    Message,
    StatusUpdate,
    TextDelta,
    Turn,
    TurnEvent,
    errors,
)
from lmos.router import VectorRouter
from lmos.state import MemoryState

BILL = "how much do I owe"


@pytest.mark.parametrize(
    "handover",
    [
        Handover(to="orders"),
        Handover(to="track-order"),
        Handover(to="track_order"),
        Handover(capability="track-order"),
        Handover(capability="track_order"),
    ],
    ids=str,
)
async def test_by_agent_or_by_capability(platform: Platform, handover: Handover) -> None:
    platform.billing.plays(handover.but(reason="it is about a parcel"))
    events = await platform.turn(BILL)
    assert answer(events) == f"orders: {BILL}"
    (status,) = (event for event in events if isinstance(event, StatusUpdate))
    assert status.text == "handed over to orders: it is about a parcel"
    assert status.agent == "orders"
    assert status.capability == (None if handover.to == "orders" else "track-order")


@pytest.mark.parametrize("to", ["choir", "", "sing"])
async def test_strangers_are_refused(platform: Platform, to: str) -> None:
    platform.billing.plays(Handover(to=to))
    failed = (await platform.turn(BILL))[-1]
    assert isinstance(failed, Failed)
    assert (
        f"billing handed over to {to!r}, which this channel does not have" in failed.error.message
    )
    assert "view-bill, track-order" in failed.error.message


async def test_an_agent_of_another_channel_is_a_stranger(platform: Platform) -> None:
    platform.billing.plays(Handover(to="orders"))
    failed = (await platform.turn(BILL, tenant="globex"))[-1]
    assert isinstance(failed, Failed)
    assert failed.error.code == "AGENT_NOT_FOUND"
    assert not platform.orders.turns


async def test_circles_are_told_with_their_path(platform: Platform) -> None:
    platform.billing.plays(Handover(capability="track-order"))
    platform.orders.plays(Handover(to="view-bill"))
    failed = (await platform.turn(BILL))[-1]
    assert isinstance(failed, Failed)
    assert "in circles: billing -> orders -> billing" in failed.error.message
    assert len(platform.billing.turns) == 1


async def test_who_takes_over_hears_what_was_said(platform: Platform) -> None:
    said = Message(role="assistant", content="You owe 42 EUR.")
    platform.billing.plays(
        TextDelta(text="You owe 42 EUR."), Answer(message=said), Handover(to="orders")
    )
    events = await platform.turn(BILL)
    heard = [message.content for message in platform.orders.turns[0].messages]
    assert heard == ["You owe 42 EUR.", BILL]
    assert answer(events) == f"You owe 42 EUR.orders: {BILL}"


async def test_an_agent_that_raises_fails(platform: Platform) -> None:
    async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        yield TextDelta(text="You owe")
        raise RuntimeError("secret")

    platform.billing.play = play
    failed = (await platform.turn(BILL))[-1]
    assert isinstance(failed, Failed)
    assert "secret" not in failed.error.message


@pytest.mark.parametrize("error", [errors.AgentFailed("the ledger is locked"), ValueError("x")])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_connection_that_raises_fails(
    platform: Platform, error: Exception, begun: bool
) -> None:
    async def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        if begun:
            yield TextDelta(text="You owe")
        raise error

    routings, router = platform.supervisor.routings, VectorRouter(embedder())
    platform.supervisor = Supervisor(routings, router, MemoryState(), lambda address: respond)
    failed = (await platform.turn(BILL))[-1]
    assert isinstance(failed, Failed)
    assert failed.exception().message == Failed.of(error).error.message
    await platform.arrange(fallback=["human"])
    assert "A person will take over" in answer(await platform.turn(BILL))


async def test_an_agent_that_is_done_with_nothing_has_failed(platform: Platform) -> None:
    platform.billing.plays(TextDelta(text="You "), TextDelta(text="owe"), Done())
    failed = (await platform.turn(BILL))[-1]
    assert isinstance(failed, Failed)
    assert failed.error.message == "agent billing ended without an answer"
