"""A turn, from the channel it came in on to the agent that answers it.

    channel -> history -> decision -> agents -> events as they come -> remembered

The supervisor is itself a responder. It decides and remembers; how agents answer together is
`lmos.runtime.collaboration`, how one of them is asked `lmos.runtime.asking`. The turns of one
conversation are answered one after the other, in the order in which they came.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from lmos.model import (
    Answer,
    Decision,
    Done,
    InputRequired,
    Message,
    State,
    StatusUpdate,
    Turn,
    TurnEvent,
    errors,
)
from lmos.protocols.answering import Stop
from lmos.protocols.connecting import connect
from lmos.router import Router, RoutingRequest
from lmos.runtime.affinity import Active, offer_notes, offered_before, replied
from lmos.runtime.asking import Asking, Connect, Sign
from lmos.runtime.breakers import Breakers
from lmos.runtime.collaboration import answer
from lmos.runtime.collaboration.handing import Work
from lmos.runtime.metrics import Metrics
from lmos.runtime.order import Lines
from lmos.runtime.pinning import pinned
from lmos.runtime.routings import ChannelTable, Routings
from lmos.state import History, Past, key_of

#: Seconds that a turn may take when its caller sets no deadline.
TIMEOUT = 60.0


class Supervisor:
    """Routes turns to agents and remembers conversations."""

    def __init__(
        self,
        routings: Routings,
        router: Router,
        state: State,
        connect: Connect = connect,
        *,
        timeout: float = TIMEOUT,
        breakers: Breakers | None = None,
        sign: Sign | None = None,
    ) -> None:
        self.routings = routings
        self.metrics = Metrics()
        self._router = router
        self._asking = Asking(connect, self.metrics, breakers, sign)
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
        channel = await self.routings.found(turn.tenant, turn.channel, turn.subset)
        if not turn.text.strip():
            raise errors.InvalidInput("the turn has no user message; say something")
        deadline = turn.deadline or datetime.now(UTC) + timedelta(seconds=self._timeout)
        async with self._lines.turn(key_of("turns", turn), deadline):
            past = await self._past(turn)
            own = pinned(self.routings, channel, past.notes)
            turn = past.before(turn.but(deadline=deadline, subset=own.table.subset))
            decision = await self._decide(own.table, turn, past)
            notes = {**offer_notes(decision), **own.notes()}
            work = Work(own.table, turn, decision, self._asking, notes=notes)
            async with aclosing(self._remembered(work, past, own.told)) as events:
                async for event in events:
                    yield event

    async def _remembered(
        self, work: Work, past: Past, told: str = ""
    ) -> AsyncGenerator[TurnEvent, None]:
        """The turn's events; what was said is remembered before the caller sees the last one. What
        is `told` comes after the first.
        """
        said: list[Message] = []
        async with aclosing(answer(work)) as events:
            async for event in events:
                if isinstance(event, Answer | InputRequired):
                    said.append(event.message)
                if isinstance(event, Done | InputRequired):
                    await self._history.remember(work.turn, said, past=past, notes=work.notes)
                yield event
                if told:
                    yield StatusUpdate(text=told)
                    told = ""

    async def decide(self, turn: Turn) -> Decision:
        """What would be made of the turn, without asking anybody."""
        channel = await self.routings.found(turn.tenant, turn.channel, turn.subset)
        past = await self._past(turn)
        table = pinned(self.routings, channel, past.notes).table
        return await self._decide(table, past.before(turn), past)

    async def _past(self, turn: Turn) -> Past:
        """The turn's conversation. It belongs to the first user who was known in it: to others it
        is not there, whoever knows its id. Until then it is with who knows the id.
        """
        past = await self._history.past(turn)
        if past.users and turn.user.id not in past.users:
            raise errors.NotFound(f"this user has no conversation {turn.conversation_id!r}")
        return past

    # --- deciding ---------------------------------------------------------------------------------

    async def _decide(self, channel: ChannelTable, turn: Turn, past: Past) -> Decision:
        began = time.perf_counter()
        active = Active.noted(past.notes)
        if active and active.agent not in channel.members:
            active = None
        request = RoutingRequest(
            messages=turn.messages,
            active_agent=active.agent if active else None,
            offered=offered_before(past.notes),
            explicit_agent=turn.agent,
            deadline=turn.deadline,
        )
        decision = await self._router.decide(request, channel.table)
        if active and active.waiting and not turn.agent:
            decision = replied(decision, active.agent)
        self.metrics.decided(decision, time.perf_counter() - began)
        return decision
