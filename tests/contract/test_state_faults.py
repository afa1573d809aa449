"""What a state on a server does when the server dies, comes back, hangs, or an answer is lost."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from test_state import _COUNT

from database_servers import PASSWORD, DatabaseServer
from lmos.model import State, errors
from lmos.state import PostgresState, RedisState, open_state

Make = Callable[..., Any]


@pytest.fixture(params=["redis", "postgres"])
def server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    running: DatabaseServer = request.getfixturevalue(f"{request.param}_server")
    yield running
    running.kill()
    running.start()
    running.wait()


@asynccontextmanager
async def connected(server: DatabaseServer, **options: Any) -> AsyncIterator[State]:
    make: Make = RedisState if server.url.startswith("redis") else PostgresState
    state = make(options.pop("url", server.url), **options)
    try:
        yield state
    finally:
        await state.close()


async def emptied(state: State) -> None:
    for key in [key async for key, _ in state.scan("")]:
        await state.delete(key)


async def test_it_goes_on_after_a_restart(server: DatabaseServer) -> None:
    async with connected(server, patience=20) as state:
        await emptied(state)
        await asyncio.gather(*(state.put(f"k/{n}", n) for n in range(30)))
        server.kill()
        server.start()
        found = await asyncio.gather(*(state.get(f"k/{n}") for n in range(30)))
        assert found == [(n, 1) for n in range(30)]
        assert len([key async for key, _ in state.scan("k/")]) == 30
        assert await state.put("k/0", "new", version=1) == 2


async def test_a_crash_under_two_writing_processes_loses_and_doubles_nothing(
    server: DatabaseServer,
) -> None:
    async with connected(server, patience=20) as state:
        await emptied(state)
        code = _COUNT.replace("open_state(sys.argv[1])", "patient(open_state(sys.argv[1]))")
        code = "def patient(state):\n    state._patience = 20\n    return state\n" + code
        writers = [
            await asyncio.create_subprocess_exec(sys.executable, "-c", code, server.url, "150")
            for _ in range(2)
        ]
        for least in (50, 120, 200):
            while (await state.get("n") or (0, 0))[0] < least:
                await asyncio.sleep(0)
            server.kill()
            server.start()
        assert [await writer.wait() for writer in writers] == [0, 0]
        assert await state.get("n") == (300, 300)


async def test_a_server_that_is_away_is_told_with_its_address(server: DatabaseServer) -> None:
    async with connected(server, patience=0.2) as state:
        await state.put("a", 1)
        server.kill()
        began = time.monotonic()
        for call in (state.get("a"), state.put("a", 2), state.delete("a"), anext(state.scan("a"))):
            with pytest.raises(errors.StateUnavailable, match=f"127.0.0.1:{server.port}") as raised:
                await call
            assert PASSWORD not in str(raised.value)
        assert time.monotonic() - began < 3


async def test_a_server_that_refuses_is_told_at_once(server: DatabaseServer) -> None:
    url = server.url.replace(PASSWORD, "wrong-password")
    async with connected(server, url=url, patience=30) as state:
        with pytest.raises(errors.StateUnavailable, match="refuses") as raised:
            await state.get("a")
        assert "wrong-password" not in str(raised.value)


async def test_a_redis_that_is_full_is_told(redis_server: DatabaseServer) -> None:
    async with connected(redis_server) as state:
        await emptied(state)
        await state.put("a", 1)
        redis = state._redis  # type: ignore[attr-defined]
        await redis.config_set("maxmemory", "1kb")
        try:
            with pytest.raises(errors.StateUnavailable, match=r"refuses: .*maxmemory"):
                await state.put("a", 2)
            assert await state.get("a") == (1, 1)
        finally:
            await redis.config_set("maxmemory", "0")


async def test_a_postgres_that_takes_no_writes_is_told(postgres_server: DatabaseServer) -> None:
    async with connected(postgres_server, patience=0.2) as state:
        await emptied(state)
        await state.put("a", 1)
        read_only = "alter role lmos set default_transaction_read_only = "
        await state._pool.execute(read_only + "on")  # type: ignore[attr-defined]
        async with connected(postgres_server, patience=0.2) as other:
            with pytest.raises(errors.StateUnavailable, match="read-only"):
                await other.put("a", 2)
            assert await other.get("a") == (1, 1)
        await state._pool.execute(read_only + "off")  # type: ignore[attr-defined]


async def test_a_server_that_hangs_holds_nobody_for_long(
    server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in ("redis", "postgres"):
        monkeypatch.setattr(f"lmos.state.{room}.COMMAND_TIMEOUT", 0.3)
        monkeypatch.setattr(f"lmos.state.{room}.CONNECT_TIMEOUT", 0.3)
    async with connected(server, patience=0.2) as state:
        await state.put("a", 1)
        with server.hung():
            began = time.monotonic()
            with pytest.raises(errors.StateUnavailable):
                await state.get("a")
            assert time.monotonic() - began < 3
        state._patience = 20  # type: ignore[attr-defined]
        assert await state.get("a")


async def test_a_write_whose_answer_is_lost_counts_once(server: DatabaseServer) -> None:
    async with losing(server.port) as (port, lose):
        url = server.url.replace(f":{server.port}", f":{port}")
        async with connected(server, url=url) as state:
            await emptied(state)
            await state.put("warm", 1, version=await state.put("warm", 0))
            lose.set()
            assert await state.put("a", "first", version=0) == 1
            assert not lose.is_set()
            lose.set()
            assert await state.put("a", "second", version=1) == 2
            assert not lose.is_set()
            lose.set()
            assert await state.put("a", "third") == 3
            assert await state.get("a") == ("third", 3)


@asynccontextmanager
async def losing(server: int) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A way to the server that, when told, breaks the connection instead of giving an answer."""
    lose = asyncio.Event()
    pumps: set[asyncio.Task[None]] = set()

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool) -> None:
        with suppress(ConnectionError, asyncio.CancelledError):
            while data := await source.read(65536):
                if answers and lose.is_set():
                    lose.clear()
                    break
                sink.write(data)
                await sink.drain()
        sink.close()

    async def connect(client: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", server)
        for pumping in (pump(client, back, False), pump(there, out, True)):
            pumps.add(asyncio.create_task(pumping))

    way = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        yield way.sockets[0].getsockname()[1], lose
    finally:
        way.close()
        for pumping in pumps:
            pumping.cancel()
        await asyncio.gather(*pumps)


async def test_two_states_open_one_fresh_database_at_once(
    postgres_server: DatabaseServer,
) -> None:
    async with connected(postgres_server) as state:
        await state.get("a")
        await state._pool.execute("drop table lmos_state, lmos_writes")  # type: ignore[attr-defined]
    fresh = [open_state(postgres_server.url) for _ in range(5)]
    await asyncio.gather(*(state.put(f"k/{n}", n) for n, state in enumerate(fresh)))
    assert [n async for _, n in fresh[0].scan("k/")] == list(range(5))
    for state in fresh:
        await state.close()
