"""A turn, from the channel it came in on to the agent that answers it.

    channel -> history -> decision -> agent -> events as they come -> remembered

The supervisor is itself a responder. It answers as `lmos` where no agent is asked: when nothing the
channel offers fits. An agent that fails before it has said or done anything is stood in for by
another of the channel that offers the same capability. The turns of one conversation are answered
one after the other, in the order in which they came.
"""

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
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
from lmos.protocols.answering import Stop
from lmos.protocols.connecting import connect
from lmos.router import RoutingRequest, VectorRouter
from lmos.runtime.affinity import Active, replied
from lmos.runtime.metrics import Metrics
from lmos.runtime.order import Lines
from lmos.runtime.routings import ChannelTable, Member, Routings
from lmos.state import History, Past, key_of

#: Seconds that a turn may take when its caller sets no deadline.
TIMEOUT = 60.0
#: Agents that a turn may be handed on to.
MAX_HOPS = 5

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
        self._connect = connect
        self._timeout = timeout
        self._history = History(state)
        self._lines = Lines()
        self._running: set[Stop] = set()

    async def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """Answers the turn; a `Responder`."""
        stop = Stop()
        self._running.add(stop)
        try:
            async with aclosing(self._respond(turn)) as events:
                while (event := await stop.next(events, None)) is not None:
                    yield event
            if stop.requested:
                raise errors.AgentUnavailable("the platform is stopping; ask again")
        finally:
            self._running.discard(stop)

    def cut_off(self) -> None:
        """Ends all running turns with an error."""
        for stop in self._running:
            stop.request()

    async def _respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        channel = self.routings.find(turn.tenant, turn.channel, turn.subset)
        if not turn.text.strip():
            raise errors.InvalidInput("the turn has no user message; say something")
        deadline = turn.deadline or datetime.now(UTC) + timedelta(seconds=self._timeout)
        async with self._lines.turn(key_of("turns", turn), deadline):
            past = await self._history.past(turn)
            turn = past.before(turn.but(deadline=deadline))
            decision = await self._decide(channel, turn, past)
            answer = self._answer if decision.agent else self._decline
            async with aclosing(answer(channel, turn, decision, past)) as events:
                async for event in events:
                    yield event

    async def decide(self, turn: Turn) -> Decision:
        """What would be made of the turn, without asking anybody."""
        channel = self.routings.find(turn.tenant, turn.channel, turn.subset)
        past = await self._history.past(turn)
        return await self._decide(channel, past.before(turn), past)

    # --- deciding ---------------------------------------------------------------------------------

    async def _decide(self, channel: ChannelTable, turn: Turn, past: Past) -> Decision:
        began = time.perf_counter()
        active = Active.noted(past.notes)
        if active and active.agent not in channel.members:
            active = None
        request = RoutingRequest(
            messages=turn.messages,
            active_agent=active.agent if active else None,
            explicit_agent=turn.agent,
        )
        decision = await self._router.decide(request, channel.table)
        if active and active.waiting and not turn.agent:
            decision = replied(decision, active.agent)
        self.metrics.decided(decision, time.perf_counter() - began)
        return decision

    # --- answering --------------------------------------------------------------------------------

    async def _decline(
        self, channel: ChannelTable, turn: Turn, decision: Decision, past: Past
    ) -> AsyncGenerator[TurnEvent, None]:
        """The platform's own answer: what the channel can help with, or which of two is meant."""
        yield Started(agent="lmos")
        yield Decided(decision=decision)
        text = _which(channel, decision) if decision.outcome == "clarify" else _offer(channel)
        message = Message(role="assistant", content=text, turn_id=turn.turn_id)
        yield TextDelta(text=text)
        yield Answer(message=message, context={"outcome": decision.outcome})
        await self._history.remember(turn, [message], past=past)
        yield Done()

    async def _answer(
        self, channel: ChannelTable, turn: Turn, decision: Decision, past: Past
    ) -> AsyncGenerator[TurnEvent, None]:
        """The answer of the agent decided on, or of whom it hands over to, remembered."""
        first: Member | None = None
        said: list[Message] = []
        async with aclosing(self._ask(channel, turn, decision)) as asked:
            async for member, event in asked:
                match event:
                    case Started() if first is None:
                        first = member
                        yield event
                        event = Decided(decision=decision)
                    case Started():
                        event = StatusUpdate(text=f"handed over to {event.agent}")
                    case Answer():
                        said.append(event.message)
                        event = event if member is first else _signed(event, member)
                    case InputRequired():
                        said.append(event.message)
                        notes = Active(member.name, waiting=True).notes()
                        await self._history.remember(turn, said, past=past, notes=notes)
                    case Done():
                        notes = Active(member.name).notes()
                        await self._history.remember(turn, said, past=past, notes=notes)
                yield event

    async def _ask(
        self, channel: ChannelTable, turn: Turn, decision: Decision
    ) -> AsyncGenerator[tuple[Member, TurnEvent], None]:
        """The events of the agent and of those it hands over to, each with who sent it."""
        able = _able(channel, turn, decision)
        visited: list[Member] = []
        while able:
            member, opening, events = await self._open(able, turn)
            visited.append(member)
            handover = None
            async with aclosing(events):
                while event := opening.popleft() if opening else await anext(events, None):
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

    async def _open(
        self, able: Sequence[Member], turn: Turn
    ) -> tuple[Member, deque[TurnEvent], AsyncGenerator[TurnEvent, None]]:
        """The first agent that does not fail before it has said or done anything, or the last one.
        With it, events to begin with, of which `Started` is the first, and those that follow.
        """
        failure: Failed | None = None
        for member in able[:-1]:
            events = self._one(member, turn)
            first = await anext(events, None) or _silent(member)
            if not isinstance(first, Failed) or _is_the_turns(first):
                return member, deque([*_opening(member, failure), first]), events
            await events.aclose()
            failure = first
        return able[-1], deque(_opening(able[-1], failure)), self._one(able[-1], turn)

    async def _one(self, member: Member, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """One agent's events; who answers and why is told by us."""
        with self.metrics.asking(member.name) as asking:
            async with aclosing(self._responder(member)(turn)) as events:
                async for event in events:
                    if isinstance(event, Failed):
                        asking.failed = True
                        event = _named(event, member.name)
                    if not isinstance(event, Started | Decided):
                        yield event

    def _responder(self, member: Member) -> Responder:
        if member.address is None:
            text = f"nobody knows where agent {member.name} answers"
            return _failing(errors.AgentUnavailable(text))
        try:
            return self._connect(member.address)
        except errors.LmosError as error:
            return _failing(error)


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


def _opening(member: Member, failure: Failed | None) -> list[TurnEvent]:
    started = Started(agent=member.name, version=member.agent.version)
    if failure is None:
        return [started]
    text = f"{failure.error.message}; {member.name} answers instead"
    return [started, StatusUpdate(text=text)]


def _is_the_turns(failure: Failed) -> bool:
    """Whether the turn itself was wrong or late, so that no other agent would fare better."""
    error = failure.exception()
    return isinstance(
        error,
        errors.InvalidInput | errors.Unauthenticated | errors.Forbidden | errors.DeadlineExceeded,
    )


def _failing(error: errors.LmosError) -> Responder:
    async def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        yield Failed.of(error)

    return respond


def _silent(member: Member) -> Failed:
    return Failed.of(errors.AgentFailed(f"agent {member.name} ended without an answer"))


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
