"""One plain turn over A2A on loopback: our server against that of the SDK, asked by our client.

    python bench/protocols.py

Server and client share one process and one core, so the figures are of both together. Beside them
a bare starlette route asked by a bare aiohttp client: what HTTP alone costs here.
"""

import asyncio
import json
import logging
import socket
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count

import uvicorn
import uvloop
from a2a.helpers import new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from lmos.model import Answer, Description, Done, Message, Responder, Started, Turn, TurnEvent
from lmos.protocols import a2a, http

ALONE, TOGETHER, CALLERS = 300, 900, 32
_numbers = count()


async def echo(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
    yield Started(agent="echo")
    yield Answer(message=Message(role="assistant", content=turn.text))
    yield Done()


class SdkEcho(AgentExecutor):
    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.message is not None
        task = new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.add_artifact([new_text_part(context.get_user_input())])
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError


def sdk_routes() -> tuple[list[BaseRoute], AgentCard]:
    """The SDK's agent, and its card, which still needs the address."""
    card = AgentCard(name="echo", capabilities=AgentCapabilities(streaming=True))
    handler = DefaultRequestHandler(
        agent_executor=SdkEcho(), task_store=InMemoryTaskStore(), agent_card=card
    )
    return [*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/rpc")], card


async def bare(request: Request) -> Response:
    await request.body()
    return Response(b"{}")


@asynccontextmanager
async def serving(routes: list[BaseRoute]) -> AsyncGenerator[str, None]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup([listener])
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    await http.close_session()
    await server.shutdown([listener])


def asking(responder: Responder) -> Callable[[], Awaitable[None]]:
    async def ask() -> None:
        name = str(next(_numbers))
        message = Message(role="user", content="how much do I owe?")
        turn = Turn(conversation_id=name, turn_id=name, messages=(message,))
        events = [event async for event in responder(turn)]
        assert isinstance(events[-1], Done), events[-1]

    return ask


def posting(url: str) -> Callable[[], Awaitable[None]]:
    async def ask() -> None:
        async with http.session().post(url, data=b"{}") as response:
            await response.read()

    return ask


async def measured(ask: Callable[[], Awaitable[None]]) -> dict[str, float]:
    """Milliseconds of one after the other, and how many a second together."""
    for _ in range(20):
        await ask()
    times = []
    for _ in range(ALONE):
        began = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began) * 1000)
    left: Iterator[int] = iter(range(TOGETHER))

    async def caller() -> None:
        for _ in left:
            await ask()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    cuts = statistics.quantiles(times, n=100)
    return {
        "p50_ms": round(cuts[49], 3),
        "p99_ms": round(cuts[98], 3),
        "per_second": round(TOGETHER / (time.perf_counter() - began)),
    }


async def main() -> None:
    found = {}
    async with serving([Route("/", bare, methods=["POST"])]) as url:
        found["bare http"] = await measured(posting(url))
    async with serving([*a2a.routes(echo, Description(name="echo"))]) as url:
        found["lmos a2a"] = await measured(asking(a2a.responder(url)))
    routes, card = sdk_routes()
    async with serving(routes) as url:
        place = AgentInterface(url=f"{url}/rpc", protocol_binding="JSONRPC", protocol_version="1.0")
        card.supported_interfaces.append(place)
        found["a2a-sdk server"] = await measured(asking(a2a.responder(url)))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    uvloop.run(main())
