"""A responder as an A2A agent: its card, JSON-RPC and HTTP+JSON."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmos.model import TERMINAL, Description, Responder, Turn, TurnEvent
from lmos.model.errors import InvalidInput, LmosError
from lmos.protocols import http, limits, sse
from lmos.protocols.a2a import card, codec, faults
from lmos.protocols.a2a.tasks import Task, Tasks
from lmos.protocols.answering import answered

#: Bytes of a request: a turn with its history.
BODY_LIMIT = 4 * http.BODY_LIMIT
VERSION = "1.0"

Describing = Description | Callable[[Request], Description]


def routes(responder: Responder, description: Describing, prefix: str = "") -> list[Route]:
    """The routes of an A2A agent below `prefix`: the card at `/.well-known/agent-card.json`, and
    at `/a2a` JSON-RPC and HTTP+JSON.

    Path parameters `tenant` and `channel` of the prefix are those of every turn. The card points
    at `description.url`, or, when that is empty, back at where the client found it.
    """
    agent = _Agent(responder, description)
    base = prefix + card.PATH
    return [
        *(Route(prefix + path, agent.card, methods=["GET"]) for path in card.WELL_KNOWN),
        Route(base, agent.rpc, methods=["POST"]),
        Route(f"{base}/message:send", agent.send, methods=["POST"]),
        Route(f"{base}/message:stream", agent.stream, methods=["POST"]),
        Route(f"{base}/tasks/{{id}}:cancel", agent.cancel, methods=["POST"]),
        Route(f"{base}/tasks/{{id}}", agent.task, methods=["GET"]),
    ]


class _Agent:
    """The endpoints."""

    def __init__(self, responder: Responder, description: Describing) -> None:
        self._responder = responder
        self._description = description
        self._tasks = Tasks()

    async def card(self, request: Request) -> Response:
        """The agent's card."""
        return http.json_response(
            card.card_of(self._describe(request), card.base_of(request)),
            headers={"cache-control": "max-age=60"},
        )

    def _describe(self, request: Request) -> Description:
        found = self._description
        return found if isinstance(found, Description) else found(request)

    # --- JSON-RPC ------------------------------------------------------------------------------

    async def rpc(self, request: Request) -> Response:
        """Any method, over JSON-RPC 2.0."""
        request_id: Any = None
        try:
            call = _call(await http.read_body(request, BODY_LIMIT))
            request_id = call.get("id")
            return await self._dispatch(request, call, request_id)
        except LmosError as error:
            return http.json_response(faults.rpc_error(error, request_id))

    async def _dispatch(self, request: Request, call: dict[str, Any], request_id: Any) -> Response:
        _check_version(request)
        method, params = call["method"], call.get("params") or {}
        match method:
            case "SendStreamingMessage":
                head = b'{"jsonrpc":"2.0","id":%b,"result":' % orjson.dumps(request_id)
                return self._streamed(
                    *self._begin(request, params), (head, b"}"), _refuse_rpc(request_id)
                )
            case "SendMessage":
                result = await self._sent(request, params)
            case "GetTask":
                result = self._tasks.get(_scope(request), _id(params)).snapshot()
            case "CancelTask":
                result = self._tasks.cancel(_scope(request), _id(params)).snapshot()
            case _:
                raise _not_offered(method)
        if result is None:
            return http.client_left()
        return http.json_response({"jsonrpc": "2.0", "id": request_id, "result": result})

    # --- HTTP+JSON -----------------------------------------------------------------------------

    async def send(self, request: Request) -> Response:
        """Answers when the turn is over."""
        try:
            _check_version(request)
            result = await self._sent(request, await http.read_json(request, BODY_LIMIT))
        except LmosError as error:
            return faults.rest_error(error)
        return http.client_left() if result is None else _a2a_json(result)

    async def stream(self, request: Request) -> Response:
        """Answers while the turn runs."""
        try:
            _check_version(request)
            params = await http.read_json(request, BODY_LIMIT)
            return self._streamed(*self._begin(request, params), (b"", b""), faults.rest_error)
        except LmosError as error:
            return faults.rest_error(error)

    async def task(self, request: Request) -> Response:
        """A task as it is now."""
        try:
            task = self._tasks.get(_scope(request), request.path_params["id"])
        except LmosError as error:
            return faults.rest_error(error)
        return _a2a_json(task.snapshot())

    async def cancel(self, request: Request) -> Response:
        """Ends a task."""
        try:
            task = self._tasks.cancel(_scope(request), request.path_params["id"])
        except LmosError as error:
            return faults.rest_error(error)
        return _a2a_json(task.snapshot())

    # --- turns ---------------------------------------------------------------------------------

    def _begin(self, request: Request, params: Any) -> tuple[Turn, Task]:
        message = codec.read_params(params)
        turn = _placed(codec.turn_of(message), request)
        extended = bool(message.extension) or codec.EXTENSION in request.headers.get(
            "a2a-extensions", ""
        )
        scope = _scope(request)
        if message.task_id:
            task = self._tasks.resume(scope, message.task_id, message.context_id, extended=extended)
            turn = turn.but(conversation_id=task.context_id)
        else:
            task = self._tasks.begin(scope, turn.conversation_id, extended=extended)
        return turn, task

    async def _sent(self, request: Request, params: Any) -> dict[str, Any] | None:
        """The task when its turn is over, None when the client did not wait for it."""
        turn, task = self._begin(request, params)
        done = await http.attended(request, self._finished(turn, task))
        return {"task": task.snapshot()} if done else None

    async def _finished(self, turn: Turn, task: Task) -> bool:
        async with aclosing(self._updates(turn, task)) as updates:
            async for _ in updates:
                pass
        return True

    def _streamed(
        self,
        turn: Turn,
        task: Task,
        around: tuple[bytes, bytes],
        refuse: Callable[[LmosError], Response],
    ) -> Response:
        headers = {"a2a-extensions": codec.EXTENSION} if task.extended else {}
        return http.Stream(_frames(self._updates(turn, task), around), refuse, headers)

    async def _updates(
        self, turn: Turn, task: Task
    ) -> AsyncGenerator[tuple[TurnEvent, dict[str, Any]], None]:
        """The events of the turn with what A2A says of each."""
        try:
            async with aclosing(answered(self._responder, turn, stop=task.stop)) as events:
                async for event in events:
                    yield event, task.take(event)
        finally:
            if task.state == codec.WORKING:  # the client left
                task.cancel()


