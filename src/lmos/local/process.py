"""One agent's process: started, watched, restarted, replaced without losing a turn.

The listening socket belongs to the platform and is passed down, so an agent keeps its address for
life: while its process starts again, connections wait in the backlog instead of failing. A reload
starts the new process beside the old one on the same socket; only when the new one is ready is the
old one asked to finish its turns and leave. A new process that does not come up changes nothing.

An agent that fails twice in a row without becoming ready has its socket closed, so that callers
are refused at once rather than kept waiting, until a start succeeds.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Phase = Literal["starting", "ready", "crashed", "failed", "stopped"]

READY_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
RELOAD_TIMEOUT = 10.0
#: Seconds that a process which was replaced gets for its running turns: more than any may take.
DRAIN_TIMEOUT = 75.0
FIRST_BACK_OFF = 0.1
LAST_BACK_OFF = 30.0
#: A process that lived this long (seconds) starts the back-off anew.
LONG_LIFE = 10.0


@dataclass(frozen=True, slots=True)
class Report:
    """Something to tell about an agent's process: `reason` in CamelCase, for people and logs."""

    agent: str
    reason: str
    message: str
    warning: bool = False


class StartFailed(Exception):
    """A process ended, or was not ready in time; the message is what it last said."""


class Process:
    """One run of an agent's program. `ready()` returns once it has announced itself."""

    def __init__(self, child: asyncio.subprocess.Process, notify: "_Notify", log: "_Log") -> None:
        self.child = child
        #: What it can read again without being replaced, known once it is ready.
        self.files: frozenset[Path] = frozenset()
        self._notify = notify
        self._log = log

    @classmethod
    async def start(
        cls,
        arguments: Sequence[str],
        *,
        directory: Path,
        listener: socket.socket,
        env: Mapping[str, str],
        log: Callable[[str], None],
    ) -> "Process":
        """Starts `lmos serve ARGUMENTS` in the directory on the listening socket."""
        notify = _Notify()
        fd = listener.fileno()
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lmos", "serve", *arguments, "--fd", str(fd)),
            cwd=directory,
            env={**os.environ, **env, "NOTIFY_SOCKET": notify.path, "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(fd,),
            start_new_session=True,  # Ctrl-C reaches the platform alone, which ends us
        )
        return cls(child, notify, _Log(child, log))

    async def ready(self, timeout: float = READY_TIMEOUT) -> None:
        """Returns when the process has said that it is ready, else raises `StartFailed`."""
        said = asyncio.ensure_future(self._notify.said())
        ended = asyncio.ensure_future(self.child.wait())
        try:
            done, _ = await asyncio.wait(
                (said, ended), timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for future in (said, ended):
                future.cancel()
        if ended in done and said not in done:
            await self._log.drained()
            raise StartFailed(self._log.last() or f"ended with exit code {self.child.returncode}")
        self._log.release()
        if said in done:
            told = said.result().get("X_LMOS_FILES", "")
            self.files = frozenset(Path(file) for file in told.splitlines())
            return
        raise StartFailed(f"not ready after {timeout:.0f} s")

    async def wait(self) -> str:
        """Waits for the end and tells how it came."""
        code = await self.child.wait()
        await self._log.drained()
        self._notify.close()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        last = self._log.last()
        return f"{how}: {last}" if last and code > 0 else how

    async def reload(self, timeout: float = RELOAD_TIMEOUT) -> None:
        """Has it read its `files` again. Raises `StartFailed` with what is wrong with them, when
        what was in force before stays so.
        """
        self._notify.forget()
        with contextlib.suppress(ProcessLookupError):
            self.child.send_signal(signal.SIGHUP)
        try:
            said = await asyncio.wait_for(self._notify.said(), timeout)
        except TimeoutError:
            raise StartFailed(f"has not read its use cases after {timeout:.0f} s") from None
        if problem := said.get("STATUS"):
            raise StartFailed(problem)

    def terminate(self) -> None:
        """Asks it to take no more connections, finish its turns and end."""
        with contextlib.suppress(ProcessLookupError):
            self.child.terminate()

    async def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Asks it to finish its turns, waits, and ends it by force after `timeout` seconds."""
        self.terminate()
        try:
            await asyncio.wait_for(self.child.wait(), timeout)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.child.kill()
            await self.child.wait()
        await self._log.drained()
        self._notify.close()


class _Log:
    """Passes a child's lines on and remembers the last ones. Until `release`, the newest line waits
    for the next: a process that does not start tells with it why, which `StartFailed` passes on.
    """

    def __init__(self, child: asyncio.subprocess.Process, log: Callable[[str], None]) -> None:
        self._lines: deque[str] = deque(maxlen=20)
        self._held: list[str] | None = []
        self._log = log
        self._task = asyncio.ensure_future(self._read(child))

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        while True:
            try:
                raw = await child.stdout.readline()
            except ValueError:  # a line over the reader's limit: dropped, the next is read
                continue
            if not raw:
                return
            line = raw.decode(errors="replace").rstrip()
            self._lines.append(line)
            self._pass_on(line)

    def _pass_on(self, line: str) -> None:
        ready = [line]
        if self._held is not None:
            ready, self._held = self._held, ready
        for text in ready:
            self._log(text)

    def release(self) -> None:
        """From now on every line is passed on at once."""
        held, self._held = self._held or [], None
        for text in held:
            self._log(text)

    async def drained(self) -> None:
        """Everything said has been read; grandchildren that keep the pipe open do not block us."""
        await asyncio.wait((self._task,), timeout=1.0)
        self._task.cancel()

    def last(self) -> str:
        """The last line that says something."""
        return next((line for line in reversed(self._lines) if line.strip()), "")


class _Notify:
    """The receiving end of systemd's notification protocol: a datagram `READY=1`, and after a
    signal to reload another one with `STATUS` where that failed.
    """

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="lmos-")
        self.path = os.path.join(self._folder, "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.setblocking(False)

    async def said(self) -> dict[str, str]:
        """What the next datagram with `READY=1` says."""
        while True:
            text = (await asyncio.get_running_loop().sock_recv(self._socket, 65536)).decode()
            said = dict(line.partition("=")[::2] for line in text.split("\n"))
            if said.get("READY") == "1":
                return {name: value.replace("\r", "\n") for name, value in said.items()}

    def forget(self) -> None:
        """Drops what was said before."""
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(65536):
                pass

    def close(self) -> None:
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
            os.rmdir(self._folder)


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A listening TCP socket; port 0 picks a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit this. Without it answers of two writes wait 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(512)
    return listener
