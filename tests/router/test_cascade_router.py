"""The cheapest stage that is sure decides; a scripted model, the real embedder."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_hybrid_router import AGENTS, total, wanting

from lmos.llm import ScriptedModel, embedder
from lmos.llm.scripted import Refusal
from lmos.model import Candidate, Decision, Message, RoutableAgent
from lmos.router import CascadeRouter, RoutingRequest, RoutingTable, VectorRouter, open_router
from lmos.router.advisor import FAILURES
from lmos.router.cascade import remaining_of, wishes
from lmos.router.evidence import Choice, Reliance, most_probable, weighed
from lmos.router.fit import Fit

SURE, UNSURE = "show me my bill please", "there is something wrong with my delivery bill"
#: Asks the model whatever the vectors say, and follows it.
ALWAYS = Reliance(below=1.01, weight=8.0)
TWO = "show me my bill and cancel my contract"


def fitted(reliance: Reliance | None) -> Fit:
    return Fit().but(model=reliance or Reliance())


def choice(agent: str, *between: str) -> dict[str, Any]:
    return {"agent": agent, "between": list(between), "reason": "because of this"}


async def decide(
    scripted: ScriptedModel | None,
    *said: str,
    reliance: Reliance | None = None,
    timeout: float = 5.0,
    **more: Any,
) -> Decision:
    table = await RoutingTable.build(AGENTS, embedder())
    model = scripted.model if scripted else None
    router = CascadeRouter(embedder(), model, fit=fitted(reliance), timeout=timeout)
    messages = tuple(Message(role="user", content=text) for text in said)
    return await router.decide(RoutingRequest(messages, **more), table)


async def by_vectors(*said: str, **more: Any) -> Decision:
    table = await RoutingTable.build(AGENTS, embedder())
    messages = tuple(Message(role="user", content=text) for text in said)
    return await VectorRouter(embedder()).decide(RoutingRequest(messages, **more), table)


def plain(decision: Decision) -> Decision:
    return decision.but(router="", stage="", timings={})


async def test_a_sure_message_asks_no_model() -> None:
    scripted = ScriptedModel(choice("parcels"))
    decision = await decide(scripted, SURE)
    assert (decision.agent, decision.stage, decision.model) == ("bills", "vector", "")
    assert scripted.count == 0


@pytest.mark.parametrize("name", ["bills", "parcels", "contracts"])
async def test_an_unsure_message_is_for_whom_the_model_chooses(name: str) -> None:
    decision = await decide(ScriptedModel(choice(name)), UNSURE, reliance=ALWAYS)
    assert (decision.agent, decision.stage, decision.model) == (name, "llm", "scripted")
    assert decision.reason == "because of this"
    assert total(decision) == pytest.approx(1, abs=0.01)


async def test_a_poor_model_does_not_outweigh_the_vectors() -> None:
    reliance = Reliance(below=1.0, weight=0.1)
    decision = await decide(ScriptedModel(choice("parcels")), SURE, reliance=reliance)
    assert (decision.agent, decision.stage) == ("bills", "llm")


@pytest.mark.parametrize("text", [SURE, UNSURE, TWO, "hello", "who wrote Hamlet"])
async def test_without_a_model_it_is_the_vector_router(text: str) -> None:
    assert plain(await decide(None, text)) == plain(await by_vectors(text))
    direct = open_router("cascade", embedder(), "direct")
    assert direct.model == ""


async def test_greetings_and_follow_ups_ask_no_model() -> None:
    scripted = ScriptedModel(choice("parcels"))
    assert (await decide(scripted, "hello there")).outcome == "out_of_scope"
    decision = await decide(scripted, SURE, "yes please", active_agent="bills")
    assert (decision.agent, decision.sticky) == ("bills", True)
    assert (await decide(scripted, "hm", explicit_agent="contracts")).stage == "explicit"
    decision = await decide(scripted, "the second", offered=("bills", "contracts"))
    assert (decision.agent, decision.stage) == ("contracts", "offered")
    assert scripted.count == 0


async def test_a_message_with_wishes_for_several_agents_is_parted() -> None:
    scripted = ScriptedModel(wanting("show my bill", "cancel my contract"))
    decision = await decide(scripted, TWO)
    assert (decision.outcome, decision.stage) == ("multi", "hybrid")
    assert [t.agent for t in decision.tasks] == ["bills", "contracts"]
    assert scripted.count == 1


async def test_parts_for_one_agent_are_no_reason_to_ask() -> None:
    scripted = ScriptedModel(wanting("show my bill"))
    decision = await decide(scripted, "show me my bill and pay my invoice")
    assert (decision.agent, scripted.count) == ("bills", 0)


async def test_a_model_that_finds_one_wish_leaves_a_sure_decision() -> None:
    decision = await decide(ScriptedModel(wanting("cancel my contract")), TWO)
    sure = await by_vectors(TWO)
    assert sure.confidence < 0.7 or decision.agent == sure.agent


async def test_two_that_stay_near_are_offered() -> None:
    scripted = ScriptedModel(choice("clarify", "bills", "contracts"))
    decision = await decide(scripted, UNSURE, reliance=Reliance(below=1.01, weight=8.0, near=0.0))
    assert decision.outcome == "clarify"
    assert {c.agent for c in decision.candidates[:2]} == {"bills", "contracts"}
    assert decision.confidence == pytest.approx(
        sum(c.probability for c in decision.candidates[:3]), abs=1e-3
    )


@pytest.mark.parametrize(
    "reply", [Refusal(503), "no JSON at all", choice("nobody")], ids=["refused", "text", "unknown"]
)
async def test_a_model_that_fails_leaves_the_vectors_decision(reply: Any) -> None:
    decision = await decide(ScriptedModel(reply), UNSURE, reliance=ALWAYS)
    near = await by_vectors(UNSURE)
    assert (decision.outcome, decision.candidates) == (near.outcome, near.candidates)
    assert (decision.stage, decision.model) == ("vector", "scripted")
    assert decision.reason.startswith(f"{near.reason}; scripted ")


async def test_a_slow_model_leaves_the_vectors_decision() -> None:
    slow = ScriptedModel(choice("bills"), delay=30)
    decision = await decide(slow, UNSURE, reliance=ALWAYS, timeout=0.05)
    assert decision.stage == "vector"
    assert "within 0.05 s" in decision.reason


async def test_no_model_is_asked_when_time_is_short() -> None:
    scripted = ScriptedModel(choice("bills"))
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    decision = await decide(scripted, UNSURE, reliance=ALWAYS, deadline=soon)
    assert (decision.stage, decision.model, scripted.count) == ("vector", "", 0)
    assert "no time" in decision.reason


async def test_a_model_that_keeps_failing_is_left_alone() -> None:
    scripted = ScriptedModel(Refusal(503))
    table = await RoutingTable.build(AGENTS, embedder())
    router = CascadeRouter(embedder(), scripted.model, fit=fitted(ALWAYS))
    request = RoutingRequest((Message(role="user", content=UNSURE),))
    for _ in range(FAILURES + 2):
        decision = await router.decide(request, table)
    assert scripted.count == FAILURES
    assert "rests" in decision.reason


async def test_an_empty_table_asks_nobody() -> None:
    scripted = ScriptedModel(choice("bills"))
    table = await RoutingTable.build([], embedder())
    router = CascadeRouter(embedder(), scripted.model)
    request = RoutingRequest((Message(role="user", content=TWO),))
    assert (await router.decide(request, table)).outcome == "out_of_scope"
    assert scripted.count == 0


async def test_many_agents_are_not_all_told() -> None:
    agents = [RoutableAgent(name=f"agent-{n}", description=f"Thing number {n}.") for n in range(30)]
    table = await RoutingTable.build([*AGENTS, *agents], embedder())
    scripted = ScriptedModel(choice("bills"))
    router = CascadeRouter(embedder(), scripted.model, fit=fitted(ALWAYS))
    await router.decide(RoutingRequest((Message(role="user", content=SURE),)), table)
    assert scripted.last.text.count('"name"') <= 10


def test_wishes_are_parted_at_their_joints() -> None:
    assert wishes(TWO) == ["show me my bill", "cancel my contract"]
    assert wishes("Where is my parcel? And please pay my invoice, thanks") == [
        "Where is my parcel",
        "pay my invoice, thanks",
    ]
    assert wishes("show bills and invoices") == []
    assert wishes("show me bills and invoices") == ["show me bills"]
    assert len(wishes(". ".join(["one two three four"] * 20))) == 4


SHARES = st.lists(st.floats(0.001, 1), min_size=2, max_size=6)


def decided(shares: list[float]) -> Decision:
    whole = sum(shares)
    candidates = [Candidate(agent=f"a{n}", probability=s / whole) for n, s in enumerate(shares[1:])]
    ranked = tuple(sorted(candidates, key=lambda c: -c.probability))
    return Decision(outcome="route", candidates=ranked, out_of_scope=shares[0] / whole)


@given(SHARES, st.integers(-1, 4), st.floats(0, 5))
def test_evidence_keeps_probabilities_that_add_up(
    shares: list[float], chosen: int, weight: float
) -> None:
    near = decided(shares)
    agents = (f"a{chosen}",) if 0 <= chosen < len(shares) - 1 else ()
    after = weighed(near, Choice(agents, ""), weight)
    assert total(after) == pytest.approx(1, abs=0.001)
    found = [c.probability for c in after.candidates]
    assert found == sorted(found, reverse=True)
    if agents:
        before = next(c.probability for c in near.candidates if c.agent == agents[0])
        now = next(c.probability for c in after.candidates if c.agent == agents[0])
        assert now >= before - 0.05


@given(SHARES)
def test_the_most_probable_outcome_is_taken(shares: list[float]) -> None:
    near = decided(shares)
    found = most_probable(near, Reliance())
    first = near.candidates[0].probability
    if found.outcome == "out_of_scope":
        assert near.out_of_scope >= first
    else:
        assert found.confidence >= first > near.out_of_scope


def test_candidates_with_hardly_a_chance_are_not_told() -> None:
    near = decided([0.0001, 0.9, 0.05, 0.03, 0.01, 0.01])
    assert [c.agent for c in remaining_of(near.candidates)] == ["a0", "a1", "a2"]
    assert remaining_of(()) == ()
