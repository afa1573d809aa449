"""Writing the log behind the turns."""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import groupby

from lmos.model import errors
from lmos.runtime.decisions.keeping import Log
from lmos.runtime.decisions.trail import Trail

log = logging.getLogger("lmos.runtime")

#: Turns that may wait to be written; those that come when there are so many are not logged.
LIMIT = 10_000
#: Turns written with one entry of the index, at most.
BATCH = 100
#: Records written at the same time: one after the other they fall behind turns that come at once.
TOGETHER = 50
#: Seconds after which a state that was away is tried again.
RETRY = 1.0

Write = Callable[[], Awaitable[None]]


class Recorder:
    """Takes the trails of turns that have ended and writes them, whenever the state lets it. `lost`
    counts turns that were not logged, because too many waited or they could not be written.
    """

    def __init__(self, log: Log, *, limit: int = LIMIT) -> None:
        self.lost = 0
        self._log = log
        self._limit = limit
        self._waiting: deque[Trail] = deque()
        self._batch: list[Trail] = []
        self._shadowed: set[Trail] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, trail: Trail) -> None:
        """Writes the turn soon; when its shadow has decided, where it has one. Never waits."""
        if len(self._waiting) + len(self._shadowed) >= self._limit:
            self.lost += 1
        elif trail.shadow is None or trail.shadow.done():
            self._put(trail)
        else:
            self._shadowed.add(trail)
            trail.shadow.add_done_callback(lambda _: self._put(trail))

    @property
    def waiting(self) -> int:
        """Turns that are not written yet."""
        return len(self._waiting) + len(self._batch) + len(self._shadowed)

    async def written(self) -> None:
        """Returns when the turns that have ended are written, those with shadows that still decide
        excepted.
        """
        if self._task:
            await asyncio.shield(self._task)

    async def close(self, patience: float) -> None:
        """Writes what waits, for as many seconds at most; what is left is lost."""
        try:
            async with asyncio.timeout(patience):
                while self._shadowed or self._task:
                    shadows = [t.shadow for t in self._shadowed if t.shadow]
                    await asyncio.gather(*shadows, return_exceptions=True)
                    await self.written()
        except TimeoutError:
            for trail in self._shadowed:
                if trail.shadow:
                    trail.shadow.cancel()
            self.lost += self.waiting
            log.warning("%d turns were not logged: the state did not take them", self.waiting)
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _put(self, trail: Trail) -> None:
        self._shadowed.discard(trail)
        self._waiting.append(trail)
        if self._task is None:
            self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._waiting:
                self._batch = [self._waiting.popleft() for _ in range(self._next_size())]
                for trails in _by_tenant(self._batch):
                    await self._write_all(trails)
                self._batch = []
        finally:
            self._task = None

    def _next_size(self) -> int:
        return min(BATCH, len(self._waiting))

    async def _write_all(self, trails: list[Trail]) -> None:
        """Writes turns of one tenant, the index first: an entry that leads nowhere does no harm."""
        name = secrets.token_hex(4)
        await self._until_done(partial(self._log.index, name, trails), len(trails))
        for first in range(0, len(trails), TOGETHER):
            some = trails[first : first + TOGETHER]
            appends = (self._until_done(partial(self._log.append, trail), 1) for trail in some)
            await asyncio.gather(*appends)
        await self._until_done(partial(self._log.withdraw, trails), 0)

    async def _until_done(self, write: Write, turns: int) -> None:
        """Writes when the state can be used; what it refuses is lost."""
        while True:
            try:
                return await write()
            except errors.StateUnavailable as error:
                log.warning("the decision log waits: %s", error)
                await asyncio.sleep(RETRY)
            except Exception:
                self.lost += turns
                log.exception("the decision log could not be written; %d turns are lost", turns)
                return None


def _by_tenant(trails: list[Trail]) -> Iterator[list[Trail]]:
    ordered = sorted(trails, key=lambda trail: trail.turn.tenant)
    for _, found in groupby(ordered, key=lambda trail: trail.turn.tenant):
        yield list(found)
