"""The page on agents that answer together: its blocks run as they stand, its channel is one."""

import yaml
from page_blocks import blocks
from test_blocks import ROOT
from test_blocks import test_links_lead_somewhere as check_links

from lmos.model import Channel

PAGE = ROOT / "docs" / "collaboration.md"


def test_the_page_runs() -> None:
    code = "\n".join(text for language, text in blocks(PAGE) if language == "python")
    exec(compile(code, "collaboration.md", "exec"), {"__name__": "docs"})


def test_its_channel_falls_back_on_people() -> None:
    [text] = [text for language, text in blocks(PAGE) if language == "yaml"]
    channel = Channel.model_validate(yaml.safe_load(text))
    assert [str(step) for step in channel.spec.fallback] == ["small-talk", "service-desk"]


def test_its_links_lead_somewhere() -> None:
    check_links("docs/collaboration.md")
