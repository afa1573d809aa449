"""Messages kept for clients whose stream was cut or let go, so that they can come back for them."""

from collections import OrderedDict

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp_types import JSONRPCMessage


class KeptEvents(EventStore):
    """The last messages of all streams, up to a number and a size in bytes; then the oldest go.

    What is asked for by an id that is no longer kept cannot be told again.
    """

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit, self._limit_bytes = limit, limit_bytes
        self._events: OrderedDict[str, tuple[str, JSONRPCMessage | None, int]] = OrderedDict()
        self._size = 0
        self._count = 0

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keeps the message; its id."""
        self._count += 1
        id_, size = str(self._count), 0 if message is None else len(message.model_dump_json())
        self._events[id_] = (stream_id, message, size)
        self._size += size
        while len(self._events) > self._limit or self._size > self._limit_bytes:
            _, (_, _, gone) = self._events.popitem(last=False)
            self._size -= gone
        return id_

    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        """Sends what came after the id in its stream; the stream, None when the id is not kept."""
        if last_event_id not in self._events:
            return None
        stream = self._events[last_event_id][0]
        later = [
            (id_, message)
            for id_, (of, message, _) in self._events.items()
            if of == stream and int(id_) > int(last_event_id)
        ]
        for id_, message in later:
            if message is not None:
                await send_callback(EventMessage(message, id_))
        return stream
