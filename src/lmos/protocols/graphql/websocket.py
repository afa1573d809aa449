"""The sub-protocol graphql-transport-ws, as its clients and those of ARC use it.

ARC's own client names no sub-protocol and knows none of the protocol's pings; so a missing name is
taken for graphql-transport-ws, and whether a client is still there is found out by the WebSocket's
control frames alone.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from lmos.model.errors import LmosError, Overloaded
from lmos.protocols import http
from lmos.protocols.graphql.execution import Caller, Service, errors_of
from lmos.protocols.graphql.reading import operation_of
from lmos.protocols.text import json_text

log = logging.getLogger(__name__)

SUBPROTOCOL = "graphql-transport-ws"
#: Why a connection is closed, in the numbers of the protocol.
BAD_MESSAGE, UNAUTHORIZED, BAD_PROTOCOL = 4400, 4401, 4406
INIT_LATE, TAKEN, INIT_TWICE, TOO_BIG = 4408, 4409, 4429, 1009


class _Closed(Exception):
    """The connection is to be closed, or is."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


async def serve(socket: WebSocket, service: Service, caller: Caller) -> None:
    """Serves one connection until it is closed; every operation of it ends with it."""
    offered = socket.scope.get("subprotocols") or []
    await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    connection = _Connection(socket, service, caller)
    try:
        if offered and SUBPROTOCOL not in offered:
            raise _Closed(BAD_PROTOCOL, "Subprotocol not acceptable")
        await connection.listen()
    except _Closed as closed:
        if socket.application_state is WebSocketState.CONNECTED:
            await socket.close(closed.code, closed.reason)
    except WebSocketDisconnect:
        pass
    finally:
        await connection.end()


class _Connection:
    def __init__(self, socket: WebSocket, service: Service, caller: Caller) -> None:
        self._socket, self._service, self._caller = socket, service, caller
        self._ready = False
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Takes messages until the client leaves. Raises `_Closed` at what is not allowed."""
        try:
            async with asyncio.timeout(self._service.limits.init_seconds):
                while not self._ready:
                    await self._take(await self._message())
        except TimeoutError:
            raise _Closed(INIT_LATE, "Connection initialisation timeout") from None
        while True:
            await self._take(await self._message())

    async def end(self) -> None:
        """Ends every operation."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _message(self) -> dict[str, Any]:
        received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1005))
        text = received.get("text")
        if text is None:
            raise _Closed(BAD_MESSAGE, "Invalid message received: text is expected")
        if len(text) > http.BODY_LIMIT:
            raise _Closed(TOO_BIG, "Message too big")
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise _Closed(BAD_MESSAGE, "Invalid message received: not JSON") from None
        if not isinstance(found, dict):
            raise _Closed(BAD_MESSAGE, "Invalid message received: not an object")
        return found

    async def _take(self, message: Mapping[str, Any]) -> None:
        match message.get("type"):
            case "connection_init":
                if self._ready:
                    raise _Closed(INIT_TWICE, "Too many initialisation requests")
                self._ready = True
                await self._send({"type": "connection_ack"})
            case "ping":
                await self._send({"type": "pong"})
            case "pong":
                pass
            case "subscribe":
                await self._subscribe(message)
            case "complete":
                if task := self._running.pop(str(message.get("id")), None):
                    task.cancel()
            case other:
                raise _Closed(BAD_MESSAGE, f"Invalid message received: type {str(other)[:40]!r}")

    async def _subscribe(self, message: Mapping[str, Any]) -> None:
        if not self._ready:
            raise _Closed(UNAUTHORIZED, "Unauthorized")
        id_ = message.get("id")
        if not isinstance(id_, str) or not 0 < len(id_) <= 256:
            raise _Closed(BAD_MESSAGE, "Invalid message received: id must be text")
        if id_ in self._running:
            raise _Closed(TAKEN, "Subscriber for this id already exists")
        if len(self._running) >= self._service.limits.subscriptions:
            many = Overloaded(f"{len(self._running)} operations run on this connection already")
            await self._send({"type": "error", "id": id_, "payload": errors_of(many)})
            return
        task = asyncio.create_task(self._operate(id_, message.get("payload")))
        self._running[id_] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _operate(self, id_: str, payload: Any) -> None:
        """Runs an operation to its end, unless the client ends it before."""
        try:
            last = await self._results(id_, payload)
            # The id is free again before the client can know that it is.
            self._running.pop(id_, None)
            await self._send(last)
        except WebSocketDisconnect:
            pass

    async def _results(self, id_: str, payload: Any) -> dict[str, Any]:
        """Sends the results; the message that ends the operation."""
        try:
            prepared = self._service.prepare(operation_of(payload))
            async with aclosing(self._service.stream(prepared, self._caller)) as results:
                async for found in results:
                    await self._send({"type": "next", "id": id_, "payload": found})
        except LmosError as error:
            return {"type": "error", "id": id_, "payload": errors_of(error)}
        except WebSocketDisconnect:
            raise
        except Exception as error:
            log.exception("a GraphQL operation failed")
            return {"type": "error", "id": id_, "payload": errors_of(error)}
        return {"type": "complete", "id": id_}

    async def _send(self, message: Mapping[str, Any]) -> None:
        if self._socket.application_state is not WebSocketState.CONNECTED:
            raise WebSocketDisconnect(1006)
        await self._socket.send_text(json_text(message))
