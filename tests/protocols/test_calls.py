"""Asking others: a stale connection is asked again, nothing else is."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from lmos.model.errors import AgentUnavailable
from lmos.protocols import calls, http

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Closing:
    """Answers `patience` requests on each connection and closes it at the next."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.requests = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for turn in range(self.patience + 1):
            if not await reader.readline():
                break
            while await reader.readline() not in (b"\r\n", b""):
                pass
            self.requests += 1
            if turn < self.patience:
                writer.write(ANSWER)
        writer.close()


@asynccontextmanager
async def listening(server: Closing) -> AsyncGenerator[str, None]:
    async with await asyncio.start_server(server, "127.0.0.1", 0) as found:
        yield f"http://127.0.0.1:{found.sockets[0].getsockname()[1]}/"
        await http.close_session()


async def ask(url: str) -> bytes:
    async with calls.request("POST", url, who="the agent") as response:
        return await calls.read(response, "the agent")


async def test_a_pooled_connection_that_was_closed_is_replaced_by_a_new_one() -> None:
    server = Closing(patience=1)
    async with listening(server) as url:
        assert await ask(url) == b"{}"
        assert await ask(url) == b"{}"
    assert server.requests == 3


async def test_a_whole_pool_of_closed_connections_is_replaced() -> None:
    server = Closing(patience=1)
    async with listening(server) as url:
        await asyncio.gather(*(ask(url) for _ in range(3)))
        assert server.requests == 3  # at once, so on three connections
        assert await ask(url) == b"{}"
    assert server.requests == 7


async def test_a_new_connection_that_is_closed_is_not_asked_again() -> None:
    server = Closing(patience=0)
    async with listening(server) as url:
        with pytest.raises(AgentUnavailable, match="without an answer"):
            await ask(url)
    assert server.requests == 1
