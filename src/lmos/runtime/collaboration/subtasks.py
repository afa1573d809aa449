"""A turn of several parts: each sub-task goes to its agent, and one answer tells them all.

    after -> asked side by side where nothing forbids it -> parts -> one answer

A sub-task begins when those whose answers it needs are answered, and its agent reads these answers
as what was said just before. The answer is told part by part in the order of the sub-tasks: of the
first that is not finished as it comes, while those behind it wait. A part that fails is told in the
answer beside the others.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from lmos.model import Decided, Done, Started, SubTask, TextDelta, TurnEvent
from lmos.protocols.answering import SEPARATOR
from lmos.runtime.affinity import Active
from lmos.runtime.collaboration import parts as asking
from lmos.runtime.collaboration.handing import Work, human_of
from lmos.runtime.collaboration.merging import failed, merged
from lmos.runtime.collaboration.parts import PARALLEL, Part, Tell, told_by, usage_of
from lmos.runtime.collaboration.people import to_human, with_the_rest


async def answer_all(work: Work) -> AsyncGenerator[TurnEvent, None]:
    """The events of a turn with sub-tasks: what is going on as it happens, their texts, then one
    answer with a part for each. It fails when every part does. Closing it ends all that is being
    asked.
    """
    yield Started(agent="lmos")
    yield Decided(decision=work.decision)
    parts = _planned(work.decision.tasks)
    said: list[str] = []
    async with aclosing(told_by(lambda tell: _run_all(work, parts, tell))) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                said.append(event.text)
            yield event
    if all(part.failure for part in parts):
        async for event in _given_up(work, parts, bool(said)):
            yield event
        return
    work.notes |= _active(parts).notes()
    async for event in with_the_rest(work, parts, "".join(said)):
        if isinstance(event, TextDelta):
            said.append(event.text)
        yield event
    yield merged(work.turn, parts, "".join(said), "multi")
    yield Done(usage=usage_of(parts))


async def _given_up(
    work: Work, parts: Sequence[Part], said: bool
) -> AsyncGenerator[TurnEvent, None]:
    """The end where nobody could answer: people take over where the channel has them."""
    failure, human = failed(parts), human_of(work)
    if human is None or said:
        yield failure
        return
    async for event in to_human(work, human, failure.error.message):
        yield event


# --- the order ------------------------------------------------------------------------------------


def _planned(tasks: Sequence[SubTask]) -> list[Part]:
    """The parts with what they wait for. Where the order cannot be kept, one comes after the other
    as they stand, and what they need is looked for among those before.
    """
    parts = [Part(place, task, task.agent) for place, task in enumerate(tasks)]
    sound = _sound(tasks)
    for part in parts:
        before = range(len(tasks) if sound else part.place)
        part.needs = [parts[i] for i in sorted(set(part.task.after)) if i in before]
        part.waits = part.needs if sound else parts[: part.place]
    for part in reversed(_in_order(parts)):
        for other in part.waits:
            other.then = max(other.then, part.then + 1)
    return parts


def _in_order(parts: Sequence[Part]) -> list[Part]:
    """The parts, each after those that it waits for."""
    found: dict[int, Part] = {}
    while len(found) < len(parts):
        for part in parts:
            if all(other.place in found for other in part.waits):
                found[part.place] = part
    return list(found.values())


def _sound(tasks: Sequence[SubTask]) -> bool:
    """Whether every sub-task can begin at some time: no strangers and no circles in `after`."""
    left = dict(enumerate(tasks))
    done: set[int] = set()
    while ready := [place for place, task in left.items() if done.issuperset(task.after)]:
        done.update(ready)
        for place in ready:
            del left[place]
    return not left


# --- asking and telling ---------------------------------------------------------------------------


async def _run_all(work: Work, parts: Sequence[Part], tell: Tell) -> None:
    room = asyncio.Semaphore(PARALLEL)
    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(asking.run(work, part, tell, room))
        group.create_task(_show(parts, tell))


async def _show(parts: Sequence[Part], tell: Tell) -> None:
    """Tells the texts of the parts in their order, each with who says it. Where nothing was said
    yet, what failed is told with the first that is.
    """
    before = ""
    waiting: list[str] = []
    for part in parts:
        opening = True
        while (piece := await part.pieces.get()) is not None:
            if opening:
                for failure in waiting:
                    tell(TextDelta(text=before + failure))
                    before = SEPARATOR
                waiting.clear()
                tell(TextDelta(text=f"{before}{part.agent}: "))
                before, opening = SEPARATOR, False
            tell(TextDelta(text=piece))
        if part.failure and opening and not before:
            waiting.append(part.why)
        elif part.failure:
            tell(TextDelta(text=(SEPARATOR if opening else "\n") + part.why))


def _active(parts: Sequence[Part]) -> Active:
    """Whom the conversation is with: the first that waits for a reply, or who answered last."""
    waiting = next((part for part in parts if part.question), None)
    if waiting:
        return Active(waiting.agent, waiting=True)
    return Active([part.agent for part in parts if not part.failure][-1])
