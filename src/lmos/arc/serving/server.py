"""The process that serves agents."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import uvicorn

from lmos.arc import observing
from lmos.arc.serving.app import app
from lmos.arc.serving.settings import Settings, supervised
from lmos.model.errors import LmosError
from lmos.protocols import loop

if TYPE_CHECKING:
    from lmos.arc.serving.settings import AnyAgent

#: Seconds that running turns get to finish when the process is asked to end; one that is supervised
#: leaves it to its supervisor to lose patience, who knows whether it is replaced or no more needed.
GRACE = 8
#: Seconds that a collector gets to take the last spans.
LAST_SPANS = 3
#: Bytes of what a supervisor is told at once.
DATAGRAM = 32_000
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
    turns finish, see `GRACE`. Figures are at `/metrics`, and spans go where the environment says,
    see `lmos.arc.observing`.
    """
    served = tuple(agents) if isinstance(agents, Sequence) else (agents,)
    for agent in served:
        agent.check()
    settings = settings or Settings()
    if settings.metrics is None:
        settings = replace(settings, metrics=observing.endpoint())
    observing.start_tracing(", ".join(agent.name for agent in served))
    config = uvicorn.Config(
        app(served, settings),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=None if supervised() else GRACE,
    )
    sockets = None if fd is None else [socket.socket(fileno=fd)]
    loop.run(_Server(config, served).serve(sockets))


class _Server(uvicorn.Server):
    """uvicorn that says when it is ready, and ends with the process that started it."""

    def __init__(self, config: uvicorn.Config, agents: "Sequence[AnyAgent]") -> None:
        super().__init__(config)
        self._agents = agents
        self._parent = os.getppid()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts answering, then says so."""
        await super().startup(sockets)
        if self.should_exit:
            return
        if address := os.environ.get("NOTIFY_SOCKET"):
            self._reload_on_signal(address)
            notify(address, **files(self._agents))
        else:
            names = ", ".join(agent.name for agent in self._agents)
            print(f"{names} at {_address(self, sockets)}, stop with Ctrl-C", flush=True)  # noqa: T201

    def _reload_on_signal(self, address: str) -> None:
        """SIGHUP reads the use cases again, in the process as it runs."""
        running = asyncio.get_running_loop()
        running.add_signal_handler(signal.SIGHUP, lambda: notify(address, **reload(self._agents)))

    async def main_loop(self) -> None:
        """Runs until asked to end. A supervised process also ends when its supervisor is gone."""
        if not supervised():
            await super().main_loop()
            return
        watch = asyncio.create_task(self._watch_parent())
        try:
            await super().main_loop()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finishes what runs, over every protocol, and sends the last spans."""
        self.config.app.state.leaving.set()  # type: ignore[union-attr]
        await super().shutdown(sockets)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SPANS):
                await asyncio.to_thread(observing.stop_tracing)

    async def _watch_parent(self) -> None:
        while os.getppid() == self._parent:  # noqa: ASYNC110  (nobody tells when a parent dies)
            await asyncio.sleep(PARENT_EVERY)
        self.config.timeout_graceful_shutdown = GRACE
        self.should_exit = True


def notify(address: str, **more: str) -> None:
    """Tells a supervisor that this process is ready, by systemd's protocol, and what more there is
    to say, where a line break is sent as a carriage return.
    """
    if address.startswith("@"):
        address = "\0" + address[1:]
    lines = [f"{name}={value.replace(chr(10), chr(13))}" for name, value in more.items()]
    text = "\n".join(["READY=1", *lines])
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(text.encode()[:DATAGRAM], address)


def reload(agents: "Sequence[AnyAgent]") -> dict[str, str]:
    """Reads the agents' use cases again, for turns to come; what to tell the supervisor of it. What
    cannot be used changes nothing.
    """
    problems = []
    for agent in agents:
        try:
            agent.reload()
        except LmosError as error:
            problems.append(str(error))
    return {"STATUS": "\n".join(problems)} if problems else {}


def files(agents: "Sequence[AnyAgent]") -> dict[str, str]:
    """The files that `reload` reads, to tell the supervisor."""
    return {"X_LMOS_FILES": "\n".join(str(file) for agent in agents for file in agent.sources)}


def _address(server: uvicorn.Server, sockets: list[socket.socket] | None) -> str:
    bound = sockets[0] if sockets else server.servers[0].sockets[0]
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
