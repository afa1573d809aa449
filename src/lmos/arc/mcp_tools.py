"""The tools of an MCP server as an agent's tools.

    agent = Agent(name="helper", tools=[mcp("http://127.0.0.1:9000/mcp", allow=["get_*"])])

A server that is away when the agent starts is asked again in the next turn.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from lmos.arc.context import Context
from lmos.arc.schema_tools import tool_of_schema
from lmos.arc.tools import Tool
from lmos.model import BinaryData, Message, errors

if TYPE_CHECKING:
    from lmos.protocols.mcp import Connection, RemotePrompt, RemoteTool, Server
    from lmos.protocols.mcp.remote import RemoteResource

Meta = Mapping[str, Any] | Callable[[Context], Mapping[str, Any]]

#: Seconds that listing tools may take, and for which a server that failed is left alone.
LISTING, AWAY = 10.0, 10.0

_SETTINGS = "ARC_MCP_TOOLS_"
_DURATION: TypeAdapter[timedelta] = TypeAdapter(timedelta)
#: How the original names the transports, and what it puts behind an address.
_TRANSPORTS = {"sse": "/sse", "mcp": "/mcp", "streamable-http": "/mcp"}


def mcp(
    url: str = "",
    *,
    command: Sequence[str] = (),
    allow: Sequence[str] | None = None,
    deny: Sequence[str] = (),
    prefix: str = "",
    label: str = "",
    meta: Meta | None = None,
    **server: Any,
) -> "McpTools":
    """The tools of the server at the URL, or of the one that the command starts.

    `allow` and `deny` are names or globs (`get_*`). `prefix` goes before every name; `label` and an
    underscore go before those that clash. `meta` is sent as `_meta` with each call. The rest is
    `lmos.protocols.mcp.Server.of`'s: `headers`, `auth`, `env`, `cwd`, `transport`, `timeout` ...
    """
    from lmos.protocols.mcp import Server

    found = Server.of(url, command=command, **server)
    return McpTools(found, allow=allow, deny=deny, prefix=prefix, label=label, meta=meta)


def mcp_from_environment() -> list["McpTools"]:
    """Those that `ARC_MCP_TOOLS_URLS` names, with commas between them. As for the original,
    `ARC_MCP_TOOLS_TRANSPORT` is `sse` (the default), `mcp` or `streamable-http` and says what goes
    behind an address without a path, and `ARC_MCP_TOOLS_CACHE_DURATION` (ISO 8601, such as `PT1M`)
    for how long lists are believed.
    """
    transport = os.environ.get(f"{_SETTINGS}TRANSPORT", "sse").lower()
    if transport not in _TRANSPORTS:
        known = ", ".join(_TRANSPORTS)
        raise errors.InvalidInput(f"{_SETTINGS}TRANSPORT is {transport!r}; it may be {known}")
    said = os.environ.get(f"{_SETTINGS}CACHE_DURATION", "PT1M")
    try:
        kept = _DURATION.validate_python(said).total_seconds()
    except ValidationError:
        message = f"{_SETTINGS}CACHE_DURATION is {said!r}; it must be a duration such as PT1M"
        raise errors.InvalidInput(message) from None
    urls = [url.strip() for url in os.environ.get(f"{_SETTINGS}URLS", "").split(",")]
    return [mcp(_placed(url, _TRANSPORTS[transport]), tools_time=kept) for url in urls if url]


def _placed(url: str, path: str) -> str:
    return url if urlsplit(url).path.strip("/") else url.rstrip("/") + path


class McpTools:
    """What an MCP server has for an agent; a `ToolSource`."""

    def __init__(
        self,
        server: "Server",
        *,
        allow: Sequence[str] | None = None,
        deny: Sequence[str] = (),
        prefix: str = "",
        label: str = "",
        meta: Meta | None = None,
    ) -> None:
        self.server = server
        self.label = label or _label(server)
        self._allow, self._deny = allow, deny
        self._prefix = prefix
        self._meta = meta
        self._listed: tuple[RemoteTool, ...] = ()
        self._made: list[Tool] = []
        self._failure: errors.LmosError | None = None
        self._failed_at = 0.0

    def __repr__(self) -> str:
        return f"mcp({self.server.who})"

    async def tools(self) -> Sequence[Tool]:
        """Its tools that are allowed; the last ones known while the server cannot be asked, and
        `LmosError` when there are none. A server that fails is left alone for `AWAY` seconds, so
        that turns do not wait for it.
        """
        now = asyncio.get_running_loop().time()
        if self._failure is None or now - self._failed_at > AWAY:
            self._failure = None
            try:
                async with asyncio.timeout(LISTING):
                    self._take(await self._connection.tools())
            except errors.LmosError as error:
                self._failure, self._failed_at = error, now
            except TimeoutError:
                who = self.server.who
                self._failure = errors.DeadlineExceeded(f"{who} did not list its tools in time")
                self._failed_at = now
        if self._failure is not None and not self._listed:
            raise errors.AgentUnavailable(self._failure.message)
        return self._made

    def _take(self, listed: "tuple[RemoteTool, ...]") -> None:
        from lmos.protocols.mcp import codec

        if listed is not self._listed:
            self._made = [
                self._tool(tool)
                for tool in listed
                if codec.allowed(tool.name, self._allow, self._deny)
            ]
            self._listed = listed

    async def close(self) -> None:
        """Ends the session with the server; it is opened anew when it is needed."""
        await self._connection.close()

    async def prompts(self) -> "tuple[RemotePrompt, ...]":
        """Its prompts."""
        return await self._connection.prompts()

    async def prompt(self, name: str, /, **arguments: str) -> str:
        """The text of a prompt with its blanks filled."""
        return "\n".join(
            _text(message) for message in await self.prompt_messages(name, **arguments)
        )

    async def prompt_messages(self, name: str, /, **arguments: str) -> tuple[Message, ...]:
        """The messages of a prompt with its blanks filled."""
        return await self._connection.prompt(name, arguments)

    async def resources(self) -> "tuple[RemoteResource, ...]":
        """Its resources."""
        return await self._connection.resources()

    async def read(self, uri: str) -> tuple[BinaryData, ...]:
        """The contents of a resource."""
        return await self._connection.read(uri)

    @property
    def _connection(self) -> "Connection":
        from lmos.protocols.mcp import connect

        return connect(self.server)

    def _tool(self, remote: "RemoteTool") -> Tool:
        from lmos.protocols.mcp import codec

        async def call(ctx: Context, arguments: dict[str, Any]) -> Any:
            result = await self._connection.call(remote.name, arguments, meta=self._meta_of(ctx))
            if result.failed:
                raise errors.LmosError(codec.texts_of(result.content) or f"{remote.name} failed")
            return codec.value_of(result)

        return tool_of_schema(
            codec.safe_name(self._prefix + remote.name),
            remote.description,
            remote.schema,
            call,
            timeout=self.server.timeout,
        )

    def _meta_of(self, ctx: Context) -> dict[str, Any]:
        given = self._meta(ctx) if callable(self._meta) else self._meta
        return {**ctx.turn.trace, **(given or {})}


def _label(server: "Server") -> str:
    """A short name for a server, from where it is."""
    from lmos.protocols.mcp import codec

    place = server.command[0].rsplit("/", 1)[-1] if server.command else urlsplit(server.url).netloc
    return codec.safe_name(place.rpartition("@")[2])


def _text(message: Message) -> str:
    from lmos.protocols.mcp import codec

    return codec.texts_of([*([message.content] if message.content else []), *message.binary_data])
