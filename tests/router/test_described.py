"""Agents that say little of themselves, beside others that say much."""

import pytest

from lmos.llm import embedder
from lmos.model import Capability, Decision, Message, RoutableAgent
from lmos.router import RoutingRequest, RoutingTable, VectorRouter
from lmos.router.scoring.described import unevenness
from lmos.router.wording import of_capability, phrases


def agent(name: str, offer: str, description: str = "", *examples: str) -> RoutableAgent:
    made = Capability(name=offer, version="1.0.0", description=description, examples=examples)
    return RoutableAgent(name=name, capabilities=(made,))


BILLS = [
    "show me my bill", "how much do I owe", "what is the amount due", "when is my bill due",
    "why is my bill so high", "send me the last invoice", "I want to see my invoices",
    "there is a charge I do not know", "pay my bill", "my bill is wrong", "is my bill paid",
    "can I pay later",
]  # fmt: skip


async def decide(agents: list[RoutableAgent], text: str) -> Decision:
    table = await RoutingTable.build(agents, embedder())
    request = RoutingRequest((Message(role="user", content=text),))
    return await VectorRouter(embedder()).decide(request, table)


@pytest.mark.parametrize(
    ("description", "found"),
    [
        ("This agent is responsible for bills, credit and fees.", ["bills", "credit", "fees"]),
        ("Helps customers with mail such as letters (tracking)", ["mail", "letters", "tracking"]),
        ("Bills", ["Bills"]),
        ("- ", []),
    ],
)  # fmt: skip
def test_a_description_lists_things(description: str, found: list[str]) -> None:
    assert phrases(description) == found


def test_phrases_are_texts_only_where_examples_are_few() -> None:
    few = agent("shop-agent", "find_shop", "Opening hours and addresses of shops", "where are you")
    texts = of_capability(few, few.capabilities[0])
    assert texts[:2] == ["Opening hours and addresses of shops", "find shop"]
    assert "Opening hours" in texts
    many = agent("shop-agent", "find_shop", "Opening hours and addresses of shops", *BILLS)
    assert len(of_capability(many, many.capabilities[0])) == 2


def test_a_long_description_brings_a_bounded_number_of_texts() -> None:
    long = agent("long", "offer", ", ".join(f"thing number {n}" for n in range(1000)))
    assert len(of_capability(long, long.capabilities[0])) < 20


async def test_what_an_agent_only_describes_is_not_lost_to_one_with_many_examples() -> None:
    agents = [
        agent("billing", "view_bill", "", *BILLS),
        agent("parcels", "track_order", "Where an order is and when it will arrive"),
        agent("passwords", "recover_password", "Resetting a forgotten password"),
    ]
    for text, meant in (
        ("how do I get a new password", "passwords"),
        ("when does my order arrive", "parcels"),
        ("when do I have to pay my bill", "billing"),
    ):
        assert (await decide(agents, text)).candidates[0].agent == meant, text


async def test_names_alone_tell_agents_apart() -> None:
    agents = [
        agent(f"{name}-agent", name) for name in ("cancel_order", "get_refund", "open_account")
    ]
    for text, meant in (
        ("I want my money back", "get_refund-agent"),
        ("please cancel what I ordered", "cancel_order-agent"),
        ("how do I become a customer and get an account", "open_account-agent"),
    ):
        assert (await decide(agents, text)).candidates[0].agent == meant, text


def test_unevenness_is_of_the_numbers_of_examples() -> None:
    import numpy as np

    assert unevenness(np.array([5, 6, 8, 10])) < 0.2
    assert unevenness(np.array([0, 0, 0])) == 1
    assert unevenness(np.array([0, 1, 100])) == 1
    assert unevenness(np.array([], np.int64)) == 1
