"""Keys and values in memory."""

import bisect
import copy
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from lmos.model import errors


class MemoryState:
    """A `State` in memory, gone with the process. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._rows: dict[str, tuple[Any, int, float | None]] = {}
        self._keys: list[str] = []

    async def get(self, key: str) -> tuple[Any, int] | None:
        """The value and its version, or None when absent or expired."""
        row = self._alive(key)
        return (copy.deepcopy(row[0]), row[1]) if row else None

    async def put(
        self, key: str, value: Any, *, version: int | None = None, ttl: float | None = None
    ) -> int:
        """Stores the value; with `version` only if that is the present one, else `Conflict`."""
        row = self._alive(key)
        present = row[1] if row else 0
        if version is not None and version != present:
            raise stale(key, version, present)
        if key not in self._rows:
            bisect.insort(self._keys, key)
        expires = None if ttl is None else self._clock() + ttl
        self._rows[key] = (copy.deepcopy(value), present + 1, expires)
        return present + 1

    async def delete(self, key: str) -> bool:
        """Removes the key; whether it was there."""
        there = self._alive(key) is not None
        self._drop(key)
        return there

    async def scan(self, prefix: str) -> AsyncIterator[tuple[str, Any]]:
        """Keys and values below the prefix, in the order of the keys."""
        start = bisect.bisect_left(self._keys, prefix)
        stop = bisect.bisect_left(self._keys, prefix + "\U0010ffff")
        for key in self._keys[start:stop]:
            if row := self._alive(key):
                yield key, copy.deepcopy(row[0])

    async def close(self) -> None:
        """Nothing to release."""

    def _alive(self, key: str) -> tuple[Any, int, float | None] | None:
        row = self._rows.get(key)
        if row and row[2] is not None and row[2] <= self._clock():
            self._drop(key)
            return None
        return row

    def _drop(self, key: str) -> None:
        if self._rows.pop(key, None):
            del self._keys[bisect.bisect_left(self._keys, key)]


def stale(key: str, wanted: int, present: int) -> errors.Conflict:
    """The error for a write over a version that is no longer the present one."""
    return errors.Conflict(
        f"{key} is at version {present}, not {wanted}; read it again and repeat the change"
    )
