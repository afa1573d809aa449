"""Database servers of the tests' own: on loopback, in a directory of their own, as a process that
can be killed and started again. Where a server is not installed, the tests that need it skip.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

S = TypeVar("S", bound="DatabaseServer")
PASSWORD = "only-for-tests"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class DatabaseServer:
    """A server process. `start` after `kill` brings it back with what it had stored."""

    url: str
    crash: signal.Signals = signal.SIGKILL

    def __init__(self) -> None:
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="lmos-test-", dir="/tmp"))
        self.user: str | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), cwd=self.directory, stdout=log, stderr=log, user=self.user
            )

    def ready(self) -> bool:
        """Whether it takes connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def wait(self) -> None:
        """Until it is ready."""
        deadline = time.monotonic() + 30
        while not self.ready():
            process = self._process
            if process is None or process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.directory / "log").read_text())
            time.sleep(0.01)

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        if self._process:
            self._process.send_signal(self.crash)
            self._process.wait(30)
            self._process = None

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Stops all its processes where they are, and lets them go on at the end."""
        assert self._process
        whole = psutil.Process(self._process.pid)
        processes = [whole, *whole.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class RedisServer(DatabaseServer):
    def __init__(self) -> None:
        super().__init__()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.directory),
            "requirepass": PASSWORD,
            "appendonly": "yes",
            "appendfsync": "always",  # nothing acknowledged is lost in a crash
            "save": "",
        }
        return ["redis-server", *(part for k, v in options.items() for part in (f"--{k}", v))]


class PostgresServer(DatabaseServer):
    crash = signal.SIGQUIT  # at once, without writing anything back: it recovers when it starts

    def __init__(self, programs: Path) -> None:
        super().__init__()
        self.url = f"postgresql://lmos:{PASSWORD}@127.0.0.1:{self.port}/postgres"
        self._programs = programs
        if os.geteuid() == 0:  # it refuses to run as root
            self.user = _system_user()
            shutil.chown(self.directory, self.user)
        password = self.directory / "password"
        password.write_text(PASSWORD)
        subprocess.run(
            [
                programs / "initdb",
                f"--pgdata={self.directory / 'data'}",
                "--username=lmos",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            user=self.user,
            cwd=self.directory,
        )

    def command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
        }
        given = (part for k, v in options.items() for part in ("-c", f"{k}={v}"))
        return [str(self._programs / "postgres"), "-D", str(self.directory / "data"), *given]

    def ready(self) -> bool:
        asked = [
            self._programs / "pg_isready",
            "--quiet",
            "--host=127.0.0.1",
            f"--port={self.port}",
        ]
        return subprocess.run(asked, check=False).returncode == 0


def _system_user() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def start_redis() -> RedisServer:
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    return _started(RedisServer())


def start_postgres() -> PostgresServer:
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or (candidates[-1] if candidates else None)
    if not found:
        pytest.skip("PostgreSQL's server is not installed (apt-get install postgresql)")
    return _started(PostgresServer(Path(found).resolve().parent))


def _started(server: S) -> S:
    server.start()
    server.wait()
    return server
