"""The conformance suite of the Model Context Protocol, against our server and our client.

It is installed once, in exact versions, into `.cache/outside/mcp`. Scenarios that are not run:
`auth/2025-03-26-oauth-metadata-backcompat`, of a revision before the one that we follow, and
`auth/cross-app-access-complete-flow`, of an extension that we do not offer.
"""

import fcntl
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PLACE = HERE.parents[2] / ".cache" / "outside" / "mcp"
pytestmark = [pytest.mark.outside, pytest.mark.slow]

CLIENT = [
    "initialize",
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    "auth/metadata-default",
    "auth/metadata-var1",
    "auth/metadata-var2",
    "auth/metadata-var3",
    "auth/basic-cimd",
    "auth/scope-from-www-authenticate",
    "auth/scope-from-scopes-supported",
    "auth/scope-omitted-when-undefined",
    "auth/scope-step-up",
    "auth/scope-retry-limit",
    "auth/token-endpoint-auth-basic",
    "auth/token-endpoint-auth-post",
    "auth/token-endpoint-auth-none",
    "auth/pre-registration",
    "auth/2025-03-26-oauth-endpoint-fallback",
    "auth/resource-mismatch",
    "auth/offline-access-scope",
    "auth/offline-access-not-supported",
    "auth/client-credentials-jwt",
    "auth/client-credentials-basic",
]


@pytest.fixture(scope="session")
def conformance() -> list[str]:
    """The command that runs the suite."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("the conformance suite needs node and npm, which are not installed here")
    PLACE.mkdir(parents=True, exist_ok=True)
    with (PLACE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = (HERE / "package.json").read_text()
        done = PLACE / "installed.json"
        if not done.exists() or done.read_text() != wanted:
            (PLACE / "package.json").write_text(wanted)
            command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=PLACE, check=True, capture_output=True, timeout=300)
            done.write_text(wanted)
    bin_ = PLACE / "node_modules" / ".bin"
    return [str(bin_ / "node"), str(bin_ / "conformance")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Our server with everything that the suite asks for, as a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(HERE / "everything_server.py"), str(port)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def run(command: list[str], timeout: float = 240) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    said = re.sub(r"\x1b\[\d+m", "", done.stdout + done.stderr)
    assert done.returncode == 0, said[-6000:]
    return said


def test_our_server_passes_every_scenario(
    conformance: list[str], server: str, tmp_path: Path
) -> None:
    said = run([*conformance, "server", "--url", server, "--suite", "all", "-o", str(tmp_path)])
    results = dict(re.findall(r"✓ ([\w-]+): (\d+) passed, 0 failed", said))
    assert len(results) == 32
    assert re.search(r"Total: 44 passed, 0 failed", said), said[-3000:]


@pytest.mark.parametrize("scenario", CLIENT)
def test_our_client_passes(conformance: list[str], scenario: str, tmp_path: Path) -> None:
    client = f"{sys.executable} {HERE / 'everything_client.py'}"
    command = [*conformance, "client", "--command", client, "--scenario", scenario]
    said = run([*command, "--timeout", "120000", "-o", str(tmp_path)])
    assert re.search(r"Passed: (\d+)/\1, 0 failed", said), said[-3000:]
