"""Messages that go on with a conversation, and such that leave it."""

from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from lmos.cli.agents import routable_agents
from lmos.llm import embedder
from lmos.model import Decision, Embedder, Message
from lmos.router import RoutingRequest, RoutingTable, VectorRouter
from lmos.router.conversation import Prior, Stay, weighed
from lmos.router.followup import form_of

ACME = Path(__file__).parents[2] / "examples" / "acme"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def table() -> RoutingTable:
    return await RoutingTable.build(routable_agents(ACME, None), embedder())


async def decide(
    table: RoutingTable, *said: str, active: str | None, vectors: Embedder | None = None
) -> Decision:
    messages = tuple(Message(role="user", content=text) for text in said)
    router = VectorRouter(vectors or embedder())
    return await router.decide(RoutingRequest(messages, active), table)


@pytest.mark.parametrize(
    ("before", "text", "agent"),
    [
        ("how much do I owe you?", "and the one before?", "billing-agent"),
        ("how much do I owe you?", "how much is that", "billing-agent"),
        ("where is my order", "cancel it", "order-agent"),
        ("what does roaming in Turkey cost", "and in Japan?", "roaming-agent"),
        ("find a store in Frankfurt", "what about Leipzig?", "store-agent"),
        ("my internet is dead", "I did that already", "support-agent"),
        ("what does roaming in Turkey cost", "und in Japan?", "roaming-agent"),
    ],
)
async def test_follow_ups_stay(table: RoutingTable, before: str, text: str, agent: str) -> None:
    decision = await decide(table, before, text, active=agent)
    assert (decision.agent, decision.sticky) == (agent, True), decision


@pytest.mark.parametrize(
    ("text", "agent"),
    [
        ("where is my parcel?", "order-agent"),
        ("and where is your shop in Berlin?", "store-agent"),
        ("I want to cancel my contract", "contract-agent"),
        ("my wifi is slow", "support-agent"),
        ("ok, and what does roaming in Spain cost?", "roaming-agent"),
    ],
)
async def test_another_subject_leaves_at_once(table: RoutingTable, text: str, agent: str) -> None:
    decision = await decide(table, "how much do I owe you?", text, active="billing-agent")
    assert decision.agent == agent, decision
    assert not decision.sticky


async def test_a_conversation_makes_no_stranger_an_agents(table: RoutingTable) -> None:
    for text in ("who wrote Hamlet?", "what is the capital of Peru"):
        decision = await decide(table, "how much do I owe you?", text, active="billing-agent")
        assert decision.outcome == "out_of_scope", decision


async def test_a_turn_is_one_call_of_the_embedder(table: RoutingTable) -> None:
    class Counting:
        name, d = "counting", 384
        calls = 0

        async def embed(self, texts: object) -> object:
            self.calls += 1
            return await embedder().embed(texts)  # type: ignore[arg-type]

    counting = Counting()
    await decide(
        table, "how much do I owe?", "and before?", active="billing-agent", vectors=counting
    )  # type: ignore[arg-type]
    assert counting.calls == 1


async def test_probabilities_add_up(table: RoutingTable) -> None:
    decision = await decide(table, "how much do I owe?", "and before?", active="billing-agent")
    total = sum(c.probability for c in decision.candidates) + decision.out_of_scope
    assert total == pytest.approx(1, abs=0.01)


def test_being_active_adds_its_log_odds() -> None:
    shares = np.array([0.3, 0.3, 0.3])
    plain = Stay(alone=1, joined=0, active=0, nobody=0)
    assert weighed(shares, shares, 0, plain) == pytest.approx(shares)
    found = weighed(shares, shares, 0, plain.but(active=float(np.log(3))))
    assert found[0] / found[1] == pytest.approx(3)
    assert found.sum() < 1


def test_a_message_for_nobody_tells_little_of_whose_it_is() -> None:
    plain = Stay(alone=1, joined=0, active=0, nobody=0)
    sure, unsure = (
        weighed(shares, shares, 0, plain) for shares in np.array([[0.8, 0.1], [0.08, 0.01]])
    )
    assert (sure.sum(), unsure.sum()) == pytest.approx((0.9, 0.09))
    assert sure[0] / sure[1] > 5
    assert unsure[0] / unsure[1] < 1.3


def test_what_cannot_stand_alone_stays_most() -> None:
    prior = Prior()
    assert prior.elliptic.active > prior.whole.active
    assert prior.of("social") == prior.elliptic


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("und in Japan?", "unknown"),
        ("wo ist mein Paket", "unknown"),
        ("¿dónde está mi paquete?", "unknown"),
        ("где моя посылка", "unknown"),
        ("which number should I call", "whole"),
        ("is there a shop near me", "referring"),
        ("cancel my contract", "whole"),
    ],
)
def test_messages_in_other_languages_have_no_form(text: str, form: str) -> None:
    assert form_of(text) == form
