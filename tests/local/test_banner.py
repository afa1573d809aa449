"""What `lmos up` prints once everything runs."""

import pytest

from lmos.local.banner import banner
from lmos.model import Agent, AgentSpec, Channel, ChannelSpec, ObjectMeta, RequiredCapability
from lmos.resolver import Offers, resolve


def channel(name: str, needs: int) -> Channel:
    required = tuple(RequiredCapability(name=f"need-{n}", version=">=1") for n in range(needs))
    wanted = Channel(
        metadata=ObjectMeta(name=name, labels={"tenant": "acme", "channel": name, "version": "1"}),
        spec=ChannelSpec(required_capabilities=required),
    )
    return resolve(Offers([]), wanted).channel


def told(*channels: Channel, width: int = 100) -> list[str]:
    agents = [
        Agent(metadata=ObjectMeta(name=f"agent-{n}"), spec=AgentSpec(version="1.0.0"))
        for n in range(9)
    ]
    text = banner(
        agents=agents, workers=[], channels=channels, model="direct",
        router="cascade (by vectors alone)",
        url="http://127.0.0.1:8080", console=True, width=width,
    )  # fmt: skip
    return text.splitlines()


@pytest.mark.parametrize("width", range(95, 120))
def test_lines_break_between_the_parts_and_keep_to_the_width(width: int) -> None:
    lines = told(*(channel(f"channel-{n}", 1) for n in range(9)), width=width)
    assert max(map(len, lines)) <= width
    assert not any(line.lstrip().startswith("·") for line in lines)
    assert "acme/channel-8 unresolved: need-0 >=1" in lines[-5]


def test_a_channel_without_agents_is_told_in_a_line() -> None:
    (line,) = (found for found in told(channel("web", 30)) if "acme/web" in found)
    assert line.endswith("unresolved: need-0 >=1, need-1 >=1, need-2 >=1, and 27 more")
