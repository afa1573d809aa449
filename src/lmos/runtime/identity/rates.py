"""How many turns a tenant and each of its users may ask for: token buckets.

A bucket holds `burst` turns and is filled again by so many a second. What does not fit is refused
with the time after which it will.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from lmos.model import TurnLimits
from lmos.model.errors import Overloaded

#: Buckets kept; the one that was used longest ago goes first, and is full again by then.
BUCKETS = 100_000


@dataclass(slots=True)
class Bucket:
    """How many turns there were left, and when (in seconds)."""

    left: float
    at: float

    def wait(self, now: float, rate: float, burst: int) -> float:
        """Seconds until there is a turn left, 0 when there is one now."""
        self.left = min(burst, self.left + (now - self.at) * rate)
        self.at = now
        # a rounding error must not make somebody wait who has waited long enough
        return 0.0 if self.left >= 1 - 1e-9 else (1 - self.left) / rate


class Rates:
    """Holds turns against `limits` of their tenant."""

    def __init__(
        self,
        limits: Callable[[str], TurnLimits],
        *,
        clock: Callable[[], float] = time.monotonic,
        buckets: int = BUCKETS,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._most = buckets
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    def take(self, tenant: str, user: str) -> None:
        """Counts a turn. `Overloaded` where the tenant or its user has had enough; then nothing is
        counted. Users that are not known are told apart by nothing, so they have no limit but
        their tenant's.
        """
        limits, now = self._limits(tenant), self._clock()
        taken = []
        for rate, burst, whose in (
            (limits.user_turns_per_second if user else None, limits.user_burst, user),
            (limits.turns_per_second, limits.burst, ""),
        ):
            if rate is None:
                continue
            bucket = self._bucket((tenant, whose), now, burst)
            if wait := bucket.wait(now, rate, burst):
                raise Overloaded(_told(tenant, whose, rate), retry_after=wait)
            taken.append(bucket)
        for bucket in taken:
            bucket.left -= 1

    def _bucket(self, key: tuple[str, str], now: float, burst: int) -> Bucket:
        found = self._buckets.get(key)
        if found is None:
            found = self._buckets[key] = Bucket(burst, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return found


def _told(tenant: str, user: str, rate: float) -> str:
    who = f"this user of tenant {tenant}" if user else f"tenant {tenant}"
    return f"{who} may ask for {rate:g} turns a second and has asked for more; come back later"
