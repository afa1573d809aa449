"""A turn of several parts: each sub-task goes to its agent, and one answer tells them all.

    after -> asked side by side where nothing forbids it -> parts -> one answer

A sub-task begins when those whose answers it needs are answered, and its agent reads these answers
as what was said just before. A part that fails is told in the answer beside the others.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import reduce

from lmos.model import (
    Answer,
    Decided,
    Done,
    Failed,
    InputRequired,
    Message,
    Started,
    StatusUpdate,
    SubTask,
    TextDelta,
    ToolCall,
    ToolResult,
    Turn,
    TurnEvent,
    Usage,
    errors,
)
from lmos.runtime.affinity import Active
from lmos.runtime.collaboration.handing import Work, able, handed
from lmos.runtime.routings import Member

log = logging.getLogger("lmos.runtime")

#: Sub-tasks of a turn that are asked at the same time.
PARALLEL = 4

Queue = asyncio.Queue[TurnEvent | None]


@dataclass
class _Part:
    """A sub-task and what came of it. `waits` are the parts that end before it begins, `needs`
    those whose answers it reads.
    """

    place: int
    task: SubTask
    agent: str
    waits: Sequence["_Part"] = ()
    needs: Sequence["_Part"] = ()
    answers: list[Answer] = field(default_factory=list)
    question: InputRequired | None = None
    failure: Failed | None = None
    usage: Usage = field(default_factory=Usage)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def messages(self) -> list[Message]:
        """What the agent said, its question last."""
        asked = [self.question.message] if self.question else []
        return [*(answer.message for answer in self.answers), *asked]

    @property
    def said(self) -> str:
        """What the agent said, as one text."""
        return "\n".join(message.content for message in self.messages)


async def answer_all(work: Work) -> AsyncGenerator[TurnEvent, None]:
    """The events of a turn with sub-tasks: what is going on as it happens, then one answer with a
    part for each. It fails when every part does. Closing it ends all that is being asked.
    """
    yield Started(agent="lmos")
    yield Decided(decision=work.decision)
    parts = _planned(work.decision.tasks)
    async with aclosing(_progress(work, parts)) as events:
        async for event in events:
            yield event
    if all(part.failure for part in parts):
        yield _failed(parts)
        return
    work.notes |= _active(parts).notes()
    answer = _merged(work.turn, parts)
    yield TextDelta(text=answer.message.content)
    yield answer
    yield Done(usage=reduce(Usage.plus, (part.usage for part in parts)))


# --- the order ------------------------------------------------------------------------------------


def _planned(tasks: Sequence[SubTask]) -> list[_Part]:
    """The parts with what they wait for. Where the order cannot be kept, one comes after the other
    as they stand, and what they need is looked for among those before.
    """
    parts = [_Part(place, task, task.agent) for place, task in enumerate(tasks)]
    sound = _sound(tasks)
    for part in parts:
        before = range(len(tasks) if sound else part.place)
        part.needs = [parts[i] for i in sorted(set(part.task.after)) if i in before]
        part.waits = part.needs if sound else parts[: part.place]
    return parts


def _sound(tasks: Sequence[SubTask]) -> bool:
    """Whether every sub-task can begin at some time: no strangers and no circles in `after`."""
    left = dict(enumerate(tasks))
    done: set[int] = set()
    while ready := [place for place, task in left.items() if done.issuperset(task.after)]:
        done.update(ready)
        for place in ready:
            del left[place]
    return not left


# --- asking ---------------------------------------------------------------------------------------


async def _progress(work: Work, parts: Sequence[_Part]) -> AsyncGenerator[TurnEvent, None]:
    """What is going on until all parts have ended."""
    queue: Queue = asyncio.Queue()
    running = asyncio.create_task(_run_all(work, parts, queue))
    try:
        while (event := await queue.get()) is not None:
            yield event
        await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _run_all(work: Work, parts: Sequence[_Part], queue: Queue) -> None:
    """Runs the parts; `None` is the last in the queue, whatever happens."""
    room = asyncio.Semaphore(PARALLEL)
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(_run(work, part, queue, room))
    finally:
        queue.put_nowait(None)


async def _run(work: Work, part: _Part, queue: Queue, room: asyncio.Semaphore) -> None:
    """Runs a part when those before it have ended; its failure is noted in it, not raised."""
    for other in part.waits:
        await other.ended.wait()
    async with room:
        try:
            await _ask(work, part, queue)
        except errors.LmosError as error:
            part.failure = Failed.of(error)
        except Exception as error:
            log.exception("sub-task %r of agent %s failed", part.task.text, part.agent)
            part.failure = Failed.of(error)
        finally:
            part.ended.set()


async def _ask(work: Work, part: _Part, queue: Queue) -> None:
    for other in part.needs:
        if other.failure or other.question:
            raise errors.AgentFailed(
                f"it needs the answer to {other.task.text!r}, which is missing"
            )
    task = part.task
    members = able(work, task.agent, task.capability)
    queue.put_nowait(StatusUpdate(text=f"asking {members[0].name}: {task.text}"))
    async with aclosing(handed(work, members, _turn_of(work.turn, part))) as events:
        async for member, event in events:
            _take(part, member, event, queue)
    if not part.failure and not part.messages:
        raise errors.AgentFailed(f"agent {part.agent} ended without an answer")


def _turn_of(turn: Turn, part: _Part) -> Turn:
    """The turn as the part's agent gets it: the answers that it needs stand before its words."""
    told = [
        message
        for other in part.needs
        for message in (
            Message(role="user", content=other.task.text),
            Message(role="assistant", content=other.said),
        )
    ]
    turn = turn.saying(part.task.text)
    last = max(i for i, message in enumerate(turn.messages) if message.role == "user")
    return turn.but(
        turn_id=f"{turn.turn_id}.{part.place}",
        messages=(*turn.messages[:last], *told, *turn.messages[last:]),
    )


