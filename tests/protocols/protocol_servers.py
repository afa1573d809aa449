"""Real servers on loopback."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from lmos.protocols import http

Serve = Callable[[Sequence[BaseRoute]], Awaitable[str]]


def app_of(routes: Sequence[BaseRoute]) -> Starlette:
    return Starlette(routes=routes, exception_handlers=http.exception_handlers)


@asynccontextmanager
async def serving(app: ASGIApp, port: int = 0) -> AsyncGenerator[str, None]:
    """The app's URL while it is served; at the end all connections are cut at once."""
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # else asyncio leaves Nagle on
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="critical", lifespan="off")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup([listener])
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for accepting in server.servers:
            accepting.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*server.server_state.tasks, return_exceptions=True)
