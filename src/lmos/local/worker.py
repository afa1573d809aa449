"""An agent kept running: the loop around its process."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path

from lmos.local.process import (
    DRAIN_TIMEOUT,
    FIRST_BACK_OFF,
    LAST_BACK_OFF,
    LONG_LIFE,
    Phase,
    Process,
    Report,
    StartFailed,
    listen,
)
from lmos.local.project import AgentSource
from lmos.local.server import url_of


class Worker:
    """Keeps one agent running until it is stopped; restarts with back-off, reloads in place.

    `on_ready(url)` is awaited after every start and reload; `report` is called with what happens,
    `log` with each line the process prints. `arguments` are those of `lmos serve`, the agent's
    module unless given; `listener` is a listening socket to take instead of one on a free port.
    """

    def __init__(
        self,
        source: AgentSource,
        directory: Path,
        *,
        env: Mapping[str, str],
        on_ready: Callable[[str], Awaitable[None]],
        report: Callable[[Report], None],
        log: Callable[[str], None],
        arguments: Sequence[str] = (),
        listener: socket.socket | None = None,
    ) -> None:
        self.source = source
        self.phase: Phase = "starting"
        self.problem = ""
        self._directory = directory
        self._env = env
        self._on_ready = on_ready
        self._report = report
        self._log = log
        self._arguments = arguments or (source.module,)
        self._listener = listener or listen()
        self._bound = _bound(self._listener)
        self._url = url_of(self._listener)
        self._process: Process | None = None
        #: Processes that were replaced and finish their turns.
        self._leaving: dict[Process, asyncio.Future[None]] = {}
        self._reload = asyncio.Event()
        self._changed: set[Path] = set()
        self._settled = asyncio.Event()

    @property
    def url(self) -> str:
        """Where the agent answers."""
        return self._url

    @property
    def pid(self) -> int | None:
        """The process now serving, if any."""
        return self._process.child.pid if self._process else None

    def reload(self, changed: Collection[Path] = ()) -> None:
        """The agent's files have changed: as soon as possible its process reads them again, where
        all of them are such that it can, or else is replaced.
        """
        self._changed.update(changed or {Path()})
        self._reload.set()

    async def settled(self) -> None:
        """Returns when the agent is ready or has failed for the first time."""
        await self._settled.wait()

    async def run(self) -> None:
        """Runs until cancelled, then stops the process."""
        back_off = FIRST_BACK_OFF
        try:
            while True:
                self._unchanged()
                born = asyncio.get_running_loop().time()
                if await self._start():
                    await self._serve()
                    lived = asyncio.get_running_loop().time() - born
                    back_off = FIRST_BACK_OFF if lived > LONG_LIFE else back_off
                await self._pause(back_off)
                back_off = min(back_off * 3, LAST_BACK_OFF)
        finally:
            self.phase = "stopped"
            running = [*self._leaving, *([self._process] if self._process else [])]
            await asyncio.shield(asyncio.gather(*(process.stop() for process in running)))
            await asyncio.gather(*self._leaving.values())
            self._listener.close()

    async def _start(self) -> bool:
        self._open()
        self.phase = "starting" if self.phase != "crashed" else self.phase
        self._process = await self._spawn()
        try:
            await self._process.ready()
        except StartFailed as failure:
            await self._process.stop(timeout=1.0)
            self._process = None
            self._failed(str(failure))
            return False
        await self._became_ready("AgentStarted", f"{self.source.module} is ready at {self.url}")
        return True

    async def _serve(self) -> None:
        """Until the process ends by itself; reloads happen in here."""
        while self._process is not None:
            ended = asyncio.ensure_future(self._process.wait())
            asked = asyncio.ensure_future(self._reload.wait())
            try:
                await asyncio.wait((ended, asked), return_when=asyncio.FIRST_COMPLETED)
            finally:
                asked.cancel()
                if not ended.done():
                    ended.cancel()
            if ended.done() and not ended.cancelled():
                self._process = None
                self.phase, self.problem = "crashed", ended.result()
                self._tell("AgentCrashed", f"{self.problem}; starting it again", warning=True)
                return
            changed = self._unchanged()
            if changed <= self._process.files:
                await self._read_again()
            else:
                await self._replace()

    def _unchanged(self) -> set[Path]:
        """What had changed; from here on nothing has."""
        self._reload.clear()
        changed, self._changed = self._changed, set()
        return changed

    async def _read_again(self) -> None:
        assert self._process is not None
        try:
            await self._process.reload()
        except StartFailed as failure:
            self._reload_failed(failure)
            return
        await self._became_ready("AgentReloaded", f"{self.source.module}: use cases read again")

    def _reload_failed(self, failure: StartFailed) -> None:
        self.problem = str(failure)
        self._tell("AgentReloadFailed", f"{failure}; the last good version stays", warning=True)

    async def _replace(self) -> None:
        assert self._process is not None
        fresh = await self._spawn()
        try:
            await fresh.ready()
        except StartFailed as failure:
            await fresh.stop(timeout=1.0)
            self._reload_failed(failure)
            return
        except asyncio.CancelledError:
            await asyncio.shield(fresh.stop(timeout=1.0))
            raise
        old, self._process = self._process, fresh
        self._leaving[old] = asyncio.ensure_future(old.stop(DRAIN_TIMEOUT))
        self._leaving[old].add_done_callback(lambda _: self._leaving.pop(old))
        await self._became_ready("AgentReloaded", f"{self.source.module} was loaded again")

    async def _became_ready(self, reason: str, message: str) -> None:
        self.phase, self.problem = "ready", ""
        await self._on_ready(self.url)
        self._tell(reason, message)
        self._settled.set()

    def _failed(self, why: str) -> None:
        if self.phase in ("crashed", "failed"):
            self._listener.close()  # refused at once is better than waiting in vain
        if why != self.problem:
            self._tell("AgentFailed", why, warning=True)
        self.phase, self.problem = "failed", why
        self._settled.set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._reload.wait(), seconds)

    async def _spawn(self) -> Process:
        return await Process.start(
            self._arguments,
            directory=self._directory,
            listener=self._listener,
            env=self._env,
            log=self._log,
        )

    def _open(self) -> None:
        if self._listener.fileno() != -1:
            return
        host, port = self._bound
        try:
            self._listener = listen(host, port)
        except OSError:  # somebody took the port meanwhile
            self._listener = listen(host)
            self._bound = _bound(self._listener)
            self._url = url_of(self._listener)

    def _tell(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._report(Report(self.source.name, reason, message, warning))


def _bound(listener: socket.socket) -> tuple[str, int]:
    host, port = listener.getsockname()[:2]
    return str(host), int(port)
