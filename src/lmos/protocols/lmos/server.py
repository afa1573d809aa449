"""The runtime's REST API around a responder."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmos.model import STABLE, TERMINAL, Responder, Turn, TurnEvent
from lmos.protocols import http, limits
from lmos.protocols.answering import answered, collect, from_opening
from lmos.protocols.calls import EVENT_STREAM
from lmos.protocols.lmos import codec

PATH = "/apis/v1/{tenant}/chat/{conversation}/message"
#: Before which the paths are served: itself, and what the original's gateway put before it.
PREFIXES = ("", "/lmos/runtime")


def chat_routes(responder: Responder) -> list[Route]:
    """`POST .../{tenant}/chat/{conversation}/message`, answered by the responder."""

    async def chat(request: Request) -> Response:
        turn = await _turn(request)
        events = answered(responder, turn)
        headers = {"x-turn-id": turn.turn_id}
        if EVENT_STREAM in request.headers.get("accept", ""):
            refuse = partial(http.problem_response, path=request.url.path)
            return http.Stream(_frames(events), refuse, headers)
        outcome = await http.attended(request, collect(events))
        if outcome is None:
            return http.client_left()
        return http.json_response(codec.reply(outcome, turn), headers=headers)

    return [Route(prefix + PATH, chat, methods=["POST"]) for prefix in PREFIXES]


async def _turn(request: Request) -> Turn:
    headers, path = request.headers, request.path_params
    conversation = codec.read_conversation(await http.read_json(request))
    return codec.turn_of(
        conversation,
        tenant=limits.check_name("tenant", path["tenant"]),
        conversation_id=limits.check_name("conversation id", path["conversation"]),
        turn_id=limits.check_name("turn id", headers.get("x-turn-id") or str(uuid4())),
        subset=limits.check_name("subset", headers.get("x-subset") or STABLE),
        trace=http.trace_of(request),
        deadline=limits.deadline_in(headers),
    )


async def _frames(events: AsyncGenerator[TurnEvent, None]) -> AsyncGenerator[bytes, None]:
    number = 0
    async with aclosing(from_opening(events)) as opened:
        async for event in opened:
            number += 1
            chunk = codec.frame(event, number)
            yield http.Last(chunk) if isinstance(event, TERMINAL) else chunk
