"""HTTP as every protocol here uses it: bodies in, errors out, streams that end with their client.

Errors leave as RFC 9457 problem details that also carry the `errorCode` and `message` of LMOS's
REST API. A client that goes away cancels the work for it at once, streamed or not. Outgoing calls
share one pooled session for each event loop.
"""

import asyncio
import http
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lmos.model import errors
from lmos.model.errors import InvalidInput, LmosError, NotAllowed, NotFound, TooLarge, face_of

if TYPE_CHECKING:
    import ssl

    import aiohttp

T = TypeVar("T")

BODY_LIMIT = 1024 * 1024
#: Seconds of silence after which a stream gets a comment, so that proxies leave it open.
KEEP_ALIVE = 15.0
#: Seconds for which nobody looks whether a client has left.
UNWATCHED = 0.02
#: Seconds that an unused connection is kept: less than servers keep theirs (uvicorn: 5).
IDLE = 4.0
#: The variable that names a file of certificates (PEM) of authorities to trust in addition.
CA_FILE = "LMOS_CA_FILE"

# --- errors ---------------------------------------------------------------------------------------


#: Where clients of the original's REST API know another `errorCode`; `type` tells ours.
ORIGINAL_CODES = {"CHANNEL_NOT_FOUND": "AGENT_NOT_FOUND"}
#: What the `type` of a problem begins with.
PROBLEM = "urn:lmos:error:"


def problem(error: BaseException, path: str = "") -> dict[str, Any]:
    """The error as RFC 9457 problem details with `errorCode` and `message`."""
    face = face_of(error)
    known = isinstance(error, LmosError)
    message = error.message if isinstance(error, LmosError) else "an internal error occurred"
    return {
        "type": PROBLEM + face.code.lower().replace("_", "-"),
        "title": http.HTTPStatus(face.status).phrase,
        "status": face.status,
        "detail": message,
        **({"instance": path} if path else {}),
        "errorCode": ORIGINAL_CODES.get(face.code, face.code),
        "message": message,
        **({"details": error.details} if known and error.details else {}),  # type: ignore[attr-defined]
    }


def problem_code(body: Mapping[str, Any]) -> str:
    """Our code of the error that a problem tells, empty where it tells none."""
    kind = str(body.get("type", ""))
    if kind.startswith(PROBLEM):
        return kind.removeprefix(PROBLEM).replace("-", "_").upper()
    return str(body.get("errorCode") or "")


