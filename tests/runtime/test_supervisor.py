"""What the supervisor keeps apart, and what it takes up while it runs."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from runtime_parts import Platform, answer, routing, turn_of

from lmos.model import ChannelRouting, Decided, Handover, Key, ObjectMeta, Started, errors


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        while not await true():
            await asyncio.sleep(0.01)


async def acme(platform: Platform) -> ChannelRouting:
    found = await platform.store.get(ChannelRouting, "acme-web")
    assert found
    return found


async def add(platform: Platform, name: str, **labels: str) -> None:
    """Another routing for acme's agents, with other labels, once it is in force."""
    found = await acme(platform)
    meta = ObjectMeta(name=name, labels={**found.metadata.labels, **labels})
    await platform.store.apply(ChannelRouting(metadata=meta, spec=found.spec), "test")
    await platform.settled()


async def test_a_turn_without_words_is_refused(platform: Platform) -> None:
    with pytest.raises(errors.InvalidInput, match="no user message"):
        await platform.turn("   ")
    assert not platform.billing.turns


async def test_an_unknown_channel_is_told_with_the_tenants_own_alone(platform: Platform) -> None:
    await add(platform, "acme-mobile", channel="mobile")
    with pytest.raises(errors.ChannelNotFound, match="it has mobile, web") as caught:
        platform.supervisor.routings.find("acme", "ivr")
    assert "globex" not in caught.value.message
    with pytest.raises(errors.ChannelNotFound, match="it has web"):
        platform.supervisor.routings.find("globex", "mobile")


async def test_a_subset_is_served_beside_the_stable_one(platform: Platform) -> None:
    with pytest.raises(errors.ChannelNotFound, match="'canary'"):
        await platform.turn("how much do I owe", subset="canary")
    await add(platform, "acme-canary", subset="canary")
    assert answer(await platform.turn("how much do I owe", subset="canary")).startswith("billing")
    assert platform.billing.turns[-1].subset == "canary"


async def test_a_channel_that_goes_is_gone_for_the_next_turn(platform: Platform) -> None:
    async def gone() -> bool:
        try:
            platform.supervisor.routings.find("acme", "web")
        except errors.ChannelNotFound:
            return True
        return False

    await platform.store.delete((await acme(platform)).key)
    await until(gone)
    assert answer(await platform.turn("how much do I owe", tenant="globex"))


async def test_an_agent_that_leaves_the_channel_loses_its_conversations(
    platform: Platform,
) -> None:
    async def left() -> bool:
        return "billing" not in platform.supervisor.routings.find("acme", "web").members

    await platform.turn("how much do I owe")
    _, orders = (await acme(platform)).spec.capability_groups
    await platform.store.apply(routing("acme", orders), "test")
    await platform.store.delete(Key(kind="Agent", namespace="default", name="billing"))
    await until(left)
    events = await platform.turn("and last month?")
    assert isinstance(events[0], Started)
    assert events[0].agent != "billing"
    assert len(platform.billing.turns) == 1


async def test_a_conversation_is_with_an_agent_in_one_tenant_alone(platform: Platform) -> None:
    await platform.turn("how much do I owe", conversation="same")
    other = await platform.turn("and last month?", conversation="same", tenant="globex")
    decided = next(e.decision for e in other if isinstance(e, Decided))
    assert not decided.sticky
    mine = await platform.turn("and last month?", conversation="same")
    assert answer(mine).startswith("billing")
    said = [m.content for m in platform.billing.turns[-1].messages]
    assert said == ["how much do I owe", "billing: how much do I owe", "and last month?"]


async def test_after_a_handover_the_conversation_is_with_who_took_it(platform: Platform) -> None:
    platform.billing.plays(Handover(to="orders"))
    await platform.turn("how much do I owe")
    assert answer(await platform.turn("why?")).startswith("orders")
    assert len(platform.billing.turns) == 1


async def test_deciding_changes_nothing(platform: Platform) -> None:
    for _ in range(2):
        decision = await platform.supervisor.decide(turn_of("how much do I owe"))
        assert (decision.agent, decision.sticky) == ("billing", False)
    await platform.turn("where is my parcel")
    assert len(platform.orders.turns[-1].messages) == 1
    assert not platform.billing.turns
