"""Keys and values in a SQLite file, which several processes may share."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson

from lmos.model import errors
from lmos.state.values import dumped, stale

T = TypeVar("T")

_SCHEMA = """
create table if not exists state (
    key text primary key, value blob not null, version integer not null, expires real
) without rowid
"""
# One statement, so that reading the version and writing are one step for other processes too. What
# has expired counts as absent. Gives no row when the version is not the one wanted.
_PUT = """
insert into state select :key, :value, 1, :expires
where :version is null or :version = 0 or exists (select 1 from state where key = :key)
on conflict (key) do update set value = excluded.value, expires = excluded.expires,
    version = case when expires <= :now then 1 else version + 1 end
where :version is null or :version = case when expires <= :now then 0 else version end
returning version
"""
_PAGE = 500
#: Seconds between two removals of what has expired.
_SWEEP_EVERY = 600.0


@dataclass(slots=True)
class _Write:
    """A change, and who waits for what it gives."""

    work: Callable[[], Any]
    done: asyncio.Future[Any]

    def result(self) -> Any:
        """What it gives, or why it is refused."""
        try:
            return self.work()
        except errors.LmosError as error:
            return error

    def tell(self, result: Any) -> None:
        """Tells it, from another thread."""
        with suppress(RuntimeError):  # the loop that asked is gone
            self.done.get_loop().call_soon_threadsafe(self._tell, result)

    def _tell(self, result: Any) -> None:
        if self.done.done():
            return
        if isinstance(result, Exception):
            self.done.set_exception(result)
        else:
            self.done.set_result(result)


class SqliteState:
    """A `State` in a file. Whatever may wait for the disk or for another process is done in one
    thread of its own. A key is read in the event loop, since in SQLite's write-ahead mode readers
    wait for nobody: that takes 5 us, and going to the thread and back 50 and more. Writes that come
    while others are being committed are committed together, which under load is most of them; a
    write has returned when it is committed. Between processes SQLite's write lock keeps versions
    right.
    """

    def __init__(self, path: Path | str, clock: Callable[[], float] = time.time) -> None:
        self.path = Path(path)
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-state")
        self._connection: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._swept = 0.0
        self._writes: list[_Write] = []
        self._committing = False
        self._lock = threading.Lock()

    async def get(self, key: str) -> tuple[Any, int] | None:
        """The value and its version, or None when absent or expired."""
        reader = self._reader
        if reader is None:
            reader = await self._run(self._open_reader)
        try:
            row = self._row(reader, key)
        except sqlite3.Error:  # another process is recovering or leaving the file
            row = await self._run(lambda: self._row(self._open(), key))
        return (orjson.loads(row[0]), row[1]) if row else None

    async def put(
        self, key: str, value: Any, *, version: int | None = None, ttl: float | None = None
    ) -> int:
        """Stores the value; with `version` only if that is the present one, else `Conflict`."""
        data = dumped(key, value)
        written: int = await self._write(lambda: self._put(key, data, version, ttl))
        return written

    async def delete(self, key: str) -> bool:
        """Removes the key; whether it was there."""
        there: bool = await self._write(lambda: self._delete(key))
        return there

    async def scan(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, Any]]:
        """Keys and values below the prefix, in the order of the keys, read a page at a time."""
        end = prefix + "\U0010ffff"
        while True:
            rows = await self._run(self._page, prefix, after, end)
            for key, value in rows:
                yield key, orjson.loads(value)
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]

    async def close(self) -> None:
        """Closes the file."""
        for connection in (self._reader, self._connection):
            if connection:
                await self._run(connection.close)
        self._reader = self._connection = None
        self._thread.shutdown()

    # --- in the thread ----------------------------------------------------------------------------

    async def _run(self, function: Callable[..., T], *args: Any) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    async def _write(self, work: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        write = _Write(work, loop.create_future())
        with self._lock:
            self._writes.append(write)
            begin, self._committing = not self._committing, True
        if begin:
            self._thread.submit(self._commit_all)
        return await write.done

    def _commit_all(self) -> None:
        while True:
            with self._lock:
                writes, self._writes = self._writes, []
                self._committing = bool(writes)
            if not writes:
                return
            self._commit(writes)

    def _commit(self, writes: "list[_Write]") -> None:
        """Does the writes in one transaction; one that is refused has changed nothing."""
        results: list[Any] = []
        try:
            connection = self._open()
            connection.execute("begin immediate")
            try:
                for write in writes:
                    results.append(write.result())
                connection.execute("commit")
            finally:
                if connection.in_transaction:
                    connection.execute("rollback")
        except Exception as error:
            known = isinstance(error, (sqlite3.Error, OSError))
            results = [self._unusable(error) if known else error] * len(writes)
        for write, result in zip(writes, results, strict=True):
            write.tell(result)

    def _unusable(self, error: Exception) -> errors.StateUnavailable:
        return errors.StateUnavailable(
            f"{self.path} cannot be used: {error}; is it a database, writable, on a disk with room?"
        )

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=10, isolation_level=None)
            try:
                connection.execute("pragma journal_mode = wal")
                connection.execute("pragma synchronous = normal")
                connection.execute(_SCHEMA)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _open_reader(self) -> sqlite3.Connection:
        self._open()
        reader = self._reader
        if reader is None:
            reader = sqlite3.connect(
                self.path, timeout=0, isolation_level=None, check_same_thread=False
            )
            reader.execute("pragma query_only = on")
            self._reader = reader
        return reader

    def _row(self, connection: sqlite3.Connection, key: str) -> tuple[bytes, int] | None:
        found: tuple[bytes, int] | None = connection.execute(
            "select value, version from state where key = ? and (expires is null or expires > ?)",
            (key, self._clock()),
        ).fetchone()
        return found

    def _put(self, key: str, value: bytes, version: int | None, ttl: float | None) -> int:
        connection, now = self._open(), self._clock()
        self._sweep(connection)
        given = {
            "key": key,
            "value": value,
            "version": version,
            "now": now,
            "expires": None if ttl is None else now + ttl,
        }
        found = connection.execute(_PUT, given).fetchall()
        if not found:
            row = self._row(connection, key)
            raise stale(key, version or 0, row[1] if row else 0)
        return int(found[0][0])

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Removes what has expired, once in a while."""
        now = self._clock()
        if now >= self._swept + _SWEEP_EVERY:
            connection.execute("delete from state where expires <= ?", (now,))
            self._swept = now

    def _delete(self, key: str) -> bool:
        connection = self._open()
        there = self._row(connection, key) is not None
        connection.execute("delete from state where key = ?", (key,))
        return there

    def _page(self, prefix: str, after: str, end: str) -> list[tuple[str, bytes]]:
        return (
            self._open()
            .execute(
                "select key, value from state where key >= ? and key > ? and key < ?"
                " and (expires is null or expires > ?) order by key limit ?",
                (prefix, after, end, self._clock(), _PAGE),
            )
            .fetchall()
        )
