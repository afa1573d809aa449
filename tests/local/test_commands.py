"""What the commands say when what answers them is not well."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from lmos.cli.ask import ask
from lmos.cli.platform import Platform
from lmos.local.process import listen
from lmos.local.server import Server, url_of


async def half() -> AsyncGenerator[bytes, None]:
    yield b'data: {"type": "started", "agent": "billing-agent"}\n\n'
    yield b'data: {"type": "text_delta", "text": "Your bill"}\n\n'


def broken() -> Starlette:
    """Begins answers that it does not finish, and shows a page where data is asked for."""
    return Starlette(
        routes=[
            Route(
                "/apis/v1/{tenant}/chat/{conversation}/message",
                lambda _: StreamingResponse(half(), media_type="text/event-stream"),
                methods=["POST"],
            ),
            Route("/{path:path}", lambda _: PlainTextResponse("<html>welcome</html>")),
        ]
    )


async def told(capsys: pytest.CaptureFixture[str], *, path: str = "") -> str:
    """What a command that fails at the broken platform says."""

    def run(url: str) -> None:
        platform = Platform(url)
        if path:
            platform.get(path)
        else:
            ask(platform, ("acme", "web"), "how much do I owe?")

    listener = listen()
    server = Server(broken(), listener)
    serving = asyncio.create_task(server.serve())
    try:
        await server.ready()
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(run, url_of(listener))
        assert ended.value.code == 1
    finally:
        server.should_exit = True
        await serving
        listener.close()
    return capsys.readouterr().err


async def test_an_answer_that_breaks_off_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert "broke off in the middle of its answer" in await told(capsys)


async def test_what_is_no_platform_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    found = await told(capsys, path="/apis/lmos.eclipse/v1/agents")
    assert "is no platform: /apis/lmos.eclipse/v1/agents is not JSON" in found


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "from lmos import Agent\none = Agent(name='one-agent', use_cases='', model='direct')\n"
    )
    with listen() as taken:
        port = taken.getsockname()[1]
        ran = subprocess.run(
            [sys.executable, "-m", "lmos", "serve", "one", "--port", str(port)],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use;"
        " choose another with --host and --port\n"
    )


def test_a_file_in_place_of_a_module_is_told() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "lmos", "serve", "agents/shop/agent.py"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ran.returncode != 0
    assert "agents/shop/agent.py is a file; name its module: agents.shop.agent" in ran.stderr
