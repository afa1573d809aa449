"""A part of a turn: one agent asked for one thing, with whatever comes of it.

Its text is told in pieces as it comes; who shows them, and in which order, is up to the reader.
What else goes on in it is told at once, as what belongs to this part.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from lmos.model import (
    Answer,
    Done,
    Failed,
    Handover,
    InputRequired,
    Message,
    Started,
    StatusUpdate,
    SubTask,
    ToolCall,
    ToolResult,
    Turn,
    TurnEvent,
    Usage,
    errors,
)
from lmos.protocols.answering import Texts, remaining
from lmos.runtime import tracing
from lmos.runtime.collaboration.falling import Unanswered, answering
from lmos.runtime.collaboration.handing import Work, before

log = logging.getLogger("lmos.runtime")

#: Parts of a turn that are asked at the same time.
PARALLEL = 4
#: Seconds of a turn that are left to tell what came of its parts, and the share where it is short.
RESERVE, SHARE = 1.0, 0.1
#: Characters of a part's text, which is kept until it is shown.
SIZE = 1_000_000
#: Seconds after its deadline at which an agent is not waited for any longer.
GRACE = 0.1

#: Tells the caller an event at once.
Tell = Callable[[TurnEvent], None]


@dataclass
class Part:
    """One agent's part and what came of it. `waits` are the parts that end before it begins,
    `needs` those whose answers it reads; `then` is how many come after it, one after the other.
    `pieces` has its text as it comes, and None at its end. `left` says that it is for people.
    """

    place: int
    task: SubTask
    agent: str
    waits: Sequence["Part"] = ()
    needs: Sequence["Part"] = ()
    then: int = 0
    answers: list[Answer] = field(default_factory=list)
    question: InputRequired | None = None
    left: Handover | None = None
    failure: Failed | None = None
    usage: Usage = field(default_factory=Usage)
    said: str = ""
    pieces: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    texts: Texts = field(default_factory=Texts)

    @property
    def messages(self) -> list[Message]:
        """What the agent said in whole messages, its question last."""
        asked = [self.question.message] if self.question else []
        return [*(answer.message for answer in self.answers), *asked]

    @property
    def why(self) -> str:
        """That it was not answered, and why."""
        reason = self.failure.error.message if self.failure else ""
        return f"{self.agent} could not answer {self.task.text!r}: {reason}"


async def run(work: Work, part: Part, tell: Tell, room: asyncio.Semaphore) -> None:
    """Runs a part when those before it have ended; its failure is noted in it, not raised."""
    try:
        for other in part.waits:
            await other.ended.wait()
        async with room:
            await _in_time(work, part, tell)
    except errors.LmosError as error:
        part.failure = Failed.of(error)
    except Exception as error:
        log.exception("sub-task %r of agent %s failed", part.task.text, part.agent)
        part.failure = Failed.of(error)
    finally:
        part.ended.set()
        part.pieces.put_nowait(None)


async def told_by(
    running: Callable[[Tell], Awaitable[None]],
) -> AsyncGenerator[TurnEvent, None]:
    """What a task tells until it ends; leaving ends the task."""
    queue: asyncio.Queue[TurnEvent | None] = asyncio.Queue()

    async def whole() -> None:
        try:
            await running(queue.put_nowait)
        finally:
            queue.put_nowait(None)

    task = asyncio.create_task(whole())
    try:
        while (event := await queue.get()) is not None:
            yield event
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --- asking ---------------------------------------------------------------------------------------


async def _in_time(work: Work, part: Part, tell: Tell) -> None:
    """Asks the part's agent, no longer than the part may take."""
    for other in part.needs:
        if other.failure or other.question:
            raise errors.AgentFailed(
                f"it needs the answer to {other.task.text!r}, which is missing"
            )
    seconds = _seconds(work.turn, part)
    until = None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
    turn = turn_of(work.turn, part).but(deadline=until)
    try:
        async with asyncio.timeout(None if seconds is None else seconds + GRACE) as time:
            await _watched(work, part, turn, tell)
    except TimeoutError:
        if not time.expired():
            raise
        raise errors.DeadlineExceeded(f"it took longer than {seconds:.1f} s") from None


def _seconds(turn: Turn, part: Part) -> float | None:
    """How long the part may take, so that those that wait for it have as long, and something is
    left to tell of all of them.
    """
    if turn.deadline is None:
        return None
    left = remaining(turn.deadline)
    return max(0.0, left - min(RESERVE, left * SHARE)) / (1 + part.then)


async def _watched(work: Work, part: Part, turn: Turn, tell: Tell) -> None:
    with tracing.part(turn, part.place, part.agent, part.task.capability) as around:
        await _ask(work, part, around.turn, tell)
        if part.failure:
            around.failed(part.failure.error)


async def _ask(work: Work, part: Part, turn: Turn, tell: Tell) -> None:
    task = part.task
    tell(_status(part, f"asking {part.agent}: {task.text}"))
    async with aclosing(answering(work, task.agent, task.capability, turn)) as events:
        async for member, event in events:
            if member is not None:
                part.agent = member.name
            for each in event.events if isinstance(event, Unanswered) else [event]:
                _take(part, each, tell)
    if not part.failure and not part.messages:
        raise errors.AgentFailed(f"agent {part.agent} ended without an answer")


def turn_of(turn: Turn, part: Part) -> Turn:
    """The turn as the part's agent gets it: the answers that it needs stand before its words."""
    turn = turn.saying(part.task.text).but(turn_id=f"{turn.turn_id}.{part.place}")
    told = [
        message.but(turn_id=turn.turn_id)
        for other in part.needs
        for message in (
            Message(role="user", content=other.task.text),
            Message(role="assistant", content=other.said),
        )
    ]
    return before(turn, told)


def _take(part: Part, event: TurnEvent, tell: Tell) -> None:
    """Keeps what belongs to the answer and tells the rest at once."""
    if isinstance(event, Handover):
        part.left = event
        part.failure = Failed.of(errors.AgentFailed("it is left to a human"))
        return
    if piece := part.texts.of(event):
        part.said += piece
        part.pieces.put_nowait(piece)
        if len(part.said) > SIZE:
            raise errors.AgentFailed(f"its answer is longer than {SIZE} characters")
    match event:
        case StatusUpdate():
            text = event.text if event.agent else f"{part.agent}: {event.text}"
            tell(_status(part, text, event.agent, event.capability))
        case ToolCall() | ToolResult():
            tell(event.but(id=f"{part.place}.{event.id}"))
        case Answer():
            part.answers.append(event)
        case InputRequired():
            part.question = event
        case Failed():
            part.failure = event
        case Done():
            part.usage = part.usage.plus(event.usage)
        case Started():
            pass


def _status(
    part: Part, text: str, agent: str | None = None, capability: str | None = None
) -> StatusUpdate:
    return StatusUpdate(
        text=text,
        agent=agent or part.agent,
        capability=capability or part.task.capability or None,
        place=part.place,
    )


def usage_of(parts: Iterable[Part]) -> Usage:
    """What the parts took together."""
    used = Usage()
    for part in parts:
        used = used.plus(part.usage)
    return used
