"""What every protocol does with a responder, whichever side of the wire it is on."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime

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
    """Ends a turn from outside: its responder is closed at once."""

    def __init__(self) -> None:
        self.requested = False
        self._scope: asyncio.Timeout | None = None

    def request(self) -> None:
        """Ends the turn, now or as soon as it begins."""
        self.requested = True
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def next(
        self, events: AsyncGenerator[TurnEvent, None], when: float | None
    ) -> TurnEvent | None:
        """The next event, None after the last; `DeadlineExceeded` at `when`."""
        if when is not None and when <= asyncio.get_running_loop().time():
            raise errors.DeadlineExceeded(_LATE)
        self._scope = scope = asyncio.timeout_at(when)
        try:
            async with scope:
                return None if self.requested else await anext(events, None)
        except TimeoutError:
            if not scope.expired():
                raise
            if self.requested:
                return None
            raise errors.DeadlineExceeded(_LATE) from None
        finally:
            self._scope = None


async def answered(
    responder: Responder, turn: Turn, *, agent: str = "lmos", stop: Stop | None = None
) -> AsyncGenerator[TurnEvent, None]:
    """The responder's events, in the grammar whatever it does.

    An error it raises, a deadline it misses, `stop` and an end without a terminal event all become
    `Failed`, after a `Started` of `agent` where there was none. The terminal event comes when the
    responder has finished, so that what it does last is done before anybody hears of the end.
    """
    started, last = False, None
    try:
        async with aclosing(_events(responder, turn, stop)) as events:
            async for event in events:
                if last is not None:
                    continue
                if not started and not isinstance(event, Started):
                    yield Started(agent=agent)
                started = True
                if isinstance(event, TERMINAL):
                    last = event
                else:
                    yield event
    except Exception as error:
        if not isinstance(error, errors.LmosError):
            log.exception("turn %s failed inside the responder", turn.turn_id)
        last = last or Failed.of(error)
    if not started:
        yield Started(agent=agent)
    yield last or Failed.of(errors.AgentFailed("the agent ended without finishing its answer"))


async def _events(
    responder: Responder, turn: Turn, stop: Stop | None
) -> AsyncGenerator[TurnEvent, None]:
    """The responder's events until the deadline passes or `stop` is requested."""
    async with aclosing(responder(turn)) as events:
        if stop is None and turn.deadline is None:
            async for event in events:
                yield event
            return
        stop = stop or Stop()
        when = _loop_time(turn.deadline)
        while (found := await stop.next(events, when)) is not None:
            yield found
        if stop.requested:
            raise errors.AgentFailed("the turn was cancelled")


def _loop_time(deadline: datetime | None) -> float | None:
    """The deadline on the running loop's clock."""
    if deadline is None:
        return None
    return asyncio.get_running_loop().time() + remaining(deadline)


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
            case Done() | InputRequired() | Handover() | Failed():
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
