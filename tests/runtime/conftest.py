"""The platform that the tests of the runtime ask."""

from collections.abc import AsyncIterator

import pytest
from runtime_parts import BILL, ORDER, Platform, Player, agent_of, group_of, routing, serving

from lmos.llm import embedder
from lmos.protocols import http
from lmos.router import VectorRouter
from lmos.runtime import Routings, Supervisor
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
