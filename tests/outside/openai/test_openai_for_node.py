"""The official OpenAI client for Node against a real server: chat, streams, responses."""

import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CACHE = HERE.parents[2] / ".cache" / "outside"
sys.path.insert(0, str(HERE.parents[1] / "serving"))

from serving_parts import KEY, payer, served, talker  # noqa: E402

from lmos.arc.serving import Settings  # noqa: E402
from lmos.llm.scripted import Say  # noqa: E402
from lmos.protocols.auth import Auth  # noqa: E402

pytestmark = pytest.mark.outside
TEXT = "Hello there, friend."


def installed() -> Path:
    """A folder with the client in its exact version."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    wanted = (HERE / "package.json").read_bytes()
    folder = CACHE / f"{HERE.name}-{hashlib.sha256(wanted).hexdigest()[:12]}"
    if not (folder / ".installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_bytes(wanted)
        options = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        ran = subprocess.run(
            ["npm", "install", *options], cwd=folder, capture_output=True, text=True, timeout=300
        )
        if ran.returncode:
            pytest.skip(f"npm could not install the client: {ran.stderr[-300:]}")
        (folder / ".installed").touch()
    return folder


async def run(url: str) -> dict[str, Any]:
    folder = installed()
    shutil.copy(HERE / "client.mjs", folder)
    process = await asyncio.create_subprocess_exec(
        *("node", "client.mjs", f"{url}/v1", KEY),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, err.decode()[-2000:]
    found: dict[str, Any] = json.loads(out)
    return found


async def test_the_client_works_in_every_way_we_offer() -> None:
    said = Say(TEXT, input_tokens=7, output_tokens=4)
    # In the order in which the script asks: chat, streamed, with the runner; then the responses.
    agents = [talker("talker", said, said, said, "Hello Ada.", "You are Ada.", said), payer()]
    async with served(agents, Settings(auth=Auth(keys=[KEY]))) as url:
        found = await run(url)
    usage = {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}
    assert found["models"] == ["talker", "payer"]
    assert found["chat"] == {"text": TEXT, "usage": usage}
    assert found["chunks"] == {"text": TEXT, "finish": ["stop"], "usage": usage}
    assert found["runner"] == TEXT
    assert found["responses"] == ["Hello Ada.", "You are Ada."]
    assert found["stream"]["text"] == TEXT
    assert found["stream"]["kinds"][0] == "response.created"
    assert found["stream"]["kinds"][-1] == "response.completed"
    assert found["approval"] == {"name": "pay", "arguments": {"amount": 12}, "text": "Paid."}
    assert found["refused"]["model"] == ["NotFoundError", 404, "model_not_found"]
    assert found["refused"]["key"][:2] == ["AuthenticationError", 401]
