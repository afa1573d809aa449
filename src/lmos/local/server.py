"""The HTTP server of the platform, on a socket made beforehand and in a loop that is ours."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncGenerator, Callable, Iterator

import uvicorn
from starlette.applications import Starlette

from lmos.local.process import listen
from lmos.model import errors

DEFAULT_PORT = 8080
#: Seconds that running turns get to finish when the platform stops; connections get a little more.
GRACE = 10


class Server(uvicorn.Server):
    """uvicorn that leaves signals to the platform."""

    def __init__(self, app: Starlette, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE + 2
            )
        )
        self._listener = listener
        self._answering = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: the platform handles them."""
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until `should_exit`."""
        try:
            await super().serve(sockets or [self._listener])
        finally:
            self._answering.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts answering connections."""
        await super().startup(sockets)
        self._answering.set()

    async def ready(self) -> None:
        """Returns once connections are answered, or the server could not start."""
        await self._answering.wait()


@contextlib.asynccontextmanager
async def serving(
    app: Starlette, listener: socket.socket, cut_off: Callable[[], None]
) -> AsyncGenerator[None, None]:
    """Until left: then running turns get `GRACE` seconds, and are `cut_off` after that."""
    server = Server(app, listener)
    task = asyncio.create_task(server.serve())
    try:
        await server.ready()
        yield
    finally:
        server.should_exit = True
        late = asyncio.get_running_loop().call_later(GRACE, cut_off)
        await task
        late.cancel()


def claim(host: str, port: int | None) -> socket.socket:
    """A listening socket on the port; without one the default, or any free one if that is taken."""
    try:
        return listen(host, DEFAULT_PORT if port is None else port)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            return listen(host, 0)
        raise errors.InvalidInput(
            f"cannot listen on {host}:{DEFAULT_PORT if port is None else port}: "
            f"{error.strerror}; choose another with --host and --port"
        ) from None


def url_of(listener: socket.socket) -> str:
    """The address of a listening socket for a client on this machine."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
