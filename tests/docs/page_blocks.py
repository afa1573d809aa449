"""A page whose blocks are followed one by one, as a reader does: files written, commands run.

A Python, Markdown or YAML block that opens with a comment naming a file is that file; one that says
`, below what is there` goes to its end. In a console block a line `$ command` is run by a shell in
the page's directory and prints what follows it, `...` being anything; with `&` at its end it goes
on running, and what follows is waited for.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

FILE = re.compile(r"(?:# |// |<!-- )([\w./-]+\.\w+)(, below what is there)?(?: -->)?\n")
BELOW = "\n\n"


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The language and the text of every block."""
    for found in re.finditer(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
        yield found[1], found[2]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Reader:
    """Follows a page in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ran: list[str] = []
        self._running: list[subprocess.Popen[str]] = []
        self._ports = {"8000": str(free_port()), "8080": str(free_port())}
        known = {k: v for k, v in os.environ.items() if not k.startswith(("LMOS_", "PYTEST_"))}
        self._environment = known | {
            "LMOS_MODEL": "direct",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "XDG_STATE_HOME": str(directory / "home"),
        }

    def follow(self, page: Path) -> None:
        """Does what the page says."""
        try:
            for language, text in blocks(page):
                text = re.sub(r"\b(8000|8080)\b", lambda found: self._ports[found[1]], text)
                if language == "console":
                    self._type(text)
                elif named := FILE.match(text):
                    self._write(self.directory / named[1], text[named.end() :], below=named[2])
        finally:
            self._end()

    def _write(self, file: Path, text: str, *, below: str | None) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        before = f"{file.read_text()}{BELOW}" if below else ""
        file.write_text(before + text)

    def _type(self, text: str) -> None:
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, expected = re.split(r"(?<!\\)\n", part, maxsplit=1)
            if command.endswith("&"):
                self._start(command.removesuffix("&").strip(), expected)
            else:
                self._run(command, expected)
            self.ran.append(command)

    def _run(self, command: str, expected: str) -> None:
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        said = f"{command} is to print\n{expected}\nand prints\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, said
        assert like(expected, done.stdout), said

    def _start(self, command: str, expected: str) -> None:
        log = self.directory / f"process-{len(self._running)}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                f"exec {command}",
                shell=True,
                cwd=self.directory,
                env=self._environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self._running.append(process)
        deadline = time.monotonic() + 60
        while not like(expected, log.read_text()):
            assert process.poll() is None, f"{command} has ended: {log.read_text()}"
            assert time.monotonic() < deadline, f"{command} prints {log.read_text()}"
            time.sleep(0.05)

    def _end(self) -> None:
        for process in self._running:
            process.send_signal(signal.SIGINT)
        for process in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


def like(expected: str, said: str) -> bool:
    """Whether something was printed as expected, white space aside."""
    pieces = [re.escape("".join(piece.split())) for piece in expected.split("...")]
    return re.fullmatch(".*".join(pieces), "".join(said.split())) is not None
