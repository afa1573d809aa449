"""How the agents of a channel answer a turn together, by what the router made of it.

`answer` gives the turn's events. One agent answers by itself, or hands over to others in turn; the
platform answers as `lmos` where no agent is asked.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from lmos.model import (
    Answer,
    Decided,
    Decision,
    Done,
    Failed,
    Handover,
    InputRequired,
    Message,
    Started,
    StatusUpdate,
    TextDelta,
    Turn,
    TurnEvent,
    errors,
)
from lmos.runtime.affinity import Active, offered
from lmos.runtime.asking import Asking
from lmos.runtime.routings import ChannelTable, Member

#: Agents that a turn may be handed on to.
MAX_HOPS = 5


@dataclass
class Work:
    """A turn on its way through the platform. `notes` is what will be noted beside the conversation
    once the turn is answered; `asked` the agents asked so far.
    """

    channel: ChannelTable
    turn: Turn
    decision: Decision
    asking: Asking
    notes: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


def answer(work: Work) -> AsyncGenerator[TurnEvent, None]:
    """The events of the turn, by the decision's outcome."""
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
    first: Member | None = None
    async with aclosing(_handed(work)) as asked:
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


async def _handed(work: Work) -> AsyncGenerator[tuple[Member, TurnEvent], None]:
    """The events of the agent and of those it hands over to, each with who sent it."""
    channel, turn = work.channel, work.turn
    able = _able(channel, turn, work.decision)
    visited: list[Member] = []
    while able:
        member, events = await work.asking.ask(able, turn)
        visited.append(member)
        work.asked.append(member.name)
        handover = None
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Handover):
                    handover = event
                else:
                    yield member, event
        if handover is None:
            return
        turn = handover.onward(turn)
        try:
            taker = _next(channel, handover, visited)
        except errors.LmosError as error:
            yield member, Failed.of(error)
            return
        able = [taker, *channel.instead_of(taker, handover.capability)]


def _able(channel: ChannelTable, turn: Turn, decision: Decision) -> list[Member]:
    """The agent decided on, and who could answer instead; first those that are ready. An agent
    that the caller insists on has no substitute.
    """
    assert decision.agent is not None
    member = channel.members[decision.agent]
    if turn.agent:
        return [member]
    able = [member, *channel.instead_of(member, decision.capability)]
    return sorted(able, key=lambda m: bool(m.problem))


def _signed(answer: Answer, member: Member) -> Answer:
    """The answer, saying whose it is."""
    return answer.but(context={**answer.context, "agent": member.name})


def _next(channel: ChannelTable, handover: Handover, visited: Sequence[Member]) -> Member:
    """Who answers after a handover. Refuses strangers, loops and long chains."""
    found = channel.members.get(handover.to) if handover.to else None
    found = found or (channel.provider_of(handover.capability) if handover.capability else None)
    wanted = handover.to or handover.capability
    if found is None:
        raise errors.AgentNotFound(
            f"{visited[-1].name} handed over to {wanted!r}, which this channel does not have; "
            f"it has {', '.join(channel.members)}"
        )
    if found in visited or len(visited) > MAX_HOPS:
        path = " -> ".join(member.name for member in (*visited, found))
        raise errors.AgentFailed(f"the agents hand the turn over in circles: {path}")
    return found


def _offer(channel: ChannelTable) -> str:
    lines = [
        f"- {member.agent.description.rstrip('.') or member.agent.name}"
        for member in channel.members.values()
    ]
    return "\n".join(["I cannot help with that here. What I can help with:", *lines])


def _which(channel: ChannelTable, decision: Decision) -> str:
    described = [channel.members[n].agent.description.rstrip(".") or n for n in offered(decision)]
    return "\n".join(["Which of these do you mean?", *(f"- {text}" for text in described)])
