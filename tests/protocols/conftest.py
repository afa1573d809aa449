"""Servers for the tests of protocols."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack

import pytest
from protocol_servers import Serve, app_of, serving
from starlette.routing import BaseRoute

from lmos.protocols import http


@pytest.fixture
async def serve() -> AsyncGenerator[Serve, None]:
    """Serves routes as the platform does, and gives their base URL."""
    async with AsyncExitStack() as stack:

        async def start(routes: Sequence[BaseRoute]) -> str:
            return await stack.enter_async_context(serving(app_of(routes)))

        yield start
        await http.close_session()
