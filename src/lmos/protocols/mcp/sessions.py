"""One session with a server, over the official SDK's client.

What the SDK opens must be closed by the task that opened it: so a task of its own keeps each
session, and whoever wants something of it asks from their own.
"""

import asyncio
import itertools
import logging
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

import httpx2
import mcp_types as types
from mcp.client import Client
from mcp.client.auth import OAuthFlowError
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ValidationError

from lmos.model.errors import (
    AgentFailed,
    AgentUnavailable,
    DeadlineExceeded,
    InvalidInput,
    LmosError,
)
from lmos.protocols import http
from lmos.protocols.mcp import codec
from lmos.protocols.mcp.remote import ClientCredentials, Server

log = logging.getLogger(__name__)

Data = dict[str, Any]
Told = Callable[[Data], None]

#: Pages that a list may have, and entries.
PAGES, ENTRIES = 100, 10_000
#: Seconds that opening and closing may take.
OPENING, CLOSING = 30.0, 10.0
#: ... and that a server may be silent over HTTP.
TIMEOUT = httpx2.Timeout(30.0, read=300.0)
#: Seconds to wait for the reason of an end, and before listening for changes again.
ENDING, AGAIN = 1.0, 1.0


class Session:
    """A session. `alive` until it breaks or is closed; it is not opened again."""

    def __init__(self, server: Server, changed: Callable[[], None]) -> None:
        self._server = server
        self._changed = changed
        self._told: dict[str, Told] = {}
        self._tokens = itertools.count(1)
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._client: Client | None = None
        self._error: BaseException | None = None
        #: The server says that it does not know the session: nothing it was asked was done.
        self.lost = False
        #: The status with which HTTP was refused last.
        self._status = 0

    @property
    def alive(self) -> bool:
        """Whether anything can be asked."""
        return not (self.lost or self._closing.is_set())

    # --- opening and closing ----------------------------------------------------------------------

    async def open(self) -> None:
        """Opens it. `AgentUnavailable` or `AgentFailed` when that fails."""
        opened = asyncio.Event()
        self._task = asyncio.create_task(self._keep(opened), name=f"mcp {self._server.who}")
        waiting = asyncio.create_task(opened.wait())
        try:
            async with asyncio.timeout(min(OPENING, self._server.timeout)):
                await asyncio.wait([self._task, waiting], return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            await self.close()
            who = self._server.who
            raise AgentUnavailable(f"{who} did not answer in time when it was greeted") from None
        except asyncio.CancelledError:
            await self.close()
            raise
        finally:
            waiting.cancel()
        if not opened.is_set():
            raise self._failure(self._error)

    async def close(self) -> None:
        """Ends it, by force if it takes too long."""
        self._closing.set()
        task = self._task
        if task is None or task.done():
            return
        if self._client is None:
            task.cancel()
        await asyncio.wait([task], timeout=CLOSING)
        task.cancel()
        await asyncio.wait([task])

    async def _keep(self, opened: asyncio.Event) -> None:
        try:
            async with AsyncExitStack() as stack:
                client = Client(
                    _watched(await self._transport(stack), self._closing.set),
                    client_info=types.Implementation(name="lmos", version=version("lmos")),
                    read_timeout_seconds=self._server.timeout,
                    message_handler=self._on_message,
                    elicitation_callback=self._elicit if self._server.elicit else None,
                    sampling_callback=self._sample if self._server.sample else None,
                    cache=None,
                )
                self._client = await stack.enter_async_context(client)
                opened.set()
                async with self._listening(self._client):
                    await self._closing.wait()
        except Exception as error:
            self._error = error
            log.info("the session with %s broke: %s", self._server.who, _first(error))
        finally:
            self._closing.set()

    async def _transport(self, stack: AsyncExitStack) -> Any:
        server = self._server
        if server.transport == "stdio":
            command, *arguments = server.command
            parameters = StdioServerParameters(
                command=command, args=arguments, env=dict(server.env), cwd=server.cwd or None
            )
            return stdio_client(parameters, errlog=sys.__stderr__ or sys.stderr)
        headers, auth = dict(server.headers), server.auth
        if isinstance(auth, str):
            headers["authorization"] = f"Bearer {auth}"
            auth = None
        elif isinstance(auth, ClientCredentials):
            auth = _oauth(server.url, auth)
        make = partial(_http_client, self._on_response)
        if server.transport == "sse":
            return sse_client(server.url, headers, auth=auth, httpx_client_factory=make)
        client = await stack.enter_async_context(make(headers, None, auth))
        return streamable_http_client(server.url, http_client=client)

    async def _on_response(self, response: httpx2.Response) -> None:
        """The SDK tells neither the status nor that the server forgot the session."""
        if response.status_code >= 400:
            self._status = response.status_code
            if response.status_code == 404 and "mcp-session-id" in response.request.headers:
                self.lost = True

    # --- what the server says of its own accord ---------------------------------------------------

    async def _on_message(self, message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._changed()
        elif isinstance(message, types.ProgressNotification):
            told = self._told.get(str(message.params.progress_token))
            if told is not None:
                told(_data(message.params))

    @asynccontextmanager
    async def _listening(self, client: Client) -> AsyncGenerator[None, None]:
        """Where the protocol has no session, changes are told on a stream of its own."""
        tools = client.server_capabilities.tools
        task = asyncio.create_task(self._listen(client)) if tools and tools.list_changed else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    async def _listen(self, client: Client) -> None:
        while True:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    async for _ in changes:
                        self._changed()
            except ListenNotSupportedError:
                return
            except (SubscriptionLost, MCPError, TimeoutError) as error:
                log.debug("%s tells of no changes for now: %s", self._server.who, error)
            self._changed()
            await asyncio.sleep(AGAIN)

    async def _elicit(self, context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        elicit = self._server.elicit
        if elicit is None or not isinstance(params, types.ElicitRequestFormParams):
            return types.ElicitResult(action="decline")
        schema = _data(params).get("requestedSchema") or {}
        content = await elicit(params.message, schema)
        if content is None:
            return types.ElicitResult(action="decline")
        return types.ElicitResult(action="accept", content=codec.with_defaults(schema, content))

    async def _sample(
        self, context: Any, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult | types.ErrorData:
        assert self._server.sample is not None
        prompt = "\n\n".join(
            block.text
            for message in params.messages
            for block in message.content_as_list
            if isinstance(block, types.TextContent)
        )
        try:
            text = await self._server.sample(params.system_prompt or "", prompt, params.max_tokens)
        except LmosError as error:
            return types.ErrorData(code=types.INTERNAL_ERROR, message=error.message)
        content = types.TextContent(text=text)
        return types.CreateMessageResult(role="assistant", content=content, model="lmos")

    # --- asking -----------------------------------------------------------------------------------

    async def listed(self, what: str) -> list[Data]:
        """Everything in a list: `tools`, `prompts`, `resources` or `resource_templates`. Nothing
        where the server has no such thing.
        """
        capability = "resources" if what == "resource_templates" else what
        client = self._open_client()
        if getattr(client.server_capabilities, capability) is None:
            return []
        found: list[Data] = []
        cursor: str | None = None
        for _ in range(PAGES):
            page = _data(await self._asked(getattr(client, f"list_{what}")(cursor=cursor)))
            name = "resourceTemplates" if what == "resource_templates" else what
            found += page.get(name) or []
            cursor = page.get("nextCursor")
            if cursor is None:
                return found
            if len(found) > ENTRIES:
                break
        raise AgentFailed(f"{self._server.who} lists {what} without end")

    async def call(
        self,
        name: str,
        arguments: Data,
        *,
        timeout: float | None,
        meta: Data | None,
        told: Told | None,
    ) -> Data:
        """A tool's result; `told` gets each progress notification meanwhile."""
        token = f"lmos-{next(self._tokens)}"
        if told:
            self._told[token] = told
            meta = {**(meta or {}), "progressToken": token}
        try:
            client = self._open_client()
            calling = client.call_tool(name, arguments, timeout, meta=meta)  # type: ignore[arg-type]
            return _data(await self._asked(calling))
        finally:
            self._told.pop(token, None)

    async def prompt(self, name: str, arguments: dict[str, str]) -> Data:
        """A prompt with its blanks filled."""
        return _data(await self._asked(self._open_client().get_prompt(name, arguments)))

    async def read(self, uri: str) -> Data:
        """A resource's contents."""
        return _data(await self._asked(self._open_client().read_resource(uri)))

    def _open_client(self) -> Client:
        if self._client is None or not self.alive:
            raise self._failure(self._error)
        return self._client

    async def _asked(self, asking: Awaitable[BaseModel]) -> BaseModel:
        try:
            return await asking
        except (MCPError, ValidationError, RuntimeError, httpx2.HTTPError) as error:
            raise self._failure(await self._cause(error)) from None

    async def _cause(self, error: Exception) -> BaseException:
        """Why a connection was closed under a call: the task that keeps it hears that last."""
        if isinstance(error, MCPError) and error.code == types.CONNECTION_CLOSED and self._task:
            await asyncio.wait([self._task], timeout=ENDING)
            return self._error or error
        return error

    def _failure(self, error: BaseException | None) -> LmosError:
        """What went wrong as one of our errors."""
        who, error = self._server.who, _first(error)
        if isinstance(error, MCPError):
            return self._told_error(error)
        if isinstance(error, LmosError):
            return error
        if isinstance(error, ValidationError):
            return AgentFailed(f"{who} sent what is not MCP: {error.errors()[0]['msg']}")
        if isinstance(error, FileNotFoundError | PermissionError):
            return AgentUnavailable(f"{who} cannot be started: {error.strerror}")
        if isinstance(error, httpx2.HTTPStatusError):
            return self._refused(error.response.status_code, "")
        if isinstance(error, OAuthFlowError):
            return AgentFailed(f"{who} gives no access: {error}")
        if isinstance(error, httpx2.ConnectError | OSError):
            return AgentUnavailable(f"{who} cannot be reached: {error}")
        return AgentUnavailable(f"{who} broke off{f': {error}' if error else ''}")

    def _told_error(self, error: MCPError) -> LmosError:
        who = self._server.who
        if self.lost:
            return AgentUnavailable(f"{who} has forgotten the session")
        if error.code == types.REQUEST_TIMEOUT:
            return DeadlineExceeded(f"{who} did not answer in time")
        if error.code == types.CONNECTION_CLOSED:
            return AgentUnavailable(f"{who} broke off")
        if self._status in (401, 403):
            return self._refused(self._status, error.message)
        if error.code == types.INVALID_PARAMS:
            return InvalidInput(f"{who}: {error.message}")
        return AgentFailed(f"{who} answered with an error: {error.message}", code=error.code)

    def _refused(self, status: int, said: str) -> LmosError:
        text = f"{self._server.who} answered with HTTP {status}{f': {said}' if said else ''}"
        if status in (401, 403):
            return AgentFailed(f"{text}; give it other `headers` or `auth`", status=status)
        return AgentFailed(text, status=status)


# --- small things ---------------------------------------------------------------------------------


def _data(model: BaseModel) -> Data:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _first(error: BaseException | None) -> BaseException | None:
    """The first error of a group that is no group itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _http_client(
    on_response: Callable[[httpx2.Response], Awaitable[None]],
    headers: dict[str, str] | None = None,
    timeout: httpx2.Timeout | None = None,
    auth: httpx2.Auth | None = None,
) -> httpx2.AsyncClient:
    client = httpx2.AsyncClient(
        headers=headers, timeout=timeout or TIMEOUT, auth=auth, verify=http.authorities() or True
    )
    client.event_hooks = {"response": [on_response]}
    return client


def _oauth(url: str, credentials: ClientCredentials) -> httpx2.Auth:
    return ClientCredentialsOAuthProvider(
        url,
        _Tokens(),
        credentials.client_id,
        credentials.client_secret,
        scope=credentials.scope or None,
        issuer=credentials.issuer,
    )


class _Tokens:
    """Tokens of one session."""

    def __init__(self) -> None:
        self._tokens: OAuthToken | None = None
        self._client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self._tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self._tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self._client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self._client = client_info


class _Watched:
    """What comes in over a transport; tells when nothing will any more. The SDK does not."""

    def __init__(self, stream: Any, ended: Callable[[], None]) -> None:
        self._stream = stream
        self._ended = ended

    @property
    def last_context(self) -> Any:
        """The context that the last message was sent in."""
        return getattr(self._stream, "last_context", None)

    def __aiter__(self) -> "_Watched":
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except BaseException:
            self._ended()
            raise

    async def receive(self) -> Any:
        """The next message."""
        return await self._stream.receive()

    async def aclose(self) -> None:
        """Takes no more."""
        await self._stream.aclose()

    async def __aenter__(self) -> "_Watched":
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        found: bool | None = await self._stream.__aexit__(*error)
        return found


@asynccontextmanager
async def _watched(transport: Any, ended: Callable[[], None]) -> AsyncGenerator[Any, None]:
    async with transport as (incoming, outgoing):
        yield _Watched(incoming, ended), outgoing
