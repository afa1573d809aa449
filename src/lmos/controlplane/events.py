"""What happens on the platform, for people: a bounded log of transitions that can be followed."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Literal

from lmos.model import Model

KEPT = 500


class Event(Model):
    """A transition. `reason` is in CamelCase; `object` names what it is about."""

    number: int
    time: datetime
    type: Literal["Normal", "Warning"] = "Normal"
    reason: str
    object: str = ""
    message: str


class EventLog:
    """Keeps the last events and tells those who follow. Recording never waits and never fails."""

    def __init__(self, *, kept: int = KEPT, now: Callable[[], datetime] | None = None) -> None:
        self._events: deque[Event] = deque(maxlen=kept)
        self._now = now or (lambda: datetime.now(UTC))
        self._count = 0
        self._new = asyncio.Event()

    def record(
        self, reason: str, message: str, *, object: str = "", warning: bool = False
    ) -> Event:
        """Adds an event that happens now."""
        self._count += 1
        event = Event(
            number=self._count,
            time=self._now(),
            type="Warning" if warning else "Normal",
            reason=reason,
            object=object,
            message=message,
        )
        self._events.append(event)
        told, self._new = self._new, asyncio.Event()
        told.set()
        return event

    def recent(self, count: int = KEPT) -> list[Event]:
        """The last events, oldest first."""
        return list(self._events)[-count:]

    async def subscribe(self, after: int | None = None) -> AsyncIterator[Event]:
        """Every event after the number `after`, by default those from now on. A follower who is too
        slow misses what has left the log.
        """
        seen = self._count if after is None else after
        while True:
            new = self._new
            for event in [e for e in self._events if e.number > seen]:
                seen = event.number
                yield event
            await new.wait()
