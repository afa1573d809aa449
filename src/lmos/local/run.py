"""Running a platform until a signal ends it, and telling other commands where it is."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from lmos.local.platform import Platform
from lmos.local.project import Project
from lmos.local.routing import Routing
from lmos.local.running import announced
from lmos.protocols import loop


def run(
    directory: Path,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    console: bool = True,
    identity: str = "",
    open_to_all: bool = False,
    routing: Routing | None = None,
    after_start: Callable[[Platform], Awaitable[None]] | None = None,
) -> None:
    """Runs the platform of a directory until SIGINT or SIGTERM.

    `after_start` is awaited once the platform has settled; the rest is `Platform`'s. A second
    signal ends the process at once.
    """
    project = Project.at(directory)

    async def main() -> None:
        platform = Platform(
            project,
            host=host,
            port=port,
            console=console,
            identity=identity,
            open_to_all=open_to_all,
            routing=routing,
            after_start=after_start,
        )
        with _signals(platform), announced(platform.url):
            await platform.run()

    with contextlib.suppress(KeyboardInterrupt):
        loop.run(main())


@contextlib.contextmanager
def _signals(platform: Platform) -> Iterator[None]:
    """SIGINT and SIGTERM stop the platform in order; the second one does not wait."""
    running = asyncio.get_running_loop()
    main = asyncio.current_task()
    assert main is not None

    def stop() -> None:
        if platform.stopping:
            sys.exit(1)
        platform.stop()
        if not platform.started:
            main.cancel()

    for name in (signal.SIGINT, signal.SIGTERM):
        running.add_signal_handler(name, stop)
    try:
        yield
    except asyncio.CancelledError:
        if not platform.stopping:
            raise
    finally:
        for name in (signal.SIGINT, signal.SIGTERM):
            running.remove_signal_handler(name)
