"""Keys and values on a Redis server, which many processes and machines may share.

A value is a hash of its own, and Redis expires it. Beside the values stand two sorted sets: all
keys in their order, for scans, and the keys that expire with their moments, so that the first set
can be kept clean. A script changes a value and both sets in one step. What has expired leaves the
sets a few keys at a time with each write; until then a scan passes over it.

All keys share one hash tag: proxies in front of clusters want the keys of a script in one slot.
"""

import secrets
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
    from redis.asyncio import Redis

T = TypeVar("T")

# Gives {1, new version}, or {0, present version} when that is not the one wanted. Each write has a
# mark, kept for a minute: repeated because its answer was lost, it is told the same and not done
# again, whatever others have written meanwhile.
_PUT = """
local value, index, expiry, mark = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local key, data, wanted, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local done = redis.call('get', mark)
if done then return {1, tonumber(done)} end
local present = tonumber(redis.call('hget', value, 'version') or 0)
if wanted ~= '' and tonumber(wanted) ~= present then return {0, present} end
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('set', mark, present + 1, 'ex', 60)
redis.call('hset', value, 'value', data, 'version', present + 1)
redis.call('zadd', index, 0, key)
if ttl == '' then
  redis.call('persist', value)
  redis.call('zrem', expiry, key)
else
  redis.call('zadd', expiry, string.format('%.0f', now + ttl), key)
  redis.call('pexpire', value, ttl)
end
local expired = redis.call('zrangebyscore', expiry, '-inf', '(' .. now, 'limit', 0, 20)
if #expired > 0 then
  redis.call('zrem', expiry, unpack(expired))
  redis.call('zrem', index, unpack(expired))
end
return {1, present + 1}
"""
_DELETE = """
redis.call('zrem', KEYS[2], ARGV[1])
redis.call('zrem', KEYS[3], ARGV[1])
return redis.call('del', KEYS[1])
"""
# A page of keys in order, each followed by its value, which is empty where it has expired.
_PAGE = """
local keys = redis.call('zrangebylex', KEYS[2], ARGV[1], ARGV[2], 'limit', 0, ARGV[3])
local page = {}
for _, key in ipairs(keys) do
  page[#page + 1] = key
  page[#page + 1] = redis.call('hget', KEYS[1] .. key, 'value') or ''
end
return page
"""
_PAGE_SIZE = 100


class RedisState:
    """A `State` on the server at a `redis://` or `rediss://` URL, through a pool of connections.

    A server that goes away is asked again for `patience` seconds, at most 60. `namespace` begins
    every key.
    """

    def __init__(self, url: str, *, namespace: str = "lmos", patience: float = PATIENCE) -> None:
        self._where = shown(url)
        self._patience = patience
        self._values = f"{{{namespace}}}:value:"
        self._marks = f"{{{namespace}}}:write:"
        self._sets = (f"{{{namespace}}}:keys", f"{{{namespace}}}:expiry")
        self._redis = _client(url)
        self._put = self._redis.register_script(_PUT)
        self._delete = self._redis.register_script(_DELETE)
        self._page = self._redis.register_script(_PAGE)

    async def get(self, key: str) -> tuple[Any, int] | None:
        """The value and its version, or None when absent or expired."""
        name = self._values + key
        found = await self._ask(lambda: self._redis.hmget(name, ["value", "version"]))
        data, version = found
        return (orjson.loads(data), int(version)) if data and version else None

    async def put(
        self, key: str, value: Any, *, version: int | None = None, ttl: float | None = None
    ) -> int:
        """Stores the value; with `version` only if that is the present one, else `Conflict`."""
        arguments = (
            key,
            dumped(key, value),
            "" if version is None else version,
            "" if ttl is None else max(0, round(ttl * 1000)),
        )
        names = (*self._names(key), self._marks + secrets.token_hex(8))
        done, present = await self._ask(lambda: self._put(names, arguments))
        if not done:
            raise stale(key, version or 0, present)
        return int(present)

    async def delete(self, key: str) -> bool:
        """Removes the key; whether it was there."""
        return bool(await self._ask(lambda: self._delete(self._names(key), (key,))))

    async def scan(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, Any]]:
        """Keys and values below the prefix, in the order of the keys, read a page at a time."""
        begin = b"(" + after.encode() if after >= prefix else b"[" + prefix.encode()
        end = b"(" + prefix.encode() + b"\xff"
        while True:
            bounds = (begin, end, _PAGE_SIZE)
            page = await self._ask(lambda bounds=bounds: self._page(self._names(""), bounds))
            for key, data in zip(page[::2], page[1::2], strict=True):
                if data:
                    yield key.decode(), orjson.loads(data)
            if len(page) < 2 * _PAGE_SIZE:
                return
            begin = b"(" + page[-2]

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()

    def _names(self, key: str) -> tuple[str, ...]:
        return (self._values + key, *self._sets)

    async def _ask(self, call: Callable[..., Awaitable[T]]) -> T:
        from redis.exceptions import RedisError

        try:
            return await reached(call, _away, self._where, self._patience)
        except RedisError as error:
            raise refused(self._where, error) from error


def _client(url: str) -> "Redis":
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise errors.MissingExtra("redis", "state on Redis") from None
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=COMMAND_TIMEOUT,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=COMMAND_TIMEOUT,
            retry=Retry(NoBackoff(), 0),  # what may be repeated, and for how long, is ours to say
        )
    except ValueError as error:
        raise errors.InvalidInput(f"{shown(url)} is no address of a Redis: {error}") from None
    return Redis.from_pool(pool)


def _away(error: Exception) -> bool:
    from redis import exceptions

    refusals = (exceptions.AuthenticationError, exceptions.AuthorizationError)
    gone = (
        exceptions.ConnectionError,
        exceptions.TimeoutError,
        exceptions.ReadOnlyError,  # a replica, until the failover is through
        exceptions.MasterDownError,
        OSError,
    )
    return isinstance(error, gone) and not isinstance(error, refusals)
