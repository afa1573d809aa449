"""What every protocol does with a responder, whichever side of the wire it is on."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lmos.model import (
    TERMINAL,
    AnonymizationEntity,
    Answer,
    Decided,
    Decision,
    Done,
    Failed,
    Handover,
    InputRequired,
    Message,
    Responder,
    Started,
    Terminal,
    TextDelta,
    Turn,
    TurnEvent,
    Usage,
    errors,
)

log = logging.getLogger(__name__)

#: Under which the context of a question asks to approve a tool call (JSON: id, tool, arguments),
#: and the system context of the next turn grants or denies it.
APPROVAL = "approval"
APPROVED, DENIED = "approved", "denied"
#: Between the messages of an answer where a protocol has room for one text only.
SEPARATOR = "\n\n"
_LATE = "the time of the turn is up"


class Stop:
    """Ends a turn from outside, or when its time is up: its responder is closed at once.

    What `asyncio.timeout` does around each event is done here once a turn.
    """

    __slots__ = ("_fired", "_late", "_task", "_timer", "requested")

    def __init__(self) -> None:
        self.requested = False
        self._late = self._fired = False
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def request(self) -> None:
        """Ends the turn, now or as soon as it begins."""
        self.requested = True
        if self._task is not None:
            asyncio.get_running_loop().call_soon(self._fire)

    def until(self, when: float) -> None:
        """Ends the turn at that time of the loop's clock; call `over` when it has ended before."""
        loop = asyncio.get_running_loop()
        if when <= loop.time():
            self._late = True
        else:
            self._timer = loop.call_at(when, self._expire)

    def over(self) -> None:
        """Forgets about the time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def next(self, events: AsyncGenerator[TurnEvent, None]) -> TurnEvent | None:
        """The next event, None after the last; `DeadlineExceeded` when the time is up."""
        if self.requested:
            return None
        if self._late:
            raise errors.DeadlineExceeded(_LATE)
        self._task = task = asyncio.current_task()
        assert task is not None
        others = task.cancelling()
        try:
            return await anext(events, None)
        except asyncio.CancelledError:
            if not self._fired or task.cancelling() > others + 1:
                raise  # somebody else wants the whole task to end
        finally:
            self._task = None
            if self._fired:
                self._fired = False
                task.uncancel()
        if self.requested:
            return None
        raise errors.DeadlineExceeded(_LATE)

    def _expire(self) -> None:
        self._late = True
        self._fire()

    def _fire(self) -> None:
        if self._task is not None and not self._fired:
            self._fired = True
            self._task.cancel()


async def answered(
    responder: Responder, turn: Turn, *, agent: str = "lmos", stop: Stop | None = None
) -> AsyncGenerator[TurnEvent, None]:
    """The responder's events, in the grammar whatever it does.

    An error it raises, a deadline it misses, `stop` and an end without a terminal event all become
    `Failed`, after a `Started` of `agent` where there was none. The terminal event comes when the
    responder has finished, so that what it does last is done before anybody hears of the end.
    """
    started, last = False, None
    stop = stop or Stop()
    try:
        if turn.deadline is not None:
            stop.until(asyncio.get_running_loop().time() + remaining(turn.deadline))
        async with aclosing(responder(turn)) as events:
            while (event := await stop.next(events)) is not None:
                if last is not None:
                    continue
                if not started and not isinstance(event, Started):
                    yield Started(agent=agent)
                started = True
                if isinstance(event, TERMINAL):
                    last = event
                else:
                    yield event
            if stop.requested:
                raise errors.AgentFailed("the turn was cancelled")
    except Exception as error:
        if not isinstance(error, errors.LmosError):
            log.exception("turn %s failed inside the responder", turn.turn_id)
        last = last or Failed.of(error)
    finally:
        stop.over()
    if not started:
        yield Started(agent=agent)
    yield last or Failed.of(errors.AgentFailed("the agent ended without finishing its answer"))


def remaining(deadline: datetime) -> float:
    """Seconds until the deadline."""
    return (deadline - datetime.now(UTC)).total_seconds()


async def opening(events: AsyncGenerator[TurnEvent, None]) -> list[TurnEvent]:
    """`Started` together with the event after it. Raises the error of a turn that fails at once,
    so that a server can still answer with a status.
    """
    first: list[TurnEvent] = []
    async for event in events:
        if isinstance(event, Failed):
            raise event.exception()
        first.append(event)
        if not isinstance(event, Started):
            break
    return first


async def from_opening(events: AsyncGenerator[TurnEvent, None]) -> AsyncGenerator[TurnEvent, None]:
    """The events, held until `opening` is known; closes them."""
    async with aclosing(events):
        for event in await opening(events):
            yield event
        async for event in events:
            yield event


def found_already(turn: Turn) -> str:
    """What was said in this turn before the user's message, such as other agents' answers that it
    builds on, as one text for an agent that is sent nothing but the new message; often empty.
    """
    said = [m.content for m in turn.messages[:-1] if m.turn_id == turn.turn_id and m.content]
    return "\n".join(["Known already:", *said]) if said else ""


@dataclass(slots=True)
class Outcome:
    """A turn's events taken together."""

    agent: str = ""
    version: str = ""
    decision: Decision | None = None
    messages: list[Message] = field(default_factory=list)
    context: dict[str, str] = field(default_factory=dict)
    entities: list[AnonymizationEntity] = field(default_factory=list)
    terminal: Terminal | None = None

    def add(self, event: TurnEvent) -> None:
        """Takes an event in."""
        match event:
            case Started():
                self.agent, self.version = event.agent, event.version
            case Decided():
                self.decision = event.decision
            case Answer():
                self.messages.append(event.message)
                self.context |= event.context
                self.entities += event.anonymization_entities
            case InputRequired() | Handover():
                self.terminal = event
                self.entities += event.anonymization_entities
            case Done() | Failed():
                self.terminal = event

    @property
    def text(self) -> str:
        """What the user is told: the messages, and the question or the hand-over after them."""
        texts = [message.content for message in self.messages]
        if isinstance(self.terminal, InputRequired):
            texts.append(self.terminal.message.content)
        elif isinstance(self.terminal, Handover) and self.terminal.reason:
            texts.append(self.terminal.reason)
        return SEPARATOR.join(texts)

    @property
    def usage(self) -> Usage:
        """What it took, zeros where nobody said."""
        return self.terminal.usage if isinstance(self.terminal, Done) else Usage()


async def collect(events: AsyncIterable[TurnEvent]) -> Outcome:
    """The outcome of the turn; raises the error of a turn that failed."""
    outcome = Outcome()
    async for event in events:
        outcome.add(event)
    if isinstance(outcome.terminal, Failed):
        raise outcome.terminal.exception()
    return outcome


class Texts:
    """The text of an answer as one stream: deltas as they come, messages that had none whole."""

    def __init__(self) -> None:
        self._open = False
        self._any = False

    def of(self, event: TurnEvent) -> str:
        """What the event adds to the text, often nothing."""
        match event:
            case TextDelta():
                added = event.text if self._open else self._begin(event.text)
                self._open = True
                return added
            case Answer() | InputRequired():
                was_open, self._open = self._open, False
                return "" if was_open else self._begin(event.message.content)
            case Handover():
                return self._begin(event.reason) if event.reason else ""
            case _:
                return ""

    def _begin(self, text: str) -> str:
        before, self._any = SEPARATOR if self._any else "", True
        return before + text
