"""What happens in turns, for whoever subscribes to `events`."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

from lmos.model import Responder, Turn, TurnEvent
from lmos.protocols.graphql.naming import AgentEvent, Naming

#: Events that wait for one subscriber; a slower one misses the oldest.
WAITING = 1000


class Feed:
    """Hands events to every subscriber, whoever the turn belongs to: what to watch, and who may
    reach the endpoint, is the server's choice. Nothing is kept for those who come later.
    """

    def __init__(self, waiting: int = WAITING) -> None:
        self._waiting = waiting
        self._subscribers: set[_Subscriber] = set()

    @property
    def listeners(self) -> int:
        """How many subscribe at the moment."""
        return len(self._subscribers)

    def publish(self, event: AgentEvent) -> None:
        """Tells every subscriber; never waits."""
        for subscriber in self._subscribers:
            subscriber.add(event)

    async def events(self) -> AsyncGenerator[AgentEvent, None]:
        """What happens from now on, without end."""
        subscriber = _Subscriber(self._waiting)
        self._subscribers.add(subscriber)
        try:
            while True:
                yield await subscriber.next()
        finally:
            self._subscribers.discard(subscriber)

    def watched(self, responder: Responder) -> Responder:
        """The same responder, whose turns are told here."""

        async def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
            naming = Naming(turn, time.time())
            async with aclosing(responder(turn)) as events:
                async for event in events:
                    if self._subscribers:
                        for named in naming.of(event, time.time()):
                            self.publish(named)
                    yield event

        return respond


class _Subscriber:
    def __init__(self, waiting: int) -> None:
        self._waiting: deque[AgentEvent] = deque(maxlen=waiting)
        self._arrived = asyncio.Event()

    def add(self, event: AgentEvent) -> None:
        self._waiting.append(event)
        self._arrived.set()

    async def next(self) -> AgentEvent:
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()
