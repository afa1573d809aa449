"""How the agents of a channel answer a turn together, by what the router made of it.

`answer` gives the turn's events. One agent answers by itself, or hands over to others in turn;
several each answer a sub-task; a language model plans over them in a channel that is supervised;
where none of them can, the channel's fallback answers, people at its end. The platform answers as
`lmos` where no agent is asked.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from lmos.model import (
    Answer,
    Decided,
    Decision,
    Done,
    Handover,
    InputRequired,
    Message,
    Started,
    TextDelta,
    TurnEvent,
)
from lmos.runtime.affinity import Active, offered
from lmos.runtime.collaboration.falling import Unanswered, answering
from lmos.runtime.collaboration.handing import Work, human_of
from lmos.runtime.collaboration.people import to_human, with_human
from lmos.runtime.collaboration.subtasks import answer_all
from lmos.runtime.collaboration.supervising import supervise
from lmos.runtime.routings import ChannelTable, Member
from lmos.runtime.stages import HUMAN, SUPERVISED


def answer(work: Work) -> AsyncGenerator[TurnEvent, None]:
    """The events of the turn, by the decision."""
    decision = work.decision
    if decision.stage == HUMAN:
        return with_human(work)
    if decision.stage == SUPERVISED:
        return supervise(work)
    if decision.outcome == "multi" and decision.tasks:
        return answer_all(work)
    asked = decision.outcome == "out_of_scope" and work.channel.routing.spec.fallback
    return _single(work) if decision.agent or asked else _decline(work)


async def _decline(work: Work) -> AsyncGenerator[TurnEvent, None]:
    """The platform's own answer: what the channel can help with, or which of two is meant."""
    yield Started(agent="lmos")
    yield Decided(decision=work.decision)
    async for event in _declined(work):
        yield event


async def _declined(work: Work) -> AsyncGenerator[TurnEvent, None]:
    decision, channel = work.decision, work.channel
    text = _which(channel, decision) if decision.outcome == "clarify" else _offer(channel)
    message = Message(role="assistant", content=text, turn_id=work.turn.turn_id)
    yield TextDelta(text=text)
    yield Answer(message=message, context={"outcome": decision.outcome})
    yield Done()


async def _single(work: Work) -> AsyncGenerator[TurnEvent, None]:
    """The answer of the agent decided on, of whom it hands over to, or of the fallback."""
    decision = work.decision
    first: Member | None = None
    nobody = "" if decision.agent else decision.reason
    asked = answering(work, decision.agent or "", decision.capability, work.turn, nobody)
    async with aclosing(asked) as events:
        async for member, event in events:
            if first is None:
                first = member
                yield _started(member)
                yield Decided(decision=decision)
            if member is None or isinstance(event, Unanswered | Handover):
                async for last in _ended(work, event):
                    yield last
                return
            match event:
                case Started():
                    continue
                case Answer():
                    event = event if member is first else _signed(event, member)
                case InputRequired():
                    work.notes |= Active(member.name, waiting=True).notes()
                case Done():
                    work.notes |= Active(member.name).notes()
            yield event


def _started(member: Member | None) -> Started:
    if member is None:
        return Started(agent="lmos")
    return Started(agent=member.name, version=member.agent.version)


async def _ended(work: Work, end: TurnEvent | Unanswered) -> AsyncGenerator[TurnEvent, None]:
    """The end where the agents leave the turn to people, or where nobody of them could answer."""
    assert isinstance(end, Unanswered | Handover)
    if (human := human_of(work)) is not None:
        events = to_human(work, human, end.reason)
    elif isinstance(end, Unanswered) and (end.refused or work.decision.agent):
        events = end.told()
    else:
        events = _declined(work)
    async for event in events:
        yield event


def _signed(answer: Answer, member: Member) -> Answer:
    """The answer, saying whose it is."""
    return answer.but(context={**answer.context, "agent": member.name})


def _offer(channel: ChannelTable) -> str:
    lines = [
        f"- {member.agent.description.rstrip('.') or member.agent.name}"
        for member in channel.members.values()
    ]
    return "\n".join(["I cannot help with that here. What I can help with:", *lines])


def _which(channel: ChannelTable, decision: Decision) -> str:
    described = [channel.members[n].agent.description.rstrip(".") or n for n in offered(decision)]
    return "\n".join(["Which of these do you mean?", *(f"- {text}" for text in described)])
