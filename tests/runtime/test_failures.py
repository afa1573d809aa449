"""Agents that are down, break, hang or are killed; and who stands in for them."""

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from runtime_parts import BILL, ORDER, Platform, agent_of, answer, group_of, routing, turn_of

from lmos.model import (
    Agent,
    AgentAddress,
    Capability,
    Condition,
    Decided,
    Failed,
    Started,
    StatusUpdate,
    TextDelta,
    ToolCall,
    TurnEvent,
    errors,
)

NOWHERE = AgentAddress(url="http://127.0.0.1:9")


async def at(platform: Platform, name: str, address: AgentAddress) -> None:
    """The agent answers at another address from now on."""
    agent = await platform.store.get(Agent, name)
    assert agent
    await platform.change(agent.but(status=agent.status.but(address=address)))


async def orders_offers(platform: Platform, *offers: Capability) -> None:
    agent = await platform.store.get(Agent, "orders")
    assert agent
    assert agent.status.address
    await platform.change(agent_of("orders", agent.status.address.url, *offers))


def first(events: list[TurnEvent]) -> str:
    assert isinstance(events[0], Started)
    return events[0].agent


# --- with nobody to stand in ----------------------------------------------------------------------


async def test_an_agent_that_is_down_is_a_clear_error(platform: Platform) -> None:
    await at(platform, "orders", NOWHERE)
    events = await platform.turn("where is my order")
    last = events[-1]
    assert isinstance(last, Failed)
    assert last.error.code == "AGENT_UNAVAILABLE"
    assert "orders" in last.error.message
    assert first(events) == "orders"


async def test_an_agent_that_breaks_off_is_a_clear_error_and_not_remembered(
    platform: Platform,
) -> None:
    platform.billing.plays(TextDelta(text="You owe"), RuntimeError("broken inside"))
    last = (await platform.turn("how much do I owe"))[-1]
    assert isinstance(last, Failed)
    assert "billing" in last.error.message
    assert "broken inside" not in last.error.message
    platform.billing.play = platform.billing.repeat
    await platform.turn("how much do I owe")
    assert len(platform.billing.turns[-1].messages) == 1


async def test_a_protocol_that_is_not_spoken_is_a_clear_error(platform: Platform) -> None:
    await at(platform, "orders", AgentAddress(url="http://127.0.0.1:9", protocol="telex"))
    last = (await platform.turn("where is my order"))[-1]
    assert isinstance(last, Failed)
    assert "telex" in last.error.message


