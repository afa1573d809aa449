"""The description of the REST API: all of it, and true."""

import asyncio
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from identity_parts import ACME, House, housed
from runtime_parts import served
from starlette.routing import Route

from lmos.controlplane import api
from lmos.runtime import app, openapi
from lmos.runtime.identity import Gated

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"


def routes(house: House) -> list[Route]:
    found = [*house.routes(), *api.tenant_routes(house.store)]
    bare = [route.route if isinstance(route, Gated) else route for route in found]
    return [route for route in bare if isinstance(route, Route)]


async def test_every_path_of_the_rest_api_is_described_and_every_description_is_served() -> None:
    async with housed() as house:
        served_paths = {
            (method, route.path.replace(":path}", "}"))
            for route in routes(house)
            for method in (route.methods or set()) - {"HEAD"}
            if route.path.startswith(openapi.API)
        }
        assert openapi.OPERATIONS.keys() <= served_paths
        described = openapi.document(routes(house), closed=True)["paths"]
        assert {
            (method.upper(), path) for path, item in described.items() for method in item
        } == served_paths


#: Values that lead somewhere: else every request would end at a tenant that is not there.
PLACED = """
[parameters]
"path.tenant" = "acme"
"path.channel" = "web"
"query.tenantId" = "acme"
"query.channelId" = "web"
"""


async def test_what_is_served_beside_is_told() -> None:
    async with (
        housed() as house,
        aiohttp.ClientSession() as session,
        session.get(f"{house.url}/openapi.json") as response,
    ):
        told = (await response.json())["info"]["description"]
    assert [path for path in openapi.BESIDE if f"`{path}`" not in told] == []
    assert "/mcp/" not in openapi.document([], closed=True)["info"]["description"]


@pytest.mark.long
@pytest.mark.parametrize(("config", "seconds"), [(PLACED, 45), ("", 15)])
async def test_schemathesis_finds_nothing(tmp_path: Path, config: str, seconds: int) -> None:
    """Examples, the edges of every parameter, and what chance makes of them."""
    (tmp_path / "schemathesis.toml").write_text(config)
    async with housed() as house:
        found = [*house.routes(), *api.tenant_routes(house.store)]
        async with served(app.application(found, house.tenants)) as url:
            done = await asyncio.to_thread(
                subprocess.run,
                [
                    *(str(SCHEMATHESIS), "--config-file", "schemathesis.toml"),
                    *("run", f"{url}/openapi.json", "--no-color", "--continue-on-failure"),
                    *("--header", f"x-api-key: {ACME}", "--max-examples", "25"),
                    *("--seed", "7", "--workers", "2", "--max-time", str(seconds)),
                    # what fits a schema may still say what cannot be, as a last message that is
                    # the assistant's; there is no schema for that
                    *("--exclude-checks", "positive_data_acceptance"),
                ],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=170,
            )
        reached = len(house.billing.turns)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    assert reached or not config
