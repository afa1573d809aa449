"""The agents of a project as processes, and the Agent resources that announce them."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from lmos import registry
from lmos.controlplane import EventLog
from lmos.local.output import Output
from lmos.local.process import Report
from lmos.local.project import AgentSource, Project
from lmos.local.worker import Worker
from lmos.model import Agent, AgentSpec, Key, LmosError, ObjectMeta, Store, errors

#: Who owns the fields of the Agents announced here.
OWNER = "lmos-up"


class LocalAgents:
    """Runs every agent of the project and keeps the store's Agents in step with them.

    With `trust`, a runtime's URL, they let only that runtime in and believe what it states of
    users. Its keys are asked for with the first turn.
    """

    def __init__(
        self, project: Project, store: Store, events: EventLog, output: Output, *, trust: str = ""
    ) -> None:
        self._project = project
        self._store = store
        self._events = events
        self._output = output
        self._env = {"LMOS_STATE_DIR": str(project.state)}
        if trust:
            self._env["LMOS_TRUST_RUNTIME"] = trust
        self._workers: dict[str, Worker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._names: dict[str, str] = {}

    @property
    def workers(self) -> list[Worker]:
        """The agents' workers, by name of the folder."""
        return [self._workers[name] for name in sorted(self._workers)]

    async def __aenter__(self) -> Self:
        for folder in self._project.misnamed():
            self._output.line(f"  {folder} is not loaded: its name must be a Python identifier")
        for source in self._project.agents():
            self._start(source)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    @property
    def names(self) -> set[str]:
        """What the agents call themselves that are ready."""
        ready = (folder for folder, w in self._workers.items() if w.phase == "ready")
        return {self._names[folder] for folder in ready if folder in self._names}

    async def settled(self, progress: Callable[[str], None]) -> None:
        """Returns when every agent is ready or has failed; tells the progress meanwhile."""
        waiting = {asyncio.create_task(worker.settled()) for worker in self._workers.values()}
        total = len(waiting)
        while waiting:
            ready = sum(worker.phase == "ready" for worker in self._workers.values())
            progress(f"starting agents: {ready} of {total} ready")
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)

    async def changed(self, paths: set[Path]) -> None:
        """Starts what is new, stops what is gone, reloads agents whose files changed."""
        sources = {source.name: source for source in self._project.agents()}
        for name in self._workers.keys() - sources.keys():
            await self._remove(name)
        for name in sources.keys() - self._workers.keys():
            self._start(sources[name])
        for name, changed in self._project.affected(paths).items():
            self._workers[name].reload(changed)

    # --- one agent --------------------------------------------------------------------------------

    def _start(self, source: AgentSource) -> None:
        async def announce(url: str) -> None:
            await self._announce(source, url)

        worker = Worker(
            source,
            self._project.directory,
            env=self._env,
            on_ready=announce,
            report=self._report,
            log=lambda line: self._output.agent(source.name, line),
        )
        self._workers[source.name] = worker
        self._tasks[source.name] = asyncio.create_task(worker.run(), name=f"agent {source.name}")

    async def _remove(self, name: str) -> None:
        self._workers.pop(name)
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self._forget(self._names.pop(name, ""))
        self._report(Report(name, "AgentRemoved", "its folder is gone"))

    async def _announce(self, source: AgentSource, url: str) -> None:
        """Applies the Agent of a process that has become ready, under the name it gives itself."""
        try:
            name = (await registry.describe(url)).name
            taken = next(
                (f for f, n in self._names.items() if n == name and f != source.name), None
            )
            if taken:
                raise errors.Conflict(f"agents/{taken} is already named {name}; rename one of them")
            before = self._names.get(source.name)
            if before and before != name:
                await self._forget(before)
            self._names[source.name] = name
            spec = AgentSpec(url=url)
            await self._store.apply(Agent(metadata=ObjectMeta(name=name), spec=spec), OWNER)
        except LmosError as error:
            self._report(Report(source.name, "AgentNotAnnounced", error.message, warning=True))

    async def _forget(self, name: str) -> None:
        if name:
            with contextlib.suppress(errors.NotFound):
                await self._store.delete(Key(kind="Agent", namespace="default", name=name))

    def _report(self, report: Report) -> None:
        self._events.record(
            report.reason, f"{report.agent}: {report.message}", warning=report.warning
        )
        if report.warning or report.reason in ("AgentReloaded", "AgentRemoved"):
            self._output.agent(report.agent, report.message)
