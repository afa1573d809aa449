"""An offer over streamable HTTP and over standard streams."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from lmos.model import errors
from lmos.protocols import http
from lmos.protocols.mcp.guard import BODY_LIMIT, Authenticate, Guard
from lmos.protocols.mcp.offer import Offer

if TYPE_CHECKING:
    from lmos.protocols.mcp.handlers import Handlers

PATH = "/mcp"
#: Sessions open at once, and seconds for which one may be silent.
SESSIONS, SESSION_TIME = 1000, 1800.0
#: Milliseconds after which a client that was let go comes back.
RETRY = 500
_METADATA = "/.well-known/oauth-protected-resource"


class Face:
    """`/mcp` around an offer, to be served while it is `running`.

    An offer that changes is a function; `changed` tells clients to look again. Revision 2025-11-25
    of the protocol and those before it open a session, unless `stateless`: then each request
    stands for itself, any replica can answer it, and nothing can be asked back. Revision
    2026-07-28 has no sessions. `authenticate`, `hosts` and `origins` are `guard.Guard`'s;
    `authorization_servers` are told to clients that come without a token.
    """

    def __init__(
        self,
        offer: Offer | Callable[[], Offer],
        *,
        stateless: bool = False,
        authenticate: Authenticate | None = None,
        authorization_servers: Sequence[str] = (),
        hosts: Sequence[str] = (),
        origins: Sequence[str] = (),
        path: str = PATH,
    ) -> None:
        self._offer = offer
        self._stateless = stateless
        self._path = path
        self._servers = list(authorization_servers)
        self._handlers: Handlers | None = None
        self._serve: Callable[[Scope, Receive, Send], object] | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: errors.LmosError | None = None
        self._guard = Guard(
            self._endpoint,
            authenticate=authenticate,
            hosts=hosts,
            origins=origins,
            challenge=self._challenge,
        )

    def routes(self) -> list[Route]:
        """The endpoint, and where it says who gives tokens for it."""
        found = [Route(self._path, self._guard)]
        if self._servers:
            found.append(Route(_METADATA + self._path, self._metadata, methods=["GET"]))
        return found

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Serves inside the block, which belongs into the app's lifespan; ends its sessions.

        The SDK is imported when the first request comes: a start would wait seconds for it.
        """
        self._wanted, self._settled, self._leaving = (asyncio.Event() for _ in range(3))
        self._failure = None
        self._task = asyncio.create_task(self._running(), name="mcp")
        try:
            yield
        finally:
            self._leaving.set()
            self._wanted.set()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _running(self) -> None:
        await self._wanted.wait()
        try:
            if self._leaving.is_set():
                return
            self._handlers = await asyncio.to_thread(_handlers, self._offer)
            manager = self._handlers.manager(
                stateless=self._stateless,
                body_limit=BODY_LIMIT,
                sessions=SESSIONS,
                session_time=SESSION_TIME,
                retry=RETRY,
            )
            async with manager.run():
                self._serve = manager.handle_request
                self._settled.set()
                await self._leaving.wait()
        except errors.LmosError as failure:
            self._failure = failure
        finally:
            self._serve = None
            self._settled.set()

    async def changed(self) -> None:
        """Tells every client that what is offered has changed."""
        if self._handlers is not None:
            await self._handlers.changed()

    async def updated(self, uri: str) -> None:
        """Tells the clients that watch the resource that it has changed."""
        if self._handlers is not None:
            await self._handlers.updated(uri)

    async def _endpoint(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._task is not None and self._serve is None:
            self._wanted.set()
            await self._settled.wait()
        if self._serve is None:
            error = self._failure or errors.AgentUnavailable("MCP is not served yet, or no longer")
            await http.problem_response(error, scope["path"])(scope, receive, send)
            return
        await self._serve(scope, receive, send)  # type: ignore[misc]

    # --- who gives tokens -------------------------------------------------------------------------

    def _challenge(self, scope: Scope) -> str:
        if not self._servers:
            return "Bearer"
        base = str(Request(scope).base_url).rstrip("/")
        return f'Bearer resource_metadata="{base}{_METADATA}{self._path}"'

    async def _metadata(self, request: Request) -> Response:
        """RFC 9728."""
        resource = str(request.base_url).rstrip("/") + self._path
        return http.json_response(
            {
                "resource": resource,
                "authorization_servers": self._servers,
                "bearer_methods_supported": ["header"],
            }
        )


async def stdio(offer: Offer | Callable[[], Offer]) -> None:
    """Serves the offer on the process's standard streams until its input ends. What is printed
    meanwhile goes to standard error.
    """
    await _handlers(offer).stdio()


def _handlers(offer: Offer | Callable[[], Offer]) -> "Handlers":
    try:
        from lmos.protocols.mcp.handlers import Handlers
    except ModuleNotFoundError as error:
        if error.name not in ("mcp", "mcp_types"):
            raise
        raise errors.MissingExtra("mcp", "serving MCP") from None
    return Handlers(offer if callable(offer) else lambda: offer)
