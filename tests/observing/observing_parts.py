"""Finished spans, and servers on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lmos.protocols import http


class Spans:
    """The spans that have ended."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def all(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        """The only span of that name."""
        (span,) = (span for span in self.all if span.name == name)
        return span

    def tree(self) -> set[tuple[str, str]]:
        """Each span's name with its parent's."""
        names = {span.context.span_id: span.name for span in self.all if span.context}
        return {(s.name, names.get(s.parent.span_id, "far") if s.parent else "") for s in self.all}


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """The address of the app, served on loopback."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on"))
    task = asyncio.create_task(server.serve([listening]))
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await http.close_session()
        await task
        listening.close()
