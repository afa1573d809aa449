"""Routing by requirements that a language model states, a scripted one with the real embedder."""

from typing import Any

import pytest

from lmos.llm import ScriptedModel, embedder
from lmos.model import Capability, Decision, Message, RoutableAgent, errors
from lmos.router import HybridRouter, RoutingRequest, RoutingTable


def offering(name: str, *texts: str) -> RoutableAgent:
    offer = Capability(name=f"{name}_things", version="1.0.0", examples=texts)
    return RoutableAgent(name=name, capabilities=(offer,))


AGENTS = [
    offering("bills", "show me my bill", "how much do I owe", "pay my invoice"),
    offering("parcels", "where is my parcel", "track my delivery", "change the delivery address"),
    offering("contracts", "cancel my contract", "when does my contract end"),
]


def wanting(*requirements: str | tuple[str, list[int]]) -> dict[str, Any]:
    entries = [(r, []) if isinstance(r, str) else r for r in requirements]
    return {
        "requirements": [
            {"requirement": text, "words": f"please: {text}", "after": after}
            for text, after in entries
        ]
    }


async def decide(
    scripted: ScriptedModel, text: str = "a wish or two of mine", **more: Any
) -> Decision:
    table = await RoutingTable.build(AGENTS, embedder())
    request = RoutingRequest((Message(role="user", content=text),), **more)
    return await HybridRouter(scripted.model, embedder()).decide(request, table)


def total(decision: Decision) -> float:
    return sum(c.probability for c in decision.candidates) + decision.out_of_scope


async def test_one_requirement_is_routed_by_what_it_says() -> None:
    decision = await decide(ScriptedModel(wanting("track the delivery of a parcel")))
    assert (decision.outcome, decision.agent) == ("route", "parcels")
    assert decision.reason == "requires: track the delivery of a parcel"
    assert (decision.stage, decision.router, decision.model) == ("hybrid", "hybrid-1", "scripted")
    assert {"hybrid", "requirements"} <= decision.timings.keys()
    assert total(decision) == pytest.approx(1, abs=0.01)


async def test_several_requirements_are_parts_in_order() -> None:
    scripted = ScriptedModel(wanting("show my bill", ("cancel my contract", [0])))
    decision = await decide(scripted)
    assert decision.outcome == "multi"
    parts = [(t.agent, t.capability, t.text, t.after) for t in decision.tasks]
    assert parts == [
        ("bills", "bills_things", "please: show my bill", ()),
        ("contracts", "contracts_things", "please: cancel my contract", (0,)),
    ]
    assert 0 < decision.confidence < 1
    assert total(decision) == pytest.approx(1, abs=0.01)


async def test_what_nobody_offers_is_told_and_left_out() -> None:
    wanted = wanting("explain quantum physics", ("show my bill", [0]), ("cancel my contract", [1]))
    decision = await decide(ScriptedModel(wanted))
    assert [(t.agent, t.after) for t in decision.tasks] == [("bills", ()), ("contracts", (0,))]
    assert "nobody offers: explain quantum physics" in decision.reason


async def test_requirements_of_one_agent_are_one_turn_of_it() -> None:
    decision = await decide(ScriptedModel(wanting("show my bill", "pay my invoice")))
    assert (decision.outcome, decision.agent, decision.tasks) == ("route", "bills", ())


async def test_nothing_that_anybody_offers_is_out_of_scope() -> None:
    decision = await decide(ScriptedModel(wanting("explain quantum physics", "write a poem")))
    assert (decision.outcome, decision.agent) == ("out_of_scope", None)
    assert decision.reason == "nobody offers: explain quantum physics; write a poem"
    assert total(decision) == pytest.approx(1, abs=0.01)


async def test_a_message_that_wants_nothing_is_decided_by_vectors() -> None:
    decision = await decide(ScriptedModel(wanting()), "thanks", active_agent="bills")
    assert (decision.agent, decision.sticky) == ("bills", True)


async def test_an_agent_that_the_caller_wants_needs_no_model() -> None:
    scripted = ScriptedModel(wanting("show my bill"))
    decision = await decide(scripted, explicit_agent="parcels")
    assert (decision.agent, scripted.count) == ("parcels", 0)
    assert (
        await decide(scripted, "the second", offered=("bills", "contracts"))
    ).agent == "contracts"
    assert scripted.count == 0


async def test_a_part_can_only_need_an_earlier_one() -> None:
    scripted = ScriptedModel(wanting(("show my bill", [0])), wanting("show my bill"), strict=True)
    assert (await decide(scripted)).agent == "bills"
    assert "only numbers below 0" in scripted.last.text


async def test_too_many_requirements_are_refused() -> None:
    scripted = ScriptedModel(wanting(*[f"wish {n}" for n in range(9)]))
    with pytest.raises(errors.ModelFailed, match="at most 5"):
        await decide(scripted)


async def test_all_requirements_are_embedded_together() -> None:
    class Counting:
        def __init__(self) -> None:
            self.calls: list[list[str]] = []
            self.name, self.d = embedder().name, embedder().d

        async def embed(self, texts: Any) -> Any:
            self.calls.append(list(texts))
            return await embedder().embed(texts)

    counting = Counting()
    table = await RoutingTable.build(AGENTS, embedder())
    scripted = ScriptedModel(wanting("show my bill", "track my parcel", "cancel my contract"))
    said = (Message(role="user", content="three things"),)
    await HybridRouter(scripted.model, counting).decide(RoutingRequest(said), table)
    assert counting.calls == [
        ["three things"],
        ["show my bill", "track my parcel", "cancel my contract"],
    ]
