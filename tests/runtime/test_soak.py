"""The soak in short: load and failures, and what must hold all the while. `make soak` is the long
one.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "bench" / "soak"


@pytest.mark.long
async def test_what_must_hold_holds_while_things_fail() -> None:
    command = [sys.executable, str(SOAK), "--seconds", "20", "--state", "sqlite"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, env={**os.environ, "SOAK_WORK": "0.4"}
    )
    async with asyncio.timeout(180):
        out, _ = await process.communicate()
    found = json.loads(out)
    assert found["violations"] == []
    assert process.returncode == 0
    assert all(phase["answered"] for phase in found["phases"].values())
    assert found["phases"]["twice the capacity"]["errors"]["429 OVERLOADED"] > 10
