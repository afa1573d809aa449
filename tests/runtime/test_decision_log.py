"""What is kept of every decision, and what is not."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from runtime_parts import BILL, ORDER, Platform, agent_of, turn_of

from lmos.model import (
    Agent,
    Candidate,
    ChannelRouting,
    Decision,
    DecisionRecord,
    Failed,
    Feedback,
    Handover,
    InputRequired,
    Message,
    SubTask,
    errors,
)
from lmos.router import RoutingRequest, RoutingTable
from lmos.runtime.decisions import LogSettings

SECRET = "my account zebra owes how much"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


def keeping(platform: Platform, inputs: Any) -> None:
    platform.supervisor.log.settings = LogSettings(inputs)


async def records(platform: Platform, conversation: str = "c") -> list[DecisionRecord]:
    await platform.supervisor.recorder.written()
    kept = await platform.supervisor.log.of_conversation("acme", "web", conversation)
    return [record for _, record in kept]


async def test_a_turn_is_told_with_what_decided_it_and_what_came_of_it(platform: Platform) -> None:
    keeping(platform, "kept")
    await platform.turn("how much do I owe", turn_id="t")
    await platform.turn("and last month?", turn_id="t2")
    first, second = await records(platform)
    table = platform.supervisor.routings.find("acme", "web").table
    assert (first.tenant, first.channel, first.subset) == ("acme", "web", "stable")
    assert (first.turn_id, second.turn_id, first.text) == ("t", "t2", "how much do I owe")
    assert (first.decision.agent, first.decision.table) == ("billing", table.version)
    assert first.decision.router
    assert first.decision.candidates[0].evidence
    assert [(a.agent, a.ended) for a in first.asked] == [("billing", "done")]
    assert 0 < first.asked[0].seconds <= first.total
    assert 0 < first.first_token <= first.total
    assert first.ended == "done"
    assert (first.active_agent, second.active_agent) == ("", "billing")
    assert [m.content for m in second.messages][-1] == "and last month?"
    assert second.messages[0].content == "how much do I owe"


async def test_words_are_hashed_unless_a_setting_keeps_them(platform: Platform) -> None:
    await platform.turn(SECRET)
    await platform.turn(f"  {SECRET} ", conversation="d")
    await platform.turn(SECRET, tenant="globex")
    [first], [second] = await records(platform), await records(platform, "d")
    assert first.messages == ()
    assert len(first.text_hash) == 32
    assert first.text_hash == second.text_hash
    state, log = platform.supervisor.state, platform.supervisor.log
    assert await log.hash_of("acme", SECRET) == first.text_hash
    assert await log.hash_of("globex", SECRET) != first.text_hash
    kept = [item async for item in state.scan("") if "/history/" not in item[0]]
    assert len(kept) > 6
    assert "zebra" not in json.dumps(kept)


class SaysItAgain:
    """A router that repeats the message in what it decides, as a language model may."""

    name = "echo"

    async def decide(self, request: RoutingRequest, table: RoutingTable) -> Decision:
        return Decision(
            outcome="multi",
            candidates=(Candidate(agent="billing", probability=1),),
            tasks=(SubTask(text=request.text, agent="billing"),),
            reason=f"the user said {request.text}",
            model="some:model",
        )


async def test_what_repeats_the_words_is_not_kept_either(platform: Platform) -> None:
    platform.supervisor._router = SaysItAgain()
    platform.billing.plays(errors.InvalidInput(f"I do not understand {SECRET}"))
    assert isinstance((await platform.turn(SECRET))[-1], Failed)
    [record] = await records(platform)
    assert [task.agent for task in record.decision.tasks] == ["billing"]
    assert (record.ended, record.error) == ("error", "INVALID_REQUEST")
    assert "zebra" not in record.model_dump_json()


async def test_a_channel_says_what_is_kept_on_it(platform: Platform) -> None:
    found = await platform.store.get(ChannelRouting, "acme-web")
    assert found
    for said, kept in (("kept", True), ("hashed", False), ("kpet", False)):
        annotations = {"lmos.eclipse/decision-inputs": said}
        changed = found.but(metadata=found.metadata.but(annotations=annotations))
        await platform.store.apply(changed, "test")
        await platform.settled()
        await platform.turn(SECRET, conversation=said)
        [record] = await records(platform, said)
        assert bool(record.messages) is kept


async def test_nothing_is_kept_where_the_log_is_off(platform: Platform) -> None:
    keeping(platform, "off")
    await platform.turn("how much do I owe")
    assert await records(platform) == []


async def test_every_agent_that_was_asked_is_told(platform: Platform) -> None:
    keeping(platform, "kept")
    platform.billing.plays(Handover(to="orders", reason="not mine"))
    await platform.turn("how much do I owe")
    [record] = await records(platform)
    assert [(a.agent, a.ended, a.to) for a in record.asked] == [
        ("billing", "handover", "orders"),
        ("orders", "done", ""),
    ]


async def test_an_agent_that_failed_before_another_stood_in_is_told(platform: Platform) -> None:
    keeping(platform, "kept")
    orders = await platform.store.get(Agent, "orders")
    assert orders
    assert orders.status.address
    await platform.change(agent_of("orders", orders.status.address.url, ORDER, BILL))
    platform.billing.plays(errors.AgentUnavailable("I am away"))
    await platform.turn("how much do I owe")
    [record] = await records(platform)
    assert [(a.agent, a.ended, a.error) for a in record.asked] == [
        ("billing", "error", "AGENT_UNAVAILABLE"),
        ("orders", "done", ""),
    ]
    assert "I am away" in record.asked[0].message


async def test_a_question_and_who_waits_for_its_reply_are_told(platform: Platform) -> None:
    asked = Message(role="assistant", content="Which month?")
    platform.billing.plays(InputRequired(message=asked))
    await platform.turn("how much do I owe")
    await platform.turn("Main Street 5", turn_id="t2")
    first, second = await records(platform)
    assert first.ended == "input_required"
    assert (second.active_agent, second.waiting) == ("billing", True)


async def test_a_caller_that_leaves_is_told(platform: Platform) -> None:
    platform.billing.slowly(30)
    events = platform.supervisor.respond(turn_of("how much do I owe"))
    async for event in events:
        if event.type == "text_delta":
            break
    await events.aclose()
    [record] = await records(platform)
    assert (record.ended, record.asked[0].ended) == ("cancelled", "cancelled")


async def test_records_go_when_their_time_is_over(platform: Platform) -> None:
    now = 1_000.0
    platform.supervisor.state._clock = lambda: now  # type: ignore[attr-defined]
    platform.supervisor.log.settings = LogSettings("kept", days=2)
    await platform.turn("how much do I owe")
    assert len(await records(platform)) == 1
    now += 2 * 24 * 3600 + 1
    assert await records(platform) == []
    pointers = [p async for p in platform.supervisor.log.turns("acme")]
    assert pointers == []


async def test_turns_are_listed_the_newest_first_and_page_by_page(platform: Platform) -> None:
    texts = [f"how much do I owe {n}" for n in range(7)]
    for n, text in enumerate(texts):
        await platform.turn(text, conversation=f"c{n}")
    await asyncio.gather(*(platform.turn("where is my order", f"d{n}") for n in range(5)))
    await platform.supervisor.recorder.written()
    log = platform.supervisor.log
    whole = [p async for p in log.turns("acme")]
    assert [p.conversation for p in whole][-7:] == [f"c{n}" for n in reversed(range(7))]
    assert {p.conversation for p in whole[:5]} == {f"d{n}" for n in range(5)}
    for pointer, rest in zip(whole, range(1, 13), strict=True):
        after = [p async for p in log.turns("acme", pointer.cursor)]
        assert after == whole[rest:]
    assert [p async for p in log.turns("globex")] == []
    assert [p async for p in log.turns("acm")] == []


async def test_a_state_that_is_away_delays_no_turn_and_loses_none(platform: Platform) -> None:
    state = platform.supervisor.state
    put = state.put
    away = asyncio.Event()

    async def failing(key: str, *args: Any, **more: Any) -> int:
        if key.startswith("activity/") and not away.is_set():
            raise errors.StateUnavailable("gone")
        return await put(key, *args, **more)

    state.put = failing  # type: ignore[method-assign]
    for n in range(3):
        await platform.turn("how much do I owe", f"c{n}")
    assert platform.supervisor.recorder.waiting == 3
    away.set()
    assert [len(await records(platform, f"c{n}")) for n in range(3)] == [1, 1, 1]
    assert platform.supervisor.recorder.lost == 0


async def test_the_log_is_bounded(platform: Platform) -> None:
    recorder = platform.supervisor.recorder
    recorder._limit = 2
    gate = asyncio.Event()
    index = platform.supervisor.log.index

    async def held(*args: Any) -> None:
        await gate.wait()
        await index(*args)

    platform.supervisor.log.index = held  # type: ignore[method-assign]
    for n in range(6):
        await platform.turn("how much do I owe", f"c{n}")
    gate.set()
    await recorder.written()
    assert recorder.lost == 3  # one was being written, two waited
    assert recorder.waiting == 0


# --- over HTTP ------------------------------------------------------------------------------------


async def test_a_turn_is_explained_and_judged(
    platform: Platform, url: str, session: aiohttp.ClientSession
) -> None:
    keeping(platform, "kept")
    await platform.turn("how much do I owe", turn_id="t")
    place = f"{url}/apis/v1/acme/conversations/c/turns/t"
    async with session.get(place) as response:
        record = DecisionRecord.model_validate(await response.json())
    assert (record.decision.agent, record.text) == ("billing", "how much do I owe")
    judged = {"rating": -1, "agent": "orders", "comment": "I meant the parcel"}
    async with session.post(place + "/feedback", json=judged) as response:
        assert response.status == 200
    async with session.get(f"{url}/apis/v1/acme/decisions") as response:
        [exported] = (await response.json())["decisions"]
    assert DecisionRecord.model_validate(exported).feedback == Feedback(**judged)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"rating": 5}, "rating"),
        ({"ratng": 1}, "ratng"),
        ({"rating": 1, "comment": "x" * 2_001}, "comment"),
        ({}, "says nothing"),
        ([], "not valid"),
    ],
)
async def test_feedback_that_says_nothing_is_refused(
    platform: Platform, url: str, session: aiohttp.ClientSession, body: Any, message: str
) -> None:
    await platform.turn("how much do I owe", turn_id="t")
    place = f"{url}/apis/v1/acme/conversations/c/turns/t/feedback"
    async with session.post(place, json=body) as response:
        assert response.status == 400
        assert message in (await response.json())["message"]


async def test_an_unknown_turn_is_told_with_those_that_there_are(
    platform: Platform, url: str, session: aiohttp.ClientSession
) -> None:
    await platform.turn("how much do I owe", turn_id="t")
    for place in ("acme/conversations/c/turns/nope", "acme/conversations/x/turns/t"):
        async with session.get(f"{url}/apis/v1/{place}") as response:
            assert response.status == 404
    async with session.get(f"{url}/apis/v1/globex/conversations/c/turns/t") as response:
        assert response.status == 404
        assert "nothing is kept" in (await response.json())["message"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=201", "since=soon", "after=nowhere", "after=a.b"]
)
async def test_a_bad_page_is_refused(
    platform: Platform, url: str, session: aiohttp.ClientSession, query: str
) -> None:
    async with session.get(f"{url}/apis/v1/acme/decisions?{query}") as response:
        assert response.status == 400


async def test_the_log_is_read_since_a_moment_page_by_page(
    platform: Platform, url: str, session: aiohttp.ClientSession
) -> None:
    for n in range(5):
        await platform.turn("how much do I owe", f"c{n}")
    middle = (await records(platform, "c2"))[0].at.isoformat()
    got: list[str] = []
    query = {"since": middle, "limit": "2"}
    while True:
        async with session.get(f"{url}/apis/v1/acme/decisions", params=query) as response:
            page = await response.json()
        got += [record["conversationId"] for record in page["decisions"]]
        if "next" not in page:
            break
        query["after"] = page["next"]
    assert got == ["c4", "c3", "c2"]
