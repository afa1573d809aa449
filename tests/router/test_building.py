"""Tables that follow each other: what did not change is shared, and nothing shows it."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from table_parts import WORDS, Hashed, agent, changed, decided

from lmos.model import RoutableAgent
from lmos.router import RoutingTable, building, table
from lmos.router.index import centres
from lmos.router.scoring import learned


def same(one: RoutingTable, other: RoutingTable) -> None:
    assert list(one.rows) == list(other.rows) == [one.rows[i] for i in range(len(one.rows))]
    for name in ("numbers", "starts", "firsts", "owners", "vectors", "sizes"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert (one.version, one.names) == (other.version, other.names)
    for word in ("bil", "parcle", "contrct", "wheather"):
        assert one.spelling.corrected(word) == other.spelling.corrected(word)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are large from a few rows on, for a shortlist and for a head."""
    monkeypatch.setattr(learned, "LARGEST", 0)
    monkeypatch.setattr(table, "ROWS", 30)
    monkeypatch.setattr(table, "CAPABILITIES", 10)
    monkeypatch.setattr(centres, "LEAST", 12)
    monkeypatch.setattr(centres, "DIMENSIONS", 24)
    monkeypatch.setattr(building, "BATCH", 7)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.usefixtures("small")
async def test_a_table_built_from_another_is_the_one_built_anew(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "FEWEST", 0)  # the arena is left often
    drawn = random.Random(seed)
    agents = [agent(f"a{n}", drawn) for n in range(40)]
    found = await RoutingTable.build(agents, Hashed())
    moved = 0
    for _ in range(12):
        agents = changed(agents, drawn)
        before, asked = found, Hashed()
        found = await RoutingTable.build(agents, asked, found)
        moved += found.arena is not before.arena
        assert not {row.text for row in before.rows} & set(asked.asked)
        same(found, await RoutingTable.build(agents, Hashed()))
        assert found.centres
        assert len(found.centres.owners) == centres.counts_of(found.sizes).sum()
    assert 0 < moved < 12


@pytest.mark.usefixtures("small")
async def test_an_old_table_decides_as_before_while_others_are_built_from_it() -> None:
    drawn = random.Random(7)
    agents = [agent(f"a{n}", drawn) for n in range(40)]
    old = await RoutingTable.build(agents, Hashed())
    texts = [f"{a.name} bill order" for a in agents]
    before = [await decided(old, text) for text in texts]
    one, other = await asyncio.gather(
        *(RoutingTable.build(changed(agents, random.Random(n)), Hashed(), old) for n in (1, 2))
    )
    assert [await decided(old, text) for text in texts] == before
    same(one, await RoutingTable.build(one.agents, Hashed()))
    same(other, await RoutingTable.build(other.agents, Hashed()))


@pytest.mark.usefixtures("small")
async def test_a_shortlist_has_whole_capabilities_and_the_agents_that_are_kept() -> None:
    drawn = random.Random(3)
    agents = [agent(f"a{n}", drawn) for n in range(60)]
    found = await RoutingTable.build(agents, Hashed())
    for kept in (0, 17, 59):
        (vector,) = await Hashed().embed(["a5 bill parcel"])
        near = found.near(vector, (kept,))
        assert len(near.rows) < len(found.rows)
        assert (np.diff(near.rows) > 0).all()
        assert np.allclose(near.similarities, found.vectors[near.rows] @ vector, atol=1e-6)
        assert np.array_equal(near.capabilities[near.numbers], found.numbers[near.rows])
        assert near.rows[near.starts].tolist() == found.starts[near.capabilities].tolist()
        assert len(near.rows) == found.sizes[near.capabilities].sum()
        assert near.agents.tolist() == sorted({*found.owners[near.capabilities].tolist()})
        assert np.array_equal(found.owners[near.capabilities[near.firsts]], near.agents)
        mine = np.flatnonzero(found.owners == kept)
        assert np.isin(mine, near.capabilities).all()


async def test_the_shortlist_decides_as_all_rows_would() -> None:
    drawn = random.Random(5)
    agents = [agent(f"a{n}", drawn) for n in range(700)]
    found = await RoutingTable.build(agents, Hashed())
    assert found.centres
    texts = [f"{drawn.choice(agents).name} {' '.join(drawn.sample(WORDS, 2))}" for _ in range(200)]
    exact = await RoutingTable.build(agents, Hashed())
    object.__setattr__(exact, "centres", None)
    alike = [await decided(found, text) == await decided(exact, text) for text in texts]
    assert sum(alike) >= 0.995 * len(alike)


async def test_a_model_with_other_dimensions_begins_anew() -> None:
    agents = [RoutableAgent(name="a", description="bill")]
    first = await RoutingTable.build(agents, Hashed(4))
    more = [*agents, RoutableAgent(name="b", description="parcel")]
    second = await RoutingTable.build(more, Hashed(6), first)
    assert second.vectors.shape == (2, 6)


async def test_others_have_their_turn_while_a_table_is_built() -> None:
    drawn = random.Random(9)
    agents = [agent(f"a{n}", drawn) for n in range(1500)]
    embedder = Hashed()
    known = dict(
        zip(
            texts := [r.text for r in (await RoutingTable.build(agents, embedder)).rows],
            await embedder.embed(texts),
            strict=True,
        )
    )

    class Known(Hashed):
        async def embed(self, texts: Sequence[str]) -> Any:
            return np.stack([known[text] for text in texts])

    building_it = asyncio.ensure_future(RoutingTable.build(agents, Known()))
    pieces, used = [], time.thread_time()
    while not building_it.done():
        await asyncio.sleep(0)
        pieces.append(time.thread_time() - used)
        used = time.thread_time()
    assert len((await building_it).rows) > 7000
    assert len(pieces) > 50
    assert max(pieces) < 0.05  # of the processor's time, whatever else the machine does
