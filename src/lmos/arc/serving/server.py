"""The process that serves agents."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

import uvicorn

from lmos.arc.serving.app import app
from lmos.arc.serving.settings import Settings
from lmos.protocols import loop

if TYPE_CHECKING:
    from lmos.arc.serving.settings import AnyAgent

#: Seconds that running turns get to finish when the process is asked to end.
GRACE = 8
#: Seconds between looks whether the process that started this one is still there.
PARENT_EVERY = 1.0


def serve(
    agents: "AnyAgent | Sequence[AnyAgent]",
    host: str = "127.0.0.1",
    port: int = 8000,
    fd: int | None = None,
    settings: Settings | None = None,
) -> None:
    """Serves until SIGINT or SIGTERM, on an address or an inherited listening socket; then running
    turns finish, for `GRACE` seconds at most.
    """
    served = tuple(agents) if isinstance(agents, Sequence) else (agents,)
    for agent in served:
        agent.check()
    config = uvicorn.Config(
        app(served, settings),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE,
    )
    sockets = None if fd is None else [socket.socket(fileno=fd)]
    names = ", ".join(agent.name for agent in served)
    loop.run(_Server(config, names).serve(sockets))


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
        if address := os.environ.get("NOTIFY_SOCKET"):
            notify(address)
        else:
            print(f"{self._name} at {_address(self, sockets)}, stop with Ctrl-C", flush=True)  # noqa: T201

    async def main_loop(self) -> None:
        """Runs until asked to end. A supervised process also ends when its supervisor is gone."""
        if "NOTIFY_SOCKET" not in os.environ:
            await super().main_loop()
            return
        watch = asyncio.create_task(self._watch_parent())
        try:
            await super().main_loop()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finishes what runs, over every protocol."""
        self.config.app.state.leaving.set()  # type: ignore[union-attr]
        await super().shutdown(sockets)

    async def _watch_parent(self) -> None:
        while os.getppid() == self._parent:  # noqa: ASYNC110  (nobody tells when a parent dies)
            await asyncio.sleep(PARENT_EVERY)
        self.should_exit = True


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
