"""Asking an agent: the first of those able to answer that does, with its events as they come.

An agent that fails before it has said or done anything is stood in for by the next one; after that
its failure is the turn's.
"""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from lmos.model import (
    AgentAddress,
    Decided,
    Failed,
    Responder,
    Started,
    StatusUpdate,
    Turn,
    TurnEvent,
    errors,
)
from lmos.runtime.metrics import Metrics
from lmos.runtime.routings import Member

Connect = Callable[[AgentAddress], Responder]


class Asking:
    """Asks agents over the protocols that they offer, and counts and times it."""

    def __init__(self, connect: Connect, metrics: Metrics) -> None:
        self._connect = connect
        self._metrics = metrics

    async def ask(
        self, able: Sequence[Member], turn: Turn
    ) -> tuple[Member, AsyncGenerator[TurnEvent, None]]:
        """The first of the agents that does not fail before it has said or done anything, or the
        last one, with its events; `Started` is the first of them. Close them when done.
        """
        member, opening, events = await self._open(able, turn)
        return member, _joined(opening, events)

    async def _open(
        self, able: Sequence[Member], turn: Turn
    ) -> tuple[Member, deque[TurnEvent], AsyncGenerator[TurnEvent, None]]:
        """The first agent that does not fail before it has said or done anything, or the last one.
        With it, events to begin with, of which `Started` is the first, and those that follow.
        """
        failure: Failed | None = None
        for member in able[:-1]:
            events = self._one(member, turn)
            first = await anext(events, None) or _silent(member)
            if not isinstance(first, Failed) or _is_the_turns(first):
                return member, deque([*_opening(member, failure), first]), events
            await events.aclose()
            failure = first
        return able[-1], deque(_opening(able[-1], failure)), self._one(able[-1], turn)

    async def _one(self, member: Member, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """One agent's events; who answers and why is told by us."""
        with self._metrics.asking(member.name) as asking:
            async with aclosing(self._responder(member)(turn)) as events:
                async for event in events:
                    if isinstance(event, Failed):
                        asking.failed = True
                        event = _named(event, member.name)
                    if not isinstance(event, Started | Decided):
                        yield event

    def _responder(self, member: Member) -> Responder:
        if member.address is None:
            text = f"nobody knows where agent {member.name} answers"
            return _failing(errors.AgentUnavailable(text))
        try:
            return self._connect(member.address)
        except errors.LmosError as error:
            return _failing(error)


async def _joined(
    opening: deque[TurnEvent], events: AsyncGenerator[TurnEvent, None]
) -> AsyncGenerator[TurnEvent, None]:
    async with aclosing(events):
        while opening:
            yield opening.popleft()
        async for event in events:
            yield event


def _opening(member: Member, failure: Failed | None) -> list[TurnEvent]:
    started = Started(agent=member.name, version=member.agent.version)
    if failure is None:
        return [started]
    text = f"{failure.error.message}; {member.name} answers instead"
    return [started, StatusUpdate(text=text)]


def _is_the_turns(failure: Failed) -> bool:
    """Whether the turn itself was wrong or late, so that no other agent would fare better."""
    error = failure.exception()
    return isinstance(
        error,
        errors.InvalidInput | errors.Unauthenticated | errors.Forbidden | errors.DeadlineExceeded,
    )


def _failing(error: errors.LmosError) -> Responder:
    async def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        yield Failed.of(error)

    return respond


def _silent(member: Member) -> Failed:
    return Failed.of(errors.AgentFailed(f"agent {member.name} ended without an answer"))


def _named(event: Failed, agent: str) -> Failed:
    """The failure, saying whose it is."""
    if agent in event.error.message:
        return event
    message = f"agent {agent}: {event.error.message}"
    return Failed(error=event.error.but(message=message))
