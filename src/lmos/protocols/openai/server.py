"""Responders as the models of an OpenAI-compatible endpoint."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Protocol
from uuid import uuid4

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmos.model import TERMINAL, Done, Failed, Responder, Started, Turn, TurnEvent, Usage
from lmos.model.errors import LmosError, NotFound, face_of
from lmos.protocols import http, limits, sse
from lmos.protocols.answering import Outcome, Texts, answered, collect, from_opening
from lmos.protocols.openai import codec, headers, responses

#: Before which `/v1/...` is served: itself, and where ARC has it.
PREFIXES = ("", "/openai")
DONE = sse.frame(b"[DONE]")


class Models(Protocol):
    """The models that an endpoint offers."""

    def list(self) -> Sequence[str]:
        """Their names."""
        ...

    def responder(self, name: str) -> Responder:
        """The model's responder; `NotFound` when there is none of that name."""
        ...


class _Single:
    def __init__(self, name: str, responder: Responder) -> None:
        self._name = name
        self._responder = responder

    def list(self) -> Sequence[str]:
        return [self._name]

    def responder(self, name: str) -> Responder:
        if name != self._name:
            raise NotFound(f"there is no model {name!r}; the one here is {self._name!r}")
        return self._responder


def single(name: str, responder: Responder) -> Models:
    """One responder as the only model."""
    return _Single(name, responder)


def routes(models: Models) -> list[Route]:
    """`/v1/chat/completions`, `/v1/responses` and `/v1/models`, also below `/openai`."""
    endpoint = _Endpoint(models)
    return [
        route
        for prefix in PREFIXES
        for route in (
            Route(f"{prefix}/v1/chat/completions", endpoint.chat, methods=["POST"]),
            Route(f"{prefix}/v1/responses", endpoint.respond, methods=["POST"]),
            Route(f"{prefix}/v1/models", endpoint.models, methods=["GET"]),
            Route(f"{prefix}/v1/models/{{name:path}}", endpoint.model, methods=["GET"]),
        )
    ]


class _Endpoint:
    def __init__(self, models: Models) -> None:
        self._models = models

    async def models(self, request: Request) -> Response:
        """All models."""
        found = [_model(name) for name in self._models.list()]
        return http.json_response({"object": "list", "data": found})

    async def model(self, request: Request) -> Response:
        """One model."""
        name = request.path_params["name"]
        if name not in self._models.list():
            return _refuse(NotFound(f"there is no model {name!r}; see /v1/models"))
        return http.json_response(_model(name))

    async def chat(self, request: Request) -> Response:
        """A turn, as chat completions."""
        try:
            asked = codec.read_request(await http.read_json(request))
            turn = _chat_turn(asked, request)
            events = answered(self._models.responder(asked.model), turn)
            if asked.stream:
                usage = bool(asked.stream_options and asked.stream_options.include_usage)
                chunks = _chunks(events, turn, asked.model, usage)
                return http.Stream(chunks, _refuse, _ids(turn))
            outcome = await http.attended(request, collect(events))
        except LmosError as error:
            return _refuse(error)
        if outcome is None:
            return http.client_left()
        body = codec.completion(outcome, turn, asked.model, int(time.time()))
        return http.json_response(body, headers=_ids(turn))

    async def respond(self, request: Request) -> Response:
        """A turn, as a response."""
        try:
            asked = responses.read_request(await http.read_json(request))
            turn = _response_turn(asked, request)
            events = answered(self._models.responder(asked.model), turn)
            building = responses.Building(asked, turn, int(time.time()))
            if asked.stream:
                return http.Stream(_response_events(events, building), _refuse, _ids(turn))
            done = await http.attended(request, _built(events, building))
        except LmosError as error:
            return _refuse(error)
        return http.json_response(done, headers=_ids(turn)) if done else http.client_left()


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "lmos"}


def _refuse(error: LmosError) -> Response:
    return http.json_response(
        codec.error_of(error), face_of(error).status, http.error_headers(error)
    )


def _ids(turn: Turn) -> dict[str, str]:
    return {"x-turn-id": turn.turn_id, "x-conversation-id": turn.conversation_id}


def _chat_turn(asked: codec.ChatRequest, request: Request) -> Turn:
    """Without a conversation id each request is a conversation of its own: clients of this protocol
    send the history.
    """
    turn = codec.turn_of(
        asked,
        conversation_id=headers.conversation_of(request.headers) or str(uuid4()),
        turn_id=headers.turn_id_of(request.headers),
    )
    return headers.placed(turn, request.headers, http.trace_of(request))


def _response_turn(asked: responses.ResponsesRequest, request: Request) -> Turn:
    """The conversation is that of the previous response, or named, or a new one."""
    conversation = responses.conversation_of(asked) or headers.conversation_of(request.headers)
    turn = responses.turn_of(
        asked,
        conversation_id=limits.check_name("conversation id", conversation or str(uuid4())),
        turn_id=headers.turn_id_of(request.headers),
    )
    return headers.placed(turn, request.headers, http.trace_of(request))


# --- chat completions -----------------------------------------------------------------------------


async def _chunks(
    events: AsyncGenerator[TurnEvent, None], turn: Turn, model: str, with_usage: bool
) -> AsyncGenerator[bytes, None]:
    created, texts, outcome = int(time.time()), Texts(), Outcome()

    def piece(delta: dict[str, Any], finish: str | None = None, note: Any = None) -> bytes:
        body = codec.chunk(turn, model, created, delta, finish)
        if with_usage:
            body["usage"] = None
        return sse.frame(orjson.dumps(body | ({"lmos": note} if note else {})))

    async with aclosing(from_opening(events)) as opened:
        async for event in opened:
            outcome.add(event)
            if isinstance(event, Started):
                yield piece({"role": "assistant", "content": ""}, note=codec.note_of(event))
                continue
            if isinstance(event, Failed):
                yield http.Last(sse.frame(orjson.dumps(codec.error_of(event.exception()))))
                return
            if text := texts.of(event):
                yield piece({"content": text})
            elif note := codec.note_of(event):
                yield piece({}, note=note)
            if isinstance(event, TERMINAL):
                yield piece({}, "stop", codec.extras(outcome, turn))
                usage = _usage_chunk(event, turn, model, created) if with_usage else b""
                yield http.Last(usage + DONE)


def _usage_chunk(event: TurnEvent, turn: Turn, model: str, created: int) -> bytes:
    usage = event.usage if isinstance(event, Done) else Usage()
    body = codec.chunk(turn, model, created, {}) | {"choices": [], "usage": codec.usage_of(usage)}
    return sse.frame(orjson.dumps(body))


# --- responses ------------------------------------------------------------------------------------


async def _built(
    events: AsyncGenerator[TurnEvent, None], building: responses.Building
) -> dict[str, Any]:
    """The whole response; raises the error of a turn that failed."""
    async with aclosing(events):
        async for event in events:
            building.take(event)
            if isinstance(event, Failed):
                raise event.exception()
    return building.response()


async def _response_events(
    events: AsyncGenerator[TurnEvent, None], building: responses.Building
) -> AsyncGenerator[bytes, None]:
    async with aclosing(from_opening(events)) as opened:
        async for event in opened:
            found = building.begin() if isinstance(event, Started) else []
            for said in (*found, *building.take(event)):
                yield _named(said)
            if isinstance(event, TERMINAL):
                yield http.Last(_named(building.end()))


def _named(event: dict[str, Any]) -> bytes:
    return sse.frame(orjson.dumps(event), event["type"])
