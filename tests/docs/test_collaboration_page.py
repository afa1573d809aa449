"""The page on agents that answer together: its blocks run as they stand, its channel is one."""

from typing import Any

import yaml
from page_blocks import blocks
from starlette.testclient import TestClient
from test_blocks import ROOT
from test_blocks import test_links_lead_somewhere as check_links

from lmos.model import Channel

PAGE = ROOT / "docs" / "collaboration.md"


def page() -> dict[str, Any]:
    """What the page defines, once its blocks have run."""
    code = "\n".join(text for language, text in blocks(PAGE) if language == "python")
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(code, "collaboration.md", "exec"), names)
    return names


def test_the_page_runs_and_its_service_answers() -> None:
    body = {
        "inputContext": {"messages": [{"role": "user", "content": "how much do I owe?"}]},
        "systemContext": {"channelId": "web"},
    }
    with TestClient(page()["service"]) as client:
        answer = client.post("/apis/v1/acme/chat/c/message", json=body).json()
        assert answer["content"] == "You owe 42.50 EUR."
        card = client.get("/a2a/acme/web/.well-known/agent-card.json").json()
        assert {skill["id"] for skill in card["skills"]} == {"view_bill", "track_order"}


def test_its_channel_falls_back_on_people() -> None:
    [text] = [text for language, text in blocks(PAGE) if language == "yaml"]
    channel = Channel.model_validate(yaml.safe_load(text))
    assert [str(step) for step in channel.spec.fallback] == ["small-talk", "service-desk"]


def test_its_links_lead_somewhere() -> None:
    check_links("docs/collaboration.md")
