"""A real platform: `lmos up` as its own process on a copy of the example."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
ACME = ROOT / "examples" / "acme"
START_TIMEOUT = 60.0


class Up:
    """A running `lmos up`."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        self.log = directory / "up.log"
        self._file = self.log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lmos", "up", str(directory), "--port", "0", *arguments],
            stdout=self._file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "XDG_STATE_HOME": str(directory / "home"), "PYTHONUNBUFFERED": "1"},
        )
        self.url = ""

    def output(self) -> str:
        return self.log.read_text()

    def wait_for(self, pattern: str, timeout: float = START_TIMEOUT) -> re.Match[str]:
        """The first match of the pattern in the output."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.output()):
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"{pattern!r} is not in the output:\n{self.output()}")

    def started(self) -> "Up":
        self.url = self.wait_for(r"api\s+(http://\S+)/apis/v1")[1]
        return self

    def get(self, path: str) -> object:
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            return json.load(response)

    def post(self, path: str, body: object, headers: dict[str, str] | None = None) -> object:
        request = urllib.request.Request(
            self.url + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            said = error.read()
            message = f"{error.msg}: {said.decode(errors='replace')}"
            body = io.BytesIO(said)
            raise urllib.error.HTTPError(
                error.url, error.code, message, error.headers, body
            ) from None

    def ask(self, text: str, conversation: str, channel: str = "acme/web", user: str = "") -> dict:
        """The answer to a message, over the REST API."""
        tenant, _, name = channel.partition("/")
        body = {
            "inputContext": {"messages": [{"role": "user", "content": text}]},
            "systemContext": {"channelId": name},
            "userContext": {"userId": user},
        }
        return self.post(f"/apis/v1/{tenant}/chat/{conversation}/message", body)

    def agents(self) -> dict[int, psutil.Process]:
        """The agents' processes."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children(recursive=True)
            return {c.pid: c for c in children if "serve" in _command(c)}
        return {}

    def agent(self, module: str) -> psutil.Process:
        """The process of one agent; the oldest, while it is being replaced."""
        return next(p for p in self.agents().values() if module in " ".join(_command(p)))

    def close(self) -> None:
        self._file.close()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        children = self.agents()
        self.process.send_signal(how)
        code = self.process.wait(30)
        self.close()
        _, alive = psutil.wait_procs(list(children.values()), timeout=5)
        assert not alive, f"left running: {alive}"
        return code


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def copied(target: Path) -> Path:
    shutil.copytree(ACME, target, ignore=shutil.ignore_patterns(".lmos", "__pycache__"))
    return target


@pytest.fixture
def platform() -> Iterator[Callable[..., Up]]:
    """Starts platforms, and ends those still running after the test."""
    started: list[Up] = []

    def start(directory: Path, *arguments: str) -> Up:
        started.append(Up(directory, *arguments))
        return started[-1]

    yield start
    for up in started:
        if up.process.poll() is None:
            up.stop()
        up.close()


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The example, running, for all tests of a module."""
    up = Up(copied(tmp_path_factory.mktemp("acme") / "acme"))
    try:
        yield up.started()
    finally:
        if up.process.poll() is None:
            up.stop()
