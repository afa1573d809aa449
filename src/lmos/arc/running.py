"""Running tools inside a turn: the events around each call, and failures as results."""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from lmos.arc.context import Context
from lmos.arc.tools import Tool, as_text
from lmos.model import LmosError, ToolCall, ToolResult, TurnEvent

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
        self._queue: asyncio.Queue[TurnEvent | None] = asyncio.Queue()

    def __call__(self, event: TurnEvent) -> None:
        """Tells the event."""
        self._loop.call_soon_threadsafe(self._queue.put_nowait, event)

    async def between(
        self, events: AsyncGenerator[TurnEvent, None]
    ) -> AsyncGenerator[TurnEvent, None]:
        """The events, with what is told in the order that it happens. Closes them."""
        task = asyncio.ensure_future(self._pump(events))
        try:
            while (event := await self._queue.get()) is not None:
                yield event
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _pump(self, events: AsyncGenerator[TurnEvent, None]) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    self(event)
        finally:
            self._loop.call_soon(self._queue.put_nowait, None)


async def run_tools(ctx: Context, calls: Sequence[Wanted]) -> AsyncGenerator[TurnEvent, None]:
    """Makes the calls side by side. Each ends in a result or an error, never in an exception."""
    for call in calls:
        yield ToolCall(id=call.id, name=call.name, arguments=_jsonable(call.arguments))
    await asyncio.gather(*(_run(ctx, call) for call in calls))
    for call in calls:
        yield ToolResult(id=call.id, name=call.name, result=call.said, error=call.error)


async def _run(ctx: Context, call: Wanted) -> None:
    if call.tool is None:
        call.error = f"there is no tool {call.name!r}"
        return
    try:
        call.result = await call.tool.call(ctx, call.arguments)
        call.said = as_text(call.result)
    except LmosError as error:
        call.error = error.message
    except Exception as error:
        log.exception("tool %s failed", call.name)
        call.error = f"{type(error).__name__}: {error}"


def _jsonable(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        k: v if isinstance(v, (str, int, float, bool)) else str(v) for k, v in arguments.items()
    }
