"""The page on many agents: its blocks run, and its remote agents are asked over real servers."""

import sys
from pathlib import Path
from typing import Any

import pytest
from page_blocks import blocks

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "serving"))

from serving_parts import serving_app  # noqa: E402

from lmos import Agent  # noqa: E402
from lmos.arc import HandOver, Remote, Team  # noqa: E402
from lmos.arc.serving import app  # noqa: E402
from lmos.model import ToolResult  # noqa: E402

PAGE = ROOT / "docs" / "many-agents.md"
OWED = "You owe 42.50 EUR."


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    code = "\n".join(text for language, text in blocks(PAGE) if language == "python")
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


async def test_an_agent_asks_one_that_is_far_away(page: dict[str, Any]) -> None:
    async with serving_app(app(page["billing"])) as url, page["desk_in_front_of"](url) as desk:
        result = await desk.run("what do I owe?")
        assert [e.result for e in result.events if isinstance(e, ToolResult)] == [OWED]
        await Remote(url, name="billing-agent").stop()


@pytest.mark.parametrize(
    ("protocol", "path"),
    [
        ("a2a", ""),
        ("openai", "/v1#billing-agent"),
        ("graphql", "#billing-agent"),
        ("agui", "/agui"),
        ("mcp", "/mcp"),
    ],
)
async def test_every_protocol_reaches_it(page: dict[str, Any], protocol: str, path: str) -> None:
    front = Agent(name="front", model="direct")

    @front.input_filter
    def away(ctx: Any, text: str) -> None:
        raise HandOver("billing-agent")

    async with serving_app(app(page["billing"])) as url:
        remote = Remote(url + path, name="billing-agent", protocol=protocol)
        assert (await remote.run("how much do I owe?")).text == OWED
        assert (await Team("t", [front, remote]).run("how much do I owe?")).text == OWED
        await remote.stop()
