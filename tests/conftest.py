"""What every test may use."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import states
from database_servers import PostgresServer, RedisServer, start_postgres, start_redis
from lmos.model import State

# Tests decide the model themselves; keys or settings of the developer's shell must not.
for name in [n for n in os.environ if n.startswith(("LMOS_", "ARC_")) or n.endswith("_API_KEY")]:
    if name != "LMOS_BENCH_DATA":
        del os.environ[name]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with contextlib.closing(start_redis()) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with contextlib.closing(start_postgres()) as server:
        yield server


@pytest.fixture
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[states.Place]:
    """A state on its real server of those that the test is `states.over`."""
    kind = request.param
    url = ""
    if kind in ("redis", "postgres"):
        url = request.getfixturevalue(f"{kind}_server").url
    async with states.opened(kind, tmp_path, url) as opened:
        yield opened


@pytest.fixture
def state(place: states.Place) -> State:
    return place.state
