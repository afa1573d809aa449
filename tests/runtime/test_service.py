"""`lmos runtime` as a process: what it needs to start, what it tells, and how it ends."""

import asyncio
import signal
import subprocess
from pathlib import Path

import aiohttp
import pytest
from identity_parts import ACME, bearer, digest
from runtime_parts import Player, serving
from service_parts import LMOS, original, running, said

from lmos.local.identity import check_open
from lmos.local.platform import Platform
from lmos.local.project import Project
from lmos.model import errors
from lmos.protocols.tokens import JWKS, Tokens


async def test_it_finishes_what_runs_and_says_that_it_is_leaving(tmp_path: Path) -> None:
    billing = Player("billing")
    billing.slowly(1.0)
    async with serving(billing.respond, "billing") as agent:
        (tmp_path / "routings.yaml").write_text(original(agent))
        async with (
            running(tmp_path, LMOS_ROUTINGS="routings.yaml") as process,
            aiohttp.ClientSession() as session,
        ):
            url = await process.url()
            assert "open: whoever reaches this port may ask" in process.log.read_text()
            path = f"{url}/apis/v1/acme/chat/c/message"
            watching = await session.get(f"{url}/health/live")
            turn = asyncio.create_task(_answer(session, path))
            async with asyncio.timeout(10):
                while not billing.turns:
                    await asyncio.sleep(0.01)
            process.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
            with pytest.raises(aiohttp.ClientConnectorError):
                async with aiohttp.ClientSession() as other:
                    await other.get(f"{url}/health/ready")
            assert await turn == (200, "billing: show me my bill")
            watching.close()
            assert await process.ended() == 0


async def _answer(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with session.post(path, json=said("show me my bill")) as response:
        return response.status, (await response.json())["content"]


async def test_with_identity_agents_can_trust_what_it_states(tmp_path: Path) -> None:
    (tmp_path / "tenants.yaml").write_text(
        "apiVersion: lmos.eclipse/v1\nkind: Tenant\nmetadata: {name: acme}\n"
        f"spec: {{keys: [{{sha256: {digest(ACME)}}}]}}\n"
    )
    billing = Player("billing")
    async with serving(billing.respond, "billing") as agent:
        (tmp_path / "routings.yaml").write_text(original(agent))
        options = ("--routings", "routings.yaml", "--identity", "tenants.yaml")
        async with running(tmp_path, *options) as process, aiohttp.ClientSession() as session:
            url = await process.url()
            path = f"{url}/apis/v1/acme/chat/c/message"
            assert (await session.post(path, json=said("my bill"))).status == 401
            async with session.post(path, json=said("my bill"), headers=bearer(ACME)) as response:
                assert response.status == 200
            async with session.get(url + JWKS) as response:
                assert (await response.json())["keys"][0]["crv"] == "Ed25519"
            assert Tokens(jwks_url=url + JWKS, issuer="lmos-runtime", audience="billing")
            process.process.send_signal(signal.SIGTERM)
            assert await process.ended() == 0


async def test_it_is_not_open_to_the_network_by_mistake(tmp_path: Path) -> None:
    (tmp_path / "routings.yaml").write_text(original("http://billing"))
    done = await asyncio.to_thread(
        subprocess.run,
        [*LMOS, "--routings", "routings.yaml", "--host", "0.0.0.0", "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert "--identity" in done.stderr
    assert "Traceback" not in done.stderr
    for host in ("127.0.0.1", "::1", "localhost"):
        check_open(host, identity_given=False, allowed=False)
    check_open("0.0.0.0", identity_given=True, allowed=False)
    check_open("0.0.0.0", identity_given=False, allowed=True)
    with pytest.raises(errors.InvalidInput, match="--open"):
        Platform(Project.at(tmp_path), host="0.0.0.0", port=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--routings", "nowhere"), "there is nothing at nowhere"),
        (("--routings", ".", "--router", "best"), "no router 'best'"),
        (("--routings", ".", "--state", "stone"), "'stone' is no state"),
        (("--routings", ".", "--identity", "nowhere"), "there is nothing at nowhere"),
    ],
)
async def test_what_cannot_be_is_said_in_one_line(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [*LMOS, "--port", "0", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
