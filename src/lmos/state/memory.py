"""Keys and values in memory."""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import orjson

from lmos.state.values import dumped, stale

#: Keys from which expired ones are looked for.
MANY = 1_000
#: Keys with a time to live that are kept: some 100 MB of what the runtime keeps of turns.
MOST = 50_000


class _Row(NamedTuple):
    value: bytes
    version: int
    expires: float | None


class MemoryState:
    """A `State` in memory, gone with the process. `clock` gives seconds.

    Values are kept as JSON: nobody shares an object with it, and copies are quick. Expired keys go
    when they are met and, all at once, whenever the number of keys has doubled. Of more than `most`
    keys that are to expire, those written longest ago go early, so that memory is bounded.
    """

    def __init__(self, clock: Callable[[], float] = time.time, *, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._rows: dict[str, _Row] = {}
        self._below: defaultdict[str, set[str]] = defaultdict(set)
        self._passing: dict[str, None] = {}
        self._sweep_at = MANY

    async def get(self, key: str) -> tuple[Any, int] | None:
        """The value and its version, or None when absent or expired."""
        row = self._alive(key)
        return (orjson.loads(row.value), row.version) if row else None

    async def put(
        self, key: str, value: Any, *, version: int | None = None, ttl: float | None = None
    ) -> int:
        """Stores the value; with `version` only if that is the present one, else `Conflict`."""
        row = self._alive(key)
        present = row.version if row else 0
        if version is not None and version != present:
            raise stale(key, version, present)
        expires = None if ttl is None else self._clock() + ttl
        self._set(key, _Row(dumped(key, value), present + 1, expires))
        if len(self._rows) > self._sweep_at:
            self._sweep()
        return present + 1

    async def delete(self, key: str) -> bool:
        """Removes the key; whether it was there."""
        there = self._alive(key) is not None
        self._drop(key)
        return there

    async def scan(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, Any]]:
        """Keys and values below the prefix, in the order of the keys."""
        top, slash, _ = prefix.partition("/")
        among = self._below.get(top, ()) if slash else self._rows
        for key in sorted(key for key in among if key.startswith(prefix) and key > after):
            if row := self._alive(key):
                yield key, orjson.loads(row.value)

    async def close(self) -> None:
        """Nothing to release."""

    def _alive(self, key: str) -> _Row | None:
        row = self._rows.get(key)
        if row and row.expires is not None and row.expires <= self._clock():
            self._drop(key)
            return None
        return row

    def _set(self, key: str, row: _Row) -> None:
        """Keeps the row, as the one written last."""
        self._rows[key] = row
        self._below[key.partition("/")[0]].add(key)
        self._passing.pop(key, None)
        if row.expires is not None:
            self._passing[key] = None
            if len(self._passing) > self._most:
                self._drop(next(iter(self._passing)))

    def _drop(self, key: str) -> None:
        if self._rows.pop(key, None) is not None:
            self._below[key.partition("/")[0]].discard(key)
            self._passing.pop(key, None)

    def _sweep(self) -> None:
        for key in list(self._rows):
            self._alive(key)
        self._sweep_at = max(MANY, 2 * len(self._rows))