async def _frames(
    updates: AsyncGenerator[tuple[TurnEvent, dict[str, Any]], None], around: tuple[bytes, bytes]
) -> AsyncGenerator[bytes, None]:
    before, after = around
    async with aclosing(updates):
        async for event, update in updates:
            chunk = sse.frame(b"%b%b%b" % (before, orjson.dumps(update), after))
            yield http.Last(chunk) if isinstance(event, TERMINAL) else chunk


# --- requests -------------------------------------------------------------------------------------

_PUSH = "TaskPushNotificationConfig"
_NOT_OFFERED = {"ListTasks", "SubscribeToTask", "GetExtendedAgentCard"}


def _not_offered(method: str) -> LmosError:
    if _PUSH in method:
        return faults.PushNotSupported("push notifications are not offered; use streaming")
    if method in _NOT_OFFERED:
        return faults.Unsupported(f"{method} is not offered by this agent")
    return faults.MethodNotFound(f"A2A {VERSION} has no method {method!r}")


def _refuse_rpc(request_id: Any) -> Callable[[LmosError], Response]:
    return lambda error: http.json_response(faults.rpc_error(error, request_id))


def _call(body: bytes) -> dict[str, Any]:
    try:
        call = http.parse_json(body)
    except InvalidInput as error:
        raise faults.InvalidJson(error.message) from None
    if not isinstance(call, dict) or call.get("jsonrpc") != "2.0":
        raise faults.InvalidRequest(
            "the body is not a JSON-RPC 2.0 request (batches are not served)"
        )
    if not isinstance(call.get("method"), str):
        raise faults.InvalidRequest("the request names no method")
    if isinstance(call.get("id"), bool | float | dict | list):
        raise faults.InvalidRequest("the request's id must be a string, an integer or null")
    return call


def _id(params: Any) -> str:
    found = params.get("id") if isinstance(params, dict) else None
    if not isinstance(found, str) or not found:
        raise InvalidInput("params.id, the task's id, is missing")
    return found


def _scope(request: Request) -> str:
    path = request.path_params
    return f"{path.get('tenant', '')}/{path.get('channel', '')}"


def _placed(turn: Turn, request: Request) -> Turn:
    """The turn with what the path and the headers say, which win over what it says itself. Where
    the path names a tenant everybody can ask, so nobody is believed to have verified a claim.
    """
    if "tenant" in request.path_params and turn.user.claims:
        turn = turn.but(user=turn.user.but(claims={}))
    given = {name: request.path_params.get(name) for name in ("tenant", "channel")}
    given["subset"] = request.headers.get("x-subset")
    changes: dict[str, Any] = {
        name: limits.check_name(name, value) for name, value in given.items() if value
    }
    if trace := http.trace_of(request):
        changes["trace"] = trace
    return turn.but(**changes) if changes else turn


def _check_version(request: Request) -> None:
    """A client that names no version is taken to speak ours."""
    version = request.headers.get("a2a-version", VERSION)
    if version.split(".")[0] != VERSION.split(".")[0]:
        raise faults.VersionNotSupported(f"A2A {version} is not spoken here; {VERSION} is")


def _a2a_json(content: dict[str, Any]) -> Response:
    return http.json_response(content, media_type="application/a2a+json")
