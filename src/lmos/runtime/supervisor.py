"""A turn, from the channel it came in on to the agent that answers it.

    channel -> history -> decision -> agent -> events as they come -> remembered

The supervisor is itself a responder. It answers as `lmos` where no agent is asked: when nothing the
channel offers fits, and when something failed. The turns of one conversation are answered one after
the other, whatever order of arrival the network made of them.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta

from lmos.model import (
    AgentAddress,
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
    State,
    StatusUpdate,
    TextDelta,
    Turn,
    TurnEvent,
    errors,
)
from lmos.router import RoutingRequest, VectorRouter
from lmos.runtime.connect import connect
from lmos.runtime.metrics import Metrics
from lmos.runtime.routings import ChannelTable, Member, Routings
from lmos.state import History, key_of

#: Seconds that a turn may take when its caller sets no deadline.
TIMEOUT = 60.0
#: Agents that a turn may be handed on to.
MAX_HOPS = 5
#: Turns of one conversation that may wait for their predecessors.
MAX_WAITING = 8
#: Seconds that the active agent of a conversation is remembered.
ACTIVE_TTL = 24 * 3600.0

Connect = Callable[[AgentAddress], Responder]


class Supervisor:
    """Routes turns to agents and remembers conversations."""

    def __init__(
        self,
        routings: Routings,
        router: VectorRouter,
        state: State,
        connect: Connect = connect,
        *,
        timeout: float = TIMEOUT,
    ) -> None:
        self.routings = routings
        self.metrics = Metrics()
        self._router = router
        self._state = state
        self._connect = connect
        self._timeout = timeout
        self._history = History(state)
        self._lines: dict[str, _Line] = {}

    async def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """Answers the turn; a `Responder`."""
        channel = self.routings.find(turn.tenant, turn.channel, turn.subset)
        if not turn.text.strip():
            raise errors.InvalidInput("the turn has no user message; say something")
        if turn.deadline is None:
            turn = turn.but(deadline=datetime.now(UTC) + timedelta(seconds=self._timeout))
        async with self._in_order(turn):
            turn = await self._history.recall(turn)
            decision = await self._decide(channel, turn)
            async with aclosing(self._answer(channel, turn, decision)) as events:
                async for event in events:
                    yield event

    async def decide(self, turn: Turn) -> Decision:
        """What would be made of the turn, without asking anybody."""
        channel = self.routings.find(turn.tenant, turn.channel, turn.subset)
        return await self._decide(channel, await self._history.recall(turn))

    # --- deciding ---------------------------------------------------------------------------------

    async def _decide(self, channel: ChannelTable, turn: Turn) -> Decision:
        began = time.perf_counter()
        active = await self._state.get(key_of("active", turn))
        name = str(active[0]) if active and active[0] in channel.members else None
        request = RoutingRequest(
            messages=turn.messages, active_agent=name, explicit_agent=turn.agent
        )
        decision = await self._router.decide(request, channel.table)
        self.metrics.decided(decision, time.perf_counter() - began)
        return decision

    # --- answering --------------------------------------------------------------------------------

    async def _answer(
        self, channel: ChannelTable, turn: Turn, decision: Decision
    ) -> AsyncGenerator[TurnEvent, None]:
        if decision.agent is None:
            async with aclosing(self._decline(channel, turn, decision)) as events:
                async for event in events:
                    yield event
            return
        member = channel.members[decision.agent]
        yield Started(agent=member.agent.name, version=member.agent.version)
        yield Decided(decision=decision)
        said: list[Message] = []
        async with aclosing(self._ask(channel, turn, member)) as asked:
            async for member, event in asked:
                if isinstance(event, Answer | InputRequired):
                    said.append(event.message)
                if isinstance(event, Done | InputRequired):
                    await self._remember(turn, member, said)
                yield event

    async def _decline(
        self, channel: ChannelTable, turn: Turn, decision: Decision
    ) -> AsyncGenerator[TurnEvent, None]:
        """The platform's own answer: what the channel can help with, or which of two is meant."""
        yield Started(agent="lmos")
        yield Decided(decision=decision)
        text = _which(channel, decision) if decision.outcome == "clarify" else _offer(channel)
        message = Message(role="assistant", content=text, turn_id=turn.turn_id)
        yield TextDelta(text=text)
        yield Answer(message=message, context={"outcome": decision.outcome})
        await self._history.remember(turn, [message])
        yield Done()

    async def _ask(
        self, channel: ChannelTable, turn: Turn, member: Member
    ) -> AsyncGenerator[tuple[Member, TurnEvent], None]:
        """The agent's events, and those of the agents it hands over to. Each with who sent it."""
        visited: list[str] = []
        while True:
            visited.append(member.agent.name)
            handover = None
            async with aclosing(self._one(member, turn)) as events:
                async for event in events:
                    if isinstance(event, Handover):
                        handover = event
                    elif not isinstance(event, Started | Decided):
                        yield member, event
            if handover is None:
                return
            try:
                member = _next(channel, handover, visited)
            except errors.LmosError as error:
                yield member, Failed.of(error)
                return
            yield member, StatusUpdate(text=f"handed over to {member.agent.name}")

    async def _one(self, member: Member, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """One agent's events; a failure to reach it is its terminal event."""
        name, began = member.agent.name, time.perf_counter()
        if member.address is None:
            error = errors.AgentUnavailable(f"nobody knows where agent {name} answers")
            yield Failed.of(error)
            return
        failed = False
        async with aclosing(self._connect(member.address)(turn)) as events:
            async for event in events:
                if isinstance(event, Failed):
                    failed = True
                    event = _named(event, name)
                yield event
        self.metrics.asked(name, time.perf_counter() - began, failed=failed)

    async def _remember(self, turn: Turn, member: Member, said: Sequence[Message]) -> None:
        await self._history.remember(turn, said)
        await self._state.put(key_of("active", turn), member.agent.name, ttl=ACTIVE_TTL)

    # --- order ------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _in_order(self, turn: Turn) -> AsyncIterator[None]:
        """The conversation to itself: turns wait for those that came before them."""
        key = key_of("turns", turn)
        line = self._lines.setdefault(key, _Line())
        if line.waiting > MAX_WAITING:
            raise errors.Overloaded(
                f"{line.waiting} turns of this conversation are waiting already", retry_after=2
            )
        line.waiting += 1
        try:
            async with line.lock:
                yield
        finally:
            line.waiting -= 1
            if not line.waiting:
                self._lines.pop(key, None)


class _Line:
    """The turns of a conversation; the lock lets them through in the order they came."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0


def _next(channel: ChannelTable, handover: Handover, visited: list[str]) -> Member:
    """Who answers after a handover. Refuses strangers, loops and long chains."""
    found = channel.members.get(handover.to) if handover.to else None
    found = found or (channel.provider_of(handover.capability) if handover.capability else None)
    wanted = handover.to or handover.capability
    if found is None:
        raise errors.AgentNotFound(
            f"{visited[-1]} handed over to {wanted!r}, which this channel does not have; it has "
            f"{', '.join(channel.members)}"
        )
    if found.agent.name in visited or len(visited) > MAX_HOPS:
        path = " -> ".join([*visited, found.agent.name])
        raise errors.AgentFailed(f"the agents hand the turn over in circles: {path}")
    return found


def _named(event: Failed, agent: str) -> Failed:
    """The failure, saying whose it is."""
    if agent in event.error.message:
        return event
    message = f"agent {agent}: {event.error.message}"
    return Failed(error=event.error.but(message=message))


def _offer(channel: ChannelTable) -> str:
    lines = [
        f"- {member.agent.description.rstrip('.') or member.agent.name}"
        for member in channel.members.values()
    ]
    return "\n".join(["I cannot help with that here. What I can help with:", *lines])


def _which(channel: ChannelTable, decision: Decision) -> str:
    names = dict.fromkeys(candidate.agent for candidate in decision.candidates[:3])
    described = [channel.members[n].agent.description.rstrip(".") or n for n in names]
    return "\n".join(["Which of these do you mean?", *(f"- {text}" for text in described)])
