"""Sparing agents that fail, and everybody else the wait for them.

    closed --failures--> open --cool-down--> half-open --one turn answered--> closed
                          ^                      |
                          +---- that one fails --+

A `Breaker` judges an agent by its last turns and says whether it is asked; a `Bulkhead` bounds how
many turns are at it, so that a slow agent does not take all there is. `Breakers` keeps both for
each agent of each tenant for as long as it is of use.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from lmos.model import errors

#: Seconds on a clock that never goes back.
Clock = Callable[[], float]

BreakerState = Literal["closed", "open", "half-open"]

#: Who is asked: tenant, agent, URL. An agent that moves begins anew.
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Limits:
    """When an agent is no longer asked: after `in_a_row` failures, or when `share` of the last
    `window` turns failed. `cool_down` is the seconds until it is tried again, `running` the turns
    that may be at it at once, `forget` the seconds after which an unused agent's past is dropped.
    """

    in_a_row: int = 5
    share: float = 0.5
    window: int = 20
    cool_down: float = 30.0
    running: int = 200
    forget: float = 600.0


class Breaker:
    """Whether an agent is asked, by how its last turns went."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self.reason = ""
        self.since = self.until = 0.0
        self._limits = limits
        self._clock = clock
        self._failed: deque[bool] = deque(maxlen=limits.window)
        self._row = 0
        self._open = self._trying = False
        self._era = 0

    @property
    def state(self) -> BreakerState:
        """Where it stands now."""
        if not self._open:
            return "closed"
        return "half-open" if self._clock() >= self.until else "open"

    def begin(self) -> int | None:
        """Lets a turn through, or not: None. What is given tells the turn's era, for its end."""
        state = self.state
        if state == "open" or self._trying:
            return None
        if state == "half-open":
            self._trying = True
            self._era += 1
        return self._era

    def succeeded(self, era: int) -> None:
        """The agent answered the turn."""
        if era != self._era:
            return
        if self._open:
            self._close()
        self._note(failed=False)

    def failed(self, era: int, reason: str) -> None:
        """The agent failed the turn."""
        if era != self._era:
            return
        if not self._open:
            self._note(failed=True)
            if not self._too_many():
                return
            self.since = self._clock()
        self._trip(reason)

    def left(self, era: int) -> None:
        """The turn ended without telling anything about the agent."""
        if era == self._era:
            self._trying = False

    # --- inside -----------------------------------------------------------------------------------

    def _note(self, *, failed: bool) -> None:
        self._failed.append(failed)
        self._row = self._row + 1 if failed else 0

    def _too_many(self) -> bool:
        limits = self._limits
        full = len(self._failed) == limits.window
        return self._row >= limits.in_a_row or (
            full and sum(self._failed) >= limits.share * limits.window
        )

    def _trip(self, reason: str) -> None:
        self._open, self._trying = True, False
        self._era += 1  # turns that began before tell of the past
        self.until = self._clock() + self._limits.cool_down
        self.reason = reason

    def _close(self) -> None:
        self._open = self._trying = False
        self._failed.clear()
        self._row = 0


class Bulkhead:
    """How many turns are at an agent, and how many may be."""

    def __init__(self, most: int) -> None:
        self.running = 0
        self._most = most

    def enter(self, agent: str) -> None:
        """Counts a turn in. `Overloaded` when there is no room."""
        if self.running >= self._most:
            raise errors.Overloaded(
                f"agent {agent} has {self.running} turns to answer and takes no more; ask again"
            )
        self.running += 1

    def leave(self) -> None:
        """Counts a turn out."""
        self.running -= 1


@dataclass(slots=True)
class Admission:
    """A turn at an agent. The first of `succeeded` and `failed` is what it tells of the agent."""

    _breaker: Breaker
    _era: int
    told: bool = False

    def succeeded(self) -> None:
        """The agent answered."""
        if not self.told:
            self._breaker.succeeded(self._era)
        self.told = True

    def failed(self, reason: str) -> None:
        """The agent failed, and why."""
        if not self.told:
            self._breaker.failed(self._era, reason)
        self.told = True

    def over(self) -> None:
        """The turn is over; when nothing was told, it tells nothing."""
        if not self.told:
            self._breaker.left(self._era)
        self.told = True


@dataclass(slots=True)
class _Guard:
    breaker: Breaker
    bulkhead: Bulkhead
    used: float = field(default=0.0)


class Breakers:
    """A breaker and a bulkhead for each agent that is asked."""

    def __init__(self, limits: Limits | None = None, clock: Clock = time.monotonic) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._guards: OrderedDict[Key, _Guard] = OrderedDict()

    def __len__(self) -> int:
        """Agents that something is kept of."""
        return len(self._guards)

    @contextmanager
    def admitted(self, tenant: str, agent: str, url: str) -> Iterator[Admission]:
        """A turn at the agent. `AgentUnavailable` when it is not asked now, `Overloaded` when it
        has too many turns already; both with `retry_after` in their details.
        """
        guard = self._guard((tenant, agent, url))
        guard.bulkhead.enter(agent)
        try:
            era = guard.breaker.begin()
            if era is None:
                raise self._refusal(agent, guard.breaker)
            admission = Admission(guard.breaker, era)
            try:
                yield admission
            finally:
                admission.over()
        finally:
            guard.bulkhead.leave()

    def _guard(self, key: Key) -> _Guard:
        self._forget()
        guard = self._guards.get(key)
        if guard is None:
            breaker = Breaker(self._limits, self._clock)
            guard = self._guards[key] = _Guard(breaker, Bulkhead(self._limits.running))
        self._touch(key, guard)
        return guard

    def _touch(self, key: Key, guard: _Guard) -> None:
        guard.used = self._clock()
        self._guards.move_to_end(key)

    def _forget(self) -> None:
        """Drops those that were used last too long ago; those with turns at them are in use."""
        before = self._clock() - max(self._limits.forget, self._limits.cool_down)
        while self._guards:
            key, guard = next(iter(self._guards.items()))
            if guard.used > before:
                return
            if guard.bulkhead.running:
                self._touch(key, guard)
            else:
                del self._guards[key]

    def _refusal(self, agent: str, breaker: Breaker) -> errors.AgentUnavailable:
        clock, now = self._clock(), datetime.now(UTC)
        since = (now - timedelta(seconds=clock - breaker.since)).isoformat(timespec="seconds")
        wait = max(breaker.until - clock, 1.0)
        until = (now + timedelta(seconds=wait)).isoformat(timespec="seconds")
        return errors.AgentUnavailable(
            f"agent {agent} has failed too often since {since} and is not asked until {until}; "
            f"at last: {breaker.reason}",
            retry_after=round(wait, 3),
            since=since,
            until=until,
        )
