"""When the agent decided on cannot answer: who does instead, down the channel's fallback.

    specialist -> generalist -> human

A step is taken when nobody is meant, when those before cannot be asked or fail before they have
said or done anything, and when they say that they cannot help. What is wrong with the turn itself
goes back to its caller.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from lmos.model import (
    Answer,
    Failed,
    FallbackStep,
    LmosError,
    Started,
    StatusUpdate,
    TextDelta,
    Turn,
    TurnEvent,
    errors,
)
from lmos.protocols.answering import remaining
from lmos.runtime.collaboration.handing import Work, able, handed
from lmos.runtime.routings import Member

#: What an agent may have told before its part counts as begun.
_NOT_YET = (Started, StatusUpdate)
#: Errors that another agent would meet as well.
_THE_TURNS = (
    errors.InvalidInput,
    errors.Unauthenticated,
    errors.Forbidden,
    errors.DeadlineExceeded,
)


@dataclass
class Unanswered:
    """Nobody could answer: why, and what the last one who was asked said of it."""

    reason: str
    events: list[TurnEvent] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        """Whether somebody said that there is no answer, and did not fail."""
        return any(isinstance(event, Answer) for event in self.events)

    async def told(self) -> AsyncGenerator[TurnEvent, None]:
        """What the last one said."""
        for event in self.events:
            yield event


Told = tuple[Member | None, TurnEvent | Unanswered]


def answering(
    work: Work, agent: str, capability: str, turn: Turn, reason: str = ""
) -> AsyncGenerator[Told, None]:
    """The events of the agent, of those it hands over to, or of the first of the fallback who can
    answer; each with who sent it. `Unanswered` is the last where the fallback is at its end. An
    agent that is empty is nobody, for a `reason`. `AgentNotFound` for an agent of no member, where
    there is no fallback.
    """
    if not _steps(work):
        return handed(work, able(work, agent, capability), turn)
    return _down(work, agent, capability, turn, reason)


async def _down(
    work: Work, agent: str, capability: str, turn: Turn, reason: str
) -> AsyncGenerator[Told, None]:
    """Down the fallback, until somebody answers."""
    visited: list[Member] = []
    last = Unanswered(reason)
    for number, members in enumerate(_tries(work, agent, capability, visited)):
        if isinstance(members, LmosError):
            last = Unanswered(members.message, [Failed.of(members)])
            continue
        if number or not agent:
            yield members[0], _instead(members[0], last.reason)
        attempt = _Attempt(turn)
        async with aclosing(handed(work, members, turn, visited)) as asked:
            while (found := await attempt.next(asked)) is not None:
                member, event = found
                for passed in attempt.take(event):
                    yield member, passed
        if attempt.unanswered is None:
            return
        last = attempt.unanswered
    yield None, last


def _steps(work: Work) -> Sequence[FallbackStep]:
    return () if work.turn.agent else work.channel.routing.spec.fallback


def _tries(
    work: Work, agent: str, capability: str, visited: Sequence[Member]
) -> Iterator[list[Member] | LmosError]:
    """Those to be asked one after the other, or why they cannot be."""
    asked = [(agent, capability)] if agent else []
    asked += [(step.agent, step.capability) for step in _steps(work) if not step.human]
    for name, offered in asked:
        try:
            found = [member for member in able(work, name, offered) if member not in visited]
        except LmosError as error:
            yield error
            continue
        if found:
            yield found


def _instead(member: Member, reason: str) -> StatusUpdate:
    because = f"{reason}; " if reason else ""
    return StatusUpdate(text=f"{because}{member.name} answers instead", agent=member.name)


class _Attempt:
    """One agent's events: passed on, unless they say that somebody else has to answer. The first
    piece of text waits for what comes after it, since a refusal comes as one piece. An agent that
    says and does nothing has half of the turn's time.
    """

    def __init__(self, turn: Turn) -> None:
        self.unanswered: Unanswered | None = None
        self._begun = False
        self._held: list[TurnEvent] = []
        self._seconds = remaining(turn.deadline) / 2 if turn.deadline else None
        loop = asyncio.get_running_loop()
        self._until = None if self._seconds is None else loop.time() + self._seconds

    async def next(
        self, events: AsyncGenerator[tuple[Member, TurnEvent], None]
    ) -> tuple[Member, TurnEvent] | None:
        """The next event, None after the last and where the agent has had its time."""
        if self._begun or self._held or self.unanswered is not None:
            return await anext(events, None)
        try:
            async with asyncio.timeout_at(self._until) as time:
                return await anext(events, None)
        except TimeoutError:
            if not time.expired():
                raise
            silent = errors.DeadlineExceeded(f"no answer for {self._seconds:.1f} s")
            self.unanswered = Unanswered(silent.message, [Failed.of(silent)])
            return None

    def take(self, event: TurnEvent) -> Iterator[TurnEvent]:
        """What can be passed on now."""
        if self.unanswered is not None:
            self.unanswered.events.append(event)
            return
        if self._begun or isinstance(event, _NOT_YET):
            yield event
            return
        if isinstance(event, TextDelta) and not self._held:
            self._held.append(event)
            return
        if reason := _cannot(event):
            self.unanswered = Unanswered(reason, [*self._held, event])
            return
        self._begun = True
        yield from (*self._held, event)


def _cannot(event: TurnEvent) -> str:
    """Why the agent cannot answer, empty where it can."""
    if isinstance(event, Failed):
        return "" if isinstance(event.exception(), _THE_TURNS) else event.error.message
    if isinstance(event, Answer) and is_refusal(event):
        return "it has no answer"
    return ""


def is_refusal(answer: Answer) -> bool:
    """Whether the agent says that it cannot help."""
    context = answer.context
    return context.get("unresolved") == "true" or context.get("classification") == "UNRESOLVED"
