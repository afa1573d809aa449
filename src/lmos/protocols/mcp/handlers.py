"""What the official SDK's server calls: each request of the protocol answered from an offer."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import mcp_types as types
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.lowlevel.server import Server as SdkServer
from mcp.server.models import InitializationOptions
from mcp.server.session import ServerSession
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel

from lmos.model import User, errors
from lmos.model.errors import InvalidInput, LmosError, face_of
from lmos.protocols.mcp import codec, standard
from lmos.protocols.mcp.guard import BODY_LIMIT, USER
from lmos.protocols.mcp.kept import KeptEvents
from lmos.protocols.mcp.offer import Offer, Result, Tool

log = logging.getLogger(__name__)

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Context = ServerRequestContext[Any, Any]
Data = dict[str, Any]
Handler = Callable[[Context, Any], Coroutine[Any, Any, Data]]

#: Entries that a page of a list has.
PAGE = 200
#: Clients that are told of changes, and resources that one may watch.
TOLD, WATCHED = 1000, 1000
#: Messages kept for a client whose stream is cut, and their bytes.
KEPT, KEPT_BYTES = 1000, 1024 * 1024
_LISTS = (ToolsListChanged(), PromptsListChanged(), ResourcesListChanged())
_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


class _Server(SdkServer[Any]):
    """The SDK's server, which says that its lists may change."""

    def create_initialization_options(self, *arguments: Any, **more: Any) -> InitializationOptions:
        """What it says of itself."""
        may_change = NotificationOptions(True, True, True)
        return super().create_initialization_options(may_change)


class _Sessions(StreamableHTTPSessionManager):
    """The SDK's sessions, each with messages of its own. The SDK names streams by the ids of
    requests, which every client counts from the same number: in one store for all, a client could
    come back for what another was told.
    """

    @property
    def event_store(self) -> KeptEvents:
        """The store of the session that is being opened."""
        return KeptEvents(KEPT, KEPT_BYTES)

    @event_store.setter
    def event_store(self, _: object) -> None: ...


@dataclass(slots=True)
class _Client:
    """A client that is told of changes."""

    session: ServerSession
    level: str = "debug"
    watched: set[str] = field(default_factory=set)


