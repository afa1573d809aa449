"""What the process's bus tells, for those who subscribe to `events` over GraphQL.

A feed tells of turns what any responder shows. Of agents of this process the bus knows more:
filters, requests to models, memory.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from lmos.arc.observing import Event, bus
from lmos.arc.observing import events as told

if TYPE_CHECKING:
    from lmos.protocols.graphql import Feed

#: What a feed tells by itself.
_ALREADY = (
    told.AgentStartedEvent,
    told.AgentFinishedEvent,
    told.LLMFinishedEvent,
    told.LLMFunctionStartedEvent,
    told.LLMFunctionCalledEvent,
    told.RouterRoutedEvent,
    told.AgentHandOverTriggered,
    told.UseCaseEvent,
)


def forwarding(feed: "Feed") -> Callable[[], AbstractAsyncContextManager[None]]:
    """What must run for the feed to tell of the bus's events too."""

    @asynccontextmanager
    async def running() -> AsyncGenerator[None, None]:
        here = asyncio.get_running_loop()

        def forward(event: Event) -> None:
            if feed.listeners and not isinstance(event, _ALREADY):
                here.call_soon_threadsafe(_publish, feed, event)

        bus.listen(forward)
        try:
            yield
        finally:
            bus.stop(forward)

    return running


def _publish(feed: "Feed", event: Event) -> None:
    from lmos.protocols.graphql import AgentEvent
    from lmos.protocols.text import json_text

    payload = json_text(event.payload(content=True))
    where = event.context
    feed.publish(AgentEvent(event.type, payload, where.get("conversationId"), where.get("turnId")))
