"""Agents over A2A's third binding, gRPC. Messages become JSON at the door, so that all three
bindings are one agent with the same tasks. Types and stubs are the SDK's (extra `grpc`).

Several agents share a port: each one's card names it as `tenant`, which clients send along. The
port is opened so that a process can take over from another one that still finishes its turns; a
client that asks in the very moment of the change may have to ask again.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from lmos.model.errors import LmosError, MissingExtra, NotFound
from lmos.protocols.a2a import codec, faults
from lmos.protocols.a2a.server import BODY_LIMIT
from lmos.protocols.a2a.service import EXTENSIONS, Asked, Service, not_offered
from lmos.protocols.auth import CALLER, Auth

if TYPE_CHECKING:
    import grpc.aio
    from google.protobuf.message import Message

#: Seconds that running turns get when the server stops.
GRACE = 8.0
_UNARY = ("SendMessage", "GetTask", "ListTasks", "CancelTask")
_REFUSED = (
    *("GetExtendedAgentCard", "CreateTaskPushNotificationConfig"),
    *("GetTaskPushNotificationConfig", "ListTaskPushNotificationConfigs"),
    "DeleteTaskPushNotificationConfig",
)


@asynccontextmanager
async def serving(
    services: Mapping[str, Service],
    address: str,
    *,
    auth: Auth | None = None,
    leaving: asyncio.Event | None = None,
    grace: float = GRACE,
) -> AsyncGenerator[int, None]:
    """Serves the agents at `host:port` while the block runs, and gives the port (0 picks one).
    A single agent needs no tenant. From when `leaving` is set, or else the block ends, no new turn
    is taken, and running ones get `grace` seconds.
    """
    try:
        import grpc.aio
        from a2a.types import a2a_pb2_grpc
    except ImportError:
        raise MissingExtra("grpc", "A2A over gRPC") from None
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", BODY_LIMIT)])
    servicer = _servicer(_Calls(services, auth))
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise LmosError(f"cannot listen for gRPC at {address}: {error}") from None
    await server.start()
    stopping = asyncio.ensure_future(_stop_when(server, leaving, grace)) if leaving else None
    try:
        yield port
    finally:
        if stopping is not None:
            stopping.cancel()
        await server.stop(grace)


async def _stop_when(server: "grpc.aio.Server", leaving: asyncio.Event, grace: float) -> None:
    await leaving.wait()
    await server.stop(grace)


def _servicer(calls: "_Calls") -> Any:
    """The SDK's servicer with our methods."""
    from a2a.types import a2a_pb2_grpc

    servicer = a2a_pb2_grpc.A2AServiceServicer()
    methods: dict[str, Any] = {name: calls.unary(name) for name in _UNARY}
    methods |= {name: calls.refused(name) for name in _REFUSED}
    methods |= {"SendStreamingMessage": calls.stream, "SubscribeToTask": calls.subscribe}
    for name, method in methods.items():
        setattr(servicer, name, method)
    return servicer


class _Calls:
    """The methods."""

    def __init__(self, services: Mapping[str, Service], auth: Auth | None) -> None:
        self._services = services
        self._auth = auth

    def unary(self, name: str) -> Any:
        """A method that gives one message."""

        async def method(request: "Message", context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
            async with self._entered(request, context) as (service, params, asked):
                return await _answer(name, service, params, asked)

        return method

    def refused(self, name: str) -> Any:
        """A method that is not offered, and says so."""

        async def method(request: "Message", context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
            async with self._entered(request, context):
                raise not_offered(name)

        return method

    async def stream(
        self, request: "Message", context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncGenerator[Any, None]:
        """Answers while the turn runs."""
        from a2a.types import StreamResponse

        async with self._entered(request, context) as (service, params, asked):
            turn, task = service.begin(params, asked)
            if task.extended:
                await context.send_initial_metadata(((EXTENSIONS, codec.EXTENSION),))
            async with aclosing(service.updates(turn, task)) as updates:
                async for _, update in updates:
                    yield _parsed(update, StreamResponse())

    async def subscribe(
        self, request: "Message", context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncGenerator[Any, None]:
        """Not offered."""
        async with self._entered(request, context):
            raise not_offered("SubscribeToTask")
        yield

    @asynccontextmanager
    async def _entered(
        self, request: "Message", context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncGenerator[tuple[Service, dict[str, Any], Asked], None]:
        """The agent meant, the request as JSON and what came beside it; errors leave as gRPC's."""
        try:
            headers = {k: v for k, v in context.invocation_metadata() or () if isinstance(v, str)}
            if self._auth is not None:
                CALLER.set(await self._auth.check(headers))
            asked = Asked(headers)
            asked.check_version()
            params = _json(request)
            yield self._service(str(params.pop("tenant", ""))), params, asked
        except LmosError as error:
            await _abort(error, context)

    def _service(self, tenant: str) -> Service:
        if not tenant and len(self._services) == 1:
            return next(iter(self._services.values()))
        if tenant not in self._services:
            there = ", ".join(self._services)
            raise NotFound(f"there is no agent {tenant!r} here; name one as tenant: {there}")
        return self._services[tenant]


async def _answer(name: str, service: Service, params: dict[str, Any], asked: Asked) -> Any:
    from a2a.types import ListTasksResponse, SendMessageResponse, Task

    if name == "SendMessage":
        task = await service.finished(*service.begin(params, asked))
        return _parsed({"task": task}, SendMessageResponse())
    if name == "ListTasks":
        return _parsed(service.tasks(params, asked), ListTasksResponse())
    found = service.task if name == "GetTask" else service.cancel
    return _parsed(found(params, asked), Task())


def _json(request: "Message") -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    found: dict[str, Any] = MessageToDict(request)
    return found


def _parsed(data: dict[str, Any], into: Any) -> Any:
    from google.protobuf.json_format import ParseDict

    return ParseDict(data, into)


async def _abort(error: LmosError, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
    """Ends the call with the error's status, and for machines what A2A calls it."""
    import grpc
    from google.protobuf.any_pb2 import Any as Packed
    from google.rpc import error_details_pb2, status_pb2

    fault = faults.fault_of(error)
    code = grpc.StatusCode[fault.status]
    (known,) = faults.info(error, fault)
    detail = Packed()
    detail.Pack(
        error_details_pb2.ErrorInfo(
            reason=known["reason"], domain=known["domain"], metadata=known["metadata"]
        )
    )
    status = status_pb2.Status(code=code.value[0], message=error.message, details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    await context.abort(code, error.message)
