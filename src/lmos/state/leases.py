"""Something that one process at a time has, of all those that share a state.

In general a lease is a key that is there while it is held, and expires unless renewed: that of a
process which ended without a word runs out by itself. Processes that share a SQLite file are on one
machine, where a lock on a byte of a file beside it does the same for a hundredth of the time, and
is free in the moment in which its process ends.
"""

import asyncio
import logging
import os
import struct
import sys
import time
from collections.abc import Callable, Coroutine
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

from lmos.model import State, errors
from lmos.state.sqlite import SqliteState

log = logging.getLogger("lmos.state")

#: Seconds after which the lease of a process that has ended runs out.
LEASE = 10.0

#: Linux's `struct flock`: what to do, from where, at which byte, how many, and no process.
_FLOCK = struct.Struct("hhqqi4x")

#: Gives a lease back.
GiveBack = Callable[[], Coroutine[Any, Any, None]]


class Leases(Protocol):
    """Who holds what. Within a process somebody else sees to it that one at a time asks."""

    async def take(self, key: str) -> GiveBack | None:
        """The lease, to be given back, or None while another process has it."""
        ...


def leases_of(state: State) -> Leases:
    """The leases of the processes that share the state."""
    if isinstance(state, SqliteState) and FileLocks.there():
        return FileLocks(state.path.with_name(state.path.name + ".locks"))
    return KeyLeases(state)


class FileLocks:
    """Locks on bytes of a file, one for each key by its hash, which belong to who opened it."""

    def __init__(self, path: Path) -> None:
        import fcntl

        self._fcntl = fcntl.fcntl
        self._set = int(fcntl.F_OFD_SETLK)
        self._taking, self._giving = fcntl.F_WRLCK, fcntl.F_UNLCK
        self._path = path
        self._file: int | None = None

    @staticmethod
    def there() -> bool:
        """Whether the system has such locks."""
        try:
            import fcntl
        except ImportError:
            return False
        return sys.platform == "linux" and hasattr(fcntl, "F_OFD_SETLK")

    async def take(self, key: str) -> GiveBack | None:
        """The lock, to be given back, or None while another process has it."""
        at = int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) >> 2
        try:
            self._change(self._taking, at)
        except (BlockingIOError, PermissionError):
            return None
        except OSError as error:
            raise errors.StateUnavailable(f"{self._path} cannot be locked: {error}") from error

        async def give_back() -> None:
            self._change(self._giving, at)

        return give_back

    def _change(self, to: int, at: int) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._fcntl(self._file, self._set, _FLOCK.pack(to, os.SEEK_SET, at, 1, 0))

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)


class KeyLeases:
    """Keys that expire after `seconds` unless renewed."""

    def __init__(self, state: State, seconds: float = LEASE) -> None:
        self._state = state
        self._seconds = seconds

    async def take(self, key: str) -> GiveBack | None:
        """The lease, to be given back, or None while another process has it."""
        lease = _KeyLease(self._state, key, self._seconds)
        return lease.give_back if await lease.take() else None


class _KeyLease:
    def __init__(self, state: State, key: str, seconds: float) -> None:
        self._state = state
        self._key = key
        self._seconds = seconds
        self._version = 0
        self._ends = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def take(self) -> bool:
        if not await self._put():
            return False
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds / 3, self._begin_renewing)
        return True

    async def give_back(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._renewing:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        if self._lost:
            return
        try:
            await self._state.delete(self._key)
        except errors.StateUnavailable as error:
            log.warning("the lease of %s was not given back and runs out: %s", self._key, error)

    async def _put(self) -> bool:
        ends = time.monotonic() + self._seconds
        try:
            self._version = await self._state.put(
                self._key, 1, version=self._version, ttl=self._seconds
            )
        except errors.Conflict:
            return False
        self._ends = ends
        return True

    @property
    def _lost(self) -> bool:
        """Whether it has run out, so that the key may be somebody else's."""
        return time.monotonic() >= self._ends

    def _begin_renewing(self) -> None:
        self._renewing = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        while not self._lost:
            try:
                await self._put()
            except errors.StateUnavailable as error:
                log.warning("the lease of %s could not be renewed: %s", self._key, error)
            await asyncio.sleep(self._seconds / 3)
        log.warning("the lease of %s has run out while it was held", self._key)
