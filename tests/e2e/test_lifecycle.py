"""`lmos up` when things change, break and end."""

import json
import signal
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

SLOW_TOOL = '''
import asyncio
from pathlib import Path
from lmos import Agent, Context

slow = Agent(name="slow-agent", use_cases="use_cases.md", model="direct")

@slow.tool
async def wait_long(ctx: Context) -> str:
    """Waits."""
    seconds = float(Path("seconds").read_text())
    Path("inside").touch()
    await asyncio.sleep(seconds)
    return "done"
'''
SLOW_CASES = """### UseCase: wait_long
#### Description
The user wants to wait.
#### Solution
Call @wait_long().
"VERSION {{wait_long}}"
#### Examples
- please wait
- wait for a long time
"""
CHANNEL = """apiVersion: lmos.eclipse/v1
kind: Channel
metadata: {name: demo-web, labels: {tenant: demo, channel: web}}
spec:
  requiredCapabilities: [{name: wait-long, version: "*"}]
"""


def write(directory: Path, version: str) -> None:
    folder = directory / "agents" / "slow"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").touch()
    (folder / "use_cases.md").write_text(SLOW_CASES.replace("VERSION", version))
    (folder / "agent.py").write_text(SLOW_TOOL)


def takes(up: Any, seconds: float) -> None:
    """How long the agent's tool takes from now on."""
    (up.directory / "seconds").write_text(str(seconds))


@pytest.fixture
def slow(tmp_path: Path, platform: Callable[..., Any]) -> Any:
    write(tmp_path, "one")
    (tmp_path / "seconds").write_text("0.01")
    (tmp_path / "channel.yaml").write_text(CHANNEL)
    return platform(tmp_path, "--no-console").started()


def asking(up: Any, conversation: str) -> tuple[Thread, dict[str, Any]]:
    """A turn inside the agent's tool, and where its answer will be."""
    found: dict[str, Any] = {}
    inside = up.directory / "inside"
    inside.unlink(missing_ok=True)

    def ask() -> None:
        try:
            found.update(up.ask("please wait", conversation, "demo/web"))
        except urllib.error.HTTPError as error:
            found.update(json.load(error), failed=error.code)

    thread = Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + 30
    while not inside.exists():
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return thread, found


def test_a_killed_agent_is_a_clear_error_and_back_within_five_seconds(slow: Any) -> None:
    takes(slow, 30)
    thread, found = asking(slow, "killed")
    takes(slow, 0.01)
    slow.agent("agents.slow.agent").kill()
    killed = time.monotonic()
    thread.join(10)
    assert found["failed"] in (502, 503), found
    assert "slow-agent" in found["message"]
    assert slow.ask("please wait", "after", "demo/web")["content"] == "one done"
    assert time.monotonic() - killed < 5
    slow.wait_for("killed by SIGKILL; starting it again", timeout=5)


def test_a_reload_finishes_the_running_turn_with_the_old_version(slow: Any) -> None:
    takes(slow, 11)  # longer than a process gets to end that is not replaced
    thread, found = asking(slow, "running")
    takes(slow, 0.01)
    write(slow.directory, "new")
    slow.wait_for("was loaded again", timeout=15)
    deadline = time.monotonic() + 2  # the old process takes a moment to let go of its socket
    while slow.ask("please wait", "fresh", "demo/web")["content"] != "new done":
        assert time.monotonic() < deadline
    thread.join(20)
    assert found["content"] == "one done"


def test_mistakes_are_told_with_their_place_and_the_rest_goes_on(slow: Any) -> None:
    agent = slow.directory / "agents" / "slow" / "agent.py"
    agent.write_text(agent.read_text() + "\ndef broken(:\n")
    slow.wait_for(r"agents/slow/agent\.py:16: .*; the last good version stays")
    cases = slow.directory / "agents" / "slow" / "use_cases.md"
    write(slow.directory, "one")
    cases.write_text(SLOW_CASES.replace("@wait_long", "@wait_lnog"))
    slow.wait_for(r"use_cases\.md:5:\d+: there is no tool 'wait_lnog'; did you mean @wait_long")
    (slow.directory / "channel.yaml").write_text(CHANNEL.replace("version", "verson"))
    slow.wait_for(r"channel\.yaml:5: spec\.requiredCapabilities\[0\]\.verson: is no field here")
    assert slow.ask("please wait", "still", "demo/web")["content"] == "one done"
    (slow.directory / "channel.yaml").write_text(CHANNEL)
    slow.wait_for(r"channel\.yaml is in force again")
    told = [line for line in slow.output().splitlines() if "agent.py:16: " in line]
    assert all(line.endswith("stays") for line in told)  # once each time, not twice


def test_manifests_and_agents_come_and_go(slow: Any) -> None:
    (slow.directory / "more.yaml").write_text(
        CHANNEL.replace("demo-web", "demo-ivr").replace("channel: web", "channel: ivr")
    )
    deadline = time.monotonic() + 10
    while len(slow.get("/apis/v1/tenants/demo/channels")) != 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for file in (slow.directory / "agents" / "slow").glob("*.*"):
        file.unlink()
    while slow.get("/apis/lmos.eclipse/v1/agents")["items"]:
        assert time.monotonic() < deadline + 10
        time.sleep(0.05)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        slow.ask("please wait", "gone", "demo/web")
    assert not slow.agents()


def test_folders_and_use_cases_can_be_renamed(slow: Any) -> None:
    agents = slow.directory / "agents"
    (agents / "slow").rename(agents / "quick")
    slow.wait_for("its folder is gone")
    asked(slow, "moved", "one done")
    cases = agents / "quick" / "use_cases.md"
    cases.rename(agents / "quick" / "cases.md")
    slow.wait_for(r"use_cases\.md cannot be read: .*; the last good version stays")
    agent = agents / "quick" / "agent.py"
    agent.write_text(SLOW_TOOL.replace("use_cases.md", "cases.md"))
    slow.wait_for("was loaded again")
    before = slow.agents().keys()
    (agents / "quick" / "cases.md").write_text(SLOW_CASES.replace("VERSION", "edited"))
    slow.wait_for("use cases read again")
    asked(slow, "edited", "edited done")
    assert slow.agents().keys() <= before


def asked(up: Any, conversation: str, answer: str) -> None:
    """The answer comes now or in a moment, when what has changed is known everywhere."""
    deadline = time.monotonic() + 30
    while True:
        try:
            said = up.ask("please wait", conversation, "demo/web")["content"]
        except urllib.error.HTTPError as error:
            said = str(error)
        if said == answer:
            return
        assert time.monotonic() < deadline, said
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_running(slow: Any, how: signal.Signals) -> None:
    assert slow.stop(how) == 0


def test_a_turn_that_outlasts_the_end_gets_an_error(slow: Any) -> None:
    takes(slow, 60)
    thread, found = asking(slow, "cut-off")
    assert slow.stop() == 0
    thread.join(5)
    assert (found["failed"], found["message"]) == (503, "the platform is stopping; ask again")
    assert "Traceback" not in slow.output()


def test_agents_end_with_a_platform_that_was_killed(slow: Any) -> None:
    agents = slow.agents()
    slow.process.kill()
    slow.process.wait(10)
    for process in agents.values():
        process.wait(15)


def test_a_taken_port_and_a_missing_directory_are_told(tmp_path: Path, platform: Any) -> None:
    first = platform(tmp_path, "--no-console").started()
    port = first.url.rsplit(":", 1)[1]
    other = tmp_path / "other"
    other.mkdir()
    second = platform(other, "--no-console", "--port", port)
    second.wait_for("cannot listen on")
    assert second.process.wait(20) == 2
