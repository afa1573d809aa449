"""How many turns run at once, who waits, and who is refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as some
from runtime_parts import Platform, answer, served, turn_of
from starlette.applications import Starlette

from lmos.llm import embedder
from lmos.model import errors
from lmos.protocols import http
from lmos.router import VectorRouter
from lmos.runtime import Capacity, Settings, Supervisor, app
from lmos.runtime.admission import Admission
from lmos.state import MemoryState

PATIENT = 60.0


class Turns:
    """Turns that run until they are told to end."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.ended: dict[str, asyncio.Event] = {}
        self.running: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str) -> None:
        """The turn (its first letter is its tenant) comes in; returns when it runs or waits."""
        self.ended[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._run(name))
        await settled()

    async def end(self, name: str) -> None:
        self.ended[name].set()
        await self.tasks[name]
        await settled()

    async def leave(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.wait([self.tasks[name]])
        await settled()

    async def refusal(self, name: str) -> errors.Overloaded:
        with pytest.raises(errors.Overloaded) as refused:
            await self.tasks[name]
        return refused.value

    async def _run(self, name: str) -> None:
        async with self.admission.place(turn_of("hi", tenant=name[0])):
            self.running.append(name)
            try:
                await self.ended[name].wait()
            finally:
                self.running.remove(name)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def turns(**capacity: float) -> AsyncIterator[Turns]:
    found = Turns(Admission(Capacity(**{"patience": PATIENT, **capacity})))  # type: ignore[arg-type]
    yield found
    for task in found.tasks.values():
        task.cancel()
    await asyncio.gather(*found.tasks.values(), return_exceptions=True)
    admission = found.admission
    assert (admission.running, admission.waiting) == (0, 0)
    assert not admission._tenants
    assert not admission._channels


async def test_what_is_too_many_waits_and_then_runs_in_the_order_it_came() -> None:
    async with turns(turns=2, waiting=2) as found:
        for name in ("a1", "a2", "a3", "a4"):
            await found.come(name)
        assert found.running == ["a1", "a2"]
        await found.end("a2")
        assert found.running == ["a1", "a3"]
        await found.end("a1")
        assert found.running == ["a3", "a4"]


async def test_with_the_queue_full_the_next_is_refused_at_once() -> None:
    async with turns(turns=1, waiting=1) as found:
        for name in ("a1", "a2", "a3"):
            await found.come(name)
        refused = await found.refusal("a3")
        assert 1 <= refused.retry_after <= 30
        assert "1 turns are running" in refused.message
        assert found.admission.refused == {"a": 1}
        await found.end("a1")
        assert found.running == ["a2"]


async def test_patience_ends() -> None:
    async with turns(turns=1, waiting=5, patience=0.01) as found:
        await found.come("a1")
        await found.come("a2")
        await found.refusal("a2")
        assert found.admission.waiting == 0
        assert found.running == ["a1"]


async def test_one_that_leaves_the_queue_is_passed_over() -> None:
    async with turns(turns=1, waiting=3) as found:
        for name in ("a1", "a2", "a3"):
            await found.come(name)
        await found.leave("a2")
        await found.end("a1")
        assert found.running == ["a3"]


async def test_one_that_leaves_as_its_place_gets_free_gives_it_on() -> None:
    async with turns(turns=1, waiting=3) as found:
        for name in ("a1", "a2", "a3"):
            await found.come(name)
        found.tasks["a1"].cancel()
        await asyncio.sleep(0)  # its place is a2's now, which does not know yet
        await found.leave("a2")
        assert found.running == ["a3"]


async def test_a_tenant_and_a_channel_may_have_a_bound_of_their_own() -> None:
    for bound in ("per_tenant", "per_channel"):
        async with turns(turns=9, waiting=1, **{bound: 1}) as found:
            for name in ("a1", "a2", "a3", "b1"):
                await found.come(name)
            assert found.running == ["a1", "b1"]
            assert "of tenant a " in (message := (await found.refusal("a3")).message) or (
                "of channel a/web" in message
            )
            await found.end("b1")
            assert found.running == ["a1"]


async def test_a_tenant_that_floods_crowds_out_itself_first() -> None:
    async with turns(turns=2, waiting=3) as found:
        for name in ("a1", "a2", "a3", "a4", "a5"):
            await found.come(name)
        await found.come("b1")  # the queue is full of a's, and gives up its newest
        await found.refusal("a5")
        await found.come("a6")
        await found.refusal("a6")
        await found.end("a1")
        assert found.running == ["a2", "b1"]  # before a3, which came first


async def test_the_time_of_a_turn_may_be_up_in_the_queue() -> None:
    admission = Admission(Capacity(turns=1, patience=PATIENT))
    soon = datetime.now(UTC) + timedelta(seconds=0.02)
    async with admission.place(turn_of("hi")):
        with pytest.raises(errors.DeadlineExceeded, match="waits for a place"):
            async with admission.place(turn_of("hi", deadline=soon)):
                pass
    assert admission.running == 0


@given(some.lists(some.tuples(some.sampled_from("abc"), some.sampled_from("celx")), max_size=40))
def test_there_are_never_more_and_no_place_is_lost(steps: list[tuple[str, str]]) -> None:
    async def live() -> None:
        async with turns(turns=2, waiting=2, per_tenant=2) as found:
            for number, (tenant, what) in enumerate(steps):
                mine = [n for n in found.running if n[0] == tenant]
                waiting = [n for n, t in found.tasks.items() if not t.done() and n[0] == tenant]
                if what == "c":
                    await found.come(f"{tenant}{number}")
                elif what == "e" and mine:
                    await found.end(mine[0])
                elif what == "l" and waiting:
                    await found.leave(waiting[-1])
                assert found.admission.running == len(found.running) <= 2
                assert found.admission.waiting <= 2
                assert not found.admission.waiting or len(found.running) == 2

    asyncio.run(live())


# --- the whole runtime ----------------------------------------------------------------------------


@pytest.fixture
def small(platform: Platform) -> Platform:
    """The platform with room for two turns, and none to wait."""
    platform.supervisor = Supervisor(
        platform.supervisor.routings,
        VectorRouter(embedder()),
        MemoryState(),
        settings=Settings(capacity=Capacity(turns=2, waiting=0)),
    )
    return platform


async def test_over_http_a_refusal_is_429_with_retry_after(small: Platform) -> None:
    small.billing.slowly(30)
    routes = app.routes(small.supervisor)
    application = Starlette(routes=routes, exception_handlers=http.exception_handlers)
    said = {
        "inputContext": {"messages": [{"role": "user", "content": "how much do I owe"}]},
        "systemContext": {"channelId": "web"},
    }
    async with served(application) as url, aiohttp.ClientSession() as session:

        async def ask(number: int, accept: str = "application/json") -> tuple[int, str | None]:
            path = f"{url}/apis/v1/acme/chat/c{number}/message"
            async with session.post(path, json=said, headers={"accept": accept}) as response:
                return response.status, response.headers.get("retry-after")

        running = [asyncio.create_task(ask(n)) for n in range(2)]
        async with asyncio.timeout(10):
            while small.supervisor.admission.running < 2:
                await asyncio.sleep(0.01)
            assert await ask(3) == (429, "1")
            assert await ask(4, "text/event-stream") == (429, "1")
            for task in running:
                task.cancel()
            while small.supervisor.admission.running:
                await asyncio.sleep(0.01)
            small.billing.play = small.billing.repeat
            assert (await ask(5))[0] == 200
            async with session.get(f"{url}/metrics") as response:
                text = await response.text()
    assert 'lmos_turns_refused_total{tenant="acme"} 2.0' in text
    assert "lmos_turns_running 0.0" in text


async def test_turns_are_timed_from_where_they_come_in(small: Platform) -> None:
    assert answer(await small.turn("how much do I owe", "one")).startswith("billing")
    small.billing.plays(RuntimeError("broken"))
    await small.turn("how much do I owe", "two")
    with pytest.raises(errors.ChannelNotFound):
        await small.turn("hi", tenant="nobody")
    metrics = small.supervisor.metrics
    ((arm, figures),) = metrics.turns.items()
    assert arm == ("acme", "web", "stable")
    assert (figures.whole.count, figures.first.count) == (2, 1)
    assert (figures.ends["done"], figures.ends.total(), figures.failures) == (1, 2, 1)
    assert figures.first.seconds <= figures.whole.seconds


def test_settings_are_read_from_the_environment() -> None:
    found = Settings.read(
        {
            "LMOS_CAPACITY_TURNS": "7",
            "LMOS_CAPACITY_PATIENCE": "0.5",
            "LMOS_BREAKER_SHARE": "0.25",
            "LMOS_BREAKER_RUNNING": "3",
            "LMOS_TURN_TIMEOUT": "12",
        }
    )
    assert found.capacity == Capacity(turns=7, patience=0.5)
    assert (found.limits.share, found.limits.running, found.timeout) == (0.25, 3, 12.0)
    assert Settings.read({}) == Settings()


@pytest.mark.parametrize("value", ["many", "-1", "0", "nan", "inf", "1.5"])
def test_a_setting_that_makes_no_sense_is_named(value: str) -> None:
    with pytest.raises(errors.InvalidInput, match="LMOS_CAPACITY_TURNS="):
        Settings.read({"LMOS_CAPACITY_TURNS": value})
