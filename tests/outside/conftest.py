"""Suites and clients that others wrote, run by Node against our real servers."""

import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "outside"
sys.path.insert(0, str(HERE.parent / "protocols"))

#: Runs a script of the suite with arguments and a JSON input; gives the JSON that it prints.
Node = Callable[..., Awaitable[Any]]


def installed(suite: Path) -> Path:
    """The folder with the suite's packages, in exact versions, and its scripts."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    wanted = (suite / "package.json").read_bytes()
    folder = CACHE / f"{suite.name}-{hashlib.sha256(wanted).hexdigest()[:12]}"
    done = folder / ".installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_bytes(wanted)
        command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
        ran = subprocess.run(
            [*command, "--ignore-scripts"], cwd=folder, capture_output=True, text=True, timeout=300
        )
        if ran.returncode:
            pytest.skip(f"npm could not install {suite.name}: {ran.stderr[-300:]}")
        done.touch()
    for script in suite.glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


async def run_node(folder: Path, script: str, *arguments: str, given: Any = None) -> Any:
    process = await asyncio.create_subprocess_exec(
        "node",
        script,
        *arguments,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate(json.dumps(given).encode())
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, err.decode()[-2000:]
    return json.loads(out)


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Node:
    """Runs scripts of the folder that the test lies in."""
    folder = installed(request.path.parent)

    async def run(script: str, *arguments: str, given: Any = None) -> Any:
        return await run_node(folder, script, *arguments, given=given)

    return run
