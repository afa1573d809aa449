"""Agents behind ARC's GraphQL endpoints: HTTP, server-sent events and WebSocket.

`/graphql` follows GraphQL over HTTP, and graphql-sse (distinct connections) where the client
accepts an event stream. `/subscriptions` speaks graphql-transport-ws.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from lmos.model import STABLE
from lmos.model.errors import InvalidInput, LmosError, NotAllowed, face_of
from lmos.protocols import http, sse
from lmos.protocols import limits as bounds
from lmos.protocols.directory import Directory
from lmos.protocols.graphql import websocket
from lmos.protocols.graphql.execution import (
    Caller,
    Prepared,
    Refused,
    Service,
    Tools,
    errors_of,
)
from lmos.protocols.graphql.limits import DEFAULT, Limits
from lmos.protocols.graphql.naming import AgentEvent
from lmos.protocols.graphql.reading import (
    EVENT_STREAM,
    JSON,
    RESPONSE,
    acceptable,
    check_json,
    operation_of,
)
from lmos.protocols.text import json_text

PATH, SOCKET = "/graphql", "/subscriptions"

Events = Callable[[], AsyncGenerator[AgentEvent, None]]


def routes(
    agents: Directory,
    *,
    tools: Tools | None = None,
    calling: bool = False,
    events: Events | None = None,
    prefix: str = "",
    limits: Limits = DEFAULT,
) -> list[BaseRoute]:
    """`{prefix}/graphql` and `{prefix}/subscriptions` around the agents.

    With `tools` they are listed, with `calling` anybody who reaches the endpoint may also call
    them; with `events` what it gives is at the subscription `events` (see `Feed`). Path parameters
    `tenant` and `channel` of the prefix are those of every turn.
    """
    service = Service(agents, tools=tools, calling=calling, events=events, limits=limits)
    endpoint = _Endpoint(service)

    async def connect(socket: Any) -> None:
        try:
            caller = caller_of(socket)
        except LmosError as error:
            await socket.close(websocket.BAD_MESSAGE, error.message)
            return
        await websocket.serve(socket, service, caller)

    return [
        Route(prefix + PATH, endpoint.get, methods=["GET"]),
        Route(prefix + PATH, endpoint.post, methods=["POST"]),
        WebSocketRoute(prefix + SOCKET, connect),
    ]


def caller_of(connection: HTTPConnection) -> Caller:
    """What path and headers say about every turn of the connection."""
    path, headers = connection.path_params, connection.headers
    return Caller(
        tenant=path.get("tenant", ""),
        channel=path.get("channel", ""),
        subset=bounds.check_name("subset", headers.get("x-subset") or STABLE),
        seconds=bounds.seconds_in(headers),
        trace=http.trace_of(connection),
    )


class _Endpoint:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def post(self, request: Request) -> Response:
        """An operation in the body."""
        return await self._answer(request, self._posted)

    async def get(self, request: Request) -> Response:
        """A query or subscription in the address."""
        return await self._answer(request, self._got)

    async def _posted(self, request: Request) -> Prepared:
        check_json(request.headers.get("content-type", ""))
        return self._service.prepare(operation_of(await http.read_json(request)))

    async def _got(self, request: Request) -> Prepared:
        data: dict[str, Any] = dict(request.query_params)
        for name in ("variables", "extensions"):
            if name in data:
                data[name] = http.parse_json(data[name].encode()) if data[name] else None
        prepared = self._service.prepare(operation_of(data))
        if prepared.kind == "mutation":
            raise NotAllowed("a mutation is not run by GET; use POST", allow="POST")
        return prepared

    async def _answer(self, request: Request, read: Any) -> Response:
        types = acceptable(request.headers.get("accept", ""))
        media_type = next((t for t in types if t != EVENT_STREAM), JSON)
        try:
            if not types:
                raise InvalidInput(f"this endpoint answers with {JSON}, {RESPONSE} or a stream")
            prepared = await read(request)
            caller = caller_of(request)
            if prepared.kind == "subscription" or types[0] == EVENT_STREAM:
                return self._stream(prepared, caller, types)
            found = await http.attended(request, self._service.run(prepared, caller))
        except LmosError as error:
            return refusal(error, media_type)
        return http.client_left() if found is None else _json(found, 200, media_type)

    def _stream(self, prepared: Prepared, caller: Caller, types: list[str]) -> Response:
        if EVENT_STREAM not in types:
            raise InvalidInput(
                f"a subscription needs the WebSocket at {SOCKET} or the header "
                f"'Accept: {EVENT_STREAM}'"
            )
        return http.Stream(_frames(self._service.stream(prepared, caller)), refusal)


def refusal(error: LmosError, media_type: str = JSON) -> Response:
    """The response to an operation that was not run. To clients of plain JSON a document that is
    wrong is an answer like any other, with status 200; a request that is wrong never is.
    """
    status = 200 if isinstance(error, Refused) and media_type == JSON else face_of(error).status
    return _json({"errors": errors_of(error)}, status, media_type, http.error_headers(error))


def _json(
    content: Any, status: int, media_type: str, headers: dict[str, str] | None = None
) -> Response:
    return http.json_response(content, status, headers, f"{media_type}; charset=utf-8")


async def _frames(
    results: AsyncGenerator[dict[str, Any], None],
) -> AsyncGenerator[bytes, None]:
    """`next` for each result, then `complete`; a failure is the last result. The comment before
    them lets the response begin, however long the first result takes.
    """
    yield b":\n\n"
    async with aclosing(results):
        try:
            async for found in results:
                yield _next(found)
        except LmosError as error:
            yield _next({"errors": errors_of(error)})
    yield http.Last(sse.frame(b"", "complete"))


def _next(payload: dict[str, Any]) -> bytes:
    return sse.frame(json_text(payload).encode(), "next")