class Handlers:
    """The requests. `offer` is asked anew for each."""

    def __init__(self, offer: Callable[[], Offer]) -> None:
        self._offer = offer
        self._bus = InMemorySubscriptionBus()
        self._stateless = False
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        found = offer()
        self.server = _Server(
            found.name,
            version=found.version,
            instructions=found.instructions or None,
            on_subscriptions_listen=ListenHandler(self._bus),
        )
        self._register()

    def _register(self) -> None:
        t, paged = types, types.PaginatedRequestParams
        self._on("tools/list", paged, t.ListToolsResult, self._tools)
        self._on("tools/call", t.CallToolRequestParams, t.CallToolResult, self._call)
        self._on("prompts/list", paged, t.ListPromptsResult, self._prompts)
        self._on("prompts/get", t.GetPromptRequestParams, t.GetPromptResult, self._prompt)
        self._on("resources/list", paged, t.ListResourcesResult, self._resources)
        self._on("resources/templates/list", paged, t.ListResourceTemplatesResult, self._templates)
        self._on("resources/read", t.ReadResourceRequestParams, t.ReadResourceResult, self._read)
        self._on("resources/subscribe", t.SubscribeRequestParams, t.EmptyResult, self._watch)
        self._on("resources/unsubscribe", t.UnsubscribeRequestParams, t.EmptyResult, self._unwatch)
        self._on("logging/setLevel", t.SetLevelRequestParams, t.EmptyResult, self._set_level)
        if self._offer().complete:
            given, result = t.CompleteRequestParams, t.CompleteResult
            self._on("completion/complete", given, result, self._complete)
        self.server.add_notification_handler(
            "notifications/initialized", types.NotificationParams, self._initialized
        )

    def _on(
        self, method: str, params: type[BaseModel], result: type[BaseModel], handler: Handler
    ) -> None:
        async def told(ctx: Context, given: Any) -> BaseModel:
            try:
                return result.model_validate(await handler(ctx, given))
            except LmosError as error:
                raise _refused(error) from None

        self.server.add_request_handler(method, params, told)

    # --- running ----------------------------------------------------------------------------------

    def manager(
        self, *, stateless: bool, body_limit: int, sessions: int, session_time: float, retry: int
    ) -> StreamableHTTPSessionManager:
        """Serves HTTP; for one run. Where requests come from is checked before it."""
        self._stateless = stateless
        return _Sessions(
            self.server,
            stateless=stateless,
            retry_interval=retry,
            max_request_body_size=body_limit,
            max_sessions=sessions,
            session_idle_timeout=session_time,
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

    async def stdio(self) -> None:
        """Serves the standard streams until the input ends."""
        given: Any = standard.lines(BODY_LIMIT) if standard.readable() else None
        options = self.server.create_initialization_options()
        try:
            async with stdio_server(given) as (incoming, outgoing):
                await self.server.run(incoming, outgoing, options)
        finally:
            if given is not None:
                await given.aclose()

    # --- tools ------------------------------------------------------------------------------------

    async def _tools(self, ctx: Context, params: types.PaginatedRequestParams) -> Data:
        return _page("tools", [codec.tool_data(tool) for tool in self._offer().tools], params)

    async def _call(self, ctx: Context, params: types.CallToolRequestParams) -> Data:
        tool = next((t for t in self._offer().tools if t.name == params.name), None)
        if tool is None:
            raise InvalidInput(f"there is no tool {params.name!r}; see tools/list")
        caller = _Caller(ctx, self._client_of(ctx))
        return codec.result_data(await _apart(_called(tool, caller, params.arguments or {})))

    # --- prompts and resources --------------------------------------------------------------------

    async def _prompts(self, ctx: Context, params: types.PaginatedRequestParams) -> Data:
        found = [codec.prompt_data(prompt) for prompt in self._offer().prompts]
        return _page("prompts", found, params)

    async def _prompt(self, ctx: Context, params: types.GetPromptRequestParams) -> Data:
        prompt = next((p for p in self._offer().prompts if p.name == params.name), None)
        if prompt is None:
            raise InvalidInput(f"there is no prompt {params.name!r}; see prompts/list")
        given = params.arguments or {}
        missing = [a.name for a in prompt.arguments if a.required and a.name not in given]
        if missing:
            raise InvalidInput(f"the prompt {params.name!r} needs {', '.join(missing)}")
        messages = codec.prompt_messages(await prompt.get(given))
        return {"description": prompt.description, "messages": messages}

    async def _resources(self, ctx: Context, params: types.PaginatedRequestParams) -> Data:
        found = [codec.resource_data(r) for r in self._offer().resources if not r.is_template]
        return _page("resources", found, params)

    async def _templates(self, ctx: Context, params: types.PaginatedRequestParams) -> Data:
        found = [codec.resource_data(r) for r in self._offer().resources if r.is_template]
        return _page("resourceTemplates", found, params)

    async def _read(self, ctx: Context, params: types.ReadResourceRequestParams) -> Data:
        uri = str(params.uri)
        for resource in self._offer().resources:
            values = codec.matched(resource, uri)
            if values is not None:
                read = await resource.read(uri, values)
                return codec.read_data(uri, resource.mime_type, read)
        raise MCPError(_NO_RESOURCE, f"there is no resource {uri!r}", {"uri": uri})

    async def _complete(self, ctx: Context, params: types.CompleteRequestParams) -> Data:
        complete = self._offer().complete
        ref = params.ref
        place = ref.name if isinstance(ref, types.PromptReference) else ref.uri
        found = (
            await complete(place, params.argument.name, params.argument.value) if complete else ()
        )
        values = list(found)[:100]
        total = len(found)
        return {"completion": {"values": values, "total": total, "hasMore": total > len(values)}}

    # --- who is told what -------------------------------------------------------------------------

    async def _initialized(self, ctx: Context, params: types.NotificationParams) -> None:
        self._client_of(ctx)

    def _client_of(self, ctx: Context) -> _Client:
        """The client whose request it is. Without a session nothing is remembered of it."""
        key = None if self._stateless else _session_id(ctx)
        if key is None:
            return _Client(ctx.session)
        client = self._clients.setdefault(key, _Client(ctx.session))
        self._clients.move_to_end(key)
        while len(self._clients) > TOLD:
            self._clients.popitem(last=False)
        return client

    async def _watch(self, ctx: Context, params: types.SubscribeRequestParams) -> Data:
        client = self._client_of(ctx)
        if len(client.watched) >= WATCHED:
            raise errors.TooLarge(f"more than {WATCHED} resources are watched", limit=WATCHED)
        client.watched.add(str(params.uri))
        return {}

    async def _unwatch(self, ctx: Context, params: types.UnsubscribeRequestParams) -> Data:
        self._client_of(ctx).watched.discard(str(params.uri))
        return {}

    async def _set_level(self, ctx: Context, params: types.SetLevelRequestParams) -> Data:
        self._client_of(ctx).level = params.level
        return {}

    async def changed(self) -> None:
        """Tells everybody that the lists are others now."""
        for event in _LISTS:
            await self._bus.publish(event)
        for key, client in list(self._clients.items()):
            session = client.session
            await self._tell(key, session.send_tool_list_changed())
            await self._tell(key, session.send_prompt_list_changed())
            await self._tell(key, session.send_resource_list_changed())

    async def updated(self, uri: str) -> None:
        """Tells those who watch the resource."""
        await self._bus.publish(ResourceUpdated(uri=uri))
        for key, client in list(self._clients.items()):
            if uri in client.watched:
                await self._tell(key, client.session.send_resource_updated(uri))

    async def _tell(self, key: str, telling: Coroutine[Any, Any, None]) -> None:
        """Forgets a client that is gone."""
        try:
            await telling
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, MCPError):
            self._clients.pop(key, None)


