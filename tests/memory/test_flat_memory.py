"""Many conversations do not take more and more of the process's memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "memory.py"


@pytest.mark.slow
def test_the_process_does_not_grow_with_the_conversations_it_has_held() -> None:
    ran = subprocess.run(
        [sys.executable, BENCH, "--conversations", "200", "--turns", "10"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(ran.stdout)
    assert found["messages_of_the_last"] == 20
    assert found["growth_mib"] < 8, found
