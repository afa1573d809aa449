"""The grammar of a turn's events, as a wrapper that every responder can wear in tests."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from lmos.model.seams import Responder
from lmos.model.turn import TERMINAL, Answer, Done, Started, Turn, TurnEvent


class GrammarError(AssertionError):
    """A responder sent events out of order."""


def checked(responder: Responder) -> Responder:
    """The same responder, raising `GrammarError` at the first event that breaks the grammar."""

    async def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        seen: list[TurnEvent] = []
        async with aclosing(responder(turn)) as events:
            async for event in events:
                _check(seen, event)
                seen.append(event)
                yield event
        if not seen or not isinstance(seen[-1], TERMINAL):
            raise GrammarError(f"the turn ended without a terminal event: {_names(seen)}")

    return respond


def _check(seen: list[TurnEvent], event: TurnEvent) -> None:
    if not seen and not isinstance(event, Started):
        raise GrammarError(f"the first event is {event.type!r}, not 'started'")
    if seen and isinstance(event, Started):
        raise GrammarError(f"'started' comes twice: {_names(seen)}")
    if seen and isinstance(seen[-1], TERMINAL):
        raise GrammarError(f"{event.type!r} comes after the terminal event: {_names(seen)}")
    if isinstance(event, Done) and not any(isinstance(e, Answer) for e in seen):
        raise GrammarError(f"'done' without a message: {_names(seen)}")


def _names(seen: list[TurnEvent]) -> str:
    return ", ".join(event.type for event in seen) or "nothing"
