"""What only developers should see: open with `dev`, else not there."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from serving_parts import served, talker

from lmos import Context
from lmos.arc.serving import Settings
from lmos.protocols import http

TRY = 'mutation { tool(name: "add", parameters: "{\\"x\\": 1, \\"y\\": %s}") { result error } }'


@pytest.fixture(autouse=True)
async def _session() -> AsyncGenerator[None, None]:
    yield
    await http.close_session()


async def graphql(url: str, query: str) -> Any:
    async with http.session().post(url + "/graphql", json={"query": query}) as response:
        return await response.json()


def adder() -> Any:
    agent = talker("adder")

    @agent.tool
    def add(ctx: Context, x: int, y: int) -> int:
        """Adds."""
        ctx.emit("adding")
        return x + y

    return agent


async def test_tools_are_listed_and_tried_and_use_cases_checked() -> None:
    async with served(adder(), Settings(dev=True)) as url:
        listed = await graphql(url, "{ tool { tools { name description } } }")
        assert listed["data"]["tool"]["tools"] == [{"name": "add", "description": "Adds."}]
        tried = (await graphql(url, TRY % "2"))["data"]["tool"]
        assert tried == {"result": "3", "error": None}
        wrong = (await graphql(url, TRY % "[]"))["data"]["tool"]
        assert "y: Input should be a valid integer" in wrong["error"]
        async with http.session().post(url + "/arc/usecases", data="### UseCase: x\n") as response:
            assert (await response.json())["useCaseCount"] == 1


async def test_without_the_switch_there_is_none_of_that() -> None:
    async with served(adder()) as url:
        assert "errors" in await graphql(url, TRY % "2")
        assert "errors" in await graphql(url, "{ tool { tools { name } } }")
        assert (await graphql(url, "{ agent { names } }"))["data"]["agent"]["names"] == ["adder"]
        async with http.session().post(url + "/arc/usecases", data="x") as response:
            assert response.status == 404
