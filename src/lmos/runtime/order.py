"""The turns of one conversation, one after the other in the order in which they came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from lmos.model import errors

#: Turns of one conversation that may wait for their predecessors.
MAX_WAITING = 8


class Lines:
    """A line for each conversation that has a turn running; nothing is kept of the others."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def turn(self, key: str, deadline: datetime) -> AsyncIterator[None]:
        """The conversation to itself, once those that came before are done. `Overloaded` when the
        line is full, `DeadlineExceeded` when the deadline passes in it.
        """
        line = self._lines.setdefault(key, _Line())
        if line.length > MAX_WAITING:
            raise errors.Overloaded(
                f"{MAX_WAITING} turns of this conversation are waiting already", retry_after=2
            )
        line.length += 1
        try:
            await line.enter(deadline)
            try:
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
            raise errors.DeadlineExceeded(
                "the time of the turn is up while earlier turns of its conversation are answered"
            ) from None