def error_headers(error: BaseException) -> dict[str, str]:
    """The headers that belong to the error: `Retry-After`, `Allow`, `WWW-Authenticate`."""
    headers = {}
    if isinstance(error, errors.Overloaded):
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    if isinstance(error, NotAllowed) and "allow" in error.details:
        headers["allow"] = str(error.details["allow"])
    if isinstance(error, errors.Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    return headers


def problem_response(error: BaseException, path: str = "") -> Response:
    """The error as an `application/problem+json` response with the status of its class."""
    return json_response(
        problem(error, path),
        face_of(error).status,
        error_headers(error),
        media_type="application/problem+json",
    )


def of_http(raised: HTTPException, request: Request) -> LmosError:
    """What Starlette raises while it looks for a route, as one of our errors."""
    if raised.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
        allow = (raised.headers or {}).get("Allow", "")
        refused = f"{request.method} is not offered at {request.url.path}"
        return NotAllowed(f"{refused}; use {allow or 'another method'}", allow=allow or None)
    if raised.status_code == http.HTTPStatus.NOT_FOUND:
        return NotFound(f"there is nothing at {request.url.path}")
    return InvalidInput(raised.detail)


async def _on_http(request: Request, raised: Exception) -> Response:
    assert isinstance(raised, HTTPException)
    return problem_response(of_http(raised, request), request.url.path)


async def _on_error(request: Request, raised: Exception) -> Response:
    return problem_response(raised, request.url.path)


#: For `Starlette(exception_handlers=...)`: all that is raised leaves as problem details.
exception_handlers: Mapping[Any, Callable[..., Any]] = {
    HTTPException: _on_http,
    LmosError: _on_error,
    Exception: _on_error,
}

# --- requests and responses -----------------------------------------------------------------------


def json_response(
    content: Any,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    """The data as JSON."""
    return Response(orjson.dumps(content), status, headers, media_type)


async def read_body(request: Request, limit_bytes: int = BODY_LIMIT) -> bytes:
    """The body, or `TooLarge`. What is over the limit is read away, so that the client, still
    sending, sees the answer; but no more than eight times the limit.
    """
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit_bytes:
            body += chunk
        elif size > 8 * limit_bytes:
            break
    if size > limit_bytes:
        raise TooLarge(f"the body is over the limit of {limit_bytes} bytes", limit=limit_bytes)
    return bytes(body)


async def read_json(request: Request, limit_bytes: int = BODY_LIMIT) -> Any:
    """The body as JSON, whatever its content type says. Raises `TooLarge` or `InvalidInput`."""
    return parse_json(await read_body(request, limit_bytes))


def trace_of(request: HTTPConnection) -> dict[str, str]:
    """The W3C trace headers of the request."""
    return {
        name: request.headers[name]
        for name in ("traceparent", "tracestate")
        if name in request.headers
    }


def parse_json(body: bytes) -> Any:
    """The JSON, or `InvalidInput` that says where it is wrong."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = (
            f"line {error.lineno}, column {error.colno}" if body.strip() else "the body is empty"
        )
        raise InvalidInput(f"the body is not JSON in UTF-8: {error.msg} ({place})") from None


# --- clients that leave ---------------------------------------------------------------------------


@asynccontextmanager
async def while_connected(
    receive: Receive, idle: Callable[[], Coroutine[Any, Any, None]] | None = None
) -> AsyncGenerator[None, None]:
    """The block is cancelled when the client leaves; it then ends without an error.

    The request's body must have been read. `idle` is awaited every `KEEP_ALIVE` seconds. Nobody is
    watched for the first `UNWATCHED` seconds, so that what is done sooner needs no second task.
    """
    loop = asyncio.get_running_loop()
    left = False
    watcher: asyncio.Task[None] | None = None

    async def watch() -> None:
        nonlocal left
        while not await _gone(receive):
            if idle:
                await idle()
        left = True
        scope.reschedule(loop.time())

    def begin() -> None:
        nonlocal watcher
        watcher = loop.create_task(watch())

    try:
        async with asyncio.timeout(None) as scope:
            beginning = loop.call_later(UNWATCHED, begin)
            try:
                yield
            finally:
                beginning.cancel()
                if watcher is not None:
                    watcher.cancel()
                    await asyncio.wait([watcher])
    except TimeoutError:
        if not left:
            raise


async def _gone(receive: Receive) -> bool:
    """Waits for the client to leave; False when it has not for a while."""
    try:
        async with asyncio.timeout(KEEP_ALIVE):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True


async def attended(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of the work, or None when the client left and it was cancelled."""
    async with while_connected(request.receive):
        return await work
    return None


def client_left() -> Response:
    """For a client that is gone: nobody reads it."""
    return Response(status_code=499)


class Last(bytes):
    """The last chunk of a stream: the response is complete with it."""


class Stream(Response):
    """Server-sent events. `chunks` is closed when the client leaves.

    An `LmosError` that comes before the first chunk becomes the response that `refuse` makes of it.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        refuse: Callable[[LmosError], Response],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.chunks = chunks
        self.refuse = refuse
        self.status_code = 200
        self.background = None
        self.init_headers(
            {"cache-control": "no-cache", "x-accel-buffering": "no"} | dict(headers or {})
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the chunks."""
        started = False

        async def keep_alive() -> None:
            if started:
                await _body(send, b": keep-alive\n\n")

        async with aclosing(self.chunks), while_connected(receive, keep_alive):
            try:
                chunk = await anext(self.chunks, Last())
            except LmosError as error:
                await self.refuse(error)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            started = True
            while not isinstance(chunk, Last):
                await _body(send, chunk)
                chunk = await anext(self.chunks, Last())
            started = False
            await _body(send, chunk, more=False)


async def _body(send: Send, chunk: bytes, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": more})


# --- the pooled session ---------------------------------------------------------------------------

_sessions: "WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession]" = (
    WeakKeyDictionary()
)


def session() -> "aiohttp.ClientSession":
    """The session of the running event loop: pooled connections, no cookies, no time limit of its
    own. Close it with `close_session` before the loop ends.
    """
    loop = asyncio.get_running_loop()
    found = _sessions.get(loop)
    if found is None or found.closed:
        found = _sessions[loop] = _new_session()
    return found


#: Whether the connection of the request that is being sent came from the pool.
REUSED: ContextVar[bool] = ContextVar("reused", default=False)


def _new_session() -> "aiohttp.ClientSession":
    import aiohttp  # takes a third of a second; servers that call nobody do without

    class Connector(aiohttp.TCPConnector):
        """Tells which connections it gives out again; aiohttp's tracing would cost ten times."""

        async def connect(self, *given: Any, **named: Any) -> "aiohttp.connector.Connection":
            connection = await super().connect(*given, **named)
            REUSED.set(getattr(connection.protocol, "given_before", False))
            connection.protocol.given_before = True  # type: ignore[union-attr]
            return connection

    return aiohttp.ClientSession(
        connector=Connector(
            limit=0, keepalive_timeout=IDLE, ttl_dns_cache=30, ssl=authorities() or True
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
        auto_decompress=True,
    )


def authorities() -> "ssl.SSLContext | None":
    """What vouches for others over https beside what the system trusts: the certificates in the
    file that `LMOS_CA_FILE` names. None where it names none, and the system's do.
    """
    file = os.environ.get(CA_FILE)
    if not file:
        return None
    import ssl  # servers that call nobody do without

    trusted = ssl.create_default_context()
    try:
        trusted.load_verify_locations(file)
    except (OSError, ssl.SSLError) as error:
        raise errors.AgentUnavailable(
            f"{CA_FILE} is {file}, which cannot be used: {error}"
        ) from None
    return trusted


async def close_session() -> None:
    """Closes the running loop's session, if it has one."""
    found = _sessions.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()
