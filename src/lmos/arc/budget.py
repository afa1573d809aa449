"""How many turns may begin."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from lmos.model import errors


class RateLimit:
    """At most `count` beginnings in any `per` seconds, in this process.

        searches = RateLimit(5, per=10)
        await searches.acquire(timeout=2)

    `timeout` is how long (seconds) a beginning waits for its place. As `Agent(limit=...)` it counts
    turns; one that finds no place ends with the `fallback` text, or as `Overloaded`.
    """

    def __init__(
        self,
        count: int,
        *,
        per: float,
        timeout: float = 30.0,
        fallback: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if count < 1 or per <= 0:
            raise errors.InvalidInput(f"a rate limit of {count} in {per} s lets nothing through")
        self.timeout = timeout
        self.fallback = fallback
        self._count = count
        self._per = per
        self._clock = clock
        self._begun: deque[float] = deque(maxlen=count)

    async def acquire(self, timeout: float | None = None) -> None:
        """Takes a place, waiting for it up to `timeout` seconds. `Overloaded` tells when to come
        again.
        """
        now = self._clock()
        wait = 0.0
        if len(self._begun) == self._count:
            wait = max(0.0, self._begun[0] + self._per - now)
        if wait > (self.timeout if timeout is None else timeout):
            text = f"more than {self._count} in {self._per:g} s; come back in {wait:.0f} s"
            raise errors.Overloaded(text, retry_after=wait)
        # The place is taken before waiting for it, so that nobody overtakes.
        self._begun.append(now + wait)
        if wait:
            await asyncio.sleep(wait)
