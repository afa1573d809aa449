"""Conversations that people take over, until they give them back."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner
from runtime_parts import Platform, answer, served
from starlette.applications import Starlette

from lmos.cli import lmos
from lmos.model import (
    Answer,
    Decided,
    Done,
    Failed,
    Handover,
    Started,
    StatusUpdate,
    TextDelta,
    errors,
)
from lmos.protocols import http
from lmos.runtime import app, exposition
from lmos.runtime.conversations import Conversations

SONG, BILL = "what is the capital of Peru", "how much do I owe"
DESK = "/apis/v1/tenants/acme/channels/web/humans"


@pytest.fixture
async def desk(platform: Platform) -> Platform:
    await platform.arrange(
        fallback=[{"agent": "orders"}, {"human": "service-desk", "message": "Ann will write."}]
    )
    platform.orders.plays(Failed.of(errors.AgentFailed("the depot is closed")))
    return platform


@pytest.fixture
async def url(desk: Platform) -> AsyncIterator[str]:
    routes = app.routes(desk.supervisor)
    async with served(Starlette(routes=routes, exception_handlers=http.exception_handlers)) as at:
        yield at


async def test_people_come_last_and_the_user_is_told(desk: Platform) -> None:
    events = await desk.turn(SONG)
    assert events[0] == Started(agent="orders", version="1.0.0")
    statuses = [event.text for event in events if isinstance(event, StatusUpdate)]
    assert statuses[-1].startswith("handed over to a human (service-desk): ")
    assert "the depot is closed" in statuses[-1]
    (said,) = (event for event in events if isinstance(event, Answer))
    assert said.message.content == "Ann will write."
    assert said.context == {"outcome": "human", "agent": "lmos", "human": "service-desk"}
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "Ann will write."
    assert isinstance(events[-1], Done)


async def test_hand_overs_are_counted_by_arm(desk: Platform) -> None:
    for conversation in ("c1", "c2"):
        for text in (SONG, BILL):  # the second is kept for them, and hands nothing over
            await desk.turn(text, conversation)
    metrics, admission = desk.supervisor.metrics, desk.supervisor.admission
    told = exposition.render(metrics, admission).decode()
    arm = 'channel="web",subset="stable",tenant="acme"'
    assert f"lmos_handed_to_people_total{{{arm}}} 2.0" in told


async def test_no_agent_answers_until_the_conversation_is_released(desk: Platform) -> None:
    await desk.turn(SONG)
    asked = len(desk.orders.turns)
    for agent in (None, "billing"):
        events = await desk.turn(BILL, agent=agent)
        assert events[0] == Started(agent="lmos")
        assert isinstance(events[1], Decided)
        assert "is with a human (service-desk)" in events[1].decision.reason
        assert answer(events).startswith("A person has taken over")
    assert (len(desk.billing.turns), len(desk.orders.turns)) == (0, asked)
    assert answer(await desk.turn(BILL, conversation="other")).startswith("billing")
    await desk.supervisor.humans.release("acme", "web", "c", "Lima. And you owe nothing.")
    assert answer(await desk.turn(BILL)) == f"billing: {BILL}"
    heard = [message.content for message in desk.billing.turns[-1].messages]
    assert heard.index("Lima. And you owe nothing.") == len(heard) - 2
    assert SONG in heard


async def test_a_conversation_can_be_handed_over_again(desk: Platform) -> None:
    humans = desk.supervisor.humans
    for number in range(2):
        await desk.turn(SONG)
        assert answer(await desk.turn(BILL)).startswith("A person has taken over")
        await humans.release("acme", "web", "c")
        assert answer(await desk.turn(BILL)) == f"billing: {BILL}"
        assert len(desk.billing.turns) == number + 1
    assert not await humans.waiting("acme", "web")


async def test_deleting_a_conversation_takes_it_from_people(desk: Platform) -> None:
    await desk.turn(SONG)
    supervisor = desk.supervisor
    conversations = Conversations(supervisor.state, supervisor.log, supervisor.alone)
    await conversations.delete("acme", "c", ["web"])
    assert not await supervisor.humans.waiting("acme", "web")
    assert answer(await desk.turn(BILL)) == f"billing: {BILL}"


async def test_people_take_over_at_once_where_they_are_the_only_step(platform: Platform) -> None:
    await platform.arrange(fallback=["human"])
    events = await platform.turn(SONG)
    assert events[0] == Started(agent="lmos")
    (held,) = await platform.supervisor.humans.waiting("acme", "web")
    assert (held.conversation_id, held.queue) == ("c", "human")


@pytest.mark.parametrize("to", ["human", "service-desk"])
async def test_an_agent_leaves_the_conversation_to_people(desk: Platform, to: str) -> None:
    desk.billing.plays(Handover(to=to, reason="the customer is angry"))
    for agent in (None, "billing"):
        conversation = f"{to} {agent}"
        events = await desk.turn(BILL, conversation=conversation, agent=agent)
        assert answer(events) == "Ann will write."
        assert isinstance(events[-1], Done)
    waiting = await desk.supervisor.humans.waiting("acme", "web")
    assert [held.reason for held in waiting] == ["the customer is angry"] * 2
    assert not desk.orders.turns


async def test_where_there_are_no_people_they_are_strangers(platform: Platform) -> None:
    platform.billing.plays(Handover(to="human"))
    assert isinstance((await platform.turn(BILL))[-1], Failed)


async def test_who_waits_is_the_channels_own_business(desk: Platform) -> None:
    for name in ("c/1", "c 2"):
        await desk.turn(SONG, conversation=name)
    humans = desk.supervisor.humans
    found = [held.conversation_id for held in await humans.waiting("acme", "web")]
    assert found == ["c/1", "c 2"]
    assert not await humans.waiting("globex", "web")
    with pytest.raises(errors.NotFound, match="'c 2' of globex/web is not with a human"):
        await humans.release("globex", "web", "c 2")
    await humans.release("acme", "web", "c/1")
    assert [held.conversation_id for held in await humans.waiting("acme", "web")] == ["c 2"]


async def test_the_desk_over_http(desk: Platform, url: str) -> None:
    await desk.turn(SONG, conversation="c/1")
    async with aiohttp.ClientSession() as session:
        async with session.get(url + DESK) as response:
            (held,) = (await response.json())["humans"]
        assert held["conversationId"] == "c/1"
        assert held["queue"] == "service-desk"
        release = f"{url}{DESK}/c%2F1/release"
        statuses = []
        for body in ({"said": 3}, {"said": "x" * 100_001}, {"said": "Lima."}, {}):
            async with session.post(release, json=body) as response:
                statuses.append(response.status)
        assert statuses == [400, 413, 200, 404]


async def test_the_desk_as_a_command(desk: Platform, url: str) -> None:
    import asyncio

    def called(*words: str) -> Any:
        return CliRunner().invoke(lmos, ["humans", "acme/web", "--url", url, *words])

    await desk.turn(SONG, conversation="c-17")
    listed = await asyncio.to_thread(called)
    assert listed.output.split()[:2] == ["c-17", "service-desk"]
    released = await asyncio.to_thread(called, "--release", "c-17", "--said", "Lima.")
    assert released.output == "  c-17 is with the agents again\n"
    assert "no conversation of acme/web waits" in (await asyncio.to_thread(called)).output
    assert (await asyncio.to_thread(called, "--release", "c-17")).exit_code == 1