def _take(part: _Part, member: Member, event: TurnEvent, queue: Queue) -> None:
    """Keeps what belongs to the answer and tells the rest at once."""
    handed_over = isinstance(event, Started) and part.agent != member.name
    part.agent = member.name
    match event:
        case Started() if handed_over:
            queue.put_nowait(StatusUpdate(text=f"{member.name} answers: {part.task.text}"))
        case StatusUpdate():
            queue.put_nowait(StatusUpdate(text=f"{member.name}: {event.text}"))
        case ToolCall() | ToolResult():
            queue.put_nowait(event.but(id=f"{part.place}.{event.id}"))
        case Answer():
            part.answers.append(event)
        case InputRequired():
            part.question = event
        case Failed():
            part.failure = event
        case Done():
            part.usage = event.usage


# --- the answer -----------------------------------------------------------------------------------


def _active(parts: Sequence[_Part]) -> Active:
    """Whom the conversation is with: the first that waits for a reply, or who answered last."""
    waiting = next((part for part in parts if part.question), None)
    if waiting:
        return Active(waiting.agent, waiting=True)
    return Active([part.agent for part in parts if not part.failure][-1])


def _merged(turn: Turn, parts: Sequence[_Part]) -> Answer:
    """One answer of all parts, in their order, each with who gave it."""
    answers = [answer for part in parts for answer in part.answers]
    messages = [message for part in parts for message in part.messages]
    message = Message(
        role="assistant",
        content="\n\n".join(_told(part) for part in parts),
        turn_id=turn.turn_id,
        binary_data=tuple(data for message in messages for data in message.binary_data),
    )
    entities = tuple(entity for answer in answers for entity in answer.anonymization_entities)
    return Answer(message=message, context=_context(parts), anonymization_entities=entities)


def _context(parts: Sequence[_Part]) -> dict[str, str]:
    """What the agents said beside their answers, each under its name, and who answered."""
    answered = dict.fromkeys(part.agent for part in parts if not part.failure)
    context = {"outcome": "multi", "agents": ",".join(answered)}
    for part in parts:
        said: list[Answer | InputRequired] = [*part.answers]
        for event in [*said, part.question] if part.question else said:
            context |= {f"{part.agent}.{key}": value for key, value in event.context.items()}
    return context


def _told(part: _Part) -> str:
    said = [f"{part.agent}: {part.said}"] if part.messages else []
    failed = [_failure(part)] if part.failure else []
    return "\n".join([*said, *failed])


def _failure(part: _Part) -> str:
    reason = part.failure.error.message if part.failure else ""
    return f"{part.agent} could not answer {part.task.text!r}: {reason}"


def _failed(parts: Sequence[_Part]) -> Failed:
    """The first failure, with what every part failed of."""
    first = next(part.failure for part in parts if part.failure)
    return Failed(error=first.error.but(message="; ".join(_failure(part) for part in parts)))
