"""A turn on its way to an agent, and on to those that the agent hands it over to."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from lmos.model import Decision, Failed, Handover, Turn, TurnEvent, errors
from lmos.runtime.asking import Asking
from lmos.runtime.companion import Companion
from lmos.runtime.routings import ChannelTable, Member

#: Agents that a turn may be handed on to.
MAX_HOPS = 5


@dataclass
class Work:
    """A turn on its way through the platform, and what goes with it to each agent. `notes` is what
    will be noted beside the conversation once the turn is answered.
    """

    channel: ChannelTable
    turn: Turn
    decision: Decision
    asking: Asking
    companion: Companion
    notes: dict[str, Any] = field(default_factory=dict)


def able(work: Work, agent: str, capability: str) -> list[Member]:
    """The agent decided on, and who could answer instead; first those that are ready. An agent
    that the caller insists on has no substitute. `AgentNotFound` for an agent of no member.
    """
    channel = work.channel
    member = channel.members.get(agent)
    if member is None:
        raise errors.AgentNotFound(
            f"the turn was given to {agent!r}, which this channel does not have; "
            f"it has {', '.join(channel.members)}"
        )
    if work.turn.agent:
        return [member]
    found = [member, *channel.instead_of(member, capability)]
    return sorted(found, key=lambda m: bool(m.problem))


async def handed(
    work: Work, able: Sequence[Member], turn: Turn
) -> AsyncGenerator[tuple[Member, TurnEvent], None]:
    """The events of the first of the agents that answers the turn and of those it hands over to,
    each with who sent it.
    """
    visited: list[Member] = []
    while able:
        member, events = await work.asking.ask(able, turn, work.companion)
        visited.append(member)
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
            taker = _next(work.channel, handover, visited)
        except errors.LmosError as error:
            yield member, Failed.of(error)
            return
        able = [taker, *work.channel.instead_of(taker, handover.capability)]


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
