"""A turn, from the channel it came in on to the agent that answers it.

    channel -> history -> decision -> agents -> events as they come -> remembered

The supervisor is itself a responder. It decides and remembers; how agents answer together is
`lmos.runtime.collaboration`, how one of them is asked `lmos.runtime.asking`, and what is kept of
decisions `lmos.runtime.decisions`. The turns of one conversation are answered one after the other,
in the order in which they came.
"""

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lmos import router as routers
from lmos.llm import ScriptedModel, embedder
from lmos.model import (
    Answer,
    Collaboration,
    Decision,
    Description,
    Done,
    FallbackStep,
    InputRequired,
    State,
    StatusUpdate,
    Turn,
    TurnEvent,
    errors,
)
from lmos.protocols.answering import Stop
from lmos.protocols.connecting import connect
from lmos.router import Router, RoutingRequest, RoutingTable
from lmos.runtime import tracing
from lmos.runtime.admission import Admission
from lmos.runtime.affinity import Active, offer_notes, offered_before
from lmos.runtime.asked import Asked
from lmos.runtime.asking import Asking, Connect, Sign
from lmos.runtime.breakers import Breakers
from lmos.runtime.collaboration import answer
from lmos.runtime.collaboration.handing import Work
from lmos.runtime.collaboration.people import held_decision, released_notes
from lmos.runtime.collaboration.supervising import PlanLimits, Planner
from lmos.runtime.companion import Companion
from lmos.runtime.decisions import Log, Recorder, Shadows, Trail
from lmos.runtime.decisions.replay import decided
from lmos.runtime.given import Given, GivenRoutings
from lmos.runtime.humans import Humans
from lmos.runtime.memory import SharedMemory, Sharing, Values
from lmos.runtime.metrics import Metrics
from lmos.runtime.order import Lines
from lmos.runtime.pinning import pinned
from lmos.runtime.repeats import TOLD, check_once, noted, repeated
from lmos.runtime.routings import ChannelTable, Routings
from lmos.runtime.settings import Settings
from lmos.runtime.stages import HUMAN, UNROUTED
from lmos.state import History, MemoryState, Past, at_once, open_state
from lmos.state.leases import leases_of

if TYPE_CHECKING:
    from pydantic_ai.models import Model

#: Seconds that the decision log gets to write what waits when the supervisor is closed.
CLOSING = 5.0
#: Why the router decides in a channel that is supervised.
ALONE = "there is no language model to plan"


