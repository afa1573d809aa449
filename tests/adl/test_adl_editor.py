"""The endpoint that ADL editors use, over HTTP."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
import uvicorn
from starlette.applications import Starlette

from lmos.arc.editor import DOCUMENT_LIMIT, PATH, usecases_route
from lmos.protocols import http


@pytest.fixture
async def url() -> AsyncIterator[str]:
    app = Starlette(routes=[usecases_route()], exception_handlers=http.exception_handlers)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        task = asyncio.create_task(server.serve([listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
        server.should_exit = True
        await task


async def test_a_document_and_what_is_wrong_with_it(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(url, data="### UseCase: ä\n#### Solution\n<x>S\n") as response:
            assert (response.status, response.content_type) == (200, "application/json")
            found = await response.json()
        assert (found["useCaseCount"], found["errors"]) == (1, [])
        assert found["useCases"][0]["id"] == "ä"
        assert found["useCases"][0]["solution"][0]["conditions"] == ["x"]
        async with session.post(url, data="# No use case") as response:
            found = await response.json()
        assert [error["code"] for error in found["errors"]] == ["SYNTAX_ERROR"]
        async with session.post(url, data=b"\xff") as response:
            assert response.status == 400
        async with session.post(url, data=io.BytesIO(b"a" * (DOCUMENT_LIMIT + 1))) as response:
            assert response.status == 413
        async with session.get(url) as response:
            assert response.status == 405
