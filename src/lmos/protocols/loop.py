"""The event loop that servers run in: uvloop where it is installed, asyncio's own elsewhere."""

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: Objects made, and not gone by themselves, after which a server looks for garbage among the new.
GARBAGE = 10_000


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs the coroutine to its end in a loop of its own."""
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def settled() -> None:
    """Tells that a server has started: what it has loaded by now stays, so the garbage collector
    need not look at it again, and looks for new garbage less often than a program that begins.
    Without it a seventh of the time goes there. The first call in a process counts.
    """
    if gc.get_freeze_count():
        return
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 10, 10)
