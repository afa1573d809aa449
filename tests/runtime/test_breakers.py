"""Agents that fail are spared, others stand in at once, and they are tried again."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime_parts import BILL, ORDER, Platform, agent_of, answer, turn_of

from lmos.llm import embedder
from lmos.model import Agent, AgentAddress, Failed, TextDelta, errors
from lmos.router import VectorRouter
from lmos.runtime import Breakers, Limits, Supervisor
from lmos.runtime.breakers import Breaker, Bulkhead
from lmos.state import MemoryState

LIMITS = Limits(in_a_row=3, window=8, cool_down=30, running=2, forget=100)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(LIMITS, clock)


def turn(breaker: Breaker, *, fails: bool) -> bool:
    """Whether the turn was let through."""
    era = breaker.begin()
    if era is None:
        return False
    if fails:
        breaker.failed(era, "broken")
    else:
        breaker.succeeded(era)
    return True


# --- the machine ----------------------------------------------------------------------------------


def test_it_opens_after_failures_in_a_row(breaker: Breaker) -> None:
    for fails in (True, True, False, True, True):
        assert turn(breaker, fails=fails)
    assert breaker.state == "closed"
    assert turn(breaker, fails=True)
    assert breaker.state == "open"
    assert not turn(breaker, fails=False)


def test_it_opens_when_half_of_the_last_turns_failed(breaker: Breaker) -> None:
    for number in range(7):
        assert turn(breaker, fails=number % 2 == 1)
    assert breaker.state == "closed"
    turn(breaker, fails=True)
    assert breaker.state == "open"


def opened(breaker: Breaker) -> None:
    for _ in range(LIMITS.in_a_row):
        turn(breaker, fails=True)
    assert breaker.state == "open"


def test_one_turn_tries_it_again_after_the_cool_down(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 29.9
    assert breaker.begin() is None
    clock.now += 0.1
    assert breaker.state == "half-open"
    trial = breaker.begin()
    assert trial is not None
    assert breaker.begin() is None
    breaker.succeeded(trial)
    assert breaker.state == "closed"
    assert turn(breaker, fails=True)
    assert breaker.state == "closed"  # it begins anew


def test_a_trial_that_fails_opens_it_again(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    since = breaker.since
    clock.now += 30
    assert turn(breaker, fails=True)
    assert breaker.state == "open"
    assert breaker.since == since
    assert breaker.until == clock.now + 30


def test_a_trial_that_tells_nothing_makes_room_for_another(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 30
    trial = breaker.begin()
    assert trial is not None
    breaker.left(trial)
    assert turn(breaker, fails=False)
    assert breaker.state == "closed"


def test_turns_that_began_before_it_opened_change_nothing(breaker: Breaker, clock: Clock) -> None:
    early = breaker.begin()
    assert early is not None
    opened(breaker)
    until = breaker.until
    clock.now += 1
    breaker.failed(early, "late")
    assert breaker.until == until
    breaker.succeeded(early)
    assert breaker.state == "open"


@given(st.lists(st.tuples(st.sampled_from(["begin", "ok", "fail", "left"]), st.integers(0, 40))))
def test_whatever_happens_it_asks_again_and_tries_with_one(steps: list[tuple[str, int]]) -> None:
    clock = Clock()
    breaker = Breaker(LIMITS, clock)
    running: list[int] = []
    for step, seconds in steps:
        clock.now += seconds
        state, era = breaker.state, None
        if step == "begin":
            era = breaker.begin()
            assert not (state == "open" and era is not None)
            assert not (state == "closed" and era is None)
            if era is not None:
                assert not (state == "half-open" and era in running)
                running.append(era)
        elif running:
            era = running.pop(0)
            match step:
                case "ok":
                    breaker.succeeded(era)
                case "fail":
                    breaker.failed(era, "broken")
                case _:
                    breaker.left(era)
    for era in running:
        breaker.left(era)
    clock.now += LIMITS.cool_down
    assert turn(breaker, fails=False)
    assert breaker.state == "closed"


def test_a_bulkhead_takes_so_many_and_no_more() -> None:
    bulkhead = Bulkhead(2)
    bulkhead.enter("billing")
    bulkhead.enter("billing")
    with pytest.raises(errors.Overloaded, match="billing") as full:
        bulkhead.enter("billing")
    assert full.value.retry_after > 0
    bulkhead.leave()
    bulkhead.enter("billing")


def test_what_is_kept_of_agents_is_dropped_unless_they_are_in_use(clock: Clock) -> None:
    breakers = Breakers(LIMITS, clock)
    with breakers.admitted("acme", "busy", "u"):
        for number in range(50):
            with breakers.admitted("acme", f"agent-{number}", "u"):
                pass
        assert len(breakers) == 51
        clock.now += 100
        with breakers.admitted("acme", "other", "u"):
            pass
        assert len(breakers) == 2


# --- with agents ----------------------------------------------------------------------------------


@pytest.fixture
async def spared(platform: Platform, clock: Clock) -> Platform:
    """The platform with our limits and our clock; orders can stand in for billing."""
    routings = platform.supervisor.routings
    breakers = Breakers(LIMITS, clock)
    platform.supervisor = Supervisor(
        routings, VectorRouter(embedder()), MemoryState(), breakers=breakers
    )
    orders = await platform.store.get(Agent, "orders")
    assert orders
    assert orders.status.address
    await platform.change(agent_of("orders", orders.status.address.url, ORDER, BILL))
    return platform


async def ask(platform: Platform, text: str = "how much do I owe", **more: object) -> Failed | str:
    """The answer of a new conversation, or its failure."""
    number = len(platform.billing.turns) + len(platform.orders.turns)
    events = await platform.turn(text, f"c{number}", **more)
    return events[-1] if isinstance(events[-1], Failed) else answer(events)


async def test_another_stands_in_at_once_until_the_agent_recovers(
    spared: Platform, clock: Clock
) -> None:
    spared.billing.plays(RuntimeError("broken"))
    for _ in range(5):
        assert await ask(spared) == "orders: how much do I owe"
    assert len(spared.billing.turns) == 3
    assert [*spared.supervisor.metrics.spared.values()] == [2]
    spared.billing.play = spared.billing.repeat
    assert await ask(spared) == "orders: how much do I owe"
    clock.now += 30
    assert await ask(spared) == "billing: how much do I owe"
    assert await ask(spared) == "billing: how much do I owe"


async def test_with_nobody_left_the_error_says_since_and_until_when(
    spared: Platform, clock: Clock
) -> None:
    spared.billing.plays(RuntimeError("broken"))
    for _ in range(4):
        last = await ask(spared, agent="billing")
    assert len(spared.billing.turns) == 3
    assert isinstance(last, Failed)
    assert last.error.code == "AGENT_UNAVAILABLE"
    assert "billing" in last.error.message
    assert last.error.details["since"] in last.error.message
    assert last.error.details["until"] in last.error.message
    assert last.error.details["retry_after"] == 30
    # another tenant has not seen it fail
    await ask(spared, tenant="globex")
    assert len(spared.billing.turns) == 4


async def test_an_agent_that_is_away_is_spared_and_asked_at_its_next_address(
    spared: Platform,
) -> None:
    agent = await spared.store.get(Agent, "billing")
    assert agent
    nowhere = AgentAddress(url="http://127.0.0.1:9")
    await spared.change(agent.but(status=agent.status.but(address=nowhere)))
    for number in range(4):
        failed = (await spared.turn("how much do I owe", f"{number}", agent="billing"))[-1]
        assert isinstance(failed, Failed)
        assert ("since" in failed.error.details) == (number == 3)
    await spared.change(agent)
    assert await ask(spared) == "billing: how much do I owe"


@pytest.mark.parametrize(
    "error", [errors.InvalidInput("x"), errors.Unauthenticated("x"), errors.Forbidden("x")]
)
async def test_what_the_turn_is_to_blame_for_does_not_count(
    spared: Platform, error: errors.LmosError
) -> None:
    spared.billing.plays(error)
    for _ in range(5):
        await ask(spared)
    assert len(spared.billing.turns) == 5


async def test_a_short_deadline_and_a_caller_that_leaves_do_not_count(spared: Platform) -> None:
    await ask(spared)
    spared.billing.slowly(30)
    for number in range(3):
        soon = datetime.now(UTC) + timedelta(seconds=0.3)
        last = await ask(spared, deadline=soon)
        assert isinstance(last, Failed)
        assert last.error.code == "DEADLINE_EXCEEDED"
        await left(spared, f"left-{number}")
    spared.billing.play = spared.billing.repeat
    assert await ask(spared) == "billing: how much do I owe"


@pytest.mark.parametrize(
    "error", [errors.DeadlineExceeded("the bank is slow"), errors.AgentFailed("no")]
)
async def test_an_agent_that_gives_up_with_time_left_is_spared(
    spared: Platform, error: errors.LmosError
) -> None:
    spared.billing.plays(error)
    for _ in range(4):
        await ask(spared, agent="billing")
    assert len(spared.billing.turns) == 3


async def test_an_agent_that_breaks_off_in_the_middle_is_spared(spared: Platform) -> None:
    spared.billing.plays(TextDelta(text="You owe"))  # and no end
    for _ in range(4):
        await ask(spared, agent="billing")
    assert len(spared.billing.turns) == 3


async def left(platform: Platform, conversation: str) -> None:
    """A turn whose caller leaves at the first word."""
    asked = turn_of("how much do I owe", conversation)
    async with aclosing(platform.supervisor.respond(asked)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                return


async def test_an_agent_with_its_hands_full_is_not_asked_more(spared: Platform) -> None:
    spared.billing.slowly(30)
    running = [asyncio.create_task(spared.turn("how much do I owe", f"r{n}")) for n in range(2)]
    async with asyncio.timeout(10):
        while len(spared.billing.turns) < 2:
            await asyncio.sleep(0.01)
        last = await ask(spared, agent="billing")
        assert isinstance(last, Failed)
        assert last.error.code == "OVERLOADED"
        assert last.error.details["retry_after"] > 0
        assert await ask(spared) == "orders: how much do I owe"
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    spared.billing.play = spared.billing.repeat
    assert await ask(spared) == "billing: how much do I owe"
