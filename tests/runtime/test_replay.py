"""Decisions made again, and beside the turns: what differs, and that no turn waits for it."""

import asyncio
from typing import Any

import pytest
from runtime_parts import BILL, ORDER, Platform, answer, turn_of

from lmos.llm import embedder
from lmos.model import (
    Candidate,
    ChannelRouting,
    Decision,
    DecisionRecord,
    Feedback,
    InputRequired,
    Message,
    ObjectMeta,
    RoutableAgent,
    SubTask,
    errors,
)
from lmos.router import RoutingRequest, RoutingTable, VectorRouter
from lmos.runtime import decisions
from lmos.runtime.decisions import LogSettings, ShadowSettings
from lmos.runtime.decisions.comparing import label_of, same
from lmos.runtime.decisions.replay import replayed
from lmos.runtime.decisions.trail import Trail

BILLS, PARCELS = "how much do I owe", "where is my order"


async def logged(platform: Platform, *texts: str) -> list[DecisionRecord]:
    for number, text in enumerate(texts):
        await platform.turn(text, f"c{number}")
    return await records(platform)


async def records(platform: Platform) -> list[DecisionRecord]:
    """Everything of acme, oldest first."""
    recorder, log = platform.supervisor.recorder, platform.supervisor.log
    async with asyncio.timeout(10):
        while recorder.waiting:
            await asyncio.sleep(0.01)
    found = [await log.record(pointer) async for pointer in log.turns("acme")]
    return [record for record in reversed(found) if record]


def keeping(platform: Platform) -> None:
    platform.supervisor.log.settings = LogSettings("kept")


async def own_table(platform: Platform) -> Any:
    table = platform.supervisor.routings.find("acme", "web").table

    async def table_of(record: DecisionRecord) -> RoutingTable:
        return table

    return table_of


async def test_the_same_router_over_the_same_table_decides_the_same(platform: Platform) -> None:
    keeping(platform)
    asked = Message(role="assistant", content="Which month?")
    await platform.turn(BILLS, "s")
    await platform.turn("and the month before?", "s")
    platform.billing.plays(InputRequired(message=asked))
    await platform.turn(BILLS, "q")
    await platform.turn("Main Street 5", "q")
    await platform.turn(PARCELS, "e", agent="billing")
    found = await logged(platform, BILLS, PARCELS, "who won the world cup")
    again = await replayed(found, VectorRouter(embedder()), await own_table(platform))
    assert (again.total, again.equal) == (8, 8)
    assert not again.differences


async def test_what_no_router_decided_is_left_out(platform: Platform) -> None:
    keeping(platform)
    await platform.arrange(fallback=["human"])
    for text in ("who won the world cup", BILLS, BILLS):
        await platform.turn(text, "people")
    found = await records(platform)
    assert [record.decision.stage == "human" for record in found] == [False, True, True]
    again = await replayed(found, VectorRouter(embedder()), await own_table(platform))
    assert (again.total, again.equal) == (1, 1)


async def test_another_table_shows_where_messages_would_go(platform: Platform) -> None:
    keeping(platform)
    found = await logged(platform, BILLS, PARCELS)
    judged = found[1].but(feedback=Feedback(rating=-1, agent="parcels"))
    agents = [
        RoutableAgent(name="billing", description="Bills.", capabilities=(BILL,)),
        RoutableAgent(name="parcels", description="Parcels.", capabilities=(ORDER,)),
    ]
    table = await RoutingTable.build(agents, embedder())

    async def table_of(record: DecisionRecord) -> RoutingTable:
        return table

    again = await replayed([found[0], judged], VectorRouter(embedder()), table_of)
    assert (again.total, again.equal) == (2, 1)
    assert again.moved == {("orders", "parcels"): 1}
    assert (again.judged, again.right_before, again.right) == (1, 0, 1)
    [difference] = again.differences
    assert (difference["text"], difference["turn"]) == (PARCELS, judged.turn_id)


async def test_hashed_messages_are_told_instead_of_guessed(platform: Platform) -> None:
    hashed = await logged(platform, BILLS, PARCELS)
    router, table_of = VectorRouter(embedder()), await own_table(platform)
    with pytest.raises(errors.InvalidInput, match=r"none of the 2 .* only hashes .* kept"):
        await replayed(hashed, router, table_of)
    keeping(platform)
    await platform.turn(BILLS, "kept")
    again = await replayed(await records(platform), router, table_of)
    assert (again.total, again.wordless) == (1, 2)


async def test_an_insisted_agent_that_is_gone_is_a_failure_not_a_difference(
    platform: Platform,
) -> None:
    keeping(platform)
    await platform.turn(BILLS, agent="orders")
    table = await RoutingTable.build([RoutableAgent(name="billing")], embedder())

    async def table_of(record: DecisionRecord) -> RoutingTable:
        return table

    again = await replayed(await records(platform), VectorRouter(embedder()), table_of)
    assert again.failed == {"AGENT_NOT_FOUND": 1}


def decision(outcome: Any, *agents: str) -> Decision:
    return Decision(
        outcome=outcome,
        candidates=tuple(Candidate(agent=a, probability=0.5) for a in agents),
        tasks=tuple(SubTask(text=a, agent=a) for a in agents) if outcome == "multi" else (),
    )


def test_what_counts_as_the_same() -> None:
    assert same(decision("route", "a", "b"), decision("route", "a", "c"))
    assert not same(decision("route", "a"), decision("route", "b"))
    assert not same(decision("route", "a"), decision("out_of_scope", "a"))
    assert same(decision("multi", "a", "b"), decision("multi", "b", "a"))
    assert not same(decision("multi", "a", "b"), decision("multi", "a"))
    assert same(decision("out_of_scope", "a"), decision("out_of_scope"))