class Supervisor(Asked):
    """Routes turns to agents and remembers conversations.

        supervisor = Supervisor([billing, "http://127.0.0.1:8001"])
        outcome = await supervisor.run("how much do I owe?")

    `routings` tell who serves which channel. Agents in their place, as they are (objects), as URLs
    or as resources, serve every channel; `collaboration` and `fallback` are then what a Channel's
    are. `router` decides by vectors unless another is given. `state` keeps conversations, in this
    process unless it is given or named: `sqlite`, `redis://...`, `postgresql://...`. `model`, a
    spec or pydantic-ai's, plans in channels that are supervised, within `limits`. To other agents
    it is one called `name`.

    `settings` says how much it takes on and when it spares an agent. `shared` tells whether other
    processes answer turns of the same conversations, which every state but one in memory allows.
    """

    def __init__(
        self,
        routings: Routings | Sequence[Given],
        router: Router | None = None,
        state: State | str = "memory",
        connect: Connect = connect,
        *,
        collaboration: Collaboration = "routed",
        fallback: Sequence[FallbackStep | str] = (),
        model: "str | Model | ScriptedModel" = "auto",
        limits: PlanLimits | None = None,
        settings: Settings | None = None,
        breakers: Breakers | None = None,
        sign: Sign | None = None,
        shared: bool | None = None,
        open_router: Callable[[str], Router] | None = None,
        name: str = "lmos",
    ) -> None:
        self.name = name
        given = None
        if not isinstance(routings, Routings):
            routings = given = GivenRoutings(routings, collaboration, fallback)
            connect = given.connecting(connect)
        self.routings = routings
        self._owned = isinstance(state, str)
        self.state = state = open_state(state) if isinstance(state, str) else state
        settings = settings or Settings()
        self.log = Log(state, settings.log)
        self.recorder = Recorder(self.log)
        self.memory = SharedMemory(state)
        self.closing = AsyncExitStack()
        self.admission = Admission(settings.capacity)
        self.metrics = Metrics()
        self._shadows = Shadows(self.metrics.shadows, self._table_of, open_router, settings.shadow)
        self._given = given
        self._router = router or routers.open_router(routers.DEFAULT, embedder())
        if breakers is None:
            breakers = Breakers(settings.limits)
        self._asking = Asking(connect, self.metrics, breakers, sign)
        self._timeout = settings.timeout
        self._history = History(state)
        self.humans = Humans(state, self._history)
        self._planner = Planner(model, limits)
        shared = not isinstance(state, MemoryState) if shared is None else shared
        self._lines = Lines(leases_of(state) if shared else None)
        self._running: set[Stop] = set()
        self._traced = tracing.traced(self._respond)

    def describe(self) -> Description:
        """What the agents that were given can do together, as one agent, once they are started."""
        members = self._given.find("", "").members.values() if self._given else ()
        return Description(
            name=self.name,
            description=" ".join(m.agent.description for m in members if m.agent.description),
            capabilities=tuple(c for m in members for c in m.agent.capabilities),
        )

    async def start(self) -> None:
        """Starts the agents that were given, and finds out what they can do; the first turn does
        it otherwise. `AgentUnavailable` when one does not answer.
        """
        if self._given is not None:
            await self._given.start()

    async def stop(self) -> None:
        """Ends running turns, writes what is still to be logged, stops what was started and closes
        what was opened here. A state that was given is closed by who opened it, after this.
        """
        self.cut_off()
        if self._given is not None:
            await self._given.stop()
        await self._planner.close()
        await self.close()
        if self._owned:
            await self.state.close()

    async def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        """Answers the turn; a `Responder`."""
        stop = Stop()
        self._running.add(stop)
        try:
            async with aclosing(self._traced(turn)) as events:
                while (event := await stop.next(events)) is not None:
                    yield event
            if stop.requested:
                raise errors.AgentUnavailable("the platform is stopping; ask again")
        finally:
            self._running.discard(stop)

    async def close(self) -> None:
        """Closes what is in `closing` and writes what is still to be logged. The state, whoever
        opened it, is closed after this.
        """
        await self.closing.aclose()
        await self.recorder.close(CLOSING)

    def alone(self, conversation: Turn, seconds: float) -> AbstractAsyncContextManager[None]:
        """The turn's conversation with no turn of it running, here or in another process.
        `DeadlineExceeded` when the running ones take longer than so many seconds.
        """
        return self._lines.turn(conversation, datetime.now(UTC) + timedelta(seconds=seconds))

    def cut_off(self) -> None:
        """Ends all running turns with an error."""
        for stop in self._running:
            stop.request()

    async def _respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        await self.start()
        await self.routings.found(turn.tenant, turn.channel, turn.subset)
        if not turn.text.strip():
            raise errors.InvalidInput("the turn has no user message; say something")
        if turn.deadline is None:
            turn = turn.but(deadline=datetime.now(UTC) + timedelta(seconds=self._timeout))
        assert turn.deadline is not None
        with self.metrics.turn(turn).timed() as timing:
            async with self.admission.place(turn), self._lines.turn(turn, turn.deadline):
                past, shared = await self._kept(turn)
                for event in (again := repeated(past.notes, turn)) or ():
                    timing.saw(event)
                    yield event
                if again is None:
                    async with aclosing(self._answered(turn, past, shared)) as events:
                        async for event in events:
                            timing.saw(event)
                            yield event

    async def _kept(self, turn: Turn) -> tuple[Past, Values]:
        """What was said and noted in the turn's conversation, and what is shared in it."""
        past, shared = await at_once(self.state, self._history.past(turn), self.memory.read(turn))
        _check_owner(turn, past)
        return past, shared

    async def _answered(
        self, turn: Turn, past: Past, shared: Values
    ) -> AsyncGenerator[TurnEvent, None]:
        """The turn's events; what was said is remembered before the caller sees the last one."""
        asked = self.routings.find(turn.tenant, turn.channel, turn.subset)
        own = pinned(self.routings, asked, past.notes)
        channel, moved = own.table, own.told
        turn = past.before(turn.but(subset=channel.subset))
        trail = await self._trail(channel, turn, past)
        settings = channel.routing.metadata.settings
        sharing = Sharing(self.memory, turn, shared, self.metrics)
        notes = offer_notes(trail.decision) | {"record": trail.stamp} | own.notes()
        work = Work(
            channel,
            turn,
            trail.decision,
            self._asking,
            Companion(trail, sharing, past.notes),
            notes=notes | released_notes(trail.decision, past.notes),
            humans=self.humans,
            planner=self._planner,
        )
        told: list[TurnEvent] = []
        with self._recording(trail, settings):
            async with aclosing(answer(work)) as events:
                async for event in events:
                    if isinstance(event, TOLD):
                        told.append(event)
                    if isinstance(event, Done | InputRequired):
                        await self._remember(work, told, past)
                    trail.saw(event)
                    yield event
                    if moved:
                        yield StatusUpdate(text=moved)
                        moved = ""

    @contextmanager
    def _recording(self, trail: Trail, settings: Mapping[str, str]) -> Iterator[None]:
        """Logs the turn, however it ends, with what its shadow makes of it."""
        try:
            yield
        except Exception as error:
            trail.failed(error)
            raise
        finally:
            trail.end()
            if trail.decision.stage not in UNROUTED:
                self._shadows.begin(trail, settings)
            self.recorder.add(trail)

    async def _remember(self, work: Work, told: list[TurnEvent], past: Past) -> None:
        said = [e.message for e in told if isinstance(e, Answer | InputRequired)]

        def notes(now: Past) -> dict[str, Any]:
            if now is not past:  # another process has written, though this one had the conversation
                _check_owner(work.turn, now)
                check_once(now.notes, work.turn)
            return {**work.notes, **work.companion.notes(), **noted(now.notes, work.turn, told)}

        await work.companion.sharing.keep()
        await self._history.remember(work.turn, said, past=past, notes=notes)

    async def decide(self, turn: Turn) -> Decision:
        """What would be made of the turn, without asking anybody."""
        await self.start()
        channel = await self.routings.found(turn.tenant, turn.channel, turn.subset)
        past = await self._history.past(turn)
        _check_owner(turn, past)
        table = pinned(self.routings, channel, past.notes).table
        return (await self._trail(table, past.before(turn), past)).decision

    async def owns(self, user: str, conversation: Turn) -> bool:
        """Whether the conversation is the user's."""
        return user in (await self._history.past(conversation)).users

    def _table_of(self, trail: Trail, subset: str) -> RoutingTable:
        return self.routings.find(trail.turn.tenant, trail.turn.channel, subset).table

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
        waiting = active is not None and active.waiting
        with tracing.deciding(turn) as around:
            decision = await self._settled(channel, turn, past)
            if decision is None:
                with around.current():
                    decision = await decided(request, waiting, self._router, channel.table)
                if channel.supervised and not turn.agent:
                    decision = decision.but(reason=f"{decision.reason}; {ALONE}")
            tracing.decided(around, decision)
        if decision.stage != HUMAN:  # nothing was decided: the conversation is with people
            self.metrics.decided(turn, decision, time.perf_counter() - began)
        inputs = self.log.settings.inputs_of(channel.routing.metadata.settings)
        return Trail(turn, request, decision, inputs, waiting, began, at)

    async def _settled(self, channel: ChannelTable, turn: Turn, past: Past) -> Decision | None:
        """The decision that takes no router: people have the conversation, or a model plans."""
        if held := await self.humans.holding(turn, past.notes):
            return held_decision(held)
        if channel.supervised and not turn.agent:
            return await self._planner.decision()
        return None


def _check_owner(turn: Turn, past: Past) -> None:
    """A conversation belongs to the first user who was known in it: for others it is not there,
    whoever knows its id. Until then it is with who knows the id.
    """
    if past.users and turn.user.id not in past.users:
        raise errors.NotFound(f"this user has no conversation {turn.conversation_id!r}")