@pytest.fixture
async def victim() -> AsyncIterator[tuple[Process, str]]:
    """A process with an agent that says one word and then thinks for ever."""
    code = """
import asyncio, socket, uvicorn
from starlette.applications import Starlette
from lmos.model import Description, Started, TextDelta
from lmos.protocols import a2a
async def respond(turn):
    yield Started(agent="orders")
    yield TextDelta(text="Your")
    await asyncio.sleep(3600)
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
app = Starlette(routes=[*a2a.routes(respond, Description(name="orders"))])
asyncio.run(uvicorn.Server(uvicorn.Config(app, log_level="critical")).serve([listener]))
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        port = await process.stdout.readline()
        yield process, f"http://127.0.0.1:{int(port)}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_process_killed_in_the_middle_of_its_answer_is_a_clear_error(
    platform: Platform, victim: tuple[Process, str]
) -> None:
    process, url = victim
    await at(platform, "orders", AgentAddress(url=url))
    seen: list[TurnEvent] = []
    async with asyncio.timeout(10):
        async with aclosing(platform.supervisor.respond(turn_of("where is my order"))) as events:
            async for event in events:
                seen.append(event)
                if isinstance(event, TextDelta):
                    process.kill()
    last = seen[-1]
    assert isinstance(last, Failed)
    assert last.error.code in ("AGENT_CLIENT_EXCEPTION", "AGENT_UNAVAILABLE")
    assert "orders" in last.error.message
    assert answer(await platform.turn("how much do I owe")).startswith("billing")


async def test_a_turn_that_is_cut_off_ends_with_an_error(platform: Platform) -> None:
    platform.billing.slowly(30)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(cut_off_of(platform))
        while not platform.billing.turns:
            await asyncio.sleep(0.01)
        platform.supervisor.cut_off()
        assert await running == "the platform is stopping; ask again"
        await platform.billing.closed.wait()
    platform.billing.slowly(0)
    assert answer(await platform.turn("how much do I owe")).startswith("billing")


async def cut_off_of(platform: Platform) -> str:
    with pytest.raises(errors.AgentUnavailable) as cut:
        await platform.turn("how much do I owe")
    return cut.value.message


async def test_the_deadline_ends_a_turn_that_hangs(platform: Platform) -> None:
    await platform.turn("how much do I owe")  # the embedding model is loaded now
    platform.billing.closed.clear()
    platform.billing.slowly(30)
    deadline = datetime.now(UTC) + timedelta(seconds=1)
    async with asyncio.timeout(5):
        last = (await platform.turn("how much do I owe", deadline=deadline))[-1]
        assert isinstance(last, Failed)
        assert last.error.code == "DEADLINE_EXCEEDED"
        await platform.billing.closed.wait()


async def test_the_deadline_ends_the_wait_for_earlier_turns(platform: Platform) -> None:
    platform.billing.slowly(30)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(platform.turn("how much do I owe"))
        async with asyncio.timeout(5):
            while not platform.billing.turns:
                await asyncio.sleep(0.01)
            soon = datetime.now(UTC) + timedelta(seconds=0.5)
            with pytest.raises(errors.DeadlineExceeded, match="earlier turns"):
                await platform.turn("and last month?", deadline=soon)
        running.cancel()


# --- with somebody to stand in --------------------------------------------------------------------


async def test_another_agent_with_the_capability_stands_in(platform: Platform) -> None:
    await orders_offers(platform, ORDER, BILL)
    await at(platform, "billing", NOWHERE)
    events = await platform.turn("how much do I owe")
    assert answer(events) == "orders: how much do I owe"
    assert first(events) == "orders"
    assert isinstance(events[1], Decided)
    assert events[1].decision.agent == "billing"
    assert isinstance(events[2], StatusUpdate)
    assert events[2].text.endswith("orders answers instead")
    assert answer(await platform.turn("and last month?")).startswith("orders")  # it stays there


async def test_it_stands_in_for_an_agent_that_fails_at_once(platform: Platform) -> None:
    await orders_offers(platform, ORDER, BILL)
    platform.billing.plays(RuntimeError("broken"))
    assert answer(await platform.turn("how much do I owe")).startswith("orders")
    assert len(platform.billing.turns) == 1


@pytest.mark.parametrize(
    "done", [TextDelta(text="You owe"), ToolCall(id="1", name="pay")], ids=["text", "tool"]
)
async def test_nobody_stands_in_once_something_was_said_or_done(
    platform: Platform, done: TurnEvent
) -> None:
    await orders_offers(platform, ORDER, BILL)
    platform.billing.plays(done, RuntimeError("broken"))
    events = await platform.turn("how much do I owe")
    assert isinstance(events[-1], Failed)
    assert not platform.orders.turns


async def test_nobody_stands_in_where_the_turn_itself_is_wrong(platform: Platform) -> None:
    await orders_offers(platform, ORDER, BILL)
    platform.billing.plays(errors.InvalidInput("too many attachments"))
    last = (await platform.turn("how much do I owe"))[-1]
    assert isinstance(last, Failed)
    assert last.error.code == "INVALID_REQUEST"
    assert not platform.orders.turns


async def test_nobody_stands_in_for_the_agent_that_the_caller_insists_on(
    platform: Platform,
) -> None:
    await orders_offers(platform, ORDER, BILL)
    await at(platform, "billing", NOWHERE)
    events = await platform.turn("how much do I owe", agent="billing")
    assert isinstance(events[-1], Failed)
    assert not platform.orders.turns


async def test_nobody_stands_in_with_a_version_that_the_channel_refuses(
    platform: Platform,
) -> None:
    await orders_offers(platform, ORDER, BILL.but(version="0.9.0"))
    await at(platform, "billing", NOWHERE)
    assert isinstance((await platform.turn("how much do I owe"))[-1], Failed)
    assert not platform.orders.turns


async def test_nobody_stands_in_who_is_not_on_the_channel(platform: Platform) -> None:
    await orders_offers(platform, ORDER, BILL)
    await at(platform, "billing", NOWHERE)
    assert isinstance((await platform.turn("how much do I owe", tenant="globex"))[-1], Failed)
    assert not platform.orders.turns


async def test_an_agent_known_to_be_away_is_not_asked_first(platform: Platform) -> None:
    await orders_offers(platform, ORDER, BILL)
    agent = await platform.store.get(Agent, "billing")
    assert agent
    away = Condition(type="Ready", status="False", reason="Unreachable", message="does not answer")
    await platform.change(agent.but(status=agent.status.but(conditions=(away,))))
    assert answer(await platform.turn("how much do I owe")).startswith("orders")
    assert not platform.billing.turns


async def test_a_tenant_with_both_capabilities_on_one_agent_has_no_other(
    platform: Platform,
) -> None:
    agent = await platform.store.get(Agent, "billing")
    assert agent
    await platform.store.apply(routing("acme", group_of(agent, BILL)), "test", force=True)
    async with asyncio.timeout(5):
        while len(platform.supervisor.routings.find("acme", "web").members) == 2:
            await asyncio.sleep(0.01)
    channel = platform.supervisor.routings.find("acme", "web")
    assert channel.instead_of(channel.members["billing"], "view-bill") == []