async def test_who_is_known_to_be_right(platform: Platform) -> None:
    [record] = await logged(platform, BILLS)
    assert label_of(record) == ""
    assert label_of(record.but(feedback=Feedback(rating=1))) == "billing"
    assert label_of(record.but(feedback=Feedback(rating=-1))) == ""
    assert label_of(record.but(feedback=Feedback(rating=-1, agent="orders"))) == "orders"


# --- shadows --------------------------------------------------------------------------------------


class Slow:
    """A router that decides when it is let, and always for orders."""

    name = "slow"

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked: list[RoutingRequest] = []

    async def decide(self, request: RoutingRequest, table: RoutingTable) -> Decision:
        self.asked.append(request)
        await self.gate.wait()
        return decision("route", "orders").but(table=table.version)


def shadowed(platform: Platform, router: Any, setting: str) -> None:
    platform.supervisor._shadows._open = lambda name: router
    platform.supervisor._shadows._default = ShadowSettings.read(setting)


async def test_a_shadow_decides_beside_and_is_only_logged(platform: Platform) -> None:
    keeping(platform)
    slow = Slow()
    shadowed(platform, slow, "slow 1")
    for text, conversation in ((BILLS, "a"), (PARCELS, "b")):
        assert answer(await platform.turn(text, conversation)) == f"{_who(text)}: {text}"
    assert platform.supervisor.recorder.waiting == 2
    slow.gate.set()
    first, second = sorted(await records(platform), key=lambda record: record.at)
    assert first.shadow
    assert second.shadow
    assert (first.shadow.name, first.shadow.same, second.shadow.same) == ("slow", False, True)
    assert first.decision.agent == "billing"
    assert platform.supervisor.metrics.shadows == {("slow", "different"): 1, ("slow", "same"): 1}


def _who(text: str) -> str:
    return "billing" if text == BILLS else "orders"


async def test_too_many_shadows_are_left_out_and_no_turn_waits(platform: Platform) -> None:
    keeping(platform)
    slow = Slow()
    shadowed(platform, slow, "slow 1")
    async with asyncio.timeout(30):
        for n in range(10):
            await platform.turn(BILLS, f"c{n}")
    await asyncio.sleep(0)
    assert len(slow.asked) == 4
    assert platform.supervisor.metrics.shadows == {("slow", "left out"): 6}
    slow.gate.set()
    found = await records(platform)
    assert sum(record.shadow is not None for record in found) == 4


async def test_a_shadow_that_fails_or_takes_too_long_is_told(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        name = "broken"

        async def decide(self, request: RoutingRequest, table: RoutingTable) -> Decision:
            raise errors.ModelFailed(f"no answer to {request.text}")

    shadowed(platform, Broken(), "broken 1")
    [record] = await logged(platform, BILLS)
    assert record.shadow
    assert record.shadow.error == "ModelFailed"  # the words are not kept
    monkeypatch.setattr(decisions.shadow, "PATIENCE", 0.01)
    shadowed(platform, Slow(), "slow 1")
    platform.supervisor._shadows._routers.clear()
    await platform.turn(BILLS, "late")
    record = (await records(platform))[-1]
    assert record.shadow
    assert "more than" in record.shadow.error


async def test_a_channel_sets_its_own_shadow_over_another_subset(platform: Platform) -> None:
    keeping(platform)
    found = await platform.store.get(ChannelRouting, "acme-web")
    assert found
    labels = {**found.metadata.labels, "subset": "canary"}
    only_orders = found.spec.but(capability_groups=found.spec.capability_groups[1:])
    meta = ObjectMeta(name="acme-canary", labels=labels)
    await platform.store.apply(ChannelRouting(metadata=meta, spec=only_orders), "test")
    annotated = found.metadata.but(annotations={"lmos.eclipse/shadow": "vector 1 canary"})
    await platform.store.apply(found.but(metadata=annotated), "test")
    await platform.settled()
    platform.supervisor._shadows._open = lambda name: VectorRouter(embedder())
    [record] = await logged(platform, BILLS)
    assert record.shadow
    assert record.shadow.decision
    assert (record.shadow.name, record.shadow.same) == ("vector@canary", False)
    assert record.shadow.decision.table != record.decision.table
    await platform.turn(BILLS, "g", tenant="globex")
    assert platform.supervisor.metrics.shadows == {("vector@canary", "different"): 1}


def test_a_share_of_the_turns_is_taken_evenly() -> None:
    settings = ShadowSettings.read("llm 0.25")
    assert settings

    def trail(n: int) -> Trail:
        turn = turn_of("x", f"c{n}", turn_id="t")
        return Trail(turn, RoutingRequest(turn.messages), decision("route", "a"))

    taken = [settings.takes(trail(n)) for n in range(4_000)]
    assert abs(sum(taken) / 4_000 - 0.25) < 0.03
    assert taken == [settings.takes(trail(n)) for n in range(4_000)]


@pytest.mark.parametrize(
    "text", ["llm", "llm 2", "llm x", "llm -1", "llm 1 canary more", "llm nan"]
)
def test_a_setting_that_is_none_is_told(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="ROUTER SHARE"):
        ShadowSettings.read(text)


def test_no_shadow() -> None:
    assert ShadowSettings.read("") is ShadowSettings.read("off") is None
