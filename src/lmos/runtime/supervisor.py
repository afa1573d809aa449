"""A turn, from the channel it came in on to the agent that answers it.

    channel -> history -> decision -> agents -> events as they come -> remembered

The supervisor is itself a responder. It decides and remembers; how agents answer together is
`lmos.runtime.collaboration`, how one of them is asked `lmos.runtime.asking`, and what is kept of
decisions `lmos.runtime.decisions`. The turns of one
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
    Turn,
    TurnEvent,
    errors,
)
from lmos.protocols.answering import Stop
from lmos.protocols.connecting import connect
from lmos.router import Router, RoutingRequest
from lmos.runtime.affinity import Active, offer_notes, offered_before, replied
from lmos.runtime.asking import Asking, Connect
from lmos.runtime.breakers import Breakers
from lmos.runtime.collaboration import answer
from lmos.runtime.collaboration.handing import Work
from lmos.runtime.companion import Companion
from lmos.runtime.decisions import Log, LogSettings, Recorder, Trail
from lmos.runtime.metrics import Metrics
from lmos.runtime.order import Lines
from lmos.runtime.routings import ChannelTable, Routings
from lmos.state import History, Past, key_of

#: Seconds that a turn may take when its caller sets no deadline.
TIMEOUT = 60.0
#: Seconds that the decision log gets to write what waits when the supervisor is closed.
CLOSING = 5.0


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
        log: LogSettings | None = None,
    ) -> None:
        self.routings = routings
        self.state = state
        self.log = Log(state, log)
        self.recorder = Recorder(self.log)
        self.metrics = Metrics()
        self._router = router
        self._asking = Asking(connect, self.metrics, breakers)
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

    async def close(self) -> None:
        """Writes what is still to be logged. The state, whoever opened it, is closed after this."""
        await self.recorder.close(CLOSING)

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
            trail = await self._trail(channel, turn, past)
            notes = offer_notes(trail.decision) | {"record": trail.stamp}
            companion = Companion(trail)
            work = Work(channel, turn, trail.decision, self._asking, companion, notes=notes)
            async with aclosing(self._recorded(trail, self._remembered(work, past))) as events:
                async for event in events:
                    yield event

    async def _recorded(
        self, trail: Trail, events: AsyncGenerator[TurnEvent, None]
    ) -> AsyncGenerator[TurnEvent, None]:
        """The turn's events; however it ends, that is logged."""
        try:
            async with aclosing(events):
                async for event in events:
                    trail.saw(event)
                    yield event
        except Exception as error:
            trail.failed(error)
            raise
        finally:
            trail.end()
            self.recorder.add(trail)

    async def _remembered(self, work: Work, past: Past) -> AsyncGenerator[TurnEvent, None]:
        """The turn's events; what was said is remembered before the caller sees the last one."""
        said: list[Message] = []
        async with aclosing(answer(work)) as events:
            async for event in events:
                if isinstance(event, Answer | InputRequired):
                    said.append(event.message)
                if isinstance(event, Done | InputRequired):
                    await self._history.remember(work.turn, said, past=past, notes=work.notes)
                yield event

    async def decide(self, turn: Turn) -> Decision:
        """What would be made of the turn, without asking anybody."""
        channel = self.routings.find(turn.tenant, turn.channel, turn.subset)
        past = await self._history.past(turn)
        return (await self._trail(channel, past.before(turn), past)).decision

    # --- deciding ---------------------------------------------------------------------------------

    async def _trail(self, channel: ChannelTable, turn: Turn, past: Past) -> Trail:
        """The turn with what was decided, and from what."""
        began, at = time.perf_counter(), datetime.now(UTC)
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
        waiting = active is not None and active.waiting
        if active and waiting and not turn.agent:
            decision = replied(decision, active.agent)
        self.metrics.decided(decision, time.perf_counter() - began)
        inputs = self.log.settings.inputs_of(channel.routing.metadata.annotations)
        return Trail(turn, request, decision, inputs, waiting, began, at)
