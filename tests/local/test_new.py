"""`lmos new agent`: what it writes passes its own test, and starts."""

import subprocess
import sys
from pathlib import Path


def run(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_agent_passes_the_test_that_comes_with_it(tmp_path: Path) -> None:
    assert "lmos up ." in run(tmp_path, "lmos", "new", "agent", "clock")
    program = Path(sys.executable).with_name("pytest")  # which does not look in the directory
    done = subprocess.run(
        [program, "-q", "agents", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_second_one_stands_beside_it(tmp_path: Path) -> None:
    run(tmp_path, "lmos", "new", "agent", "clock")
    run(tmp_path, "lmos", "new", "agent", "time-zone")
    agents = sorted(file.parent.name for file in tmp_path.glob("agents/*/agent.py"))
    assert agents == ["clock", "time_zone"]
    assert len(list(tmp_path.glob("channels/*.yaml"))) == 1
