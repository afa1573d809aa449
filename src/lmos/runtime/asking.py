"""Asking an agent: the first of those able to answer that does, with its events as they come.

An agent that fails before it has said or done anything is stood in for by the next one; after that
its failure is the turn's. One that failed too often is not asked for a while: see
`lmos.runtime.breakers`.
"""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, aclosing
from datetime import UTC, datetime, timedelta

from lmos.model import (
    AgentAddress,
    Decided,
    Done,
    Failed,
    Handover,
    InputRequired,
    Responder,
    Started,
    StatusUpdate,
    Turn,
    TurnEvent,
    errors,
)
from lmos.runtime import tracing
from lmos.runtime.breakers import Admission, Breakers
from lmos.runtime.companion import Companion
from lmos.runtime.metrics import Metrics, Part
from lmos.runtime.routings import Member

Connect = Callable[[AgentAddress], Responder]
#: The turn as the agent of that name is asked for it.
Sign = Callable[[Turn, str], Turn]

#: Seconds after which an agent that has not answered is late, however short the turn's time was.
PATIENCE = 30.0

#: An agent that gives up so much before the turn's deadline has a shorter time of its own.
EARLY = timedelta(seconds=1)


class Asking:
    """Asks agents over the protocols that they offer, and counts and times it."""

    def __init__(
        self,
        connect: Connect,
        metrics: Metrics,
        breakers: Breakers | None = None,
        sign: Sign | None = None,
    ) -> None:
        self._connect = connect
        self._sign = sign
        self.metrics = metrics
        self._breakers = Breakers() if breakers is None else breakers

    async def ask(
        self, able: Sequence[Member], turn: Turn, companion: Companion
    ) -> tuple[Member, list[TurnEvent], AsyncGenerator[TurnEvent, None]]:
        """The first of the agents that does not fail before it has said or done anything, or the
        last one. With it, events to begin with, of which `Started` is the first, and those that
        follow; close these when done. The companion goes with the turn to each agent that is tried.
        """
        failure: Failed | None = None
        for member in able[:-1]:
            events = self._accompanied(member, turn, companion)
            first = await anext(events, None) or _silent(member)
            if not isinstance(first, Failed) or _is_the_turns(first):
                return member, [*_opening(member, failure), first], events
            await events.aclose()
            failure = first
        last = self._accompanied(able[-1], turn, companion)
        return able[-1], _opening(able[-1], failure), last

    def _accompanied(
        self, member: Member, turn: Turn, companion: Companion
    ) -> AsyncGenerator[TurnEvent, None]:
        return companion.heard(member, self._one(member, companion.told(member, turn)))

    async def _one(self, member: Member, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """One agent's events; who answers and why is told by us. An agent that is spared fails at
        once.
        """
        url, part = member.address.url if member.address else "", _part(member, turn)
        with ExitStack() as stack:
            try:
                admitted = self._breakers.admitted(turn.tenant, member.name, url)
                admission = stack.enter_context(admitted)
            except (errors.AgentUnavailable, errors.Overloaded) as error:
                self.metrics.spared[part] += 1
                yield Failed.of(error)
                return
            began = time.monotonic()
            asked = self._sign(turn, member.name) if self._sign else turn
            timing = stack.enter_context(self.metrics.part(part).timed())
            around = stack.enter_context(tracing.asking(asked, member.name, member.agent.version))
            try:
                async with aclosing(self._responder(member)(around.turn)) as events:
                    async for event in events:
                        if isinstance(event, Failed):
                            event = _named(event, member.name)
                            around.failed(event.error)
                        timing.saw(event)
                        _judge(admission, event, turn, time.monotonic() - began)
                        if not isinstance(event, Started | Decided):
                            yield event
            except errors.AgentFailed as error:
                admission.failed(error.message)
                raise
            admission.failed("it ended without an answer")

    def _responder(self, member: Member) -> Responder:
        if member.address is None:
            text = f"nobody knows where agent {member.name} answers"
            return _failing(errors.AgentUnavailable(text))
        try:
            return self._connect(member.address)
        except errors.LmosError as error:
            return _failing(error)


def _part(member: Member, turn: Turn) -> Part:
    return Part.of(turn, member.name, member.agent.version)


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


def _judge(admission: Admission, event: TurnEvent, turn: Turn, seconds: float) -> None:
    """Tells what the event says of the agent that was asked so many seconds ago."""
    if isinstance(event, Done | InputRequired | Handover):
        admission.succeeded()
    elif isinstance(event, Failed) and _is_the_agents(event, turn, seconds):
        admission.failed(event.error.message)
    elif isinstance(event, Failed):
        admission.over()


def _is_the_agents(failure: Failed, turn: Turn, seconds: float) -> bool:
    """Whether the agent is to blame: it is away, broken or late, and not just short of time."""
    error = failure.exception()
    if isinstance(error, errors.DeadlineExceeded):
        early = turn.deadline is None or datetime.now(UTC) < turn.deadline - EARLY
        return early or seconds >= PATIENCE
    # what has no class of its own is an error inside the agent
    return isinstance(error, errors.AgentFailed) or type(error) is errors.LmosError


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
