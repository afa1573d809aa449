"""An agent kept running: the loop around its process."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
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


class Worker:
    """Keeps one agent running until it is stopped; restarts with back-off, reloads in place.

    `on_ready(url)` is awaited after every start; `report` is called with what happens, `log` with
    each line the process prints.
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
    ) -> None:
        self.source = source
        self.phase: Phase = "starting"
        self.problem = ""
        self._directory = directory
        self._env = env
        self._on_ready = on_ready
        self._report = report
        self._log = log
        self._listener = listen()
        self._port: int = self._listener.getsockname()[1]
        self._process: Process | None = None
        #: Processes that were replaced and finish their turns.
        self._leaving: dict[Process, asyncio.Future[None]] = {}
        self._reload = asyncio.Event()
        self._settled = asyncio.Event()

    @property
    def url(self) -> str:
        """Where the agent answers."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The process now serving, if any."""
        return self._process.child.pid if self._process else None

    def reload(self) -> None:
        """The agent's files have changed: replace its process as soon as possible."""
        self._reload.set()

    async def settled(self) -> None:
        """Returns when the agent is ready or has failed for the first time."""
        await self._settled.wait()

    async def run(self) -> None:
        """Runs until cancelled, then stops the process."""
        back_off = FIRST_BACK_OFF
        try:
            while True:
                self._reload.clear()
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
            changed = asyncio.ensure_future(self._reload.wait())
            try:
                await asyncio.wait((ended, changed), return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                if not ended.done():
                    ended.cancel()
            if ended.done() and not ended.cancelled():
                self._process = None
                self.phase, self.problem = "crashed", ended.result()
                self._tell("AgentCrashed", f"{self.problem}; starting it again", warning=True)
                return
            self._reload.clear()
            await self._replace()

    async def _replace(self) -> None:
        assert self._process is not None
        fresh = await self._spawn()
        try:
            await fresh.ready()
        except StartFailed as failure:
            await fresh.stop(timeout=1.0)
            self.problem = str(failure)
            self._tell("AgentReloadFailed", f"{failure}; the last good version stays", warning=True)
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
            self.source.module,
            directory=self._directory,
            listener=self._listener,
            env=self._env,
            log=self._log,
        )

    def _open(self) -> None:
        if self._listener.fileno() != -1:
            return
        try:
            self._listener = listen(port=self._port)
        except OSError:  # somebody took the port meanwhile
            self._listener = listen()
            self._port = _port(self._listener)

    def _tell(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._report(Report(self.source.name, reason, message, warning))


def _port(listener: socket.socket) -> int:
    port = listener.getsockname()[1]
    assert isinstance(port, int)
    return port
