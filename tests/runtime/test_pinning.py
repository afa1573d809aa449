"""A conversation while the routing of its channel changes."""

from runtime_parts import (
    BILL,
    ORDER,
    Platform,
    Player,
    agent_of,
    answer,
    group_of,
    routing,
    serving,
)

from lmos.model import Key, ObjectMeta, StatusUpdate, TurnEvent

NEXT = ("billing-next", "2.0.0")


def told(events: list[TurnEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, StatusUpdate)]


async def switch(platform: Platform, url: str, subset: str = "stable") -> None:
    """The channel's bills are another agent's from now on; the one before is still there."""
    name, version = NEXT
    offer = BILL.but(version=version)
    agent = agent_of(name, url, offer)
    await platform.store.apply(agent, "test")
    await platform.store.patch_status(agent)
    changed = routing("acme", group_of(agent, offer))
    if subset != "stable":
        labels = {**changed.metadata.labels, "subset": subset}
        changed = changed.but(metadata=ObjectMeta(name=f"acme-web-{subset}", labels=labels))
    await platform.store.apply(changed, "test", force=True)
    await platform.settled()


async def test_a_conversation_keeps_its_agents_and_a_new_one_has_the_new(
    platform: Platform,
) -> None:
    following = Player("billing-next")
    assert answer(await platform.turn("show me my bill")).startswith("billing:")
    async with serving(following.respond, "billing-next") as url:
        await switch(platform, url)
        events = await platform.turn("show me my bill")
        assert answer(events).startswith("billing:")
        assert not told(events)
        assert answer(await platform.turn("where is my order")).startswith("orders:")
        assert answer(await platform.turn("show me my bill", "new")).startswith("billing-next:")


async def test_when_its_agents_go_it_goes_on_with_those_there_are_and_says_so(
    platform: Platform,
) -> None:
    following = Player("billing-next")
    await platform.turn("show me my bill")
    async with serving(following.respond, "billing-next") as url:
        await switch(platform, url)
        await platform.store.delete(Key(kind="Agent", namespace="default", name="billing"))
        await platform.settled()
        events = await platform.turn("show me my bill")
        assert answer(events).startswith("billing-next:")
        (text,) = told(events)
        assert "goes on with billing-next" in text
        assert len(following.turns[-1].messages) == 3  # nothing of it is lost
        events = await platform.turn("show me my bill")
        assert not told(events)


async def test_an_agent_that_is_replaced_in_place_is_gone(platform: Platform) -> None:
    await platform.turn("show me my bill")
    before = platform.supervisor.routings.find("acme", "web").members["billing"]
    assert before.address is not None
    agent = agent_of("billing", before.address.url, BILL)
    await platform.change(agent.but(spec=agent.spec.but(version="9.0.0")))
    events = await platform.turn("show me my bill")
    assert answer(events).startswith("billing:")
    assert "billing 9.0.0" in told(events)[0]


async def test_an_address_or_an_example_that_changes_is_taken_over_at_once(
    platform: Platform,
) -> None:
    moved = Player("billing")
    await platform.turn("show me my bill")
    async with serving(moved.respond, "billing") as url:
        more = BILL.but(examples=(*BILL.examples, "send me the invoice"))
        await platform.change(agent_of("billing", url, more))
        events = await platform.turn("show me my bill")
        assert not told(events)
        assert len(moved.turns) == 1


async def test_a_conversation_stays_in_its_subset_until_that_is_taken_away(
    platform: Platform,
) -> None:
    following = Player("billing-next")
    async with serving(following.respond, "billing-next") as url:
        await switch(platform, url, "canary")
        events = await platform.turn("show me my bill", subset="canary")
        assert answer(events).startswith("billing-next:")
        events = await platform.turn("show me my bill")  # whatever subset the next one names
        assert answer(events).startswith("billing-next:")
        assert following.turns[-1].subset == "canary"
        assert answer(await platform.turn("show me my bill", "other")).startswith("billing:")
        key = Key(kind="ChannelRouting", namespace="default", name="acme-web-canary")
        await platform.store.delete(key)
        await platform.settled()
        events = await platform.turn("show me my bill")
        assert answer(events).startswith("billing:")
        assert "goes on with billing" in told(events)[0]


async def test_only_so_many_tables_are_kept(platform: Platform) -> None:
    billing = platform.supervisor.routings.find("acme", "web").members["billing"]
    assert billing.address is not None
    agent = agent_of("billing", billing.address.url, BILL)
    for number in range(10):
        offer = ORDER.but(name=f"order-{number}")
        await platform.store.apply(routing("acme", group_of(agent, offer)), "test", force=True)
        await platform.settled()
    assert len(platform.supervisor.routings._older["acme", "web", "stable"]) == 4
