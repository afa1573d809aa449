"""Keys and values in a PostgreSQL database, which many processes and machines may share.

Keys are kept as bytes: they sort by code point whatever the database's language, and
hold every character. A write is one statement, so that comparing the version and storing are one
step. Moments are the server's, so that the clocks of machines need not agree.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from lmos.model import errors
from lmos.state.reaching import (
    COMMAND_TIMEOUT,
    CONNECT_TIMEOUT,
    CONNECTIONS,
    PATIENCE,
    reached,
    refused,
    shown,
)
from lmos.state.values import dumped, stale

if TYPE_CHECKING:
    from asyncpg import Pool

T = TypeVar("T")

_THERE = "select to_regclass('lmos_writes') is not null"
# Of several processes that start at once, one makes the table and the others wait for it.
_SCHEMA = """
select pg_advisory_xact_lock(hashtext('lmos_state'));
create table if not exists lmos_state (
    key bytea primary key, value bytea not null, version bigint not null, expires timestamptz
);
create index if not exists lmos_state_expires on lmos_state (expires) where expires is not null;
create table if not exists lmos_writes (
    mark bytea primary key, version bigint not null, at timestamptz not null default now()
)
"""
_GET = """
select value, version from lmos_state where key = $1 and (expires is null or expires > now())
"""
# Both give no row when the version is not the one wanted. What has expired counts as absent. Each
# write has a mark, kept for a minute: repeated because its answer was lost, it is told the same and
# not done again, whatever others have written meanwhile.
_PUT = """
with put as (
    insert into lmos_state as kept (key, value, version, expires)
    values ($1, $2, 1, now() + make_interval(secs => $4::float8))
    on conflict (key) do update set
        value = excluded.value, expires = excluded.expires,
        version = case when kept.expires <= now() then 1 else kept.version + 1 end
    where $3::bigint is null or kept.expires <= now()
    returning version
) insert into lmos_writes select $5, version from put returning version
"""
_REPLACE = """
with put as (
    update lmos_state
    set value = $2, expires = now() + make_interval(secs => $4::float8), version = version + 1
    where key = $1 and version = $3::bigint and (expires is null or expires > now())
    returning version
) insert into lmos_writes select $5, version from put returning version
"""
_WRITTEN = "select version from lmos_writes where mark = $1"
_DELETE = "delete from lmos_state where key = $1 returning expires is null or expires > now()"
_PAGE = """
select key, value from lmos_state
where key > $1 and key >= $2 and key < $3 and (expires is null or expires > now())
order by key limit 500
"""
_SWEEP = """
delete from lmos_state where key in (
    select key from lmos_state where expires <= now() limit 10000 for update skip locked)
"""
_SWEEP_WRITES = """
delete from lmos_writes where mark in (
    select mark from lmos_writes where at < now() - interval '1 minute' for update skip locked)
