"""Pooled connections to MCP servers: one for each server and credentials, in each event loop."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from lmos.model import BinaryData, Message
from lmos.model.errors import AgentFailed, LmosError, MissingExtra
from lmos.protocols.mcp import codec, remote
from lmos.protocols.mcp.offer import Result
from lmos.protocols.mcp.remote import RemotePrompt, RemoteResource, RemoteTool, Server

if TYPE_CHECKING:
    from lmos.protocols.mcp.sessions import Session

T = TypeVar("T")
#: Gets each progress notification of a call, as it came.
Progress = Callable[[Mapping[str, Any]], None]

#: Seconds after which an unused session is closed.
IDLE = 300.0


class Connection:
    """The connection to a server: a session that is opened when it is needed, closed when it is
    not for a while, and opened again after it broke.

    A call that a server may have begun is never sent again; one that it did not know the session of
    is. Errors: `AgentUnavailable` when the server cannot be reached or breaks off,
    `DeadlineExceeded` when it takes too long, `AgentFailed` and `InvalidInput` for what it refuses.
    """

    def __init__(self, server: Server, *, idle: float = IDLE) -> None:
        self.server = server
        self._idle = idle
        self._session: Session | None = None
        self._opening = asyncio.Lock()
        self._listing = asyncio.Lock()
        self._running = 0
        self._used = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._tools: tuple[RemoteTool, ...] | None = None
        self._tools_at = 0.0
        #: Sessions that were opened so far.
        self.opened = 0

    # --- what the server has ----------------------------------------------------------------------

    async def tools(self) -> tuple[RemoteTool, ...]:
        """Its tools, remembered until they change, for `server.tools_time` seconds at most."""
        async with self._listing:
            now = asyncio.get_running_loop().time()
            if self._tools is None or now - self._tools_at > self.server.tools_time:
                self._tools_at = now
                self._tools = None
                found = await self._with(lambda session: session.listed("tools"))
                self._tools = self._parsed(remote.tool_from, found)
            return self._tools

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Result:
        """The tool's result, a failed one too. `timeout` is in seconds; the server's by default.
        A call that is given up or takes too long is cancelled at the server.
        """
        data = await self._with(
            lambda session: session.call(
                tool,
                dict(arguments),
                timeout=timeout,
                meta=dict(meta) if meta else None,
                told=progress,
            )
        )
        return self._parsed(codec.result_from, [data])[0]

    async def prompts(self) -> tuple[RemotePrompt, ...]:
        """Its prompts."""
        found = await self._with(lambda session: session.listed("prompts"))
        return self._parsed(remote.prompt_from, found)

    async def prompt(
        self, name: str, arguments: Mapping[str, str] | None = None
    ) -> tuple[Message, ...]:
        """A prompt with its blanks filled."""
        data = await self._with(lambda session: session.prompt(name, dict(arguments or {})))
        return self._parsed(codec.message_of, data.get("messages") or [])

    async def resources(self) -> tuple[RemoteResource, ...]:
        """Its resources and, with `{names}` in their URIs, templates of them."""
        found = await self._with(lambda session: session.listed("resources"))
        found += await self._with(lambda session: session.listed("resource_templates"))
        return self._parsed(remote.resource_from, found)

    async def read(self, uri: str) -> tuple[BinaryData, ...]:
        """The contents of a resource."""
        data = await self._with(lambda session: session.read(uri))
        return tuple(codec.embedded(str(c["uri"]), c) for c in data.get("contents") or ())

    def _parsed(self, parse: Callable[[Any], T], data: list[Any]) -> tuple[T, ...]:
        try:
            return tuple(parse(entry) for entry in data)
        except (KeyError, TypeError, ValueError) as error:
            who = self.server.who
            raise AgentFailed(f"{who} sent what cannot be read: {error}") from None

    # --- the session ------------------------------------------------------------------------------

    async def _with(self, ask: Callable[["Session"], Awaitable[T]]) -> T:
        self._running += 1
        try:
            session = await self._open()
            try:
                return await ask(session)
            except LmosError:
                if not session.lost:
                    raise
            return await ask(await self._open())
        finally:
            self._running -= 1
            self._used = asyncio.get_running_loop().time()
            self._watch_idle()

    async def _open(self) -> "Session":
        """The session; a new one where there is none alive."""
        async with self._opening:
            if self._session is not None and self._session.alive:
                return self._session
            if self._session is not None:
                self._end(self._session)
            session = _session(self.server, self._forget_tools)
            await session.open()
            self.opened += 1
            self._forget_tools()
            self._session = session
            return session

    def _forget_tools(self) -> None:
        self._tools = None

    def _watch_idle(self) -> None:
        if self._timer is None and self._session is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._idle, self._close_idle)

    def _close_idle(self) -> None:
        self._timer = None
        left = self._used + self._idle - asyncio.get_running_loop().time()
        if self._running or left > 0:
            self._watch_idle()
        elif self._session is not None:
            self._end(self._session)
            self._session = None

    def _end(self, session: "Session") -> None:
        task = asyncio.create_task(session.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Ends the session. The connection can be used again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        session, self._session = self._session, None
        if session is not None:
            self._end(session)
        if self._closing:
            await asyncio.wait(set(self._closing))


def _session(server: Server, changed: Callable[[], None]) -> "Session":
    try:
        from lmos.protocols.mcp.sessions import Session
    except ModuleNotFoundError as error:
        if error.name not in ("mcp", "mcp_types"):
            raise
        raise MissingExtra("mcp", f"asking {server.who}") from None
    return Session(server, changed)


# --- the pool -------------------------------------------------------------------------------------

_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Server, Connection]] = WeakKeyDictionary()


def connect(server: Server) -> Connection:
    """The running loop's connection to the server. Close all with `close_all` before it ends."""
    pool = _pools.setdefault(asyncio.get_running_loop(), {})
    if server not in pool:
        pool[server] = Connection(server)
    return pool[server]


async def close_all() -> None:
    """Closes the running loop's connections, if it has any."""
    pool = _pools.pop(asyncio.get_running_loop(), {})
    await asyncio.gather(*(connection.close() for connection in pool.values()))
