"""Finding what of a large table may matter to a message without looking at all of it.

In memory that is `centres`, which every large table has. An `Index` elsewhere may do it instead:
it names the texts nearest to a message, and of their capabilities every text is looked at, as
with the one in memory.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from lmos.model import errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lmos.router.table import RoutingTable

    Vectors = NDArray[np.float32]

#: Texts that an index is asked for.
NEAREST = 96


class Index(Protocol):
    """Where the texts of one table, and of those that follow it, can be found by their vectors."""

    async def keep(self, table: "RoutingTable") -> bool:
        """Makes the texts of this table those that can be found, adding what is new. What has gone
        can be found until the next time. False where it cannot be done now; the log says why.
        """
        ...

    async def nearest(self, vector: "Vectors") -> list[str] | None:
        """The NEAREST texts, or None where it does not answer now; the log says why."""
        ...


#: Gives the index of the tables of that name, or None for the one in memory.
Indexes = Callable[[str], Index | None]


def in_memory(name: str) -> None:
    """No index elsewhere."""


def open_indexes(spec: str, environment: Mapping[str, str] | None = None) -> Indexes:
    """What a setting means: `memory` (or nothing), or `qdrant://host:port/name` for a Qdrant server
    (`qdrants://` over TLS), whose collections begin with that name and whose key is QDRANT_API_KEY.
    `InvalidInput` when it means neither, `MissingExtra` when the client is not installed.
    """
    if spec in ("", "memory"):
        return in_memory
    if spec.startswith(("qdrant://", "qdrants://")):
        from lmos.router.index.qdrant import collections

        return collections(spec, environment)
    raise errors.InvalidInput(
        f"{spec!r} is no index; use memory, or qdrant://host:port/name for a Qdrant server"
    )
