"""The decision log from outside: commands against the example, as its operators use them."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ACME = Path(__file__).parents[2] / "examples" / "acme"


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


def settled(up: Any) -> Any:
    """The platform, once all its agents serve the channel: a busy machine may need a while."""
    deadline = time.monotonic() + 60
    while len(up.get("/apis/v1/agents/acme/web")) < 6:
        assert time.monotonic() < deadline, up.output()
        time.sleep(0.1)
    return up


def failing(acme: Any, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lmos", *words],
        env={**os.environ, "LMOS_URL": acme.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def turn(acme: Any) -> dict[str, Any]:
    settled(acme)
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
    assert re.search(r"decided by  \S+, table \w+", told), told
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


def test_a_log_is_replayed_and_compared_with_its_shadow(
    platform: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMOS_DECISIONS", "kept")
    monkeypatch.setenv("LMOS_SHADOW", "vector 1")
    project = tmp_path / "acme"
    shutil.copytree(ACME, project, ignore=shutil.ignore_patterns(".lmos", "__pycache__"))
    up = settled(platform(project).started())
    texts = ("how much do I owe you?", "where are my orders?", "who won the world cup?")
    for number, text in enumerate(texts):
        lmos(up, "ask", "acme/web", text, "--conversation", f"r{number}")
    log = tmp_path / "log.jsonl"
    log.write_text(lmos(up, "decisions", "export", "--tenant", "acme"))
    assert len(log.read_text().splitlines()) == 3
    same = json.loads(lmos(up, "replay", str(log), "--agents", str(project), "-o", "json"))
    assert (same["total"], same["same"]) == (3, 3)
    assert "3 of 3 decided the same (100.0%)" in lmos(up, "replay", "--tenant", "acme")
    other = tmp_path / "other.csv"
    other.write_text(
        "instruction,agent\nhow much do I owe,accounts\nwhere is my order,order-agent\n"
    )
    moved = lmos(up, "replay", str(log), "--examples", str(other))
    assert "billing-agent -> accounts" in moved
    assert "[r0/" in moved
    shadow = lmos(up, "decisions", "shadow", "--tenant", "acme")
    assert shadow.startswith("shadow vector\n3 of 3 decided the same")
    turn = json.loads(log.read_text().splitlines()[-1])["turnId"]
    lmos(up, "conversations", "judge", f"r0/{turn}", "--tenant", "acme", "--good")
    labelled = lmos(up, "decisions", "export", "--tenant", "acme", "--labelled")
    assert labelled.splitlines() == [
        "instruction,agent,conversation",
        "how much do I owe you?,billing-agent,r0",
    ]


def test_what_cannot_be_replayed_is_told(acme: Any, tmp_path: Path) -> None:
    lmos(acme, "ask", "acme/web", "how much do I owe you?")
    told = failing(acme, "replay", "--tenant", "acme")
    assert "only hashes of their messages were kept" in told
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text("{}\n")
    assert "line 1 of the log is no decision" in failing(acme, "replay", str(wrong))
    wrong.write_text("\n")
    assert "no decisions" in failing(acme, "replay", str(wrong))
    wrong.write_text("nonsense\n")
    assert "line 1 of the log is no decision" in failing(acme, "replay", str(wrong))
