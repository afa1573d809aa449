"""`lmos serve`, as its own process, and what it makes of files that change."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from lmos.cli.serve import settings
from lmos.model import errors

pytestmark = pytest.mark.slow

AGENT = """
import asyncio
from pathlib import Path

from lmos import Agent, Context
from words import WORD

bot = Agent(name="bot", model="direct", use_cases="cases.md")


@bot.tool
async def wait_long(ctx: Context) -> str:
    \"\"\"Waits.\"\"\"
    while Path("wait").exists():
        Path("waiting").touch()
        await asyncio.sleep(0.01)
    return WORD
"""
CASES = """### UseCase: wait_long
#### Description
The user says hello.
#### Solution
Call @wait_long().
"Hello {{wait_long}}."
#### Examples
- hello
- hello there
"""


class Server:
    """A running `lmos serve`."""

    def __init__(self, directory: Path, *arguments: str, **env: str) -> None:
        self.directory = directory
        self.log = directory / "out.log"
        with self.log.open("a") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lmos", "serve", *arguments, "--port", "0"],
                cwd=directory,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
            )
        self.headers: dict[str, str] = {}
        self.url = ""

    def started(self) -> "Server":
        self.url = self.wait_for(r"at (http://\S+), stop with")[1]
        return self

    def wait_for(self, pattern: str, timeout: float = 60.0) -> re.Match[str]:
        """The first match in the output; what came before it is not looked at again."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := re.search(pattern, self.log.read_text()):
                os.truncate(self.log, 0)
                return found
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} is not in the output:\n{self.log.read_text()}")

    def ask(self, text: str = "hello", model: str = "bot") -> str:
        request = urllib.request.Request(
            self.url + "/v1/responses",
            json.dumps({"model": model, "input": text}).encode(),
            {"Content-Type": "application/json", **self.headers},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
        return str(answer["output"][0]["content"][0]["text"])

    def says(self, text: str, timeout: float = 5.0) -> None:
        """It answers so now or in a moment: the old process takes one to let go of its socket."""
        deadline = time.monotonic() + timeout
        while (said := self.ask()) != text:
            assert time.monotonic() < deadline, said
            time.sleep(0.02)

    def children(self) -> set[int]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return {child.pid for child in psutil.Process(self.process.pid).children()}
        return set()

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def stop(self) -> None:
        children = self.children()
        self.process.terminate()
        assert self.process.wait(20) == 0
        assert not any(psutil.pid_exists(pid) for pid in children)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(*arguments: str, **env: str) -> Server:
        started.append(Server(tmp_path, *arguments, **env))
        return started[-1].started()

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture
def bot(tmp_path: Path, serve: Callable[..., Server]) -> Server:
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "words.py").write_text('WORD = "one"\n')
    (tmp_path / "cases.md").write_text(CASES)
    server = serve("agent:bot", "--reload")
    assert server.ask() == "Hello one."
    return server


def test_use_cases_are_read_again_in_the_same_process(bot: Server) -> None:
    before = bot.children()
    bot.write("cases.md", CASES.replace("Hello {{", "Hi {{"))
    bot.wait_for("use cases read again")
    assert bot.ask() == "Hi one."
    bot.write("cases.md", CASES.replace("@wait_long", "@wait_lnog"))
    bot.wait_for(r"cases\.md:5:\d+: there is no tool 'wait_lnog'.*; the last good version stays")
    assert bot.ask() == "Hi one."
    (bot.directory / "cases.md").unlink()
    bot.wait_for(r"cases\.md cannot be read: No such file.*; the last good version stays")
    assert bot.ask() == "Hi one."
    bot.write("cases.md", CASES)
    bot.wait_for("use cases read again")
    assert bot.ask() == "Hello one."
    assert bot.children() == before


def test_running_turns_finish_on_the_old_version(bot: Server) -> None:
    (bot.directory / "wait").touch()
    found: list[str] = []
    asking = Thread(target=lambda: found.append(bot.ask()))
    asking.start()
    deadline = time.monotonic() + 10
    while not (bot.directory / "waiting").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    bot.write("words.py", 'WORD = "two"\n')
    bot.wait_for("was loaded again")
    (bot.directory / "wait").unlink()
    asking.join(10)
    assert found == ["Hello one."]
    bot.says("Hello two.")


