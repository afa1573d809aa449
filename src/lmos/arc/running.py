"""Running tools inside a turn: the events around each call, and failures as results."""

import asyncio
import inspect
import logging
import threading
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lmos.arc.context import Context, Datum
from lmos.arc.signals import Signal
from lmos.arc.tools import Tool, as_text
from lmos.model import LmosError, ToolCall, ToolResult, TurnEvent, errors

log = logging.getLogger("lmos.arc")


@dataclass
class Wanted:
    """A call to be made, and what came of it."""

    tool: Tool | None
    name: str
    arguments: dict[str, Any]
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    result: Any = None
    said: str = ""
    error: str | None = None

    @property
    def text(self) -> str:
        """The result, or the error, as a model reads it."""
        return f"error: {self.error}" if self.error else self.said


class Told:
    """What functions of the agent tell while they run, put between the turn's other events at once.
    Threads may tell as well.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._queue: asyncio.Queue[TurnEvent | None] = asyncio.Queue()

    def __call__(self, event: TurnEvent) -> None:
        """Tells the event."""
        if threading.get_ident() == self._thread:  # at once, so that no later event overtakes it
            self._queue.put_nowait(event)
        else:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, event)

    async def between(
        self, events: AsyncGenerator[TurnEvent, None], deadline: datetime | None = None
    ) -> AsyncGenerator[TurnEvent, None]:
        """The events, with what is told in the order that it happens. Closes them; at the deadline
        whatever they wait for is cancelled and `DeadlineExceeded` is raised.
        """
        task = asyncio.ensure_future(self._pump(events, deadline))
        try:
            while (event := await self._queue.get()) is not None:
                yield event
            await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _pump(
        self, events: AsyncGenerator[TurnEvent, None], deadline: datetime | None
    ) -> None:
        left = (deadline - datetime.now(UTC)).total_seconds() if deadline else None
        try:
            async with asyncio.timeout(left) as time, aclosing(events):
                async for event in events:
                    self._queue.put_nowait(event)
        except TimeoutError:
            if not time.expired():
                raise
            raise errors.DeadlineExceeded("the time of the turn is up") from None
        finally:
            self._loop.call_soon(self._queue.put_nowait, None)


async def run_tools(ctx: Context, calls: Sequence[Wanted]) -> AsyncGenerator[TurnEvent, None]:
    """Makes the calls side by side, and tells each result when it comes. A call ends in a result or
    an error; only a `Signal` ends the turn.
    """
    ctx.calls += calls
    for call in calls:
        yield ToolCall(id=call.id, name=call.name, arguments=_jsonable(call.arguments))
    if len(calls) == 1:
        await _run(ctx, calls[0])
        yield _result(ctx, calls[0])
        return
    running = {asyncio.ensure_future(_run(ctx, call)): call for call in calls}
    try:
        while running:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task in done]:
                await task
                yield _result(ctx, running.pop(task))
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _result(ctx: Context, call: Wanted) -> ToolResult:
    ctx.data.append(Datum(call.name, call.text))
    ctx.watch.shown(call.name, call.text)
    return ToolResult(id=call.id, name=call.name, result=call.said, error=call.error)


async def _run(ctx: Context, call: Wanted) -> None:
    with ctx.watch.tool(call):
        await _outcome(ctx, call)


async def _outcome(ctx: Context, call: Wanted) -> None:
    if call.tool is None:
        call.error = call.error or f"there is no tool {call.name!r}"
        return
    try:
        call.result = await call.tool.call(ctx, call.arguments)
        call.said = as_text(call.result)
    except Signal:
        raise
    except LmosError as error:
        call.error = error.message
    except Exception as error:
        log.exception("tool %s failed", call.name)
        call.error = f"{type(error).__name__}: {error}"


def _jsonable(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        k: v if isinstance(v, (str, int, float, bool, list, dict)) else str(v)
        for k, v in arguments.items()
    }


async def called(function: Any, ctx: Context, text: str, *, whole: bool = True) -> str:
    """What a filter makes of the text, whether it is a coroutine or not. None keeps it."""
    watched = ctx.watch.filter if whole else ctx.watch.sentence
    with watched(function, text) as seen:
        result = function(ctx, text)
        if inspect.isawaitable(result):
            result = await result
        text = text if result is None else str(result)
        seen.told(text)
    return text


async def valued(given: Any, ctx: Context) -> Any:
    """A value that may be given as a function of the context."""
    if not callable(given):
        return given
    result = given(ctx)
    return await result if inspect.isawaitable(result) else result
