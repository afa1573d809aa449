"""What the router decides in corners: many agents, greetings, typing errors, words of its own."""

from typing import Any

import numpy as np
import pytest

from lmos.llm import embedder
from lmos.model import Capability, Decision, Message, RoutableAgent
from lmos.router import RoutingRequest, RoutingTable, VectorRouter, evaluate
from lmos.router.specs import Labelled
from lmos.router.spelling import Spelling, distance


def agent(name: str, **offers: tuple[str, ...]) -> RoutableAgent:
    capabilities = tuple(
        Capability(name=offer, version="1.0.0", examples=examples)
        for offer, examples in offers.items()
    )
    return RoutableAgent(name=name, capabilities=capabilities)


BILLS = agent("bills", view_bill=("show me my bill", "how much do I owe", "what is my invoice"))
PARCELS = agent("parcels", track=("where is my parcel", "when does my package arrive"))
SMALL_TALK = agent("talk", greeting=("hello", "hi there", "good morning"), thanks=("thank you",))
CITIES = ("Berlin", "Paris", "Rome", "Vienna", "Prague", "Madrid", "Lisbon", "Oslo", "Athens")
MANY = [BILLS, PARCELS, SMALL_TALK] + [
    agent(f"city-{name}", guide=(f"what is there to see in {name}", f"museums of {name}"))
    for name in CITIES
]


async def decide(agents: list[RoutableAgent], *said: str, **more: Any) -> Decision:
    table = await RoutingTable.build(agents, embedder())
    messages = tuple(Message(role="user", content=text) for text in said)
    return await VectorRouter(embedder()).decide(RoutingRequest(messages, **more), table)


async def test_a_follow_up_stays_with_any_of_many_agents() -> None:
    for active in (made.name for made in MANY):
        decision = await decide(MANY, "and the second one?", active_agent=active)
        assert (decision.agent, decision.sticky) == (active, True)
        shares = [candidate.probability for candidate in decision.candidates]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1.001
        assert len(shares) == 10


async def test_a_first_message_continues_nothing() -> None:
    for text in ("my bill", "bill?", "where is it, my parcel"):
        decision = await decide([BILLS, PARCELS], text)
        assert not decision.sticky, text
        assert "continues" not in decision.reason


@pytest.mark.parametrize("text", ["hello", "Good morning!", "thank you"])
async def test_a_greeting_is_for_who_offers_just_that(text: str) -> None:
    assert (await decide([BILLS, PARCELS, SMALL_TALK], text)).agent == "talk"
    refused = await decide([BILLS, PARCELS], text)
    assert (refused.outcome, len(refused.candidates)) == ("out_of_scope", 2)
    assert "greeting" in refused.reason
    staying = await decide([BILLS, PARCELS], "how much do I owe?", text, active_agent="bills")
    assert (staying.agent, staying.sticky) == ("bills", True)


async def test_typing_errors_do_not_hide_what_is_meant() -> None:
    for text in ("shwo me my bil", "how mcuh do I ow", "waht is my invioce"):
        assert (await decide([BILLS, PARCELS], text)).agent == "bills", text
    assert (await decide([BILLS, PARCELS], "when doess my pakcage arive")).agent == "parcels"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("show my invioce", "show my invoice"),
        ("INVIOCES please", "invoice please"),
        ("my invoice's total", "my invoice's total"),
        ("show my house", "show my house"),  # known to the model, though not to the texts
        ("ivc", "ivc"),  # too short to tell
        ("xxinvoicexx", "xxinvoicexx"),  # too far
        ("Rechnung 4711!", "Rechnung 4711!"),
        ("", ""),
    ],
)
def test_words_that_nobody_knows_are_read_as_the_nearest(written: str, read: str) -> None:
    assert Spelling(["show me my invoice"]).corrected(written) == read
    assert Spelling([]).corrected(written) == written


@pytest.mark.parametrize(
    ("one", "other", "errors"),
    [("bill", "bill", 0), ("bil", "bill", 1), ("blil", "bill", 1), ("ball", "bill", 1),
     ("sbillx", "bill", 2), ("", "bill", 4)],
)  # fmt: skip
def test_distances_count_errors_of_typing(one: str, other: str, errors: int) -> None:
    assert distance(one, other) == distance(other, one) == errors


async def test_texts_that_are_empty_or_alike_are_no_more_than_others() -> None:
    odd = RoutableAgent(
        name="odd",
        capabilities=(
            Capability(name="-", version="1.0.0"),
            Capability(name="twice", version="1.0.0", examples=("Ring a bell", "ring a BELL", " ")),
        ),
    )
    table = await RoutingTable.build([odd, BILLS], embedder())
    assert [row.text for row in table.rows][:3] == ["Ring a bell", "ring a BELL", "twice"]
    assert (await decide([odd, BILLS], "ring the bell")).agent == "odd"
    nothing = RoutableAgent(name="mute", capabilities=(Capability(name="-", version="1.0.0"),))
    assert [row.text for row in (await RoutingTable.build([nothing], embedder())).rows] == ["mute"]


async def test_vectors_of_another_model_are_not_taken_over() -> None:
    class Other:
        name, d = "other", 2

        async def embed(self, texts: Any) -> Any:
            return np.ones((len(texts), 2), np.float32)

    first = await RoutingTable.build([BILLS], embedder())
    second = await RoutingTable.build([BILLS], Other(), first)
    assert second.vectors.shape == (len(first.rows), 2)


async def test_the_rows_of_a_conversation_follow_each_other() -> None:
    rows = [
        Labelled("how much do I owe?", "bills", "one"),
        Labelled("and the month before?", "bills", "one"),
        Labelled("where is my parcel?", "parcels", "one"),
        Labelled("and the other one?", "parcels", "one"),
        Labelled("and the month before?", "out_of_scope"),
        Labelled("who wrote Hamlet?", "bills"),
    ]
    table = await RoutingTable.build([BILLS, PARCELS], embedder())
    report = await evaluate(VectorRouter(embedder()), table, rows)
    assert [row["text"] for row in report.wrong] == ["who wrote Hamlet?"]
    assert report.accuracy == pytest.approx(5 / 6)
    data = report.data()
    assert data["confusion"] == [["bills", "out_of_scope", 1]]
    assert data["labels"]["out_of_scope"]["precision"] == 0.5
    assert data["labels"]["parcels"] == {"precision": 1, "recall": 1, "f1": 1, "rows": 2}


@pytest.mark.parametrize("text", ["how much do I owe", "hello", "who wrote Hamlet?", "and in May?"])
async def test_the_probabilities_add_up_to_one(text: str) -> None:
    """Those of the agents, and that nobody is meant."""
    first = await decide([BILLS, PARCELS], text)
    later = await decide([BILLS, PARCELS], "show me my bill", text, active_agent="bills")
    for decision in (first, later):
        total = decision.out_of_scope + sum(c.probability for c in decision.candidates)
        assert total == pytest.approx(1, abs=1e-3)