def test_files_are_added_renamed_and_removed(bot: Server) -> None:
    bot.write("more.py", 'WORD = "added"\n')
    bot.write("agent.py", AGENT.replace("from words", "from more"))
    bot.wait_for("was loaded again")
    bot.says("Hello added.")
    (bot.directory / "more.py").rename(bot.directory / "other.py")
    bot.wait_for(r"agent\.py:6: ModuleNotFoundError: No module named 'more'; the last good version")
    assert bot.ask() == "Hello added."
    bot.write("agent.py", AGENT.replace("from words", "from other"))
    bot.wait_for("was loaded again")
    bot.says("Hello added.")
    (bot.directory / "cases.md").rename(bot.directory / "renamed.md")
    bot.wait_for("cannot be read")
    bot.write(
        "agent.py", AGENT.replace("from words", "from other").replace("cases.md", "renamed.md")
    )
    bot.wait_for("was loaded again")
    (bot.directory / "other.py").unlink()
    bot.wait_for(r"No module named 'other'; the last good version stays")
    assert bot.ask() == "Hello added."


def test_mistakes_are_told_with_file_and_line(bot: Server) -> None:
    for change, told in (
        ("\ndef broken(:\n", r"agent\.py:19: invalid syntax"),
        ("\n1 / 0\n", r"agent\.py:19: ZeroDivisionError: division by zero"),
        ("\nbot.tool(wait_long)\n", r"agent\.py:19: InvalidInput: .*wait_long"),
    ):
        bot.write("agent.py", AGENT.rstrip("\n") + "\n" + change)
        bot.wait_for(told + r".*; the last good version stays")
        assert bot.ask() == "Hello one."
    bot.write("agent.py", AGENT)
    bot.wait_for("was loaded again")
    assert bot.ask() == "Hello one."


def test_an_agent_that_never_started_does_when_it_is_put_right(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text("import nowhere\n")
    server = Server(tmp_path, "agent:bot", "--reload")
    try:
        server.wait_for(r"agent\.py:1: ModuleNotFoundError")
        server.write("words.py", 'WORD = "at last"\n')
        server.write("cases.md", CASES)
        server.write("agent.py", AGENT)
        server.started()
        assert server.ask() == "Hello at last."
    finally:
        server.stop()


def test_several_agents_behind_a_key(tmp_path: Path, serve: Callable[..., Server]) -> None:
    (tmp_path / "words.py").write_text('WORD = "one"\n')
    (tmp_path / "cases.md").write_text(CASES)
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "second.py").write_text(
        'from lmos import Agent\nsecond = Agent(name="second", model="direct", use_cases="""'
        + CASES.replace("Call @wait_long().\n", "").replace("{{wait_long}}", "second")
        + '""")\n'
    )
    server = serve(
        "agent:bot", "second", "--api-key-env", "KEYS", "--reload", KEYS="one-key,two-key"
    )
    with pytest.raises(urllib.error.HTTPError, match="401"):
        server.ask()
    server.headers = {"Authorization": "Bearer two-key"}
    assert server.ask() == "Hello one."
    assert server.ask(model="second") == "Hello second."
    with urllib.request.urlopen(server.url + "/agents/second/.well-known/agent-card.json") as card:
        assert json.load(card)["name"] == "second"


def run(directory: Path, *arguments: str, **env: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "lmos", "serve", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **env},
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("agent:nobody", r"agent\.py: there is no agent 'nobody'; there is bot"),
        ("nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_what_is_not_there_is_told(tmp_path: Path, target: str, told: str) -> None:
    (tmp_path / "words.py").write_text('WORD = "one"\n')
    (tmp_path / "cases.md").write_text(CASES)
    (tmp_path / "agent.py").write_text(AGENT)
    code, said = run(tmp_path, target)
    assert code == 1
    assert re.search(told, said), said


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"api_key_env": ["EMPTY"]}, "EMPTY is empty or not set"),
        ({"jwt_secret_env": "SHORT"}, "HS256 needs 32"),
        ({"jwt_audience": ["me"]}, "need keys to check tokens with"),
    ],
)
def test_options_that_cannot_work_are_told(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], told: str
) -> None:
    monkeypatch.setenv("SHORT", "short")
    monkeypatch.setenv("EMPTY", " ")
    tokens = {
        "jwt_secret_env": None,
        "jwt_public_key": None,
        "jwks_url": None,
        "jwt_issuer": None,
        "jwt_audience": [],
        "jwt_scope": [],
    }
    with pytest.raises(errors.InvalidInput, match=told):
        settings(**{**tokens, **options})


def test_a_taken_port_is_told(tmp_path: Path, bot: Server) -> None:
    port = bot.url.rsplit(":", 1)[1]
    for options in (["--reload"], []):
        code, said = run(bot.directory, "agent:bot", "--port", port, *options)
        assert code in (1, 3), said
        assert "address already in use" in said.lower()
