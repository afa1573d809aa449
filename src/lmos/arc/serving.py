"""An agent over HTTP, as one process of its own."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lmos.model import Description
from lmos.protocols import a2a, http, loop, openai
from lmos.protocols import lmos as lmos_protocol

if TYPE_CHECKING:
    from lmos.arc.agent import Agent

#: Seconds that running turns get to finish when the process is asked to end; one that is supervised
#: leaves it to its supervisor to lose patience, who knows whether it is replaced or no more needed.
GRACE = 8
#: Seconds between looks whether the process that started this one is still there.
PARENT_EVERY = 1.0


def app(agent: "Agent") -> Starlette:
    """A2A, OpenAI, capabilities and health around the agent, which is loaded at start-up."""

    def described(request: Request) -> Description:
        return agent.describe()

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"status": "UP", "agent": agent.name, "version": agent.version})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
        await agent.start()
        try:
            yield
        finally:
            await http.close_session()
            await agent.stop()

    return Starlette(
        routes=[
            *a2a.routes(agent.respond, described),
            *openai.routes(openai.single(agent.name, agent.respond)),
            lmos_protocol.capabilities_route(described),
            *(Route(f"/health{part}", health) for part in ("", "/live", "/ready")),
        ],
        lifespan=lifespan,
        exception_handlers=http.exception_handlers,
    )


def serve(agent: "Agent", host: str, port: int, fd: int | None) -> None:
    """Serves until SIGINT or SIGTERM; then running turns finish, see `GRACE`."""
    agent.check()
    config = uvicorn.Config(
        app(agent),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=None if _supervised() else GRACE,
    )
    sockets = None if fd is None else [socket.socket(fileno=fd)]
    loop.run(_Server(config, agent.name).serve(sockets))


class _Server(uvicorn.Server):
    """uvicorn that says when it is ready, and ends with the process that started it."""

    def __init__(self, config: uvicorn.Config, name: str) -> None:
        super().__init__(config)
        self._name = name
        self._parent = os.getppid()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts answering, then says so."""
        await super().startup(sockets)
        if self.should_exit:
            return
        if _supervised():
            notify(os.environ["NOTIFY_SOCKET"])
        else:
            print(f"{self._name} at {_address(self, sockets)}, stop with Ctrl-C", flush=True)  # noqa: T201

    async def main_loop(self) -> None:
        """Runs until asked to end. A supervised process also ends when its supervisor is gone."""
        if not _supervised():
            await super().main_loop()
            return
        watch = asyncio.create_task(self._watch_parent())
        try:
            await super().main_loop()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch_parent(self) -> None:
        while os.getppid() == self._parent:  # noqa: ASYNC110  (nobody tells when a parent dies)
            await asyncio.sleep(PARENT_EVERY)
        self.config.timeout_graceful_shutdown = GRACE
        self.should_exit = True


def _supervised() -> bool:
    return bool(os.environ.get("NOTIFY_SOCKET"))


def notify(address: str) -> None:
    """Tells a supervisor that this process is ready, by systemd's protocol."""
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(b"READY=1", address)


def _address(server: uvicorn.Server, sockets: list[socket.socket] | None) -> str:
    bound = sockets[0] if sockets else server.servers[0].sockets[0]
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
