"""The pytest plug-in, as pytest loads it: each test here is a run of pytest in its own process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BILLING = (Path(__file__).parent / "bills.py").read_text()
ROOT = Path(__file__).parents[2]


def run(folder: Path, test: str, *options: str, **environment: str) -> tuple[int, str]:
    """pytest's exit code and what it printed."""
    (folder / "bills.py").write_text(BILLING)
    (folder / "test_it.py").write_text(test)
    # Bytecode may be written: reading pydantic-ai's sources again in each run takes seconds.
    ignored = ("LMOS_", "PYTEST_", "PYTHONDONTWRITEBYTECODE")
    known = {k: v for k, v in os.environ.items() if not k.startswith(ignored)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={**known, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


ASKING = """
from bills import billing
agent = billing("auto", memory="sqlite")

async def test_it(ask):
    answer = await ask(agent, "how much do I owe?")
    assert answer.use_case == "view_bill"
    assert answer.called("get_bill", month="latest")

class TestMethods:
    async def test_it(self, ask):
        assert (await ask(agent, "close my account")).question
        assert (await ask(agent, "yes")).text == "It is closed."

async def test_nothing_is_left_of_another_test(ask):
    assert (await ask(agent, "yes")).unresolved
"""


SCOPE = ("-o", "asyncio_default_fixture_loop_scope=function")


@pytest.mark.parametrize(
    "others", [("-p", "no:asyncio"), SCOPE, (*SCOPE, "-o", "asyncio_mode=auto")]
)
def test_two_lines_test_an_agent(tmp_path: Path, others: tuple[str, ...]) -> None:
    """With pytest alone, and beside pytest-asyncio in both of its modes."""
    code, told = run(tmp_path, ASKING, "-W", "error", *others)
    assert (code, "3 passed" in told) == (0, True), told
    assert not (tmp_path / ".lmos").exists()


def test_a_failing_assertion_tells_what_was_called(tmp_path: Path) -> None:
    test = """
from bills import billing
async def test_it(ask):
    answer = await ask(billing(), "how much do I owe?")
    assert answer.called("get_bill", month="previous")
"""
    code, told = run(tmp_path, test)
    assert code == 1
    assert "get_bill(month='previous'): 0 calls; called: get_bill()" in told


def test_agents_are_stopped_in_the_loop_that_asked_them(tmp_path: Path) -> None:
    test = """
import asyncio
from lmos import Agent
loops = []

class Connection:
    async def __aenter__(self):
        loops.append(asyncio.get_running_loop())
    async def __aexit__(self, *_):
        loops.append(asyncio.get_running_loop())

async def test_one(ask, scripted):
    agent = Agent(name="a", model=scripted("hi").model, deps=[Connection()])
    assert (await ask(agent, "hello")).text == "hi"

def test_two():
    assert len(loops) == 2 and loops[0] is loops[1]
"""
    code, told = run(tmp_path, test)
    assert code == 0, told


NETWORK = """
import asyncio
import socket
import pytest

async def test_forbidden(ask):
    reader, writer = await asyncio.open_connection("192.0.2.1", 9)

def test_name(scripted):
    socket.getaddrinfo("example.invalid", 80)

def test_loopback(scripted):
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()

@pytest.mark.lmos_network
def test_allowed(scripted):
    with pytest.raises(OSError):
        socket.getaddrinfo("example.invalid", 80)

def test_not_ours():
    with pytest.raises(OSError):
        socket.getaddrinfo("example.invalid", 80)
"""


def test_no_other_machine_is_reached(tmp_path: Path) -> None:
    code, told = run(tmp_path, NETWORK)
    assert code == 1
    assert re.findall(r"FAILED test_it\.py::(\w+)", told) == ["test_forbidden", "test_name"]
    assert "the test wants to reach 192.0.2.1" in told
    assert "the test wants to reach example.invalid" in told


TAPED = """
from bills import billing
from lmos.testing import Call, ScriptedModel
scripted = ScriptedModel(Call("get_bill"), "It is 42.50.")

async def test_bill(ask, cassette):
    answer = await ask(billing(cassette.around(scripted.model)), "how much?")
    assert answer.text == "It is 42.50."
    assert scripted.count == {count}
"""


def test_fixtures_of_a_project_come_before_ours(tmp_path: Path) -> None:
    test = """
import pytest

@pytest.fixture
def ask():
    return "mine"

@pytest.mark.asyncio
async def test_it(ask):
    assert ask == "mine"
"""
    code, told = run(tmp_path, test, *SCOPE)
    assert code == 0, told


def test_cassettes_lie_beside_the_test(tmp_path: Path) -> None:
    code, told = run(tmp_path, TAPED.format(count=2))
    assert code == 0, told
    assert (tmp_path / "cassettes" / "test_it" / "test_bill.yaml").exists()
    code, told = run(tmp_path, TAPED.format(count=0), "--cassettes=replay")
    assert code == 0, told


def test_conversations_are_tests_where_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text("from bills import billing\nagent = billing('auto')\n")
    (tmp_path / "bill.test.md").write_text(
        "### Test: good\n> how much do I owe\n- says: 42.50\n"
        "### Test: bad\n> how much do I owe\n- says: 43\n"
    )
    code, told = run(tmp_path, "def test_it(): pass", "--adl")
    assert code == 1
    assert "1 failed, 2 passed" in told
    assert "x says: 43  (bill.test.md:6)" in told
    assert "Traceback" not in told
    code, told = run(tmp_path, "def test_it(): pass")
    assert "1 passed" in told


def test_loading_the_plugin_loads_nothing_heavy() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import lmos.testing.plugin;"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = re.findall(r"'([\w.]+)'", done.stdout)
    assert set(loaded) == {"lmos", "lmos.testing", "lmos.testing.plugin"}
