"""Operations of the schema against agents, tools and events, within limits.

A document is parsed, measured and validated once and kept; what is over a limit is refused before
any of it runs. Introspection is allowed, as deep as tools go.
"""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from lmos.model import STABLE, Failed, LmosError, Turn
from lmos.model.errors import InvalidInput, face_of
from lmos.protocols.answering import answered
from lmos.protocols.directory import Directory
from lmos.protocols.extras import require
from lmos.protocols.graphql import codec, schema
from lmos.protocols.graphql.limits import DEFAULT, Limits, check_size
from lmos.protocols.graphql.naming import AgentEvent
from lmos.protocols.text import json_text

if TYPE_CHECKING:
    from graphql import DocumentNode, ExecutionResult, GraphQLError, GraphQLSchema

log = logging.getLogger(__name__)

#: Documents that are kept, and the characters that one kept may have.
KEPT, KEPT_SIZE = 64, 4000


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the schema shows it. `parameters` is a JSON schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Tools(Protocol):
    """The tools that an endpoint shows and may call."""

    def list(self) -> Sequence[Tool]:
        """All of them."""
        ...

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """What the tool gives, as text; `NotFound` when there is none of that name."""
        ...


@dataclass(frozen=True, slots=True)
class Operation:
    """What a client asks for."""

    query: str
    variables: Mapping[str, Any] | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """What an operation takes from its surroundings: path and headers. `seconds` is how long a
    turn may take.
    """

    tenant: str = ""
    channel: str = ""
    subset: str = STABLE
    seconds: float | None = None
    trace: Mapping[str, str] = field(default_factory=dict)


class Refused(InvalidInput):
    """An operation that is not run. `errors` is what the response lists."""

    def __init__(self, found: Sequence[dict[str, Any]]) -> None:
        super().__init__("; ".join(error["message"] for error in found))
        self.errors = list(found)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An operation that may run; `kind` is query, mutation or subscription."""

    operation: Operation
    document: "DocumentNode"
    kind: str


Payload = dict[str, Any]
Results = AsyncGenerator[Payload, None]


class Service:
    """The schema with what is behind it. `MissingExtra` where its library is not installed."""

    def __init__(
        self,
        agents: Directory,
        *,
        tools: Tools | None = None,
        calling: bool = False,
        events: Callable[[], AsyncGenerator[AgentEvent, None]] | None = None,
        limits: Limits = DEFAULT,
    ) -> None:
        require("graphql", "graphql", "serving GraphQL")
        if calling and tools is None:
            raise InvalidInput("tools can be called only where there are some: give tools too")
        self._agents, self._tools, self._events = agents, tools, events
        self.limits = limits
        self._sdl = schema.sdl(tools=tools is not None, calling=calling, events=events is not None)
        self._document = lru_cache(maxsize=KEPT)(self._checked)

    @cached_property
    def schema(self) -> "GraphQLSchema":
        """The schema, built when it is first used: the library takes a fifth of a second."""
        from graphql import build_schema

        return self._resolved(build_schema(self._sdl))

    # --- preparing ------------------------------------------------------------------------------

    def prepare(self, operation: Operation) -> Prepared:
        """The operation, checked; `Refused` when it is over a limit or not valid."""
        from graphql import GraphQLError, get_operation_ast

        kept = len(operation.query) <= KEPT_SIZE
        try:
            document = (self._document if kept else self._checked)(operation.query)
        except GraphQLError as error:
            raise Refused([error_of(error)]) from None
        found = get_operation_ast(document, operation.name)
        if found is None:
            asked = f"no operation {operation.name!r}" if operation.name else "several operations"
            text = f"the document has {asked}: name one of it in operationName"
            raise Refused([_error(InvalidInput(text))])
        return Prepared(operation, document, found.operation.value)

    def _checked(self, query: str) -> "DocumentNode":
        from graphql import parse, specified_rules, validate
        from graphql.validation import MaxIntrospectionDepthRule

        limits = self.limits
        document = parse(
            query,
            max_source_length=limits.characters,
            max_lexical_tokens=limits.tokens,
            max_comments=limits.tokens,
        )
        check_size(document, limits)
        rules = (*specified_rules, MaxIntrospectionDepthRule)
        if found := validate(self.schema, document, rules, max_errors=limits.errors):
            raise Refused([error_of(error) for error in found])
        return document

    # --- running --------------------------------------------------------------------------------

    async def run(self, prepared: Prepared, caller: Caller) -> Payload:
        """The result of a query or mutation. `Refused` when its variables do not fit."""
        from graphql import execute

        found: Any = execute(
            self.schema,
            prepared.document,
            variable_values=_variables(prepared),
            operation_name=prepared.operation.name,
            context_value=caller,
        )
        return payload_of(found if _is_result(found) else await found)

    async def stream(self, prepared: Prepared, caller: Caller) -> Results:
        """The results of any operation as they come, at least one. Raises an `LmosError` where a
        turn fails, `Refused` when the operation cannot begin; closing it ends the turn.
        """
        if prepared.kind != "subscription":
            yield await self.run(prepared, caller)
            return
        async with aclosing(await self._subscribed(prepared, caller)) as results:
            async for found in results:
                yield payload_of(found)

    async def _subscribed(
        self, prepared: Prepared, caller: Caller
    ) -> "AsyncGenerator[ExecutionResult, None]":
        from graphql import subscribe

        found: Any = subscribe(
            self.schema,
            prepared.document,
            variable_values=_variables(prepared),
            operation_name=prepared.operation.name,
            context_value=caller,
        )
        if hasattr(found, "__await__"):
            found = await found
        if _is_result(found):
            raise _failure(found)
        return found  # type: ignore[no-any-return]

    # --- resolving ------------------------------------------------------------------------------

    def _resolved(self, built: "GraphQLSchema") -> "GraphQLSchema":
        assert built.query_type is not None
        assert built.subscription_type is not None
        query, subscription = built.query_type.fields, built.subscription_type.fields
        query["agent"].resolve = lambda *_: {"names": list(self._agents.names())}
        if "tool" in query:
            query["tool"].resolve = lambda *_: {"tools": [_shown(t) for t in self._listed()]}
        if built.mutation_type is not None:
            built.mutation_type.fields["tool"].resolve = self._call
        for name, source in (("agent", self._answer), ("events", self._happening)):
            if name in subscription:
                subscription[name].subscribe = source
                subscription[name].resolve = lambda item, *_, **__: item
        return built

    def _listed(self) -> Sequence[Tool]:
        return self._tools.list() if self._tools else ()

    async def _call(
        self, _: Any, __: Any, *, name: str, parameters: str | None = None
    ) -> dict[str, str | None]:
        """A tool's result; what goes wrong is its `error`, as in the original."""
        assert self._tools is not None
        try:
            return {"result": await self._tools.call(name, _arguments(parameters)), "error": None}
        except LmosError as error:
            return {"result": None, "error": error.message}

    def _answer(
        self,
        _: Any,
        info: Any,
        *,
        request: Mapping[str, Any],
        agentName: str | None = None,  # noqa: N803
    ) -> AsyncIterator[codec.Result]:
        caller: Caller = info.context
        turn = codec.turn_of(
            codec.read_request(request),
            agentName,
            tenant=caller.tenant,
            channel=caller.channel,
            subset=caller.subset,
            trace=caller.trace,
        )
        if caller.seconds is not None:
            turn = turn.but(deadline=datetime.now(UTC) + timedelta(seconds=caller.seconds))
        return _results(self._agents, turn)

    async def _happening(self, _: Any, __: Any) -> AsyncIterator[dict[str, str | None]]:
        assert self._events is not None
        async with aclosing(self._events()) as events:
            async for event in events:
                yield {
                    "type": event.type,
                    "payload": event.payload,
                    "conversationId": event.conversation_id,
                    "turnId": event.turn_id,
                }


