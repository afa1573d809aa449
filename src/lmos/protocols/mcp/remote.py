"""MCP servers of others, in plain data: where one is, who we are to it, what it has."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from lmos.model.errors import InvalidInput

Transport = Literal["http", "sse", "stdio"]
#: Answers a form that a server wants a person to fill in: `(message, schema)`. None declines.
Elicit = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any] | None]]
#: Answers a prompt that a server wants a language model to answer: `(system, prompt, max_tokens)`.
Sample = Callable[[str, str, int], Awaitable[str]]

#: Seconds that a call may take.
TIMEOUT = 30.0
#: Seconds for which the list of tools is believed, unless the server says sooner that it changed.
TOOLS_TIME = 60.0


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """OAuth client credentials, sent to nobody but the authorization server `issuer`."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """A server and who we are to it; equal ones share a connection.

    `url` is that of a streamable HTTP endpoint, or of an event stream of the older transport when
    `transport` is `sse` or it ends in `/sse`. `command` starts a process instead, with `env` beside
    the few harmless variables that are passed on. `auth` is a bearer token, `ClientCredentials`, or
    an `httpx2.Auth` such as the SDK's OAuth providers. `timeout` is in seconds, for each call;
    `tools_time` is for how many of them the list of tools is believed.
    `elicit` and `sample` answer what the server asks back; without them it is told that nobody
    does.
    """

    url: str = ""
    command: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    cwd: str = ""
    auth: Any = field(default=None, repr=False)
    transport: Transport = "http"
    timeout: float = TIMEOUT
    tools_time: float = TOOLS_TIME
    elicit: Elicit | None = None
    sample: Sample | None = None

    @classmethod
    def of(
        cls,
        url: str = "",
        *,
        command: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        transport: Transport | None = None,
        **more: Any,
    ) -> "Server":
        """The server at the URL, or that the command starts. `InvalidInput` for neither or both."""
        if bool(url) == bool(command):
            raise InvalidInput("an MCP server is at a `url` or started by a `command`: give one")
        if url and urlsplit(url).scheme not in ("http", "https"):
            raise InvalidInput(f"{url!r} is not the http(s) address of an MCP server")
        guessed: Transport = "sse" if urlsplit(url).path.endswith("/sse") else "http"
        return cls(
            url=url,
            command=tuple(command),
            headers=tuple(sorted((headers or {}).items())),
            env=tuple(sorted((env or {}).items())),
            transport="stdio" if command else transport or guessed,
            **more,
        )

    @property
    def who(self) -> str:
        """It, in messages; without what its address may hold of secrets."""
        if self.command:
            return f"the MCP server {self.command[0]!r}"
        place = urlsplit(self.url)
        return f"the MCP server at {place.scheme}://{place.netloc.rpartition('@')[2]}{place.path}"


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool of a server."""

    name: str
    description: str
    schema: Mapping[str, Any]
    title: str = ""
    output: Mapping[str, Any] | None = None
    annotations: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemotePrompt:
    """A prompt of a server, with the names of its arguments."""

    name: str
    description: str
    arguments: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoteResource:
    """A resource of a server, or a template of them."""

    uri: str
    name: str
    description: str = ""
    mime_type: str = ""


def tool_from(data: Mapping[str, Any]) -> RemoteTool:
    """The tool that `tools/list` tells of."""
    return RemoteTool(
        name=data["name"],
        description=data.get("description") or data.get("title") or data["name"],
        schema=data.get("inputSchema") or {"type": "object"},
        title=data.get("title") or "",
        output=data.get("outputSchema"),
        annotations=data.get("annotations") or {},
        meta=data.get("_meta") or {},
    )


def prompt_from(data: Mapping[str, Any]) -> RemotePrompt:
    """The prompt that `prompts/list` tells of."""
    arguments = data.get("arguments") or ()
    return RemotePrompt(
        name=data["name"],
        description=data.get("description") or "",
        arguments=tuple(argument["name"] for argument in arguments),
        required=tuple(argument["name"] for argument in arguments if argument.get("required")),
    )


def resource_from(data: Mapping[str, Any]) -> RemoteResource:
    """The resource, or template, that a list tells of."""
    return RemoteResource(
        uri=str(data.get("uri") or data.get("uriTemplate")),
        name=data["name"],
        description=data.get("description") or "",
        mime_type=data.get("mimeType") or "",
    )
