"""How many turns run at once, and what happens to those that are too many.

    a place is free -> the turn runs
    none is         -> it waits in a short queue, a second at most, then it is refused
    the queue full  -> it is refused at once, and told when to come back

Refusing early keeps the turns that were taken as quick as they are without the rest. A tenant that
floods the runtime crowds out itself first: a free place goes to the waiting tenant with the fewest
turns running, and a full queue gives up the newest turn of whoever has most in it.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from lmos.model import Turn, errors
from lmos.protocols.answering import remaining

K = TypeVar("K")

#: Seconds after which those refused are told to come back, at least and at most.
SOONEST, LATEST = 1.0, 30.0
#: How much a turn that ends changes what turns are taken to last.
_WEIGHT = 0.05


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much one process takes on. `turns` may run at once; of those `per_tenant` of one tenant
    and `per_channel` of one channel, 0 for no bound of their own. `waiting` may wait for a place,
    each for `patience` seconds.
    """

    turns: int = 1000
    per_tenant: int = 0
    per_channel: int = 0
    waiting: int = 100
    patience: float = 1.0


class Admission:
    """The places of a process, and the queue for them."""

    def __init__(
        self, capacity: Capacity | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.capacity = capacity or Capacity()
        self.running = 0
        self.refused: Counter[str] = Counter()
        self._clock = clock
        self._tenants: Counter[str] = Counter()
        self._channels: Counter[tuple[str, str]] = Counter()
        self._queue: list[_Waiting] = []
        self._lasts = SOONEST

    @property
    def waiting(self) -> int:
        """Turns in the queue."""
        return len(self._queue)

    @asynccontextmanager
    async def place(self, turn: Turn) -> AsyncIterator[None]:
        """A place for the turn. `Overloaded` when there is none, and none gets free soon enough;
        `DeadlineExceeded` when the turn's time is up before.
        """
        if self._room(turn):
            self._enter(turn)
        else:
            await self._wait(turn)
        began = self._clock()
        try:
            yield
        finally:
            self._lasts += _WEIGHT * (self._clock() - began - self._lasts)
            self._leave(turn)

    # --- places -----------------------------------------------------------------------------------

    def _room(self, turn: Turn) -> bool:
        capacity = self.capacity
        return (
            self.running < capacity.turns
            and _below(self._tenants[turn.tenant], capacity.per_tenant)
            and _below(self._channels[turn.tenant, turn.channel], capacity.per_channel)
        )

    def _enter(self, turn: Turn) -> None:
        self.running += 1
        self._tenants[turn.tenant] += 1
        self._channels[turn.tenant, turn.channel] += 1

    def _leave(self, turn: Turn) -> None:
        self.running -= 1
        _less(self._tenants, turn.tenant)
        _less(self._channels, (turn.tenant, turn.channel))
        self._admit()

    def _admit(self) -> None:
        """Gives free places to those who wait: of the tenants with the fewest turns running the
        first that came.
        """
        while able := [w for w in self._queue if not w.place.done() and self._room(w.turn)]:
            first = min(able, key=lambda w: self._tenants[w.turn.tenant])
            self._queue.remove(first)
            self._enter(first.turn)
            first.place.set_result(True)

    # --- the queue --------------------------------------------------------------------------------

    async def _wait(self, turn: Turn) -> None:
        if len(self._queue) >= self.capacity.waiting:
            self._make_way(turn)
        waiting = _Waiting(turn, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        admitted = False
        try:
            admitted = await self._granted(waiting)
        finally:
            if not admitted:
                self._withdraw(waiting)
        if not admitted:
            raise self._refusal(turn)

    async def _granted(self, waiting: "_Waiting") -> bool:
        """Whether a place gets free for it in time."""
        patience, deadline = self.capacity.patience, waiting.turn.deadline
        left = remaining(deadline) if deadline else math.inf
        try:
            async with asyncio.timeout(min(patience, left)):
                return await waiting.place
        except TimeoutError:
            if left <= patience:
                raise errors.DeadlineExceeded(
                    "the time of the turn is up while it waits for a place"
                ) from None
            return False

    def _withdraw(self, waiting: "_Waiting") -> None:
        """Takes it out of the queue, or gives back the place that it got at the last moment."""
        if waiting in self._queue:
            self._queue.remove(waiting)
        elif not waiting.place.cancelled() and waiting.place.result():
            self._leave(waiting.turn)

    def _make_way(self, turn: Turn) -> None:
        """Refuses the newest of the tenant that has most turns waiting, or else this one."""
        queued = Counter(w.turn.tenant for w in self._queue if not w.place.done())
        most = max(queued, key=queued.__getitem__, default=turn.tenant)
        if queued[most] <= queued[turn.tenant] + 1:
            raise self._refusal(turn)
        newest = next(w for w in reversed(self._queue) if w.turn.tenant == most)
        self._queue.remove(newest)
        newest.place.set_result(False)

    def _refusal(self, turn: Turn) -> errors.Overloaded:
        self.refused[turn.tenant] += 1
        ahead = (len(self._queue) + 1) / max(1, self.capacity.turns)
        wait = min(max(ahead * self._lasts, SOONEST), LATEST)
        return errors.Overloaded(
            f"{self._full(turn)}, which is all that is taken on at once, and {len(self._queue)} "
            f"are waiting; come back in {wait:.0f} s",
            retry_after=round(wait, 3),
        )

    def _full(self, turn: Turn) -> str:
        """What there is no room in."""
        if self.running >= self.capacity.turns:
            return f"{self.running} turns are running"
        tenants = self._tenants[turn.tenant]
        if not _below(tenants, self.capacity.per_tenant):
            return f"{tenants} turns of tenant {turn.tenant} are running"
        count = self._channels[turn.tenant, turn.channel]
        return f"{count} turns of channel {turn.tenant}/{turn.channel} are running"


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A turn in the queue. `place` tells whether it got one."""

    turn: Turn
    place: asyncio.Future[bool]


def _below(count: int, bound: int) -> bool:
    return not bound or count < bound


def _less(counts: Counter[K], key: K) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
