"""Tables that change a little decide at once, and are learned to the end beside the decisions."""

import random

import numpy as np
import pytest
from table_parts import WORDS, Hashed, agent, decided

from lmos.model import RoutableAgent
from lmos.router import RoutingTable, building
from lmos.router.scoring.lexical import Growing, Lexicon


@pytest.fixture
def agents() -> list[RoutableAgent]:
    drawn = random.Random(11)
    return [agent(f"a{n}", drawn) for n in range(60)]


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables take long to learn from a few rows on."""
    monkeypatch.setattr(building, "AT_ONCE", 100)


async def test_a_changed_table_decides_at_once_and_settles_as_one_built_anew(
    agents: list[RoutableAgent],
) -> None:
    old = await RoutingTable.build(agents[:-1], Hashed())
    made = await RoutingTable.build(agents, Hashed(), old, at_once=True)
    assert made.provisional
    assert 0 < made.behind < 0.2
    settled, fresh = await made.settled(), await RoutingTable.build(agents, Hashed())
    assert not settled.provisional
    assert (settled.version, settled.names) == (fresh.version, fresh.names)
    drawn = random.Random(5)
    texts = [f"{drawn.choice(agents).name} {' '.join(drawn.sample(WORDS, 2))}" for _ in range(200)]
    firsts = [
        [(await decided(table, text))[1] for text in texts] for table in (made, settled, fresh)
    ]
    alike = [
        np.mean([one == other for one, other in zip(f, firsts[2], strict=True)]) for f in firsts
    ]
    assert alike[0] > 0.9
    assert alike[1] >= 0.985


async def test_what_did_not_change_keeps_its_columns(agents: list[RoutableAgent]) -> None:
    old = await RoutingTable.build(agents, Hashed())
    made = await RoutingTable.build(agents[::-1][1:], Hashed(), old, at_once=True)
    assert made.provisional
    assert old.learned.head
    assert made.learned.head
    theirs = [
        old.firsts[old.by_name[block.agent.name]] + i
        for block in made.blocks
        for i in range(len(block.keys))
    ]
    assert np.array_equal(made.learned.head.weights, old.learned.head.weights[:, theirs])


async def test_where_much_has_changed_all_is_learned_anew(agents: list[RoutableAgent]) -> None:
    old = await RoutingTable.build(agents[:30], Hashed())
    made = await RoutingTable.build(agents, Hashed(), old, at_once=True)
    assert made.provisional
    assert made.learned.head is None
    settled = await made.settled()
    fresh = await RoutingTable.build(agents, Hashed())
    assert settled.learned.head
    assert fresh.learned.head
    assert np.allclose(settled.learned.head.weights, fresh.learned.head.weights, atol=1e-3)


def test_a_lexicon_that_grew_gives_known_texts_the_same_vectors() -> None:
    known = Lexicon(["my bill is wrong", "where is my parcel"])
    growing = Growing(known)
    growing.add("my roaming bill")
    grown = growing.done()
    assert np.array_equal(known.vector("my bill is wrong"), grown.vector("my bill is wrong"))
    assert not np.array_equal(known.vector("roaming"), grown.vector("roaming"))
