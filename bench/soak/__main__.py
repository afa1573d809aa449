"""Load and failures, and what must hold all the while.

    python bench/soak [--seconds 600] [--state redis|postgres|sqlite]

Two runtimes that share their state stand before four agents, all processes of their own, on
loopback. Callers hold conversations; a turn that fails they send again, under its id, to the other
runtime. Beside them twenty streams run the whole time, every other one read slowly. First there is
less to do than there is capacity for; then twice as much; then, one after the other, an agent is
killed, hangs, is slow, answers garbage and closes in the middle of its answers, the database is
killed and started again, and a runtime is killed and started again.

What must hold: every turn ends with its answer or with an error that says why; an answer is that to
the turn and of its conversation; a conversation is answered by one version; a turn that was
answered is remembered once and in its place; what is accepted under overload takes no longer than
without, and the rest is refused with 429; memory is bounded. Prints JSON; the exit code is 1 when
something did not hold.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import callers as asking
import parts as running
from callers import Callers, Figures
from parts import AGENTS, WORK, Part

#: Turns that each runtime takes on at once, how many may wait, and for how many seconds.
TURNS, WAITING, PATIENCE = 12, 4, 0.2
RUNTIMES, STREAMS = 2, 20
#: Turns a second that the runtimes could answer.
RATE = RUNTIMES * TURNS / WORK
#: Callers that hold conversations while something fails.
CALLERS = 12
#: Turns from which on their latencies tell something.
JUDGED = 500
#: Megabytes by which a runtime may grow once it is warm.
GROWTH = 80.0
CAPACITY = {
    "LMOS_CAPACITY_TURNS": str(TURNS),
    "LMOS_CAPACITY_WAITING": str(WAITING),
    "LMOS_CAPACITY_PATIENCE": str(PATIENCE),
    "LMOS_BREAKER_COOL_DOWN": "1",
}


@dataclass
class Soak:
    """A run."""

    agents: dict[str, Part]
    runtimes: list[Part]
    callers: Callers
    database: Any = None
    phases: dict[str, Figures] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)

    async def run(self, seconds: float) -> dict[str, Any]:
        share = seconds / (3 + len(self._faults()))
        began = time.perf_counter()
        streams = [asyncio.create_task(self._stream(number, seconds)) for number in range(STREAMS)]
        watching = asyncio.create_task(self._watch())
        await self._at_rate("calm", 0.6 * RATE, share)
        await self._at_rate("twice the capacity", 2 * RATE, share)
        await self._talk("no fault", share, lambda: None, lambda: None)
        for name, begin, end in self._faults():
            await self._talk(name, share, begin, end)
        sizes = await asyncio.gather(*streams)
        watching.cancel()
        self._judge()
        return {
            "seconds": round(time.perf_counter() - began),
            "runtimes": RUNTIMES,
            "phases": {name: figures.shown() for name, figures in self.phases.items()},
            "streams": {"count": STREAMS, "megabytes": round(sum(sizes) / 1_048_576, 1)},
            "memory_mb": {"first": self.memory[0], "highest": max(self.memory)},
            "violations": self.callers.violations,
        }

    # --- load -------------------------------------------------------------------------------------

    async def _at_rate(self, name: str, rate: float, seconds: float) -> None:
        self.phases[name] = self.callers.phase()
        await self.callers.arrive(rate, seconds)

    async def _talk(
        self, name: str, seconds: float, begin: Callable[[], None], end: Callable[[], None]
    ) -> None:
        """Conversations, with the fault for the middle half of the time."""
        self.phases[name] = self.callers.phase()
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as conversations:
            for _ in range(CALLERS):
                conversations.create_task(self.callers.converse(stop))
            await asyncio.sleep(seconds / 4)
            await asyncio.to_thread(begin)
            await asyncio.sleep(seconds / 2)
            await asyncio.to_thread(end)
            await asyncio.sleep(seconds / 4)
            stop.set()

    async def _stream(self, number: int, seconds: float) -> int:
        url = self.runtimes[0].url  # the one that is not killed
        return await asking.stream(self.callers, url, number, seconds, slowly=number % 2 == 1)

    async def _watch(self) -> None:
        while True:
            self.memory.append(round(self.runtimes[0].megabytes(), 1))
            await asyncio.sleep(1)

    # --- failures ---------------------------------------------------------------------------------

    def _faults(self) -> Sequence[tuple[str, Callable[[], None], Callable[[], None]]]:
        agent, runtime = self.agents["billing"], self.runtimes[1]

        def behaving(mode: str) -> tuple[Callable[[], None], Callable[[], None]]:
            return lambda: agent.behave(mode), lambda: agent.behave("well")

        found = [
            ("an agent is killed", agent.kill, agent.start),
            ("an agent hangs", agent.hang, agent.go_on),
            ("an agent is slow", *behaving("slowly")),
            ("an agent answers garbage", *behaving("garbage")),
            ("an agent closes in the middle", *behaving("closing")),
            ("a runtime is killed", runtime.kill, runtime.start_again),
        ]
        if self.database is not None:
            found.append(("the database is restarted", self._restart, lambda: None))
        return found

    def _restart(self) -> None:
        self.database.kill()
        time.sleep(0.5)
        self.database.start()
        self.database.wait()

    # --- what must hold ---------------------------------------------------------------------------

    def _judge(self) -> None:
        self._judge_overload()
        for name in ("calm", "no fault"):
            if set(self.phases[name].refused) - {"429 OVERLOADED"}:
                self.callers.violated(f"{name}: {dict(self.phases[name].refused)}")
        for name, figures in self.phases.items():
            if not figures.answered:
                self.callers.violated(f"{name}: nothing was answered")
        warm = self.memory[len(self.memory) // 4]
        if max(self.memory) > warm + GROWTH:
            self.callers.violated(f"memory grew from {warm} to {max(self.memory)} MB")

    def _judge_overload(self) -> None:
        calm, twice = self.phases["calm"], self.phases["twice the capacity"]
        if set(twice.refused) != {"429 OVERLOADED"}:
            self.callers.violated(f"under overload the rest got {dict(twice.refused)}, not 429")
        if len(twice.answered) < JUDGED:
            return
        for part, more in ((0.5, 1.5), (0.99, 2.0)):
            allowed = calm.p(part) * more + PATIENCE
            if twice.p(part) > allowed:
                took = f"{twice.p(part):.2f} s, calm {calm.p(part):.2f} s"
                self.callers.violated(f"under overload {part:.0%} of those accepted took {took}")


# --- setting up -----------------------------------------------------------------------------------


def database(kind: str, directory: str) -> tuple[str, Any]:
    """Where the state is, and its server. Says so and ends where the server is not installed."""
    if kind == "sqlite":
        return f"sqlite:{directory}/state.db", None
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    import pytest

    import database_servers

    start = {
        "redis": database_servers.start_redis,
        "postgres": database_servers.start_postgres,
    }[kind]
    try:
        server = start()
    except pytest.skip.Exception as missing:
        raise SystemExit(f"not run: {missing}") from None
    return server.url, server


@asynccontextmanager
async def started(kind: str) -> AsyncGenerator[Soak, None]:
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        spec, server = database(kind, directory)
        if server is not None:
            stack.enter_context(closing(server))
        agents = {name: Part("agent", name) for name in AGENTS}
        urls = json.dumps({name: part.url for name, part in agents.items()})
        shared = {"SOAK_STATE": spec, "SOAK_AGENTS": urls, **CAPACITY}
        runtimes = [Part("runtime", f"runtime-{n}", **shared) for n in range(RUNTIMES)]
        places = {"LMOS_CAPACITY_TURNS": str(TURNS + STREAMS)}  # the streams are all with the first
        runtimes[0] = Part("runtime", "runtime-0", **{**shared, **places})
        for part in (*agents.values(), *runtimes):
            stack.callback(part.kill)
            part.start()
        for part in (*agents.values(), *runtimes):
            await asyncio.to_thread(part.wait)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
        async with aiohttp.ClientSession(connector=connector, timeout=NO_TIMEOUT) as session:
            callers = Callers(session, [part.url for part in runtimes])
            for url in callers.runtimes:  # the embedding model is loaded now
                await callers.ask(url, f"warm-{url}", "stable", "warm")
            yield Soak(agents, runtimes, callers, server)


NO_TIMEOUT = aiohttp.ClientTimeout(total=None)


async def soak(given: argparse.Namespace) -> dict[str, Any]:
    async with started(given.state) as found:
        return {"state": given.state, **await found.run(given.seconds)}


def main() -> None:
    from lmos.protocols import loop

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--state", choices=["redis", "postgres", "sqlite"], default="redis")
    parser.add_argument("--role", choices=["agent", "runtime"])
    parser.add_argument("--name", default="")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    if given.role:
        loop.run(running.serve(given.role, given.name, given.port))
        return
    found = loop.run(soak(given))
    print(json.dumps(found, indent=2))
    sys.exit(bool(found["violations"]))


if __name__ == "__main__":
    main()
