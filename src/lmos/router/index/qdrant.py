"""The texts of tables in collections of a Qdrant server, one for each channel and subset.

A text is a point whose id is a hash of it and of the embedding model: what is there already is not
sent again, by whichever process. Nobody's messages go there but as vectors to be compared.
"""

import asyncio
import hashlib
import importlib.util
import logging
import os
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

from lmos.model import errors
from lmos.router.breath import Breath
from lmos.router.index import NEAREST, Indexes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qdrant_client import AsyncQdrantClient

    from lmos.router.table import RoutingTable
    from lmos.router.texts import Arena

    Vectors = NDArray[np.float32]

log = logging.getLogger("lmos.router")

#: Points sent or listed at a time.
BATCH = 256
#: Seconds that the server may take for a decision, and for a part of a table.
QUICK, SLOW = 0.5, 30.0
#: Seconds for which it is not asked after it failed, so that it costs no turn its time.
REST = 10.0


def collections(spec: str, environment: Mapping[str, str] | None = None) -> Indexes:
    """The collections of the server that `qdrant://host:port/name` means, by tables' names."""
    if importlib.util.find_spec("qdrant_client") is None:
        raise errors.MissingExtra("qdrant", "an index in Qdrant")
    parts = urlsplit(spec)
    prefix = parts.path.strip("/")
    if not parts.hostname or not re.fullmatch(r"[\w-]+", prefix):
        raise errors.InvalidInput(f"{spec!r} is no index; write qdrant://host:port/name")
    known = os.environ if environment is None else environment
    scheme = "https" if parts.scheme == "qdrants" else "http"
    url = f"{scheme}://{parts.hostname}:{parts.port or 6333}"
    made: dict[str, QdrantIndex] = {}

    def index(name: str) -> "QdrantIndex":
        from qdrant_client import AsyncQdrantClient

        if name not in made:
            client = AsyncQdrantClient(
                url=url, api_key=known.get("QDRANT_API_KEY"), check_compatibility=False
            )
            made[name] = QdrantIndex(client, f"{prefix}-{_safe(name)}")
        return made[name]

    return index


class QdrantIndex:
    """An `Index` in collections whose names begin with `name`, one for each embedding model."""

    def __init__(self, client: "AsyncQdrantClient", name: str) -> None:
        self._client = client
        self._name = name
        self._collection = ""
        self._there: set[str] | None = None
        self._leaving: list[str] = []
        self._resting = 0.0

    async def keep(self, table: "RoutingTable") -> bool:
        """See `Index.keep`."""
        try:
            async with asyncio.timeout(SLOW * (1 + len(table.rows) / BATCH)):
                await self._keep(table, await _points(table))
        except Exception as error:
            self._failed(error)
            return False
        self._resting = 0.0
        return True

    async def nearest(self, vector: "Vectors") -> list[str] | None:
        """See `Index.nearest`."""
        if time.monotonic() < self._resting:
            return None
        try:
            async with asyncio.timeout(QUICK):
                found = await self._client.query_points(
                    self._collection, query=vector.tolist(), limit=NEAREST, with_payload=True
                )
        except Exception as error:
            self._failed(error)
            return None
        return [point.payload["text"] for point in found.points if point.payload]

    # --- inside -----------------------------------------------------------------------------------

    def _failed(self, error: Exception) -> None:
        """The client raises whatever its transport does."""
        self._resting = time.monotonic() + REST
        self._there = None  # who knows what has arrived
        log.warning("Qdrant does not answer for %s, memory does: %r", self._name, error)

    async def _keep(self, table: "RoutingTable", wanted: Mapping[str, str]) -> None:
        """Puts what is new, and removes what had gone from the table before."""
        d = table.arena.d
        collection = f"{self._name}-{_digest(f'{table.embedder} {d}')[:8]}"
        there = self._there
        if there is None or collection != self._collection:
            there = await self._opened(collection, d)
        new = [id_ for id_ in wanted if id_ not in there]
        for part in (new[i : i + BATCH] for i in range(0, len(new), BATCH)):
            await self._put(collection, part, [wanted[id_] for id_ in part], table.arena)
        gone = {id_ for id_ in self._leaving if id_ not in wanted}
        await self._remove(collection, list(gone))
        self._collection = collection
        self._leaving = [id_ for id_ in there if id_ not in wanted and id_ not in gone]
        self._there = {*wanted, *self._leaving}

    async def _opened(self, collection: str, d: int) -> set[str]:
        """What a collection has, which is made where there is none."""
        from qdrant_client.models import Distance, VectorParams

        if not await self._client.collection_exists(collection):
            config = VectorParams(size=d, distance=Distance.DOT)
            await self._client.create_collection(collection, vectors_config=config)
            return set()
        found: set[str] = set()
        offset: Any = None
        while True:
            points, offset = await self._client.scroll(
                collection, limit=BATCH, offset=offset, with_payload=False
            )
            found.update(str(point.id) for point in points)
            if offset is None:
                return found

    async def _put(self, collection: str, ids: list[str], texts: list[str], arena: "Arena") -> None:
        import numpy as np
        from qdrant_client.models import PointStruct

        vectors = arena.at(np.array([arena.place(text) for text in texts], np.int64))
        points = [
            PointStruct(id=id_, vector=vector.tolist(), payload={"text": text})
            for id_, text, vector in zip(ids, texts, vectors, strict=True)
        ]
        await self._client.upsert(collection, points=points, wait=True)

    async def _remove(self, collection: str, ids: list[str]) -> None:
        from qdrant_client.models import PointIdsList

        for part in (ids[i : i + BATCH] for i in range(0, len(ids), BATCH)):
            await self._client.delete(collection, points_selector=PointIdsList(points=[*part]))


async def _points(table: "RoutingTable") -> dict[str, str]:
    """The texts of a table by the ids of their points."""
    breath = Breath()
    found: dict[str, str] = {}
    for block in table.blocks:
        for text in block.texts:
            found[str(UUID(_digest(f"{table.embedder}\n{text}")[:32]))] = text
        if breath.due:
            await breath.taken()
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _safe(name: str) -> str:
    """A name as part of a collection's; different names stay different."""
    plain = re.sub(r"[^\w-]", "_", name)
    return plain if plain == name else f"{plain}-{_digest(name)[:8]}"
