"""A client that leaves in the middle of an answer stops the model, at once.

Server, sockets and clients are real; the model is a script that talks slowly and notes when it is
stopped.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import aiohttp
import grpc.aio
import pytest
from a2a.client import ClientConfig, create_client
from a2a.helpers import new_text_message
from a2a.types import Role, SendMessageRequest
from serving_parts import served

from lmos import Agent
from lmos.arc.serving import Settings
from lmos.protocols import http

#: Seconds after which a client that has left must have stopped the model.
AT_ONCE = 0.1
PEOPLE = 50


class Slow:
    """A model that says a word every 10 ms; `running` models talk now, `stopped` has the moments
    when one was stopped.
    """

    def __init__(self) -> None:
        self.running = 0
        self.stopped: list[float] = []

    @property
    def model(self) -> Any:
        from pydantic_ai.models.function import FunctionModel

        return FunctionModel(stream_function=self._stream, model_name="slow")

    async def _stream(self, messages: list[Any], info: Any) -> AsyncIterator[str]:
        self.running += 1
        try:
            while True:
                yield "word "
                await asyncio.sleep(0.01)
        finally:
            self.running -= 1
            self.stopped.append(time.monotonic())


CHAT = {"model": "slow", "messages": [{"role": "user", "content": "talk"}], "stream": True}
MESSAGE = {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "talk"}]}}
RPC = {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": MESSAGE}
DOORS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", CHAT),
    "responses": ("/v1/responses", {"model": "slow", "input": "talk", "stream": True}),
    "JSON-RPC": ("/a2a", RPC),
    "HTTP+JSON": ("/a2a/message:stream", MESSAGE),
}


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession, None]:
    async with aiohttp.ClientSession() as found:
        yield found
    await http.close_session()


async def until(condition: Any) -> float:
    """Waits for the condition and gives the moment."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)
    return time.monotonic()


@pytest.mark.parametrize("door", DOORS)
async def test_the_model_stops_within_100_ms(door: str, session: aiohttp.ClientSession) -> None:
    slow = Slow()
    path, body = DOORS[door]
    async with served(Agent(name="slow", model=slow.model)) as url:
        response = await session.post(url + path, json=body)
        text = b""
        while text.count(b"word") < 3:
            text += await response.content.readany()
        assert slow.running == 1
        left = time.monotonic()
        response.close()
        await until(lambda: slow.stopped)
    assert slow.stopped[0] - left < AT_ONCE


async def test_it_stops_over_grpc_too() -> None:
    slow = Slow()
    settings = Settings(grpc="127.0.0.1:0")
    config = ClientConfig(
        supported_protocol_bindings=["GRPC"], grpc_channel_factory=grpc.aio.insecure_channel
    )
    async with served(Agent(name="slow", model=slow.model), settings) as url:
        client = await create_client(url, config)
        message = SendMessageRequest(message=new_text_message("talk", role=Role.ROLE_USER))
        reading = asyncio.create_task(_read(client, message))
        await until(lambda: slow.running)
        left = time.monotonic()
        reading.cancel()
        await client.close()  # cancelling alone, the client sometimes leaves its call open
        await until(lambda: slow.stopped)
    assert slow.stopped[0] - left < AT_ONCE


async def _read(client: Any, message: SendMessageRequest) -> None:
    async for _ in client.send_message(message):
        pass


async def test_many_who_leave_together_leave_nothing_running(
    session: aiohttp.ClientSession,
) -> None:
    slow = Slow()
    async with served(Agent(name="slow", model=slow.model)) as url:
        path, body = DOORS["chat"]
        responses = await asyncio.gather(
            *(session.post(url + path, json=body) for _ in range(PEOPLE))
        )
        await until(lambda: slow.running == PEOPLE)
        for response in responses:
            response.close()
        await until(lambda: slow.running == 0)
    assert len(slow.stopped) == PEOPLE
