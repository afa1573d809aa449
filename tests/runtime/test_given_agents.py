"""A supervisor of agents that a program gives it: objects, URLs, resources, routings."""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from runtime_parts import BILL, ORDER, Player, agent_of, group_of, routing, served, serving, turn_of
from starlette.applications import Starlette

from lmos import Agent, Supervisor
from lmos.arc import Team
from lmos.model import (
    Description,
    Failed,
    Handover,
    Responder,
    StatusUpdate,
    TextDelta,
    Turn,
    TurnEvent,
    errors,
)
from lmos.model.grammar import checked
from lmos.protocols import a2a, http
from lmos.runtime.collaboration.handing import MAX_HOPS

USE_CASES = """
### UseCase: view_bill
#### Description
The customer wants to see a bill.
#### Solution
"You owe 42.50 EUR."
#### Examples
- how much do I owe
- show me my bill
"""


def billing() -> Agent:
    return Agent(name="billing", model="direct", description="Bills.", use_cases=USE_CASES)


class Orders(Player):
    """A player that says what it can do, and notes that it was started and stopped."""

    def __init__(self) -> None:
        super().__init__("orders")
        self.log: list[str] = []

    def describe(self) -> Description:
        return Description(name="orders", description="Orders.", capabilities=(ORDER,))

    async def start(self) -> None:
        self.log.append("start")

    async def stop(self) -> None:
        self.log.append("stop")


def far(orders: Orders) -> Starlette:
    return Starlette(routes=a2a.routes(orders.respond, orders.describe()))


async def test_agents_in_this_process_and_far_away() -> None:
    orders = Orders()
    async with served(far(orders)) as url, Supervisor([billing(), url]) as supervisor:
        outcome = await supervisor.run("how much do I owe?", conversation="c")
        assert (outcome.agent, outcome.text) == ("billing", "You owe 42.50 EUR.")
        outcome = await supervisor.run("where is my order?", conversation="c")
        assert (outcome.agent, outcome.text) == ("orders", "orders: where is my order?")
        assert len(orders.turns[0].messages) == 3


async def test_it_starts_with_the_first_turn_and_stops_what_it_started() -> None:
    orders = Orders()
    supervisor = Supervisor([billing(), orders])
    assert not orders.log
    both = await asyncio.gather(
        supervisor.run("where is my order"), supervisor.run("how much do I owe")
    )
    assert [outcome.agent for outcome in both] == ["orders", "billing"]
    assert orders.log == ["start"]
    await supervisor.stop()
    assert orders.log == ["start", "stop"]


def test_without_an_event_loop() -> None:
    orders = Orders()
    supervisor = Supervisor([billing(), orders])
    for _ in range(2):
        assert supervisor.run_sync("where is my order").agent == "orders"
    assert orders.log == ["start", "stop", "start", "stop"]


async def test_without_an_event_loop_agents_may_be_far_away() -> None:
    async with served(far(Orders())) as url:
        supervisor = Supervisor([url])
        for _ in range(2):
            outcome = await asyncio.to_thread(supervisor.run_sync, "where is my order")
            assert outcome.text == "orders: where is my order"


async def test_where_a_loop_runs_one_is_told_to_await() -> None:
    with pytest.raises(errors.InvalidInput, match="await run"):
        Supervisor([Orders()]).run_sync("hello")


async def test_whatever_the_tenant_of_the_turn() -> None:
    async with Supervisor([billing(), Orders()]) as supervisor:
        for tenant in ("", "acme"):
            outcome = await supervisor.run("where is my order", tenant=tenant, channel="web")
            assert outcome.agent == "orders"


async def test_resources_and_routings() -> None:
    player = Player("billing")
    async with serving(player.respond, "billing") as url:
        agent = agent_of("billing", url, BILL)
        async with Supervisor([agent]) as supervisor:
            assert (await supervisor.run("how much do I owe")).agent == "billing"
        async with Supervisor([agent, routing("acme", group_of(agent, BILL))]) as supervisor:
            outcome = await supervisor.run("how much do I owe", tenant="acme", channel="web")
            assert outcome.agent == "billing"
            with pytest.raises(errors.ChannelNotFound):
                await supervisor.run("how much do I owe", tenant="globex", channel="web")


