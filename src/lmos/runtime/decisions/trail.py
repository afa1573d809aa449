"""What happens to a turn, noted while it happens."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lmos.model import (
    TERMINAL,
    Answer,
    Asked,
    Decision,
    DecisionRecord,
    Done,
    Ended,
    ErrorInfo,
    Failed,
    Handover,
    InputRequired,
    Message,
    RoutableAgent,
    Shadowed,
    TextDelta,
    Turn,
    TurnEvent,
    Usage,
)
from lmos.router import RoutingRequest
from lmos.runtime.decisions.settings import Inputs

if TYPE_CHECKING:
    from asyncio import Task

#: Messages kept of a conversation as the router was asked, and characters of each.
MESSAGES, LENGTH = 8, 4_000
#: The most probable agents that are kept of a decision.
CANDIDATES = 5
#: Agents noted of one turn.
MAX_ASKED = 50


@dataclass(slots=True)
class Step:
    """An agent being asked."""

    agent: RoutableAgent
    began: float
    ended: Ended = ""
    error: ErrorInfo | None = None
    to: str = ""
    seconds: float = 0.0

    def saw(self, event: TurnEvent) -> None:
        """Takes in what the agent sends."""
        match event:
            case Done() | InputRequired() | Handover() | Failed():
                self.ended = event.type
        match event:
            case Failed():
                self.error = event.error
            case Handover():
                self.to = event.to or event.capability


@dataclass(slots=True, eq=False)
class Trail:
    """A turn as it was decided, and what has happened to it since. Times are of a monotonic clock,
    in seconds; `inputs` says what may be kept of the user's words.
    """

    turn: Turn
    request: RoutingRequest
    decision: Decision
    inputs: Inputs = "hashed"
    waiting: bool = False
    began: float = field(default_factory=time.perf_counter)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    steps: list[Step] = field(default_factory=list)
    ended: Ended = ""
    error: ErrorInfo | None = None
    first: float = 0.0
    total: float = 0.0
    usage: Usage | None = None
    shadow: "Task[Shadowed] | None" = None

    @property
    def stamp(self) -> str:
        """When the turn began, in microseconds: stamps of one conversation are in order."""
        return f"{int(self.at.timestamp() * 1e6):017d}"

    @property
    def shadowed(self) -> Shadowed | None:
        """What its shadow made of it, once that has decided."""
        task = self.shadow
        return task.result() if task and task.done() and not task.cancelled() else None

    async def following(
        self, agent: RoutableAgent, events: AsyncGenerator[TurnEvent, None]
    ) -> AsyncGenerator[TurnEvent, None]:
        """An agent's events as they are, noted."""
        step = Step(agent, time.perf_counter())
        if len(self.steps) < MAX_ASKED:
            self.steps.append(step)
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, TERMINAL):
                        step.saw(event)
                    yield event
        finally:
            step.seconds = time.perf_counter() - step.began
            step.ended = step.ended or "cancelled"

    def saw(self, event: TurnEvent) -> None:
        """Takes in what the caller is sent."""
        if not self.first and isinstance(event, TextDelta | Answer | InputRequired):
            self.first = time.perf_counter() - self.began
        if isinstance(event, TERMINAL):
            self.ended = event.type
            if isinstance(event, Failed):
                self.error = event.error
            elif isinstance(event, Done):
                self.usage = event.usage

    def failed(self, error: Exception) -> None:
        """The turn has raised an error."""
        self.saw(Failed.of(error))

    def end(self) -> None:
        """The turn is over; who was to get the rest of it has left if it has no end yet."""
        self.total = time.perf_counter() - self.began
        self.ended = self.ended or "cancelled"

    def record(self, text_hash: str) -> DecisionRecord:
        """All of it as the log keeps it; with words of the user's only where they are kept."""
        kept = self.inputs == "kept"
        turn, request = self.turn, self.request
        error, shadow = self.error, self.shadowed
        return DecisionRecord(
            at=self.at,
            tenant=turn.tenant,
            channel=turn.channel,
            subset=turn.subset,
            conversation_id=turn.conversation_id,
            turn_id=turn.turn_id,
            decision=_logged(self.decision, kept),
            text_hash=text_hash,
            messages=_shortened(request.messages) if kept else (),
            active_agent=request.active_agent or "",
            waiting=self.waiting,
            offered=request.offered,
            explicit_agent=request.explicit_agent or "",
            asked=tuple(_asked(step, kept) for step in self.steps),
            ended=self.ended,
            error=error.code if error else "",
            message=error.message if error and kept else "",
            first_token=round(self.first, 6),
            total=round(self.total, 6),
            usage=self.usage or Usage(),
            shadow=shadow if kept or shadow is None else _wordless_shadow(shadow),
        )


def wordless(decision: Decision) -> Decision:
    """The decision without what may be words of the user's: its sub-tasks' texts, and a reason that
    a language model gave.
    """
    return decision.but(
        tasks=tuple(task.but(text="") for task in decision.tasks),
        reason="" if decision.model else decision.reason,
    )


def _wordless_shadow(shadow: Shadowed) -> Shadowed:
    decision = _logged(shadow.decision, kept=False) if shadow.decision else None
    return shadow.but(decision=decision, error=shadow.error.partition(":")[0])


def _logged(decision: Decision, kept: bool) -> Decision:
    """The decision as the log keeps it."""
    decision = decision.but(candidates=decision.candidates[:CANDIDATES])
    return decision if kept else wordless(decision)


def _asked(step: Step, kept: bool) -> Asked:
    return Asked(
        agent=step.agent.name,
        version=step.agent.version,
        ended=step.ended,
        error=step.error.code if step.error else "",
        message=step.error.message if step.error and kept else "",
        to=step.to,
        seconds=round(step.seconds, 6),
    )


def _shortened(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The last messages, without attachments; long ones cut."""
    return tuple(m.but(content=m.content[:LENGTH], binary_data=()) for m in messages[-MESSAGES:])
