"""Long work on the event loop in short pieces.

A thread that runs Python keeps the loop waiting for 5 ms at a time, once for every array that a
decision works on. Python in pieces of a millisecond on the loop itself keeps nobody longer than
that, so tables are built that way; only what numpy does goes to a thread.
"""

import asyncio
import time

#: Seconds that work goes on for before others have their turn.
PIECE = 0.001


class Breath:
    """Awaited in a loop, it lets others work when it is time to."""

    def __init__(self, piece: float = PIECE) -> None:
        self._piece = piece
        self._since = time.perf_counter()

    @property
    def due(self) -> bool:
        """Whether it is time to."""
        return time.perf_counter() - self._since > self._piece

    async def taken(self) -> None:
        """Lets everything that waits for the loop go first."""
        await asyncio.sleep(0)
        self._since = time.perf_counter()
