"""The part of a table that may matter to a message."""

import numpy as np

from lmos.llm import embedder
from lmos.model import Capability, RoutableAgent
from lmos.router import RoutingTable

BILLS = RoutableAgent(
    name="bills",
    capabilities=(
        Capability(
            id="show", name="show-bill", version="1", examples=("show my bill", "what do I owe")
        ),
        Capability(id="pay", name="pay-bill", version="1", examples=("pay my bill",)),
    ),
)
PARCELS = RoutableAgent(name="parcels", description="Where a parcel is.")


async def test_a_small_table_is_near_as_a_whole() -> None:
    table = await RoutingTable.build([BILLS, PARCELS], embedder())
    (vector,) = await embedder().embed(["how much do I have to pay?"])
    near = table.near(vector)
    assert near.rows.tolist() == list(range(len(table.rows)))
    assert np.allclose(near.similarities, table.vectors @ vector)
    assert [table.rows[i].capability for i in near.starts] == ["show", "pay", ""]
    assert near.firsts.tolist() == [0, 2]


async def test_nothing_is_near_in_an_empty_table() -> None:
    table = await RoutingTable.build([], embedder())
    near = table.near(np.zeros(table.vectors.shape[1], np.float32))
    assert near.rows.size == near.capabilities.size == near.agents.size == 0
