"""The decision log from outside: commands against the example, as its operators use them."""

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest


def lmos(acme: Any, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lmos", *words],
        env={**os.environ, "LMOS_URL": acme.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def turn(acme: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(
        lmos(
            acme, "ask", "acme/web", "how much do I owe you?", "--conversation", "log", "-o", "json"
        )
    )
    return told


def test_a_turn_is_explained(acme: Any, turn: dict[str, Any]) -> None:
    told = lmos(acme, "explain", f"log/{turn['turn']}", "--tenant", "acme")
    assert re.search(r"billing-agent\s+[01]\.\d\d  view_bill", told), told
    assert "asked       billing-agent 1.2.0: done after" in told
    assert "message     not kept (hash " in told
    assert "decided by  vector" in told
    data = json.loads(
        lmos(acme, "explain", f"log/{turn['turn']}", "--tenant", "acme", "-o", "json")
    )
    assert data["conversationId"] == "log"


def test_conversations_are_listed_shown_judged_and_deleted(acme: Any, turn: dict[str, Any]) -> None:
    assert "log" in lmos(acme, "conversations", "list", "--tenant", "acme")
    shown = lmos(acme, "conversations", "show", "log", "--tenant", "acme")
    assert "how much do I owe you?" in shown
    assert turn["turn"] in shown
    judged = ("conversations", "judge", f"log/{turn['turn']}", "--tenant", "acme")
    lmos(acme, *judged, "--bad", "--agent", "contract-agent", "--comment", "no")
    [record] = [
        json.loads(line)
        for line in lmos(acme, "decisions", "export", "--tenant", "acme").splitlines()
        if json.loads(line)["conversationId"] == "log"
    ]
    assert record["feedback"] == {"rating": -1, "agent": "contract-agent", "comment": "no"}
    lmos(acme, "conversations", "delete", "log", "--tenant", "acme")
    assert "log" not in lmos(acme, "conversations", "list", "--tenant", "acme").split()
    assert "log" not in lmos(acme, "decisions", "export", "--tenant", "acme")
