"""Large tables looked up in Qdrant decide as those looked up in memory.

There is no Qdrant server in any registry that packages come from, so it is the local mode of its
own client that is asked here: the same calls, the same collections, no network between.
"""

import logging
import random
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient
from table_parts import WORDS, Hashed, agent, changed, decided

from lmos.model import errors
from lmos.router import RoutingTable, table
from lmos.router.index import open_indexes, qdrant
from lmos.router.index.qdrant import QdrantIndex
from lmos.router.scoring import learned


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncQdrantClient]:
    monkeypatch.setattr(learned, "LARGEST", 0)
    monkeypatch.setattr(table, "ROWS", 30)
    monkeypatch.setattr(table, "CAPABILITIES", 10)
    monkeypatch.setattr(qdrant, "QUICK", 10.0)
    made = AsyncQdrantClient(":memory:")
    yield made
    await made.close()


async def said(client: AsyncQdrantClient, name: str) -> set[str]:
    """The texts in the collections whose names begin so."""
    found: set[str] = set()
    for collection in (await client.get_collections()).collections:
        if collection.name.startswith(name):
            points, _ = await client.scroll(collection.name, limit=10_000)
            found |= {point.payload["text"] for point in points if point.payload}
    return found


def texts(of: RoutingTable) -> set[str]:
    return {row.text for row in of.rows}


async def test_decisions_are_those_of_memory(client: AsyncQdrantClient) -> None:
    drawn = random.Random(1)
    agents = [agent(f"a{n}", drawn) for n in range(300)]
    index = QdrantIndex(client, "acme")
    there = await RoutingTable.build(agents, Hashed(), index=index)
    memory = await RoutingTable.build(agents, Hashed())
    assert there.index is index
    assert await said(client, "acme") == texts(memory)
    asked = [f"{drawn.choice(agents).name} {' '.join(drawn.sample(WORDS, 2))}" for _ in range(100)]
    alike = [await decided(there, text) == await decided(memory, text) for text in asked]
    assert sum(alike) >= 99
    (vector,) = await Hashed().embed(["a7 bill parcel"])
    answered = await there.asked([vector])
    assert answered.answers
    assert 0 < len(answered.near(vector).rows) < len(there.rows)


async def test_only_what_is_new_is_sent_and_what_has_gone_stays_for_one_table(
    client: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = random.Random(2)
    agents = [agent(f"a{n}", drawn) for n in range(60)]
    index, sent = QdrantIndex(client, "acme"), []
    put = index._put

    async def counted(collection: str, ids: list[str], some: list[str], arena: Any) -> None:
        sent.extend(some)
        await put(collection, ids, some, arena)

    monkeypatch.setattr(index, "_put", counted)
    found = await RoutingTable.build(agents, Hashed(), index=index)
    there = texts(found)
    for _ in range(4):
        agents, before = changed(agents, drawn), found
        sent.clear()
        found = await RoutingTable.build(agents, Hashed(), before, index=index)
        assert set(sent) == texts(found) - there
        assert 0 < len(sent) < len(texts(found)) / 2
        there = await said(client, "acme")
        assert there == texts(found) | texts(before)


async def test_another_process_sends_nothing_again(client: AsyncQdrantClient) -> None:
    agents = [agent(f"a{n}", random.Random(3)) for n in range(60)]
    await RoutingTable.build(agents, Hashed(), index=QdrantIndex(client, "acme"))
    other = QdrantIndex(client, "acme")
    other._put = None  # type: ignore[assignment,method-assign]
    assert (await RoutingTable.build(agents, Hashed(), index=other)).index is other


async def test_tenants_and_models_have_collections_of_their_own(
    client: AsyncQdrantClient,
) -> None:
    drawn = random.Random(4)
    one, two = ([agent(f"{name}{n}", drawn) for n in range(60)] for name in "ab")
    first = await RoutingTable.build(one, Hashed(), index=QdrantIndex(client, "lmos-acme"))
    second = await RoutingTable.build(two, Hashed(), index=QdrantIndex(client, "lmos-globex"))
    assert await said(client, "lmos-acme") == texts(first)
    assert await said(client, "lmos-globex") == texts(second)
    wide = Hashed(64)
    await RoutingTable.build(one, wide, index=QdrantIndex(client, "lmos-acme"))
    assert len((await client.get_collections()).collections) == 3


async def test_without_an_answer_memory_decides(
    client: AsyncQdrantClient, caplog: pytest.LogCaptureFixture
) -> None:
    agents = [agent(f"a{n}", random.Random(5)) for n in range(60)]
    index = QdrantIndex(client, "acme")
    there = await RoutingTable.build(agents, Hashed(), index=index)
    memory = await RoutingTable.build(agents, Hashed())
    for collection in (await client.get_collections()).collections:
        await client.delete_collection(collection.name)
    with caplog.at_level(logging.WARNING, "lmos.router"):
        for text in ("a3 bill order", "a9 shop phone"):
            assert await decided(there, text) == await decided(memory, text)
    assert len(caplog.records) == 1  # it is not asked again for a while
    assert "memory does" in caplog.text
    again = await RoutingTable.build(agents[1:], Hashed(), there, index=index)
    assert await said(client, "acme") == texts(again)


async def test_a_server_that_is_not_there_costs_no_table(
    client: AsyncQdrantClient, caplog: pytest.LogCaptureFixture
) -> None:
    agents = [agent(f"a{n}", random.Random(6)) for n in range(60)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's, on insecure keys
        index = open_indexes("qdrant://127.0.0.1:9/lmos", {})("acme/web")
    found = await RoutingTable.build(agents, Hashed(), index=index)
    assert found.index is None
    assert "Qdrant does not answer for lmos-acme_web-" in caplog.text


@pytest.mark.parametrize("spec", ["redis://x", "qdrant://", "qdrant://host", "qdrant://h:1/a b"])
def test_what_is_no_index_is_said(spec: str) -> None:
    with pytest.raises(errors.InvalidInput, match="is no index"):
        open_indexes(spec)


def test_memory_needs_nothing() -> None:
    assert open_indexes("")("acme") is open_indexes("memory")("acme") is None