async def test_it_is_an_agent_to_other_agents() -> None:
    async with Supervisor([Supervisor([billing()], name="bills"), Orders()]) as outer:
        for agent in ("bills", None):
            outcome = await outer.run("how much do I owe", agent=agent)
            assert (outcome.agent, outcome.text) == ("bills", "You owe 42.50 EUR.")
    desk = Team("desk", [Supervisor([billing(), Orders()], name="front")])
    assert (await desk.run("how much do I owe")).text == "You owe 42.50 EUR."
    assert (await desk.run("where is my order")).text == "orders: where is my order"
    await desk.stop()


async def test_what_cannot_be_used_is_told() -> None:
    with pytest.raises(errors.InvalidInput, match="at least one agent"):
        Supervisor([])
    with pytest.raises(errors.InvalidInput, match="two agents are named orders"):
        await Supervisor([Orders(), Orders()]).run("hello")
    with pytest.raises(errors.InvalidInput, match="the fallback names 'choir'"):
        await Supervisor([Orders()], fallback=["choir"]).run("hello")
    with pytest.raises(errors.AgentUnavailable):
        await Supervisor(["http://127.0.0.1:9"]).run("hello")
    await http.close_session()


async def test_a_fallback_of_names_and_people() -> None:
    orders = Orders()
    async with Supervisor([billing(), orders], fallback=["orders", "human"]) as supervisor:
        assert (await supervisor.run("what is the capital of Peru")).agent == "orders"
        orders.plays(Failed.of(errors.AgentFailed("no")))
        outcome = await supervisor.run("what is the capital of Peru", conversation="c")
        assert outcome.context["outcome"] == "human"
        (held,) = await supervisor.humans.waiting("", "")
        assert held.conversation_id == "c"


async def test_an_agent_that_raises_fails_like_any_other() -> None:
    class Raising:
        name = "raising"

        @property
        def responder(self) -> Responder:
            return self.respond

        async def respond(self, turn: Turn) -> AsyncGenerator[TurnEvent, None]:
            raise errors.AgentFailed("no")
            yield  # pragma: no cover

    async with Supervisor([Raising(), Orders()], fallback=["orders"]) as supervisor:
        turn = turn_of("hi", agent="raising")
        events = [event async for event in checked(supervisor.respond)(turn)]
        assert isinstance(events[-1], Failed)


async def test_the_hops_of_a_turn_are_limited() -> None:
    chain = [Player(f"agent-{number}") for number in range(MAX_HOPS + 2)]
    for player, following in itertools.pairwise(chain):
        player.plays(Handover(to=following.name))
    async with Supervisor(chain) as supervisor:
        with pytest.raises(errors.AgentFailed, match=f"more than {MAX_HOPS} times: agent-0 -> "):
            await supervisor.run("hello", agent="agent-0")
        assert not chain[-1].turns
        chain[-2].play = chain[-2].repeat
        assert (await supervisor.run("hello", agent="agent-0")).text == f"{chain[-2].name}: hello"


async def test_what_two_can_do_the_second_does_where_the_first_cannot() -> None:
    class Second(Orders):
        def describe(self) -> Description:
            return super().describe().but(name="second")

    first, second = Orders(), Second()
    second.name = "second"
    async with Supervisor([first, second]) as supervisor:
        assert (await supervisor.run("where is my order")).text == "orders: where is my order"
        first.plays(Failed.of(errors.AgentUnavailable("gone")))
        assert (await supervisor.run("where is my order")).text == "second: where is my order"


async def test_leaving_ends_the_agent() -> None:
    orders = Orders()
    orders.slowly(3600)
    async with Supervisor([billing(), orders]) as supervisor, asyncio.timeout(5):
        async with aclosing(supervisor.stream("where is my order")) as events:
            async for event in events:
                if isinstance(event, TextDelta | StatusUpdate):
                    break
        await orders.closed.wait()
