"""Replies to the question which of some agents is meant."""

import pytest

from lmos.llm import embedder
from lmos.model import Capability, Decision, Message, RoutableAgent
from lmos.router import RoutingRequest, RoutingTable, VectorRouter
from lmos.router.offered import choice_of


def agent(name: str, description: str, *examples: str) -> RoutableAgent:
    capability = Capability(name=f"{name}-help", version="1.0.0", examples=examples)
    return RoutableAgent(name=name, description=description, capabilities=(capability,))


BILLING = agent("billing", "Questions on invoices", "show me my bill", "how much do I owe")
CONTRACTS = agent("contracts", "Questions on a contract", "cancel my contract", "extend my plan")
PARCELS = agent("parcels", "Questions on deliveries", "where is my parcel", "track my package")
WEATHER = agent("weather", "The weather", "will it rain tomorrow", "what is the weather in Rome")
OFFERED = (BILLING, CONTRACTS, PARCELS)


@pytest.mark.parametrize(
    ("reply", "meant"),
    [
        ("the first", "billing"),
        ("The first one, please!", "billing"),
        ("one", "billing"),
        ("number one", "billing"),
        ("second one", "contracts"),
        ("2", "contracts"),
        ("2.", "contracts"),
        ("no, the second", "contracts"),
        ("option 3", "parcels"),
        ("I mean the last one", "parcels"),
        ("billing", "billing"),
        ("my last bill", "billing"),
        ("the contract one", "contracts"),
        ("invoices please", "billing"),
        ("Yes, my delivery... the parcel", "parcels"),
    ],
)
def test_a_reply_names_one_agent(reply: str, meant: str) -> None:
    choice = choice_of(reply, OFFERED)
    assert choice
    assert choice.agent == meant


@pytest.mark.parametrize("reply", ["both", "Both of them, please", "all three"])
def test_a_reply_for_several_names_none_and_says_why(reply: str) -> None:
    choice = choice_of(reply, OFFERED)
    assert choice
    assert (choice.agent, choice.refused) == (None, False)
    assert "more than one" in choice.reason


@pytest.mark.parametrize(
    "reply", ["neither", "none of them", "no", "No thanks", "none of these", "something else"]
)
def test_a_reply_may_refuse_all(reply: str) -> None:
    choice = choice_of(reply, OFFERED)
    assert choice
    assert choice.refused


@pytest.mark.parametrize(
    "reply",
    [
        "", "?", "4711", "7", "another", "the one", "yes", "not the first",
        "the first or the second", "what is the time", "how much", "where are you", "the other one",
        "questions", "billing or contract", "what will the weather be like in Rome tomorrow",
    ],
)  # fmt: skip
def test_other_words_are_no_reply(reply: str) -> None:
    assert choice_of(reply, OFFERED) is None


def test_a_place_that_was_not_offered_is_no_reply() -> None:
    assert choice_of("the third", OFFERED[:2]) is None
    assert choice_of("the first", ()) is None


def test_no_words_name_an_agent_whose_name_says_nothing() -> None:
    assert choice_of("help please", (RoutableAgent(name="help-agent"), BILLING)) is None


def test_who_is_offered_one_agent_may_agree() -> None:
    choice = choice_of("yes please", OFFERED[:1])
    assert choice
    assert choice.agent == "billing"


async def decide(text: str, *offered: str, before: str = "") -> Decision:
    table = await RoutingTable.build((*OFFERED, WEATHER), embedder())
    said = [Message(role="user", content=part) for part in (before, text) if part]
    request = RoutingRequest(tuple(said), offered=offered)
    return await VectorRouter(embedder()).decide(request, table)


async def test_the_router_takes_the_reply() -> None:
    decision = await decide("the second", "parcels", "billing")
    assert (decision.agent, decision.stage) == ("billing", "offered")
    assert decision.capability
    assert (await decide("neither", "parcels", "billing")).outcome == "out_of_scope"
    both = await decide("both", "parcels", "billing")
    assert both.outcome == "clarify"
    assert [c.agent for c in both.candidates] == ["parcels", "billing"]


async def test_both_get_their_parts_of_what_was_asked_before() -> None:
    request = "where is my parcel, and then I want to know how much I owe"
    for offered in (("parcels", "billing"), ("billing", "parcels")):
        decision = await decide("both please", *offered, before=request)
        assert decision.outcome == "multi"
        assert [(task.agent, task.text) for task in decision.tasks] == [
            ("parcels", "where is my parcel"),
            ("billing", "I want to know how much I owe"),
        ]
    whole = await decide("both", "parcels", "billing", before="what about my last order?")
    assert [(task.agent, task.text) for task in whole.tasks] == [
        ("parcels", "what about my last order?"),
        ("billing", "what about my last order?"),
    ]


@pytest.mark.parametrize("reply", ["either", "any of them", "whichever"])
def test_whom_any_agent_suits_gets_the_first(reply: str) -> None:
    choice = choice_of(reply, OFFERED)
    assert choice
    assert choice.agent == "billing"


async def test_without_an_offer_the_words_are_decided_as_ever() -> None:
    assert (await decide("the second")).stage == ""


async def test_another_subject_leaves_the_offer() -> None:
    for text in ("what is the weather in Rome", "will it rain tomorrow"):
        decision = await decide(text, "parcels", "billing")
        assert (decision.agent, decision.stage) == ("weather", "")
    # words of one offered, and surely another's
    decision = await decide("track the weather in Rome", "parcels", "billing")
    assert (decision.agent, decision.stage) == ("weather", "")


async def test_an_agent_that_has_gone_keeps_its_place() -> None:
    assert (await decide("the second", "gone", "billing")).agent == "billing"
    assert (await decide("the first", "gone", "billing")).stage == ""
