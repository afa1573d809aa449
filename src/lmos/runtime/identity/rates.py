"""How many turns a tenant and each of its users may ask for: token buckets.

A bucket holds `burst` turns and is filled again by so many a second. What does not fit is refused
with the time after which it will. `Rates` counts in this process; `SharedRates` counts for all that
share a state, which costs a look there for a few turns at a time.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lmos.model import State, TurnLimits
from lmos.model.errors import Conflict, LmosError, Overloaded, StateUnavailable
from lmos.state.keys import key
from lmos.state.updating import update

#: Buckets kept; the one that was used longest ago goes first, and is full again by then.
BUCKETS = 100_000
#: Seconds' worth of turns that a process takes at a time, for which it may keep them, and that
#: a bucket outlives its being full.
LEASE, HELD, SLACK = 0.2, 1.0, 60.0
#: Seconds for which a state that cannot be used is not asked again.
AWAY = 5.0


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


@dataclass(frozen=True, slots=True)
class Limit:
    """So many turns a second of a tenant (no user) or of one of its users."""

    key: tuple[str, str]
    rate: float
    burst: int

    def exceeded(self, wait: float) -> Overloaded:
        """What who asks for more is told."""
        tenant, user = self.key
        who = f"this user of tenant {tenant}" if user else f"tenant {tenant}"
        text = f"{who} may ask for {self.rate:g} turns a second and has asked for more"
        return Overloaded(f"{text}; come back later", retry_after=wait)


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

    async def take(self, tenant: str, user: str) -> None:
        """Counts a turn. `Overloaded` where the tenant or its user has had enough; then nothing is
        counted. Users that are not known are told apart by nothing, so they have no limit but
        their tenant's.
        """
        taken = []
        for limit in _limits(self._limits(tenant), tenant, user):
            now = self._clock()
            bucket = self._bucket(limit, now)
            if wait := bucket.wait(now, limit.rate, limit.burst):
                raise limit.exceeded(wait)
            taken.append(bucket)
        for bucket in taken:
            bucket.left -= 1

    def _bucket(self, limit: Limit, now: float) -> Bucket:
        found = self._buckets.get(limit.key)
        if found is None:
            found = self._buckets[limit.key] = Bucket(limit.burst, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(limit.key)
        return found


@dataclass(slots=True)
class Held:
    """Turns taken out of a shared bucket and not yet spent, until when (in seconds) they count."""

    left: int = 0
    until: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class SharedRates:
    """As `Rates`, for all processes with the state: each takes some turns at a time out of the
    buckets there. Where the state cannot be used each counts for itself.
    """

    def __init__(
        self,
        limits: Callable[[str], TurnLimits],
        state: State,
        *,
        clock: Callable[[], float] = time.time,
        buckets: int = BUCKETS,
    ) -> None:
        self._limits = limits
        self._state = state
        self._clock = clock
        self._most = buckets
        self._held: OrderedDict[tuple[str, str], Held] = OrderedDict()
        self._alone = Rates(limits)
        self._away_until = 0.0

    async def take(self, tenant: str, user: str) -> None:
        """Counts a turn, or raises `Overloaded`."""
        if self._clock() < self._away_until:
            await self._alone.take(tenant, user)
            return
        spent = []
        try:
            for limit in _limits(self._limits(tenant), tenant, user):
                held = self._holding(limit)
                async with held.lock:
                    if held.left < 1 or held.until < self._clock():
                        held.left = await self._lease(limit)
                        held.until = self._clock() + HELD
                    held.left -= 1
                    spent.append(held)
        except LmosError as error:
            for held in spent:
                held.left += 1
            if not isinstance(error, StateUnavailable | Conflict):
                raise
            self._away_until = self._clock() + AWAY
            await self._alone.take(tenant, user)

    def _holding(self, limit: Limit) -> Held:
        found = self._held.setdefault(limit.key, Held())
        self._held.move_to_end(limit.key)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return found

    async def _lease(self, limit: Limit) -> int:
        """Takes turns out of the shared bucket: those of `LEASE` seconds, one at least."""
        wait, leased = 0.0, 0

        def change(value: Any) -> tuple[Any, float] | None:
            nonlocal wait, leased
            now = self._clock()
            bucket = Bucket(*value) if value else Bucket(limit.burst, now)
            wait = bucket.wait(max(now, bucket.at), limit.rate, limit.burst)
            if wait:
                return None
            leased = max(1, min(int(bucket.left), int(limit.rate * LEASE)))
            return [bucket.left - leased, bucket.at], limit.burst / limit.rate + SLACK

        name = key("rate", *limit.key)
        await update(self._state, name, change, "the count of turns")
        if wait:
            raise limit.exceeded(wait)
        return leased


def _limits(limits: TurnLimits, tenant: str, user: str) -> list[Limit]:
    """The user's first: who has had enough must not use up the tenant's."""
    found = []
    if user and limits.user_turns_per_second is not None:
        found.append(Limit((tenant, user), limits.user_turns_per_second, limits.user_burst))
    if limits.turns_per_second is not None:
        found.append(Limit((tenant, ""), limits.turns_per_second, limits.burst))
    return found
