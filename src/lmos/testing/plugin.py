"""The pytest plug-in: fixtures for tests of agents, and ADL conversation tests as tests.

`ask` asks agents, `cassette` records and replays model traffic, `scripted` makes scripted models,
`clock` is a clock to be moved. Tests that use one of them reach no other machine, keep state in a
directory of their own, and answer without a language model unless `--lmos-model` names one.

pytest loads this module at every start: it imports nothing but pytest and the standard library.
"""

import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lmos.testing.asking import Asking
    from lmos.testing.cassette import Cassette
    from lmos.testing.clock import Clock


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("lmos", "agents (lmos)")
    group.addoption(
        "--lmos-model",
        metavar="SPEC",
        default="direct",
        help="model of agents that choose theirs themselves (default: direct, none)",
    )
    group.addoption(
        "--cassettes",
        choices=("once", "replay", "record"),
        default="once",
        help="model traffic: record what is not recorded (once), only replay, or record anew",
    )
    group.addoption(
        "--adl", action="store_true", help="run ADL conversation tests (*.test.md) as tests"
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line("markers", "lmos_network: the test may reach other machines")


# --- fixtures -------------------------------------------------------------------------------------


@pytest.fixture
def ask(request: pytest.FixtureRequest, _lmos_environment: None) -> "Asking":
    """Asks an agent: `answer = await ask(agent, "how much do I owe?")`."""
    from lmos.testing.asking import Asking

    return Asking(request.node.name)


@pytest.fixture
def scripted(_lmos_environment: None) -> Any:
    """Makes a scripted model: `scripted(Call("get_bill"), "It is 42.50 EUR.")`."""
    from lmos.llm.scripted import ScriptedModel

    return ScriptedModel


@pytest.fixture
def clock() -> "Clock":
    """A clock that the test moves."""
    from lmos.testing.clock import Clock

    return Clock()


@pytest.fixture
def cassette(request: pytest.FixtureRequest, _lmos_environment: None) -> "Cassette":
    """The test's model traffic, in `cassettes/MODULE/TEST.yaml` beside it: give
    `cassette.around("openai:gpt-4o-mini")` to the agent.
    """
    from lmos.testing.cassette import Cassette

    file = request.node.path
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in request.node.name)
    mode = request.config.getoption("--cassettes")
    return Cassette(file.parent / "cassettes" / file.stem / f"{name}.yaml", mode=mode)


@pytest.fixture
def _lmos_environment(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """State in the test's own directory, no model but the one asked for, no network."""
    monkeypatch.setenv("LMOS_STATE_DIR", str(tmp_path / "lmos-state"))
    model = request.config.getoption("--lmos-model")
    monkeypatch.setenv("LMOS_MODEL", model)
    recording = "cassette" in request.fixturenames and (
        request.config.getoption("--cassettes") != "replay"
    )
    allowed = recording or model != "direct" or request.node.get_closest_marker("lmos_network")
    if allowed:
        yield
        return
    from lmos.testing.network import no_network

    with no_network():
        yield


# --- running --------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Has agents stopped, and cassettes closed, in the event loop of the test that used them."""
    test = getattr(item, "obj", None)
    endings = list(_endings(item))
    if not endings or not inspect.iscoroutinefunction(test):
        return

    @functools.wraps(test)
    async def ending(*arguments: Any, **given: Any) -> Any:
        try:
            return await test(*arguments, **given)
        finally:
            for end in endings:
                await end()

    item.obj = ending  # type: ignore[attr-defined]


def _endings(item: pytest.Item) -> "Iterator[Callable[[], Awaitable[None]]]":
    """What is to be done after the test. Fixtures that a project names like ours are its own."""
    given = getattr(item, "funcargs", {})
    for fixture, ending in (("ask", "stop"), ("cassette", "close")):
        value = given.get(fixture)
        if type(value).__module__.startswith("lmos.testing."):
            yield getattr(value, ending)


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Runs an async test that asks agents, where no other plug-in runs async tests."""
    test = pyfuncitem.obj
    if "_lmos_environment" not in pyfuncitem.fixturenames or not inspect.iscoroutinefunction(test):
        return None
    import asyncio

    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(test(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


# --- ADL conversation tests -----------------------------------------------------------------------


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "_File | None":
    """Test files beside use cases, where `--adl` asks for them."""
    if parent.config.getoption("--adl") and file_path.name.endswith(".test.md"):
        return _File.from_parent(parent, path=file_path)
    return None


class _File(pytest.File):
    """A file of conversation tests."""

    def collect(self) -> Iterator[pytest.Item]:
        """One test each."""
        from lmos.testing.conversations import read

        for conversation in read(self.path):
            yield _Conversation.from_parent(self, name=conversation.name, conversation=conversation)


class _Conversation(pytest.Item):
    """A conversation test."""

    def __init__(self, *, conversation: Any, **given: Any) -> None:
        super().__init__(**given)
        self._conversation = conversation

    def runtest(self) -> None:
        """Fails with what was not as expected."""
        import asyncio

        from lmos.testing.conversations import agent_for, run_tests

        model = self.config.getoption("--lmos-model")
        with contextlib.ExitStack() as stack:
            agent = stack.enter_context(agent_for(self.path))
            report = asyncio.run(run_tests([self._conversation], agent, model=model))
        [outcome] = report.outcomes
        if outcome.verdict == "fail":
            raise _Failed(outcome.told())

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """What was not as expected, without a traceback."""
        if isinstance(excinfo.value, _Failed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the test stands."""
        return self.path, self._conversation.line - 1, self.name


class _Failed(Exception):
    """A conversation that did not go as expected."""
