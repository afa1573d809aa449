"""The platform that the tests of the runtime ask."""

from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from runtime_parts import (
    BILL,
    ORDER,
    Platform,
    Player,
    agent_of,
    group_of,
    routing,
    served,
    serving,
)
from starlette.applications import Starlette

from lmos.llm import embedder
from lmos.protocols import http
from lmos.router import VectorRouter
from lmos.runtime import Routings, Supervisor, app
from lmos.state import MemoryState
from lmos.store import MemoryStore


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    billing, orders = Player("billing"), Player("orders")
    store = MemoryStore()
    async with serving(billing.respond, "billing") as one, serving(orders.respond, "orders") as two:
        first, second = agent_of("billing", one, BILL), agent_of("orders", two, ORDER)
        for agent in (first, second):
            await store.apply(agent, "test")
            await store.patch_status(agent)
        bills, parcels = group_of(first, BILL), group_of(second, ORDER)
        await store.apply(routing("acme", bills, parcels), "test")
        await store.apply(routing("globex", bills), "test")
        async with Routings(store, embedder()) as routings:
            supervisor = Supervisor(routings, VectorRouter(embedder()), MemoryState())
            yield Platform(supervisor, store, billing, orders)
            await supervisor.close()
        await http.close_session()


@pytest.fixture
async def url(platform: Platform) -> AsyncIterator[str]:
    """Where the platform's runtime answers."""
    routes = app.routes(platform.supervisor)
    application = Starlette(routes=routes, exception_handlers=http.exception_handlers)
    async with served(application) as address:
        yield address


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """A real tracer provider that keeps its spans."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()
