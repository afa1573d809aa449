"""One framework in a process of its own: takes commands on standard input, answers with JSON lines.

    python side.py NAME

NAME is a module beside this one. It has `made(kind)`, which gives a turn: an async function of a
conversation's name and whether to stream, giving the answer's text.
"""

import asyncio
import ctypes
import gc
import importlib
import json
import os
import resource
import statistics
import sys
import time
import tracemalloc
from typing import Any

import psutil
import work

#: Turns measured at least, however long they take.
FEW = 20


class Side:
    def __init__(self, name: str) -> None:
        began = time.perf_counter()
        self._module = importlib.import_module(name)
        self._turns = {kind: self._module.made(kind) for kind in work.ROUNDS}
        self.loaded = {"load_s": round(time.perf_counter() - began, 2), "rss_mb": megabytes()}

    async def turn(self, kind: str, conversation: str, streamed: bool) -> None:
        """One turn, checked: the answer is whole and the tool was called."""
        text = await self._turns[kind](conversation, streamed)
        if text != work.ANSWER:
            raise AssertionError(f"{kind}: {text!r}")

    async def time(self, kind: str, streamed: bool, callers: int, seconds: float) -> dict[str, Any]:
        """Turns from so many callers until the time is up: seconds of clock and of processor."""
        took: list[float] = []
        ran, end = work.ran[0], time.perf_counter() + seconds

        async def caller(number: int) -> None:
            mine = 0
            while time.perf_counter() < end or mine < max(1, FEW // callers):
                began = time.perf_counter()
                await self.turn(kind, f"{id(took)}-{number}-{mine}", streamed)
                took.append(time.perf_counter() - began)
                mine += 1

        clock, processor = time.perf_counter(), time.process_time()
        await asyncio.gather(*(caller(n) for n in range(callers)))
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        turns = len(took)
        assert work.ran[0] - ran == turns * sum(work.ROUNDS[kind]), "calls are missing"
        return {
            "turns": turns,
            "ms": clock / turns * 1000,
            "cpu_ms": processor / turns * 1000,
            "p50_ms": statistics.median(took) * 1000,
        }

    async def memory(self, kind: str, turns: int) -> dict[str, Any]:
        """What so many turns leave behind, and the most that one takes while it runs. They belong
        to fifty conversations, which are as long as they get before it is counted.
        """
        for number in range(1100):
            await self._kept_turn(kind, number)
        collected()
        before, objects = psutil.Process().memory_info().rss, len(gc.get_objects())
        for number in range(turns):
            await self._kept_turn(kind, number)
        collected()
        after, left = psutil.Process().memory_info().rss, len(gc.get_objects())
        tracemalloc.start()
        await self.turn(kind, "traced", True)
        gc.collect()
        base = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        await self.turn(kind, "traced too", True)
        peak = tracemalloc.get_traced_memory()[1] - base
        tracemalloc.stop()
        return {
            "turns": turns,
            "retained_bytes_per_turn": (after - before) / turns,
            "retained_objects_per_turn": (left - objects) / turns,
            "working_kb_per_turn": peak / 1024,
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }

    async def _kept_turn(self, kind: str, number: int) -> None:
        await self.turn(kind, f"kept-{number % 50}", True)
        if ended := getattr(self._module, "ended", None):
            await ended()


def collected() -> None:
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def megabytes() -> float:
    return round(psutil.Process().memory_info().rss / 1_048_576, 1)


async def main(name: str) -> None:
    out = os.fdopen(os.dup(1), "w")  # what the frameworks print goes elsewhere
    os.dup2(2, 1)
    side = Side(name)
    print(json.dumps(side.loaded), file=out, flush=True)
    while line := sys.stdin.readline():
        command = json.loads(line)
        found = await getattr(side, command.pop("do"))(**command)
        print(json.dumps(found), file=out, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
