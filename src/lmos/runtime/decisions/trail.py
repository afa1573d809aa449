"""What happens to a turn, noted while it happens."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lmos.model import (
    TERMINAL,
    Answer,
    Decision,
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


@dataclass(eq=False)
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

    @cached_property
    def stamp(self) -> str:
        """When the turn began, in microseconds: stamps of one conversation are in order."""
        return f"{int(self.at.timestamp() * 1e6):017d}"

    @property
    def shadowed(self) -> Shadowed | None:
        """What its shadow made of it, once that has decided."""
        task = self.shadow
        return task.result() if task and task.done() and not task.cancelled() else None

    @contextmanager
    def asking(self, agent: RoutableAgent) -> Iterator[Step]:
        """An agent being asked, to be told what it sends; its part is over when this is left."""
        step = Step(agent, time.perf_counter())
        if len(self.steps) < MAX_ASKED:
            self.steps.append(step)
        try:
            yield step
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

    def wire(self, text_hash: str) -> dict[str, Any]:
        """The JSON form of a `DecisionRecord` of it, what is empty left out; with words of the
        user's only where they are kept. Every turn pays for it, so nothing is validated again.
        """
        kept = self.inputs == "kept"
        turn, request, error = self.turn, self.request, self.error
        shadow, usage = self.shadowed, self.usage
        found = {
            "textHash": text_hash,
            "messages": _shortened(request.messages) if kept else None,
            "activeAgent": request.active_agent,
            "waiting": self.waiting,
            "offered": request.offered,
            "explicitAgent": request.explicit_agent,
            "asked": [_asked(step, kept) for step in self.steps],
            "ended": self.ended,
            "error": error.code if error else "",
            "message": error.message if error and kept else "",
            "firstToken": round(self.first, 6),
            "total": round(self.total, 6),
            "usage": usage.wire() if usage else None,
            "shadow": _shadowed(shadow, kept).wire() if shadow else None,
        }
        return {
            "at": self.at.isoformat(),
            "tenant": turn.tenant,
            "channel": turn.channel,
            "subset": turn.subset,
            "conversationId": turn.conversation_id,
            "turnId": turn.turn_id,
            "decision": _logged(self.decision, kept).wire(),
            **{name: value for name, value in found.items() if value},
        }


def _wordless(decision: Decision) -> dict[str, Any]:
    """What may be words of the user's, out: sub-tasks' texts, and a language model's reason."""
    changes: dict[str, Any] = {}
    if decision.tasks:
        changes["tasks"] = tuple(task.but(text="") for task in decision.tasks)
    if decision.model:
        changes["reason"] = ""
    return changes


def _shadowed(shadow: Shadowed, kept: bool) -> Shadowed:
    decision = _logged(shadow.decision, kept) if shadow.decision else None
    error = shadow.error if kept else shadow.error.partition(":")[0]
    return shadow.but(decision=decision, error=error)


def _logged(decision: Decision, kept: bool) -> Decision:
    """The decision as the log keeps it."""
    changes: dict[str, Any] = {"candidates": decision.candidates[:CANDIDATES]}
    if not kept:
        changes |= _wordless(decision)
    return decision.but(**changes)


def _asked(step: Step, kept: bool) -> dict[str, Any]:
    """The JSON form of an `Asked`."""
    error = step.error
    found = {
        "version": step.agent.version,
        "to": step.to,
        "error": error.code if error else "",
        "message": error.message if error and kept else "",
    }
    told = {name: value for name, value in found.items() if value}
    seconds = round(step.seconds, 6)
    return {"agent": step.agent.name, "ended": step.ended, "seconds": seconds, **told}


def _shortened(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The last messages, without attachments; long ones cut."""
    last = messages[-MESSAGES:]
    return [m.but(content=m.content[:LENGTH], binary_data=()).wire() for m in last]
