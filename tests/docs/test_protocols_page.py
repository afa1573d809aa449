"""The page on GraphQL and AG-UI: its Python blocks run, against the app that they build."""

import re
import sys
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "protocols"))

from protocol_servers import serving  # noqa: E402

from lmos.protocols import http  # noqa: E402

PAGE = ROOT / "docs" / "protocols.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


async def test_the_page_runs() -> None:
    page: dict[str, Any] = {"__name__": "docs"}
    exec(compile("\n".join(blocks("python")), str(PAGE), "exec"), page)
    answer = "We are open from 9 to 18."
    await page["hours"].start()
    try:
        async with serving(page["app"]) as url:
            assert await page["over_graphql"](url) == answer
            assert await page["over_agui"](url) == answer
            (query,), (variables,) = blocks("graphql"), blocks("json")
            body = f'{{"query": "{" ".join(query.split())}", "variables": {variables}}}'
            headers = {"content-type": "application/json", "accept": "text/event-stream"}
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{url}/graphql", data=body, headers=headers) as response,
            ):
                assert answer in await response.text()
            await http.close_session()
    finally:
        await page["hours"].stop()


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE.read_text()):
        assert target.startswith("http") or (PAGE.parent / target).exists(), target