"""
_PAGE_SIZE = 500
#: What has expired is removed every so many writes, and every so many seconds.
_SWEEP_AFTER, _SWEEP_EVERY = 1_000, 600.0


class PostgresState:
    """A `State` in the database at a `postgresql://` URL, through a pool of connections.

    A server that goes away is asked again for `patience` seconds, at most 60. The tables
    `lmos_state` and `lmos_writes` are made when they are missing.
    """

    def __init__(self, url: str, *, patience: float = PATIENCE) -> None:
        self._url = url
        self._where = shown(url)
        self._patience = patience
        self._pool: Pool | None = None
        self._opening = asyncio.Lock()
        self._writes = 0
        self._swept = 0.0
        _library()

    async def get(self, key: str) -> tuple[Any, int] | None:
        """The value and its version, or None when absent or expired."""
        row = await self._ask(lambda pool: pool.fetchrow(_GET, key.encode()))
        return (orjson.loads(row["value"]), row["version"]) if row else None

    async def put(
        self, key: str, value: Any, *, version: int | None = None, ttl: float | None = None
    ) -> int:
        """Stores the value; with `version` only if that is the present one, else `Conflict`."""
        await self._sweep()
        given = (key.encode(), dumped(key, value), version, ttl, secrets.token_bytes(8))
        new = await self._write(_REPLACE if version else _PUT, given)
        if new is None:
            found = await self.get(key)
            raise stale(key, version or 0, found[1] if found else 0)
        return new

    async def _write(self, query: str, given: tuple[Any, ...]) -> int | None:
        """The new version, or None where another one than that given is present."""
        *_, mark = given
        tried = False

        async def write(pool: "Pool") -> int | None:
            nonlocal tried
            new: int | None = await pool.fetchval(_WRITTEN, mark) if tried else None
            tried = True
            if new is None:
                new = await pool.fetchval(query, *given)
            return await pool.fetchval(_WRITTEN, mark) if new is None else new

        return await self._ask(write)

    async def delete(self, key: str) -> bool:
        """Removes the key; whether it was there."""
        return bool(await self._ask(lambda pool: pool.fetchval(_DELETE, key.encode())))

    async def scan(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, Any]]:
        """Keys and values below the prefix, in the order of the keys, read a page at a time."""
        seen, begin = after.encode(), prefix.encode()
        end = begin + b"\xff"
        while True:
            bounds = (seen, begin, end)
            rows = await self._ask(lambda pool, bounds=bounds: pool.fetch(_PAGE, *bounds))
            for row in rows:
                yield row["key"].decode(), orjson.loads(row["value"])
            if len(rows) < _PAGE_SIZE:
                return
            seen = rows[-1]["key"]

    async def close(self) -> None:
        """Closes the connections."""
        if self._pool:
            await self._pool.close()
            self._pool = None

    async def _sweep(self) -> None:
        """Removes what has expired, once in a while."""
        self._writes += 1
        now = time.monotonic()
        if self._writes % _SWEEP_AFTER == 1 or now >= self._swept + _SWEEP_EVERY:
            self._swept = now
            await self._ask(lambda pool: pool.execute(_SWEEP))
            await self._ask(lambda pool: pool.execute(_SWEEP_WRITES))

    async def _ask(self, call: "Callable[..., Awaitable[T]]") -> T:
        from asyncpg import InterfaceError, PostgresError

        async def asked() -> T:
            return await call(self._pool or await self._open())

        try:
            return await reached(asked, _away, self._where, self._patience)
        except PostgresError as error:
            raise refused(self._where, error) from error
        except (InterfaceError, ValueError) as error:  # the address is first read when connecting
            raise errors.InvalidInput(
                f"{self._where} is no address of a PostgreSQL: {error}"
            ) from None

    async def _open(self) -> "Pool":
        async with self._opening:
            if self._pool is None:
                pool = await _pool(self._url)
                try:
                    if not await pool.fetchval(_THERE):
                        await pool.execute(_SCHEMA)
                except BaseException:
                    pool.terminate()
                    raise
                self._pool = pool
            return self._pool


async def _pool(url: str) -> "Pool":
    async def leave_as_it_is(_: object) -> None:
        """Our statements change nothing of a session, so there is no round trip to undo it."""

    pool: Pool = await _library().create_pool(
        url,
        min_size=0,
        max_size=CONNECTIONS,
        timeout=CONNECT_TIMEOUT,
        command_timeout=COMMAND_TIMEOUT,
        reset=leave_as_it_is,
        server_settings={"application_name": "lmos"},
    )
    return pool


def _library() -> Any:
    try:
        import asyncpg
    except ImportError:
        raise errors.MissingExtra("postgres", "state in PostgreSQL") from None
    return asyncpg


def _away(error: Exception) -> bool:
    pg = _library()
    gone = (
        OSError,
        TimeoutError,
        pg.PostgresConnectionError,
        pg.CannotConnectNowError,  # starting, or stopping
        pg.AdminShutdownError,
        pg.CrashShutdownError,
        pg.TooManyConnectionsError,
        pg.ReadOnlySQLTransactionError,  # a replica, until the failover is through
        pg.TransactionRollbackError,
    )
    closed = isinstance(error, pg.InterfaceError) and "closed" in str(error)
    return closed or isinstance(error, gone)