class _Caller:
    """Who calls a tool; see `offer.Caller`."""

    def __init__(self, ctx: Context, client: _Client) -> None:
        self._ctx = ctx
        self._client = client
        self.meta: Mapping[str, Any] = {**(ctx.meta or {})}

    @property
    def user(self) -> User | None:
        """Who they proved to be."""
        return self._ctx.request.scope.get(USER) if self._ctx.request is not None else None

    async def progress(
        self,
        done: float,
        total: float | None = None,
        message: str = "",
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Tells how far it is."""
        token = self.meta.get("progress_token")
        if token is None:
            return
        params = types.ProgressNotificationParams(
            progress_token=token,
            progress=done,
            total=total,
            message=message or None,
            _meta=dict(meta) if meta else None,
        )
        await self._notify(types.ProgressNotification(params=params))

    async def log(self, level: str, text: str) -> None:
        """Sends a line, unless the client wants only graver ones."""
        if _LEVELS.index(level) < _LEVELS.index(self._client.level):
            return
        params = types.LoggingMessageNotificationParams(level=level, data=text)
        await self._notify(types.LoggingMessageNotification(params=params))

    async def ask(self, message: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Asks a person."""
        params = types.ElicitRequestFormParams(message=message, requested_schema=dict(schema))
        wanted = types.ClientCapabilities(elicitation=types.ElicitationCapability())
        answer = await self._request(types.ElicitRequest(params=params), types.ElicitResult, wanted)
        return {"action": answer.action, "content": answer.content or {}}

    async def sample(self, prompt: str, max_tokens: int = 1000) -> str:
        """Asks the caller's model."""
        content = types.TextContent(text=prompt)
        params = types.CreateMessageRequestParams(
            messages=[types.SamplingMessage(role="user", content=content)], max_tokens=max_tokens
        )
        wanted = types.ClientCapabilities(sampling=types.SamplingCapability())
        request = types.CreateMessageRequest(params=params)
        answer = await self._request(request, types.CreateMessageResult, wanted)
        return answer.content.text if isinstance(answer.content, types.TextContent) else ""

    async def release(self) -> None:
        """Closes the stream of the call, where its messages are kept."""
        if self._ctx.close_sse_stream is not None:
            await self._ctx.close_sse_stream()

    async def _notify(self, notification: types.ServerNotification) -> None:
        await self._ctx.session.send_notification(notification, self._ctx.request_id)

    async def _request(self, request: Any, result: type[M], wanted: types.ClientCapabilities) -> M:
        session = self._ctx.session
        what = request.method
        if not session.can_send_request or not session.check_client_capability(wanted):
            raise InvalidInput(f"the caller does not take {what} over this connection")
        metadata = ServerMessageMetadata(related_request_id=self._ctx.request_id)
        try:
            return await session.send_request(request, result, metadata=metadata)
        except MCPError as error:
            raise InvalidInput(f"the caller refused {what}: {error.message}") from None


# --- calling --------------------------------------------------------------------------------------


async def _called(tool: Tool, caller: _Caller, arguments: Mapping[str, Any]) -> Result:
    """The result of the call; a failure is one too, for the caller's model to read."""
    try:
        _check(tool, arguments)
        return await tool.call(caller, arguments)
    except LmosError as error:
        return codec.failure(error, face_of(error).code, error.message)
    except MCPError:
        raise
    except Exception as error:
        log.exception("tool %s failed", tool.name)
        message = f"an internal error occurred in {tool.name}; see the server's log"
        return codec.failure(error, face_of(error).code, message)


def _check(tool: Tool, arguments: Mapping[str, Any]) -> None:
    try:
        found = next(Draft202012Validator(dict(tool.schema)).iter_errors(dict(arguments)), None)
    except SchemaError as error:
        raise InvalidInput(f"the schema of {tool.name} is wrong: {error.message}") from None
    if found is not None:
        place = ".".join(str(part) for part in found.absolute_path) or "arguments"
        raise InvalidInput(f"{tool.name}: {place}: {found.message}"[:1000])


async def _apart(work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, done in a task of its own: a cancelled call cancels it once, and it
    can close what it has open before the call ends.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task])
        raise


# --- small things ---------------------------------------------------------------------------------

_NO_RESOURCE = -32002


def _refused(error: LmosError) -> MCPError:
    return MCPError(face_of(error).jsonrpc, error.message, error.details or None)


def _page(name: str, entries: list[Data], params: types.PaginatedRequestParams | None) -> Data:
    """The entries from the cursor on, which is a number."""
    cursor = (params.cursor if params else None) or "0"
    if not cursor.isdecimal() or int(cursor) > len(entries):
        raise InvalidInput(f"there is no cursor {cursor[:50]!r}; list again from the beginning")
    start = int(cursor)
    page: Data = {name: entries[start : start + PAGE]}
    if start + PAGE < len(entries):
        page["nextCursor"] = str(start + PAGE)
    return page


def _session_id(ctx: Context) -> str | None:
    """What the session is known by; None for a request that stands for itself."""
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        return None
    if ctx.request is None:
        return "stdio"
    found = ctx.request.headers.get("mcp-session-id")
    return str(found) if found else None
