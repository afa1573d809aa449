"""The example with people behind its agents, from outside."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HELPDESK = Path(__file__).parents[2] / "examples" / "helpdesk"


def humans(up: Any, *words: str) -> str:
    command = [sys.executable, "-m", "lmos", "humans", "desk/web", "--url", up.url, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def test_from_specialist_to_generalist_to_people(
    tmp_path: Path, platform: Callable[..., Any]
) -> None:
    ignored = shutil.ignore_patterns(".lmos", "__pycache__")
    up = platform(shutil.copytree(HELPDESK, tmp_path / "helpdesk", ignore=ignored)).started()

    def ask(text: str, conversation: str) -> dict:
        return up.ask(text, conversation, "desk/web")

    assert ask("I forgot my password", "a")["content"].startswith("I have sent you a link")
    assert ask("hi there, how are you", "a")["content"].startswith("Hello!")
    passed_on = "I pass you on to a colleague. They will write to you here."
    for text, conversation in (
        ("I want to complain about you", "b"),
        ("translate this letter into Latin", "c"),
    ):
        told = ask(text, conversation)
        assert (told["content"], told["context"]["human"]) == (passed_on, "service-desk")
        assert ask("hello?", conversation)["content"].startswith("A person has taken over")
    waiting = humans(up).splitlines()
    assert [line.split()[:2] for line in waiting] == [["b", "service-desk"], ["c", "service-desk"]]
    assert "the customer wants to complain" in waiting[0]
    assert "is with the agents again" in humans(up, "--release", "b", "--said", "All is well.")
    assert ask("I forgot my password", "b")["content"].startswith("I have sent you a link")
    assert up.stop() == 0
