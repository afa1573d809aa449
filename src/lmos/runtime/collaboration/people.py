"""A turn that people answer: the conversation is handed to them, and stays with them."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from lmos.model import (
    Answer,
    Decided,
    Decision,
    Done,
    FallbackStep,
    Message,
    Started,
    StatusUpdate,
    TextDelta,
    TurnEvent,
)
from lmos.protocols.answering import SEPARATOR
from lmos.runtime.collaboration.handing import Work, human_of
from lmos.runtime.collaboration.parts import Part
from lmos.runtime.humans import Held
from lmos.runtime.stages import HUMAN

_TAKEN = "I cannot help you with that myself. A person will take over and answer you here."
_WAITING = "A person has taken over this conversation. Your message was added for them."


def held_decision(held: Held) -> Decision:
    """What is made of a turn while people have its conversation: no agent is asked."""
    since = held.since.isoformat(timespec="seconds")
    return Decision(
        outcome="out_of_scope",
        stage=HUMAN,
        reason=f"the conversation is with a human ({held.queue}) since {since}",
    )


def released_notes(decision: Decision, notes: Mapping[str, Any]) -> dict[str, Any]:
    """What to note where people had the conversation by its notes, and have given it back."""
    return {"human": ""} if notes.get("human") and decision.stage != HUMAN else {}


async def to_human(work: Work, step: FallbackStep, reason: str) -> AsyncGenerator[TurnEvent, None]:
    """Hands the conversation to people, and tells the user. Follows `Started`."""
    yield await _handed(work, step, reason)
    async for event in _said(work, step.message or _TAKEN, step.human):
        yield event


async def with_the_rest(
    work: Work, parts: Sequence[Part], said: str
) -> AsyncGenerator[TurnEvent, None]:
    """Hands the conversation to people where an agent left its part to them, and tells the user
    beside what the others `said`.
    """
    human, left = human_of(work), next((part for part in parts if part.left is not None), None)
    if human is None or left is None or left.left is None:
        return
    yield await _handed(work, human, left.left.reason)
    yield TextDelta(text=(SEPARATOR if said else "") + (human.message or _TAKEN))


async def _handed(work: Work, step: FallbackStep, reason: str) -> StatusUpdate:
    assert work.humans is not None
    await work.humans.hand(work.turn, step.human, reason)
    work.notes["human"] = step.human
    work.asking.metrics.to_people(work.turn)
    because = f": {reason}" if reason else ""
    return StatusUpdate(text=f"handed over to a human ({step.human}){because}")


async def with_human(work: Work) -> AsyncGenerator[TurnEvent, None]:
    """The answer while people have the conversation: the message is kept for them."""
    yield Started(agent="lmos")
    yield Decided(decision=work.decision)
    yield StatusUpdate(text=work.decision.reason)
    async for event in _said(work, _WAITING):
        yield event


async def _said(work: Work, text: str, queue: str = "") -> AsyncGenerator[TurnEvent, None]:
    context = {"outcome": "human", "agent": "lmos"} | ({"human": queue} if queue else {})
    yield TextDelta(text=text)
    message = Message(role="assistant", content=text, turn_id=work.turn.turn_id)
    yield Answer(message=message, context=context)
    yield Done()
