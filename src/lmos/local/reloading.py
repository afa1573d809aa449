"""`lmos serve --reload`: agents in a process that is replaced when their files change.

As below `lmos up`: the listening socket stays, the new process takes over when it is ready, the old
one finishes its turns, and a version that does not start changes nothing. Use cases are read again
without a new process.
"""

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path

from lmos.local import watching
from lmos.local.output import Output
from lmos.local.process import Report
from lmos.local.project import AgentSource, Project
from lmos.local.server import claim
from lmos.local.worker import Worker
from lmos.protocols import loop


def run(
    arguments: Sequence[str], *, name: str, host: str, port: int, directory: Path | None = None
) -> None:
    """Serves with `lmos serve ARGUMENTS` until SIGINT or SIGTERM, and again whenever a source file
    below the directory (the current one) is added, changed, renamed or removed.
    """
    project = Project.at(directory or Path.cwd())
    output = Output()
    listener = claim(host, port)

    where: set[str] = set()

    async def ready(url: str) -> None:
        if url not in where:
            output.line(f"{name} at {url}, stop with Ctrl-C")
        where.add(url)

    def told(report: Report) -> None:
        if report.reason != "AgentStarted":
            output.line(report.message)

    async def main() -> None:
        worker = Worker(
            AgentSource(name, name, project.directory),
            project.directory,
            env={},
            on_ready=ready,
            report=told,
            log=output.line,
            arguments=arguments,
            listener=listener,
        )
        await _until_signal(worker, project)

    loop.run(main())


async def _until_signal(worker: Worker, project: Project) -> None:
    stop = asyncio.Event()
    running = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        running.add_signal_handler(name, stop.set)
    tasks = [asyncio.create_task(worker.run()), asyncio.create_task(_watch(worker, project, stop))]
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name in (signal.SIGINT, signal.SIGTERM):
            running.remove_signal_handler(name)
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            task.result()


async def _watch(worker: Worker, project: Project, stop: asyncio.Event) -> None:
    async for changed in watching.changes(project, stop):
        worker.reload(changed)
