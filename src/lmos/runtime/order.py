"""The turns of one conversation, one after the other in the order in which they came.

Within a process a line for each conversation keeps the order. Where several processes share
conversations, the first of the line also takes a lease on the conversation in their state, so that
a turn in another process waits for it too. A lease is kept up while its turn runs; that of a
process which ended without a word runs out by itself.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from lmos.model import State, Turn, errors
from lmos.protocols.answering import remaining
from lmos.state.keys import conversation_of

log = logging.getLogger("lmos.runtime")

#: Turns of one conversation that may wait for their predecessors.
MAX_WAITING = 8
#: Seconds after which the lease of a process that has ended runs out.
LEASE = 10.0
#: Seconds between two looks whether another process is done, at first and at most.
_FIRST_LOOK, _LAST_LOOK = 0.01, 0.2


class Lines:
    """A line for each conversation that has a turn running; nothing is kept of the others.
    `shared` is the state in which processes share conversations, None when this one is alone.
    """

    def __init__(self, shared: State | None = None, lease: float = LEASE) -> None:
        self._lines: dict[str, _Line] = {}
        self._shared = shared
        self._lease = lease

    @asynccontextmanager
    async def turn(self, turn: Turn, deadline: datetime) -> AsyncIterator[None]:
        """The conversation to itself, once those that came before are done. `Overloaded` when the
        line is full, `DeadlineExceeded` when the deadline passes in it.
        """
        key = conversation_of(turn, "turn")
        line = self._lines.setdefault(key, _Line())
        if line.length > MAX_WAITING:
            raise errors.Overloaded(
                f"{MAX_WAITING} turns of this conversation are waiting already", retry_after=2
            )
        line.length += 1
        try:
            await line.enter(deadline)
            try:
                if self._shared is None:
                    yield
                else:
                    async with _Lease(self._shared, key, self._lease).held(deadline):
                        yield
            finally:
                line.lock.release()
        finally:
            line.length -= 1
            if not line.length:
                self._lines.pop(key, None)


class _Line:
    """The lock lets the turns through in the order they came; `length` counts the running one."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.length = 0

    async def enter(self, deadline: datetime) -> None:
        if not self.lock.locked():
            await self.lock.acquire()
            return
        try:
            async with asyncio.timeout((deadline - datetime.now(UTC)).total_seconds()):
                await self.lock.acquire()
        except TimeoutError:
            raise _late() from None


class _Lease:
    """A conversation's lease: a key that is there while a turn runs, and expires unless renewed."""

    def __init__(self, state: State, key: str, seconds: float) -> None:
        self._state = state
        self._key = key
        self._seconds = seconds
        self._version = 0
        self._ends = 0.0
        self._renewing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def held(self, deadline: datetime) -> AsyncIterator[None]:
        """The lease, once nobody else has it."""
        await self._take(deadline)
        timer = asyncio.get_running_loop().call_later(self._seconds / 3, self._begin_renewing)
        try:
            yield
        finally:
            timer.cancel()
            await self._give_back()

    async def _take(self, deadline: datetime) -> None:
        pause = _FIRST_LOOK
        while not await self._put():
            if remaining(deadline) <= pause:
                raise _late()
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, _LAST_LOOK)

    async def _put(self) -> bool:
        ends = time.monotonic() + self._seconds
        try:
            self._version = await self._state.put(
                self._key, 1, version=self._version, ttl=self._seconds
            )
        except errors.Conflict:
            return False
        self._ends = ends
        return True

    @property
    def _lost(self) -> bool:
        """Whether it has run out, so that the key may be somebody else's."""
        return time.monotonic() >= self._ends

    def _begin_renewing(self) -> None:
        self._renewing = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        while not self._lost:
            try:
                await self._put()
            except errors.StateUnavailable as error:
                log.warning("the lease of %s could not be renewed: %s", self._key, error)
            await asyncio.sleep(self._seconds / 3)
        log.warning("the lease of %s has run out while its turn runs", self._key)

    async def _give_back(self) -> None:
        if self._renewing:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        if self._lost:
            return
        try:
            await self._state.delete(self._key)
        except errors.StateUnavailable as error:
            log.warning("the lease of %s was not given back and runs out: %s", self._key, error)


def _late() -> errors.DeadlineExceeded:
    return errors.DeadlineExceeded(
        "the time of the turn is up while earlier turns of its conversation are answered"
    )
