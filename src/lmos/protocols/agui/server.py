"""Agents behind AG-UI: one POST a run, answered with server-sent events."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmos.model import STABLE, TERMINAL, Responder, Turn
from lmos.protocols import http, limits, sse
from lmos.protocols.agui import codec
from lmos.protocols.answering import answered
from lmos.protocols.directory import Directory
from lmos.protocols.extras import require

PATH = "/agui"


def routes(agents: Directory, prefix: str = "") -> list[Route]:
    """`POST {prefix}/agui` for the first of the agents, `POST {prefix}/agui/{agent}` for each.

    Path parameters `tenant` and `channel` of the prefix are those of every turn. `MissingExtra`
    where the protocol's types are not installed.
    """
    require("ag_ui", "agui", "serving AG-UI")

    async def run(request: Request) -> Response:
        path = request.path_params
        turn = codec.turn_of(
            codec.read_input(await http.read_json(request)),
            tenant=path.get("tenant", ""),
            channel=path.get("channel", ""),
            subset=limits.check_name("subset", request.headers.get("x-subset") or STABLE),
            trace=http.trace_of(request),
        )
        turn = turn.but(deadline=limits.deadline_in(request.headers))
        responder = agents.responder(path.get("agent"))
        return http.Stream(_chunks(responder, turn), http.problem_response)

    return [
        Route(prefix + PATH, run, methods=["POST"]),
        Route(f"{prefix}{PATH}/{{agent:path}}", run, methods=["POST"]),
    ]


async def _chunks(responder: Responder, turn: Turn) -> AsyncGenerator[bytes, None]:
    run = codec.Run(turn)
    yield _frame(run.begin())
    async with aclosing(answered(responder, turn)) as events:
        async for event in events:
            frames = b"".join(_frame(found) for found in run.of(event))
            if isinstance(event, TERMINAL):
                yield http.Last(frames)
            elif frames:
                yield frames


def _frame(event: object) -> bytes:
    return sse.frame(event.model_dump_json(by_alias=True).encode())  # type: ignore[attr-defined]
