"""Small agents, each with one habit, and the turns to ask them with."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lmos.model import (
    Answer,
    BinaryData,
    Candidate,
    Decided,
    Decision,
    Done,
    Handover,
    InputRequired,
    Message,
    Responder,
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
from lmos.model.grammar import checked

Events = AsyncGenerator[TurnEvent, None]


def said(text: str, **more: Any) -> Answer:
    return Answer(message=Message(role="assistant", content=text), **more)


def a_turn(text: str = "hello", **changes: Any) -> Turn:
    given: dict[str, Any] = {
        "tenant": "acme",
        "channel": "web",
        "conversation_id": "c-1",
        "turn_id": "t-1",
        "messages": (Message(role="user", content=text),),
    }
    return Turn(**(given | changes))


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def _echo(turn: Turn) -> Events:
    yield Started(agent="echo", version="1.2.0")
    yield said(f"{turn.tenant}/{turn.channel}/{turn.subset}: {turn.text}", context={"mood": "calm"})
    yield Done(usage=Usage(model="direct", input_tokens=3, output_tokens=4, requests=1))


async def _rich(turn: Turn) -> Events:
    """Everything that may come in a turn."""
    yield Started(agent="rich", version="2.0.0")
    decision = Decision(
        outcome="route", candidates=(Candidate(agent="rich", probability=0.97),), confidence=0.97
    )
    yield Decided(decision=decision)
    yield StatusUpdate(text="looking")
    yield ToolCall(id="1", name="get_bill", arguments={"month": "latest", "limit": 3})
    yield ToolResult(id="1", name="get_bill", result="42.50")
    for piece in ("Your bill ", "is 42.50 ", "EUR – paid."):
        yield TextDelta(text=piece)
    yield said("Your bill is 42.50 EUR – paid.")
    picture = BinaryData(mime_type="image/png", data_as_base64="iVBORw0=")
    yield Answer(
        message=Message(role="assistant", content="Here it is.", binary_data=(picture,)),
        context={"bill": "7"},
    )
    yield Done(usage=Usage(model="m", input_tokens=10, output_tokens=5, requests=2))


async def _asking(turn: Turn) -> Events:
    yield Started(agent="asking")
    if turn.text.isdecimal():
        yield said(f"account {turn.text}")
        yield Done()
    else:
        question = Message(role="assistant", content="Which account?")
        yield InputRequired(message=question, context={"wants": "account"})


async def _handing_over(turn: Turn) -> Events:
    yield Started(agent="first")
    yield Handover(to="billing-agent", capability="view-bill", reason="not my job")


async def _failing(turn: Turn) -> Events:
    yield Started(agent="failing")
    raise errors.Overloaded("too many turns", retry_after=7)


async def _failing_late(turn: Turn) -> Events:
    yield Started(agent="late")
    yield TextDelta(text="half of ")
    raise errors.AgentFailed("the agent fell over", hint="restart")


async def _broken(turn: Turn) -> Events:
    yield Started(agent="broken")
    yield TextDelta(text="one ")
    raise ZeroDivisionError("secret detail")


async def _silent(turn: Turn) -> Events:
    yield Started(agent="silent")


async def _unknown(turn: Turn) -> Events:
    raise errors.ChannelNotFound("tenant acme has no channel web")
    yield Started(agent="never")


echo, rich, asking, handing_over = (checked(r) for r in (_echo, _rich, _asking, _handing_over))
failing, failing_late, broken, unknown = _failing, _failing_late, _broken, _unknown
silent = _silent


class Endless:
    """Answers without end; tells when it began and when it was closed."""

    def __init__(self, *, talk: bool = True) -> None:
        self.talk = talk
        self.began = asyncio.Event()
        self.closed = asyncio.Event()

    async def __call__(self, turn: Turn) -> Events:
        try:
            yield Started(agent="endless")
            if self.talk:
                yield TextDelta(text="well ")
            self.began.set()
            await asyncio.Event().wait()
        finally:
            self.closed.set()


class Recording:
    """Wraps a responder and keeps the turns it was asked."""

    def __init__(self, responder: Responder = echo) -> None:
        self.turns: list[Turn] = []
        self._responder = responder

    def __call__(self, turn: Turn) -> Events:
        self.turns.append(turn)
        return self._responder(turn)


async def events_of(responder: Responder, turn: Turn) -> list[TurnEvent]:
    return [event async for event in checked(responder)(turn)]


def names(events: Sequence[TurnEvent]) -> list[str]:
    return [event.type for event in events]
