"""How the agents of a channel answer a turn together, by what the router made of it.

`answer` gives the turn's events. One agent answers by itself, or hands over to others in turn;
several each answer a sub-task; the platform answers as `lmos` where no agent is asked.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from lmos.model import (
    Answer,
    Decided,
    Decision,
    Done,
    InputRequired,
    Message,
    Started,
    StatusUpdate,
    TextDelta,
    TurnEvent,
)
from lmos.runtime.affinity import Active, offered
from lmos.runtime.collaboration.handing import Work, able, handed
from lmos.runtime.collaboration.subtasks import answer_all
from lmos.runtime.routings import ChannelTable, Member


def answer(work: Work) -> AsyncGenerator[TurnEvent, None]:
    """The events of the turn, by the decision's outcome."""
    if work.decision.outcome == "multi" and work.decision.tasks:
        return answer_all(work)
    return _single(work) if work.decision.agent else _decline(work)


async def _decline(work: Work) -> AsyncGenerator[TurnEvent, None]:
    """The platform's own answer: what the channel can help with, or which of two is meant."""
    decision, channel = work.decision, work.channel
    yield Started(agent="lmos")
    yield Decided(decision=decision)
    text = _which(channel, decision) if decision.outcome == "clarify" else _offer(channel)
    message = Message(role="assistant", content=text, turn_id=work.turn.turn_id)
    yield TextDelta(text=text)
    yield Answer(message=message, context={"outcome": decision.outcome})
    yield Done()


async def _single(work: Work) -> AsyncGenerator[TurnEvent, None]:
    """The answer of the agent decided on, or of whom it hands over to."""
    decision = work.decision
    first: Member | None = None
    members = able(work, decision.agent or "", decision.capability)
    async with aclosing(handed(work, members, work.turn)) as asked:
        async for member, event in asked:
            match event:
                case Started() if first is None:
                    first = member
                    yield event
                    event = Decided(decision=work.decision)
                case Started():
                    event = StatusUpdate(text=f"handed over to {event.agent}")
                case Answer():
                    event = event if member is first else _signed(event, member)
                case InputRequired():
                    work.notes |= Active(member.name, waiting=True).notes()
                case Done():
                    work.notes |= Active(member.name).notes()
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
