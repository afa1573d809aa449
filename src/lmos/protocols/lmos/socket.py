"""The turns of a conversation over one WebSocket, with their events as they come.

    -> {"type": "turn", "turnId": "t1", "timeout": 30, ... the body of the REST API}
    <- {"type": "started", "turnId": "t1", ...}, ..., {"type": "done", "turnId": "t1", ...}
    -> {"type": "cancel", "turnId": "t1"}

Turns are answered one after the other, in the order in which they came; each ends with one of
`done`, `input_required`, `handover` and `error`. A frame that is wrong is answered with an `error`
and costs nothing else. A client that reads slowly slows its agent down, and one that leaves ends
its turns. Credentials come with the handshake; once a token has run out no turn is taken any more.
"""

import asyncio
import time
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

import orjson
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from lmos.model import STABLE, Failed, Model, Responder, Turn, TurnEvent, errors
from lmos.protocols import http, limits
from lmos.protocols.answering import Stop, answered
from lmos.protocols.auth import CALLER
from lmos.protocols.lmos import codec

PATH = "/apis/v1/{tenant}/chat/{conversation}/ws"
#: What clients that name a sub-protocol must name, as browsers with a token do.
SUBPROTOCOL = "lmos.turns.v1"
#: Turns of a connection that may wait for the one that runs.
WAITING = 8


class Frame(Model):
    """What a client sends, a turn's body apart. `timeout` is in seconds."""

    type: Literal["turn", "cancel"]
    turn_id: str = ""
    timeout: float | None = None
    subset: str = ""


@dataclass(slots=True, eq=False)
class _Asked:
    """A turn that runs or waits."""

    turn: Turn
    stop: Stop = field(default_factory=Stop)


def socket_routes(responder: Responder, prefixes: tuple[str, ...]) -> list[WebSocketRoute]:
    """`.../{tenant}/chat/{conversation}/ws`, answered by the responder."""

    async def connect(socket: WebSocket) -> None:
        offered = socket.scope.get("subprotocols") or ()
        await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        await _Connection(socket, responder).serve()

    return [WebSocketRoute(prefix + PATH, connect) for prefix in prefixes]


class _Connection:
    def __init__(self, socket: WebSocket, responder: Responder) -> None:
        self._socket = socket
        self._responder = responder
        self._asked: list[_Asked] = []
        self._queue: asyncio.Queue[_Asked] = asyncio.Queue()

    async def serve(self) -> None:
        """Until the client leaves; ends what it has asked for."""
        tasks = {asyncio.create_task(part) for part in (self._listen(), self._answer())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(WebSocketDisconnect):
            for task in done:
                task.result()

    # --- what comes in ----------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            said: Any = None
            try:
                said = http.parse_json(_data(received))
                await self._take(said)
            except errors.LmosError as error:
                turn = said.get("turnId") if isinstance(said, dict) else None
                await self._tell(turn if isinstance(turn, str) else "", Failed.of(error))
                if isinstance(error, errors.Unauthenticated):
                    await self._socket.close(1008, error.message)
                    return

    async def _take(self, said: Any) -> None:
        frame = limits.parsed(Frame, said)
        if frame.type == "cancel":
            for asked in self._asked:
                if asked.turn.turn_id == frame.turn_id:
                    asked.stop.request()
            return
        _check_token()
        if len(self._asked) > WAITING:
            raise errors.Overloaded(f"{WAITING} turns of this connection wait already")
        asked = _Asked(self._turn(frame, said))
        self._asked.append(asked)
        self._queue.put_nowait(asked)

    def _turn(self, frame: Frame, said: Any) -> Turn:
        path, headers = self._socket.path_params, self._socket.headers
        subset = frame.subset or headers.get("x-subset") or STABLE
        within = {} if frame.timeout is None else {limits.TIMEOUT: str(frame.timeout)}
        return codec.turn_of(
            codec.read_conversation(said),
            tenant=limits.check_name("tenant", path["tenant"]),
            conversation_id=limits.check_name("conversation id", path["conversation"]),
            turn_id=limits.check_name("turn id", frame.turn_id or str(uuid4())),
            subset=limits.check_name("subset", subset),
            trace=http.trace_of(self._socket),
            deadline=limits.deadline_in(within),
        )

    # --- what goes out ----------------------------------------------------------------------------

    async def _answer(self) -> None:
        while True:
            asked = await self._queue.get()
            events = answered(self._responder, asked.turn, stop=asked.stop)
            async with aclosing(events):
                async for event in events:
                    await self._tell(asked.turn.turn_id, event)
            self._asked.remove(asked)

    async def _tell(self, turn_id: str, event: TurnEvent) -> None:
        """The event as a frame; waits while the client does not read."""
        whose = orjson.dumps({"turnId": turn_id})[:-1]
        await self._socket.send_text((whose + b"," + event.json_bytes()[1:]).decode())


def _data(received: Any) -> bytes:
    text = received.get("text")
    data: bytes = received.get("bytes") or b"" if text is None else text.encode()
    if len(data) > http.BODY_LIMIT:
        limit = http.BODY_LIMIT
        raise errors.TooLarge(f"the frame is over the limit of {limit} bytes", limit=limit)
    return data


def _check_token() -> None:
    caller = CALLER.get()
    ends = (caller.claims or {}).get("exp") if caller else None
    if isinstance(ends, int | float) and ends < time.time():
        raise errors.Unauthenticated("the token has expired; connect again with a new one")
