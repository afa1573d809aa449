"""The turns of one conversation, one after the other in the order in which they came.

Within a process a line for each conversation keeps the order. Where several processes share
conversations, the first of the line also takes a lease on the conversation, so that a turn in
another process waits for it too.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from lmos.model import Turn, errors
from lmos.protocols.answering import remaining
from lmos.state.keys import conversation_of
from lmos.state.leases import GiveBack, Leases

#: Turns of one conversation that may wait for their predecessors.
MAX_WAITING = 8
#: Seconds between two looks whether another process is done, at first and at most.
_FIRST_LOOK, _LAST_LOOK = 0.005, 0.2


class Lines:
    """A line for each conversation that has a turn running; nothing is kept of the others.
    `leases` are those of the processes that share conversations, None when this one is alone.
    """

    def __init__(self, leases: Leases | None = None) -> None:
        self._lines: dict[str, _Line] = {}
        self._leases = leases

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
                if self._leases is None:
                    yield
                    return
                give_back = await _taken(self._leases, key, deadline)
                try:
                    yield
                finally:
                    await give_back()
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


async def _taken(leases: Leases, key: str, deadline: datetime) -> GiveBack:
    """The lease, once no other process has it."""
    pause = _FIRST_LOOK
    while (found := await leases.take(key)) is None:
        if remaining(deadline) <= pause:
            raise _late()
        await asyncio.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, _LAST_LOOK)
    return found


def _late() -> errors.DeadlineExceeded:
    return errors.DeadlineExceeded(
        "the time of the turn is up while earlier turns of its conversation are answered"
    )
