"""A responder as an A2A agent: its card, JSON-RPC and HTTP+JSON."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from lmos.model import TERMINAL, Description, Responder, Turn, TurnEvent
from lmos.model.errors import InvalidInput, LmosError
from lmos.protocols import http, sse
from lmos.protocols.a2a import card, codec, faults, legacy
from lmos.protocols.a2a.card import Offer
from lmos.protocols.a2a.service import EXTENSIONS, Asked, Service, not_offered
from lmos.protocols.a2a.tasks import Task

#: Bytes of a request: a turn with its history.
BODY_LIMIT = 4 * http.BODY_LIMIT

Describing = Description | Callable[[Request], Description]


def routes(
    responder: Responder | Service,
    description: Describing,
    prefix: str = "",
    offer: Offer | Callable[[], Offer] = card.NOTHING,
) -> list[Route]:
    """The routes of an A2A agent below `prefix`: the card at `/.well-known/agent-card.json` (in the
    old form also at `/.well-known/agent.json`), and at `/a2a` JSON-RPC and HTTP+JSON.

    Path parameters `tenant` and `channel` of the prefix are those of every turn. The card points
    at `description.url`, or, when that is empty, back at where the client found it. `offer` is
    what the card says of the server: gRPC, credentials.
    """
    service = responder if isinstance(responder, Service) else Service(responder)
    agent = _Agent(service, description, offer)
    base = prefix + card.PATH
    return [
        Route(prefix + card.CARD, agent.card, methods=["GET"]),
        Route(prefix + legacy.PATH, agent.old_card, methods=["GET"]),
        Route(base, agent.rpc, methods=["POST"]),
        Route(f"{base}/message:send", agent.send, methods=["POST"]),
        Route(f"{base}/message:stream", agent.stream, methods=["POST"]),
        Route(f"{base}/tasks", agent.tasks, methods=["GET"]),
        Route(f"{base}/tasks/{{id}}:cancel", agent.cancel, methods=["POST"]),
        *(Route(base + path, _Refused(name)) for path, name in _REFUSED.items()),
        Route(f"{base}/tasks/{{id}}", agent.task, methods=["GET"]),
    ]


#: What HTTP+JSON has and we do not, by its path.
_REFUSED = {
    "/tasks/{id}:subscribe": "SubscribeToTask",
    "/tasks/{id}/pushNotificationConfigs": "TaskPushNotificationConfig",
    "/tasks/{id}/pushNotificationConfigs/{config}": "TaskPushNotificationConfig",
    "/extendedAgentCard": "GetExtendedAgentCard",
}


class _Refused:
    """Says that the operation is not offered, whichever method it is asked with."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = faults.rest_error(not_offered(self._name))
        await response(scope, receive, send)


class _Agent:
    """The endpoints."""

    def __init__(
        self, service: Service, description: Describing, offer: Offer | Callable[[], Offer]
    ) -> None:
        self._service = service
        self._description = description
        self._offer = offer

    async def card(self, request: Request) -> Response:
        """The agent's card."""
        return _card(self._card(request))

    async def old_card(self, request: Request) -> Response:
        """The card with what clients of the time before 1.0 look for."""
        return _card(legacy.extended(self._card(request)))

    def _card(self, request: Request) -> dict[str, Any]:
        found = self._description
        description = found if isinstance(found, Description) else found(request)
        offer = self._offer if isinstance(self._offer, Offer) else self._offer()
        return card.card_of(description, card.base_of(request), offer)

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
        asked = _asked(request)
        asked.check_version()
        method, params = call["method"], call.get("params") or {}
        match method:
            case "SendStreamingMessage":
                head = b'{"jsonrpc":"2.0","id":%b,"result":' % orjson.dumps(request_id)
                turn, task = self._service.begin(params, asked)
                return self._streamed(turn, task, (head, b"}"), _refuse_rpc(request_id))
            case "SendMessage":
                result = await self._sent(request, params)
            case "GetTask":
                result = self._service.task(params, asked)
            case "ListTasks":
                result = self._service.tasks(params, asked)
            case "CancelTask":
                result = self._service.cancel(params, asked)
            case _:
                raise not_offered(method)
        if result is None:
            return http.client_left()
        return http.json_response({"jsonrpc": "2.0", "id": request_id, "result": result})

    # --- HTTP+JSON -----------------------------------------------------------------------------

    async def send(self, request: Request) -> Response:
        """Answers when the turn is over."""
        try:
            _asked(request).check_version()
            result = await self._sent(request, await http.read_json(request, BODY_LIMIT))
        except LmosError as error:
            return faults.rest_error(error)
        return http.client_left() if result is None else _a2a_json(result)

    async def stream(self, request: Request) -> Response:
        """Answers while the turn runs."""
        try:
            asked = _asked(request)
            asked.check_version()
            params = await http.read_json(request, BODY_LIMIT)
            turn, task = self._service.begin(params, asked)
            return self._streamed(turn, task, (b"", b""), faults.rest_error)
        except LmosError as error:
            return faults.rest_error(error)

    async def task(self, request: Request) -> Response:
        """A task as it is now."""
        try:
            return _a2a_json(self._service.task(request.path_params, _asked(request)))
        except LmosError as error:
            return faults.rest_error(error)

    async def tasks(self, request: Request) -> Response:
        """The caller's tasks."""
        try:
            return _a2a_json(self._service.tasks(dict(request.query_params), _asked(request)))
        except LmosError as error:
            return faults.rest_error(error)

    async def cancel(self, request: Request) -> Response:
        """Ends a task."""
        try:
            return _a2a_json(self._service.cancel(request.path_params, _asked(request)))
        except LmosError as error:
            return faults.rest_error(error)

    # --- turns ---------------------------------------------------------------------------------

    async def _sent(self, request: Request, params: Any) -> dict[str, Any] | None:
        """The task when its turn is over, None when the client did not wait for it."""
        turn, task = self._service.begin(params, _asked(request))
        done = await http.attended(request, self._service.finished(turn, task))
        return None if done is None else {"task": done}

    def _streamed(
        self,
        turn: Turn,
        task: Task,
        around: tuple[bytes, bytes],
        refuse: Callable[[LmosError], Response],
    ) -> Response:
        headers = {EXTENSIONS: codec.EXTENSION} if task.extended else {}
        return http.Stream(_frames(self._service.updates(turn, task), around), refuse, headers)


async def _frames(
    updates: AsyncGenerator[tuple[TurnEvent, dict[str, Any]], None], around: tuple[bytes, bytes]
) -> AsyncGenerator[bytes, None]:
    before, after = around
    async with aclosing(updates):
        async for event, update in updates:
            chunk = sse.frame(b"%b%b%b" % (before, orjson.dumps(update), after))
            yield http.Last(chunk) if isinstance(event, TERMINAL) else chunk


# --- requests -------------------------------------------------------------------------------------


def _asked(request: Request) -> Asked:
    path = request.path_params
    place: dict[str, str] = {n: path[n] for n in ("tenant", "channel") if n in path}
    return Asked(request.headers, place)


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


def _card(found: dict[str, Any]) -> Response:
    return http.json_response(found, headers={"cache-control": "max-age=60"})


def _a2a_json(content: dict[str, Any]) -> Response:
    return http.json_response(content, media_type="application/a2a+json")
