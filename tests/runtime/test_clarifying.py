"""The platform asks which agent is meant, and understands the reply."""

import pytest
from runtime_parts import Platform, answer

from lmos.llm import embedder
from lmos.model import Candidate, Decision
from lmos.router import RoutingRequest, RoutingTable, VectorRouter
from lmos.runtime import Supervisor
from lmos.state import MemoryState


class Doubting:
    """A router that knows too little of the message "help", and else decides by vectors."""

    name = "doubting"

    def __init__(self) -> None:
        self._vector = VectorRouter(embedder())
        self.asked: list[RoutingRequest] = []

    async def decide(self, request: RoutingRequest, table: RoutingTable) -> Decision:
        self.asked.append(request)
        if request.text != "help":
            return await self._vector.decide(request, table)
        names = ("orders", "billing")
        candidates = tuple(Candidate(agent=name, probability=0.5) for name in names)
        return Decision(outcome="clarify", candidates=candidates)


@pytest.fixture
async def doubting(platform: Platform) -> Doubting:
    router = Doubting()
    platform.supervisor = Supervisor(platform.supervisor.routings, router, MemoryState())
    return router


@pytest.mark.parametrize(
    ("reply", "agent"),
    [("the first", "orders"), ("2", "billing"), ("the last one", "billing"), ("orders", "orders")],
)
async def test_the_agent_chosen_answers(
    platform: Platform, doubting: Doubting, reply: str, agent: str
) -> None:
    asked = answer(await platform.turn("help"))
    assert asked.splitlines()[1:] == ["- The orders", "- The billing"]
    assert answer(await platform.turn(reply)).startswith(agent)
    assert doubting.asked[-1].offered == ("orders", "billing")


async def test_an_offer_is_for_one_turn(platform: Platform, doubting: Doubting) -> None:
    await platform.turn("help")
    await platform.turn("the first")
    await platform.turn("and the second?")
    assert [request.offered for request in doubting.asked] == [(), ("orders", "billing"), ()]


async def test_none_of_them_is_declined(platform: Platform, doubting: Doubting) -> None:
    await platform.turn("help")
    assert answer(await platform.turn("neither")).startswith("I cannot help")
    assert not platform.billing.turns + platform.orders.turns


async def test_who_wants_both_is_answered_by_both(platform: Platform, doubting: Doubting) -> None:
    await platform.turn("help")
    said = answer(await platform.turn("both"))
    assert "orders" in said
    assert "billing" in said
    assert [turn.text for turn in platform.billing.turns] == ["help"]


async def test_another_subject_leaves_the_offer(platform: Platform, doubting: Doubting) -> None:
    await platform.turn("help")
    assert answer(await platform.turn("what is the capital of Peru")).startswith("I cannot")
    assert answer(await platform.turn("where is my parcel")).startswith("orders")
