"""A turn on its way to an agent, and on to those that the agent hands it over to."""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lmos.model import (
    HUMAN,
    TERMINAL,
    Answer,
    Decision,
    Done,
    Failed,
    FallbackStep,
    Handover,
    Message,
    StatusUpdate,
    Turn,
    TurnEvent,
    errors,
)
from lmos.runtime.asking import Asking
from lmos.runtime.companion import Companion
from lmos.runtime.humans import Humans
from lmos.runtime.routings import ChannelTable, Member

if TYPE_CHECKING:
    from lmos.runtime.collaboration.supervising import Planner

log = logging.getLogger("lmos.runtime")

#: Agents that a turn may be handed on to.
MAX_HOPS = 5


@dataclass
class Work:
    """A turn on its way through the platform, and what goes with it to each agent. `notes` is what
    will be noted beside the conversation once the turn is answered. `humans` can take the
    conversation over, `planner` can ask agents.
    """

    channel: ChannelTable
    turn: Turn
    decision: Decision
    asking: Asking
    companion: Companion
    notes: dict[str, Any] = field(default_factory=dict)
    humans: Humans | None = None
    planner: "Planner | None" = None


def able(work: Work, agent: str, capability: str) -> list[Member]:
    """The agent decided on, or whoever serves the capability where none is named, and who could
    answer instead; first those that are ready. An agent that the caller insists on has no
    substitute. `AgentNotFound` where the channel has nobody of that name, or with that capability.
    """
    channel = work.channel
    member = channel.members.get(agent) if agent else channel.provider_of(capability)
    if member is None:
        raise errors.AgentNotFound(
            f"the turn was given to {agent or capability!r}, which this channel does not have; "
            f"it has {', '.join(channel.members)}"
        )
    if work.turn.agent:
        return [member]
    return _ready_first([member, *channel.instead_of(member, capability)])


async def handed(
    work: Work, able: Sequence[Member], turn: Turn, visited: list[Member] | None = None
) -> AsyncGenerator[tuple[Member, TurnEvent], None]:
    """The events of the first of the agents that answers the turn and of those it hands over to,
    each with who sent it. Who was asked is added to `visited` and not asked again. Who takes over
    reads what was said before. A handover to the people of the channel is the last event.
    """
    visited = [] if visited is None else visited
    if turn.agent:  # the caller's wish is met; to the agent the name says nothing
        turn = turn.but(agent=None)
    hops, answered = 0, False
    while able:
        member, opening, events = await work.asking.ask(able, turn, work.companion)
        visited.append(member)
        heard = _Heard()
        async with aclosing(events):
            for event in filter(heard.passes, opening):
                yield member, event
            try:
                async for event in events:
                    if heard.passes(event):
                        yield member, event
            except Exception as error:
                heard.end = heard.end or _raised(member, error)
        end, said = heard.end, heard.said
        answered = answered or bool(said)
        if not isinstance(end, Handover):
            yield member, _silent(member) if end is None or _empty(end, answered) else end
            return
        handover = end
        if human_of(work, handover.to) is not None:
            yield member, handover
            return
        try:
            hops += 1
            able = _takers(work.channel, handover, visited, hops)
        except errors.LmosError as error:
            yield member, Failed.of(error)
            return
        yield member, _told(able[0], handover)
        turn = _onward(turn, handover, said)


@dataclass(slots=True)
class _Heard:
    """What was heard of one agent: its messages, and its end."""

    said: list[Message] = field(default_factory=list)
    end: TurnEvent | None = None

    def passes(self, event: TurnEvent) -> bool:
        """Takes the event in; whether it is told on at once, as all are before the end."""
        if isinstance(event, TERMINAL):
            self.end = event
        elif self.end is None:
            if isinstance(event, Answer):
                self.said.append(event.message)
            return True
        return False


def human_of(work: Work, name: str = HUMAN) -> FallbackStep | None:
    """The people at the end of the channel's fallback, where it has some and they can be meant by
    the name: `human`, or that of their queue.
    """
    steps = work.channel.routing.spec.fallback
    if not steps or work.humans is None or name not in (HUMAN, steps[-1].human):
        return None
    return steps[-1] if steps[-1].human else None


def _empty(end: TurnEvent, answered: bool) -> bool:
    """Whether the agent says that it is done, and has answered nothing."""
    return isinstance(end, Done) and not answered


def _silent(member: Member) -> Failed:
    return Failed.of(errors.AgentFailed(f"agent {member.name} ended without an answer"))


def _raised(member: Member, error: Exception) -> Failed:
    """What an agent raised instead of telling it."""
    if not isinstance(error, errors.LmosError):
        log.error("agent %s raised an error", member.name, exc_info=error)
    return Failed.of(error)


def _takers(
    channel: ChannelTable, handover: Handover, visited: Sequence[Member], hops: int
) -> list[Member]:
    """Who may answer after a handover, first whom it means. `to` names an agent or a capability.
    Refuses strangers, loops and long chains.
    """
    by = visited[-1].name
    wanted = handover.to or handover.capability
    found = channel.members.get(handover.to)
    capability = handover.capability or (handover.to if found is None else "")
    found = found or channel.provider_of(handover.to) or channel.provider_of(handover.capability)
    if found is None:
        offers = (c.name for m in channel.members.values() for c in m.agent.capabilities)
        raise errors.AgentNotFound(
            f"{by} handed over to {wanted!r}, which this channel does not have; it has the agents "
            f"{', '.join(channel.members)}, and the capabilities {', '.join(offers)}"
        )
    path = " -> ".join(member.name for member in (*visited, found))
    if hops > MAX_HOPS:
        raise errors.AgentFailed(f"the turn was handed over more than {MAX_HOPS} times: {path}")
    candidates = [found, *channel.instead_of(found, capability)]
    fresh = [member for member in candidates if member not in visited]
    if found in visited and (handover.to == found.name or not fresh):
        raise errors.AgentFailed(f"the agents hand the turn over in circles: {path}")
    return _ready_first(fresh)


def _ready_first(members: Sequence[Member]) -> list[Member]:
    return sorted(members, key=lambda member: bool(member.problem))


def _told(taker: Member, handover: Handover) -> StatusUpdate:
    because = f": {handover.reason}" if handover.reason else ""
    return StatusUpdate(
        text=f"handed over to {taker.name}{because}",
        agent=taker.name,
        capability=taker.serves(handover.capability or handover.to),
    )


def _onward(turn: Turn, handover: Handover, said: Sequence[Message]) -> Turn:
    """The turn for who takes over: what was said already stands before the user's words."""
    return before(handover.onward(turn), [message.but(turn_id=turn.turn_id) for message in said])


def before(turn: Turn, told: Sequence[Message]) -> Turn:
    """The turn with messages put before what the user says in it."""
    last = max(i for i, message in enumerate(turn.messages) if message.role == "user")
    return turn.but(messages=(*turn.messages[:last], *told, *turn.messages[last:]))
