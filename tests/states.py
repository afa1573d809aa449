"""Every state on its real server, for suites that run over all of them."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from lmos.model import State
from lmos.state import MemoryState, SqliteState, open_state

#: What the tests of a seam run over.
ALL = ("memory", "sqlite", "redis", "postgres")
#: Those that several processes may share.
SHARED = ("sqlite", "redis", "postgres")


def over(kinds: tuple[str, ...]) -> pytest.MarkDecorator:
    """Runs a test with `state` or `place` over each of the kinds."""
    return pytest.mark.parametrize("place", kinds, indirect=True)


_SHIFT = """
local members = redis.call('zrange', KEYS[1], 0, -1, 'withscores')
for i = 1, #members, 2 do
  redis.call('pexpire', KEYS[2] .. members[i], redis.call('pttl', KEYS[2] .. members[i]) - ARGV[1])
  redis.call('zincrby', KEYS[1], -ARGV[1], members[i])
end
"""


class Place:
    """A state, and what tests do behind its back: `elapse` lets seconds go by, `kept` counts."""

    state: State
    spec: str

    async def elapse(self, seconds: float) -> None:
        raise NotImplementedError

    async def kept(self) -> int:
        raise NotImplementedError

    async def empty(self) -> None:
        """Removes what an earlier test has left."""

    async def close(self) -> None:
        await self.state.close()


class InMemory(Place):
    spec = "memory"

    def __init__(self) -> None:
        self.now = 1_000.0
        self.state: Any = MemoryState(lambda: self.now)

    async def elapse(self, seconds: float) -> None:
        self.now += seconds

    async def kept(self) -> int:
        return len(self.state._rows)


class InSqlite(InMemory):
    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self.spec = f"sqlite:{file}"
        self.state = SqliteState(file, lambda: self.now)

    async def kept(self) -> int:
        with closing(sqlite3.connect(self._file)) as file:
            return int(file.execute("select count(*) from state").fetchone()[0])


class InRedis(Place):
    """Time goes by when what is left of every key's is cut on the server."""

    def __init__(self, url: str) -> None:
        from redis.asyncio import Redis

        self.spec = url
        self.state = open_state(url)
        self._direct = Redis.from_url(url)

    async def elapse(self, seconds: float) -> None:
        keys = ("{lmos}:expiry", "{lmos}:value:")
        await self._direct.eval(_SHIFT, 2, *keys, str(int(seconds * 1000)))  # type: ignore[misc]

    async def kept(self) -> int:
        return int(await self._direct.zcard("{lmos}:keys"))

    async def empty(self) -> None:
        await self._direct.flushall()

    async def close(self) -> None:
        await super().close()
        await self._direct.aclose()


class InPostgres(Place):
    """Time goes by when every expiry is moved on the server."""

    def __init__(self, url: str) -> None:
        self.spec = url
        self.state: Any = open_state(url)

    async def elapse(self, seconds: float) -> None:
        moved = "update lmos_state set expires = expires - make_interval(secs => $1)"
        await self.state._ask(lambda pool: pool.execute(moved, seconds))

    async def kept(self) -> int:
        count = "select count(*) from lmos_state"
        return int(await self.state._ask(lambda pool: pool.fetchval(count)))

    async def empty(self) -> None:
        await self.state._ask(lambda pool: pool.execute("truncate lmos_state, lmos_writes"))


@asynccontextmanager
async def opened(kind: str, directory: Path, url: str) -> AsyncGenerator[Place, None]:
    place: Place
    match kind:
        case "memory":
            place = InMemory()
        case "sqlite":
            place = InSqlite(directory / "s.db")
        case "redis":
            place = InRedis(url)
        case _:
            place = InPostgres(url)
    try:
        await place.empty()
        yield place
    finally:
        await place.close()
