"""Vectors that survive a restart: those of texts that are public anyway, such as a table's.

They lie in a SQLite file, found by the model's name and the SHA-256 of the text. The file saves
work and nothing else: whatever is wrong with it is said in the log, and texts are embedded as if it
were not there. What users write must not go through here, since hashes of it would stay on disk.
"""

import asyncio
import hashlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lmos.model import Embedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

T = TypeVar("T")

log = logging.getLogger("lmos.llm")

#: Vectors that a file keeps, of all models together; of 384 dimensions they take some 400 MB.
ROWS = 200_000
#: Seconds to wait for another process that writes.
BUSY = 5.0

_PAGE = 500
_SCHEMA = """
create table if not exists vectors (
    model text not null, digest blob not null, vector blob not null, used real not null,
    primary key (model, digest)
);
create index if not exists vectors_used on vectors (used);
"""
_PUT = """
insert into vectors values (?, ?, ?, ?)
on conflict (model, digest) do update set vector = excluded.vector, used = excluded.used
"""
_TOUCH = "update vectors set used = ? where model = ? and digest = ?"
_TRIM = """
delete from vectors where rowid in (
    select rowid from vectors order by used desc, rowid desc limit -1 offset ?
)
"""
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class KeptVectors:
    """The `Embedder` given, which is asked only for texts whose vectors are not in the file at
    `path`. Beyond `rows` the vectors used longest ago are removed. Several processes may share the
    file; where it cannot be used, every text is embedded. `d` is the embedder's, or what is kept.
    """

    def __init__(
        self,
        embedder: Embedder,
        path: Path,
        *,
        rows: int = ROWS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = embedder.name
        self.d = embedder.d
        self._embedder = embedder
        self._path = path
        self._rows = rows
        self._clock = clock
        self._told = False

    async def embed(self, texts: Sequence[str]) -> "Vectors":
        """float32[n, d], rows of unit length, in the order of the texts."""
        if not texts:
            return await self._embedder.embed(texts)
        import numpy as np

        digests = {text: hashlib.sha256(text.encode()).digest() for text in texts}
        kept = await asyncio.to_thread(self._tried, self._get, digests) or {}
        fresh = await self._fresh([text for text in digests if text not in kept])
        if not self._alike(kept | fresh):  # the model gives other vectors than it did
            kept, fresh = {}, await self._fresh(list(digests))
        by_digest = {digests[text]: vector for text, vector in fresh.items()}
        used = [digests[text] for text in kept]
        await asyncio.to_thread(self._tried, self._put, by_digest, used)
        found = kept | fresh
        vectors = np.stack([found[text] for text in texts])
        self.d = vectors.shape[1]
        return vectors

    async def _fresh(self, texts: list[str]) -> "dict[str, Vectors]":
        return dict(zip(texts, await self._embedder.embed(texts), strict=True)) if texts else {}

    def _alike(self, vectors: "Mapping[str, Vectors]") -> bool:
        """Whether all have the embedder's dimensions, or the same while it knows none."""
        sizes = {vector.size for vector in vectors.values()}
        return len(sizes) == 1 and (not self._embedder.d or sizes == {self._embedder.d})

    # --- in a thread ------------------------------------------------------------------------------

    def _tried(self, function: Callable[..., T], *args: object) -> T | None:
        """What the function gives, or None where the file cannot be used; a broken file is moved
        aside, so that a new one takes its place.
        """
        try:
            return function(*args)
        except (sqlite3.Error, OSError, ValueError) as error:
            code = getattr(error, "sqlite_errorcode", None) or 0
            if code & 0xFF in _BROKEN:
                self._move_aside(error)
            elif not self._told:
                self._told = True
                log.warning("vectors are not kept, %s cannot be used: %s", self._path, error)
            return None

    def _move_aside(self, error: Exception) -> None:
        aside = self._path.with_name(self._path.name + ".broken")
        log.warning(
            "%s is broken (%s); it is %s now, and a new one begun", self._path, error, aside
        )
        with suppress(OSError):  # another process may have been first
            self._path.replace(aside)
            for rest in ("-wal", "-shm"):
                self._path.with_name(self._path.name + rest).unlink(missing_ok=True)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection of this moment alone: tables are built seldom, from any thread."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=BUSY, isolation_level=None)) as connection:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = normal")
            connection.executescript(_SCHEMA)
            yield connection

    def _get(self, digests: Mapping[str, bytes]) -> "dict[str, Vectors]":
        """The vectors of those texts that are there."""
        import numpy as np

        wanted = list(digests.values())
        rows: dict[bytes, bytes] = {}
        with self._opened() as connection:
            for start in range(0, len(wanted), _PAGE):
                part = wanted[start : start + _PAGE]
                marks = ",".join("?" * len(part))
                query = (
                    f"select digest, vector from vectors where model = ? and digest in ({marks})"
                )
                rows.update(connection.execute(query, (self.name, *part)))
        found = {text: rows[digest] for text, digest in digests.items() if digest in rows}
        return {text: np.frombuffer(blob, "<f4") for text, blob in found.items()}

    def _put(self, fresh: "Mapping[bytes, Vectors]", used: Sequence[bytes]) -> None:
        """Keeps the vectors, notes which were used, removes what is too much: all or nothing."""
        now = self._clock()
        rows = [(self.name, digest, v.astype("<f4").tobytes(), now) for digest, v in fresh.items()]
        with self._opened() as connection:
            connection.execute("begin immediate")
            connection.executemany(_TOUCH, [(now, self.name, digest) for digest in used])
            if rows:
                connection.executemany(_PUT, rows)
                connection.execute(_TRIM, (self._rows,))
            connection.execute("commit")