def _results(agents: Directory, turn: Turn) -> AsyncGenerator[codec.Result, None]:
    responder = agents.responder(turn.agent)
    # Who was asked for is settled; a channel behind the name must not look for it once more.
    turn = turn.but(agent=None)

    async def results() -> AsyncGenerator[codec.Result, None]:
        reply = codec.Reply(turn, time.time())
        async with aclosing(answered(responder, turn)) as events:
            async for event in events:
                for result in reply.of(event, time.time()):
                    yield result
                if isinstance(event, Failed):
                    raise event.exception()

    return results()


def _is_result(found: Any) -> bool:
    from graphql import ExecutionResult

    return isinstance(found, ExecutionResult)


def _variables(prepared: Prepared) -> dict[str, Any]:
    return dict(prepared.operation.variables or {})


def _shown(tool: Tool) -> dict[str, str]:
    parameters = json_text(tool.parameters)
    return {"name": tool.name, "description": tool.description, "parameters": parameters}


def _arguments(text: str | None) -> Mapping[str, Any]:
    try:
        found = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"parameters is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidInput(f"parameters is a JSON {type(found).__name__}, not an object")
    return found


# --- payloads -------------------------------------------------------------------------------------


def payload_of(result: "ExecutionResult") -> Payload:
    """The result as a response has it. `Refused` when nothing was run."""
    if not result.errors:
        return {"data": result.data}
    if result.data is None and not any(error.path for error in result.errors):
        raise Refused([error_of(error) for error in result.errors])
    return {"data": result.data, "errors": [error_of(error) for error in result.errors]}


def _failure(result: "ExecutionResult") -> LmosError:
    """Why a subscription did not begin, as the error that it is."""
    found = result.errors or []
    for error in found:
        if isinstance(error.original_error, LmosError):
            return error.original_error
    return Refused([error_of(error) for error in found])


def errors_of(error: BaseException) -> list[dict[str, Any]]:
    """The error as a response or an `error` message lists it."""
    return error.errors if isinstance(error, Refused) else [_error(error)]


def error_of(error: "GraphQLError") -> dict[str, Any]:
    """A GraphQL error with our code; what is not an `LmosError` keeps its inside to itself."""
    from graphql import GraphQLError

    cause: BaseException | None = error.original_error
    if cause is None or isinstance(cause, GraphQLError):
        cause = InvalidInput(error.message)
    if not isinstance(cause, LmosError):
        log.error("a GraphQL resolver failed", exc_info=cause)
    return {**error.formatted, **_error(cause)}


def _error(error: BaseException) -> dict[str, Any]:
    info = Failed.of(error).error
    extensions = {"code": face_of(error).code}
    return {
        "message": info.message,
        "extensions": {**extensions, **({"details": info.details} if info.details else {})},
    }
