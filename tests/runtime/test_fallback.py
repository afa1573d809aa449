"""Who answers when the one decided on cannot: specialist, generalist, people."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError
from runtime_parts import BILL as BILL_CAPABILITY
from runtime_parts import Platform, agent_of, answer

from lmos.model import (
    Answer,
    Channel,
    ChannelSpec,
    Decided,
    Done,
    Failed,
    FallbackStep,
    Handover,
    InputRequired,
    Message,
    Started,
    StatusUpdate,
    TextDelta,
    Turn,
    TurnEvent,
    errors,
)
from lmos.resolver import resolve

SONG = "what is the capital of Peru"
BILL = "how much do I owe"


def statuses(events: list[TurnEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, StatusUpdate)]


def text(events: list[TurnEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def failing(why: str = "the ledger is locked") -> Failed:
    return Failed.of(errors.AgentFailed(why))


def refusing(said: str = "I cannot help with that.", **context: str) -> list[TurnEvent]:
    message = Message(role="assistant", content=said)
    context = context or {"unresolved": "true"}
    return [TextDelta(text=said), Answer(message=message, context=context), Done()]


@pytest.fixture
async def falling(platform: Platform) -> Platform:
    """What billing cannot answer, orders does."""
    await platform.arrange(fallback=[{"agent": "orders"}])
    return platform


async def test_what_nobody_offers_goes_to_the_generalist(falling: Platform) -> None:
    events = await falling.turn(SONG)
    assert events[0] == Started(agent="orders", version="1.0.0")
    assert isinstance(events[1], Decided)
    assert events[1].decision.outcome == "out_of_scope"
    assert answer(events) == f"orders: {SONG}"
    assert statuses(events)[0].endswith("; orders answers instead")


async def test_an_agent_that_fails_is_stood_in_for(falling: Platform) -> None:
    falling.billing.plays(failing())
    events = await falling.turn(BILL)
    assert answer(events) == text(events) == f"orders: {BILL}"
    assert any("the ledger is locked" in status for status in statuses(events))
    (said,) = (event for event in events if isinstance(event, Answer))
    assert said.context["agent"] == "orders"


async def test_an_agent_that_is_not_there_is_stood_in_for(falling: Platform) -> None:
    await falling.change(agent_of("billing", "http://127.0.0.1:9", BILL_CAPABILITY))
    events = await falling.turn(BILL)
    assert answer(events) == text(events) == f"orders: {BILL}"
    assert any("cannot be reached" in status for status in statuses(events))


async def test_an_agent_that_breaks_in_the_middle_of_nothing_said_yet(falling: Platform) -> None:
    falling.billing.plays(TextDelta(text="You owe "), failing())
    events = await falling.turn(BILL)
    assert text(events) == f"orders: {BILL}"


async def test_an_agent_that_hangs_is_not_waited_for_to_the_end(falling: Platform) -> None:
    async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        yield StatusUpdate(text="thinking")
        await asyncio.Event().wait()

    falling.billing.play = play
    events = await falling.turn(BILL, deadline=datetime.now(UTC) + timedelta(seconds=3))
    assert text(events) == f"orders: {BILL}"
    assert any("no answer for 1.5 s" in status for status in statuses(events))
    async with asyncio.timeout(5):
        await falling.billing.closed.wait()


async def test_an_agent_that_has_begun_has_all_the_time(falling: Platform) -> None:
    falling.billing.slowly(1.5)
    events = await falling.turn(BILL, deadline=datetime.now(UTC) + timedelta(seconds=2.5))
    assert not falling.orders.turns
    assert answer(events) == f"billing: {BILL}"


async def test_what_was_said_stays_said(falling: Platform) -> None:
    falling.billing.plays(TextDelta(text="You "), TextDelta(text="owe "), failing())
    events = await falling.turn(BILL)
    assert text(events) == "You owe "
    assert isinstance(events[-1], Failed)
    assert not falling.orders.turns


@pytest.mark.parametrize(
    "context", [{"unresolved": "true"}, {"classification": "UNRESOLVED"}], ids=str
)
async def test_an_agent_that_has_no_answer_is_stood_in_for(
    falling: Platform, context: dict[str, str]
) -> None:
    falling.billing.plays(*refusing(**context))
    events = await falling.turn(BILL)
    assert text(events) == answer(events) == f"orders: {BILL}"


async def test_where_the_last_has_no_answer_either_it_says_so(falling: Platform) -> None:
    falling.billing.plays(failing())
    falling.orders.plays(*refusing("Nobody knows."))
    events = await falling.turn(BILL)
    assert answer(events) == text(events) == "Nobody knows."
    assert isinstance(events[-1], Done)


async def test_where_all_fail_the_turn_fails_or_is_declined(falling: Platform) -> None:
    falling.billing.plays(failing())
    falling.orders.plays(failing("the depot is closed"))
    assert isinstance((await falling.turn(BILL))[-1], Failed)
    assert answer(await falling.turn(SONG)).startswith("I cannot help with that here")


async def test_a_question_is_an_answer(falling: Platform) -> None:
    question = Message(role="assistant", content="Which month?")
    falling.billing.plays(TextDelta(text="Which month?"), InputRequired(message=question))
    events = await falling.turn(BILL)
    assert isinstance(events[-1], InputRequired)
    assert text(events) == "Which month?"


@pytest.mark.parametrize(
    "error", [errors.InvalidInput("no"), errors.Forbidden("no"), errors.Unauthenticated("no")]
)
async def test_what_is_wrong_with_the_turn_goes_back_to_its_caller(
    falling: Platform, error: errors.LmosError
) -> None:
    falling.billing.plays(Failed.of(error))
    assert isinstance((await falling.turn(BILL))[-1], Failed)
    assert not falling.orders.turns


async def test_who_insists_on_an_agent_gets_no_other(falling: Platform) -> None:
    falling.billing.plays(failing())
    assert isinstance((await falling.turn(BILL, agent="billing"))[-1], Failed)
    assert not falling.orders.turns


async def test_nobody_is_asked_twice(falling: Platform) -> None:
    falling.orders.plays(failing("the depot is closed"))
    events = await falling.turn("where is my order")
    assert isinstance(events[-1], Failed)
    assert len(falling.orders.turns) == 1


async def test_a_handover_that_leads_nowhere_is_a_failure_too(falling: Platform) -> None:
    falling.billing.plays(Handover(to="choir"))
    assert answer(await falling.turn(BILL)) == f"orders: {BILL}"


async def test_a_step_may_name_a_capability(platform: Platform) -> None:
    await platform.arrange(fallback=[{"capability": "sing"}, {"capability": "track-order"}])
    events = await platform.turn(SONG)
    assert answer(events) == f"orders: {SONG}"


async def test_a_step_that_the_channel_does_not_have_is_passed_over(platform: Platform) -> None:
    await platform.arrange(fallback=[{"agent": "choir"}])
    assert answer(await platform.turn(SONG)).startswith("I cannot help with that here")
    await platform.arrange(fallback=[{"agent": "choir"}, {"agent": "billing"}])
    assert answer(await platform.turn(SONG)) == f"billing: {SONG}"


# --- what a channel says --------------------------------------------------------------------------


def spec(*steps: object) -> ChannelSpec:
    return ChannelSpec.model_validate({"requiredCapabilities": [], "fallback": steps})


def test_the_routing_says_what_the_channel_does() -> None:
    steps = [{"agent": "a"}, {"capability": "c"}, "human"]
    wanted = ChannelSpec.model_validate(
        {"requiredCapabilities": [], "fallback": steps, "collaboration": "supervised"}
    )
    channel = Channel.model_validate({"metadata": {"name": "c"}, "spec": wanted, "kind": "Channel"})
    routing = resolve([], channel).routing
    assert routing.spec.collaboration == "supervised"
    assert routing.spec.fallback == (
        FallbackStep(agent="a"), FallbackStep(capability="c"), FallbackStep(human="human"),
    )  # fmt: skip


def channel_with(*steps: object) -> Channel:
    required = [{"name": "view-bill", "version": "*"}]
    data = {
        "kind": "Channel",
        "metadata": {"name": "c", "labels": {"tenant": "acme", "channel": "web"}},
        "spec": {"requiredCapabilities": required, "fallback": steps},
    }
    return Channel.model_validate(data)


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        (["human"], None),
        ([{"agent": "billing"}, {"capability": "view-bill"}, "human"], "True"),
        ([{"agent": "view-bill"}], "False"),
        ([{"capability": "billing"}], "False"),
        ([{"agent": "choir"}], "False"),
    ],
    ids=str,
)
def test_the_channel_tells_whether_its_fallback_serves_it(
    steps: list[object], status: str | None
) -> None:
    agent = agent_of("billing", "http://127.0.0.1:9", BILL_CAPABILITY)
    agent = agent.but(spec=agent.spec.but(supported_channels=("web",)))
    resolved = resolve([agent], channel_with(*steps)).channel.status
    condition = resolved.condition("Fallback")
    assert (condition.status if condition else None) == status
    if status == "False":
        assert condition
        assert "require a capability of theirs" in condition.message


@pytest.mark.parametrize(
    "steps",
    [[{}], [{"agent": "a", "capability": "c"}], ["somebody"], ["human", {"agent": "a"}]],
    ids=str,
)
def test_steps_that_say_nothing_clear_are_refused(steps: list[object]) -> None:
    with pytest.raises(ValidationError):
        spec(*steps)
