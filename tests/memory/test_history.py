"""Conversations: recalled, kept in a window, summarised, and never mixed up or overwritten."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_parts import said, turn

import states
from lmos.arc import summarised_by
from lmos.llm import ScriptedModel
from lmos.llm.scripted import Refusal
from lmos.model import Message, State, errors
from lmos.state import History, MemoryState, Window

every = states.over(states.ALL)


async def contents(history: History, **who: str) -> list[str]:
    return [m.content for m in (await history.recall(turn("now", **who))).messages][:-1]


@every
async def test_a_conversation_is_recalled(state: State) -> None:
    history = History(state, limit=4)
    for n in range(3):
        await history.remember(turn(f"q{n}"), said(f"a{n}"))
    assert await contents(history) == ["q1", "a1", "q2", "a2"]


async def test_a_turn_that_brings_its_history_is_left_alone() -> None:
    history = History(MemoryState())
    await history.remember(turn("old"), [])
    whole = turn("x").but(messages=(*turn("mine").messages, *turn("x").messages))
    assert await history.recall(whole) is whole


async def test_a_history_that_a_first_turn_brings_is_kept() -> None:
    history = History(MemoryState())
    whole = turn("x").but(messages=(*turn("mine").messages, *turn("x").messages))
    await history.remember(whole, said("y"))
    assert await contents(history) == ["mine", "x", "y"]


@every
async def test_nothing_leaks_between_tenants_channels_conversations_and_owners(
    state: State,
) -> None:
    history = History(state, owner="billing")
    await history.remember(turn("secret", tenant="a/web", channel="c", conversation="d"), [])
    for who in (
        {"tenant": "a", "channel": "web/c", "conversation": "d"},
        {"tenant": "a", "channel": "web", "conversation": "c/d"},
        {"tenant": "a%2Fweb", "channel": "c", "conversation": "d"},
        {"tenant": "a/web", "channel": "c", "conversation": "d/history/billing"},
        {"tenant": "a/web", "channel": "c", "conversation": "e"},
    ):
        assert await contents(history, **who) == []
    mine = {"tenant": "a/web", "channel": "c", "conversation": "d"}
    assert await contents(History(state, owner="orders"), **mine) == []
    assert await contents(History(state), **mine) == []
    assert await contents(history, **mine) == ["secret"]


@every
async def test_turns_at_once_lose_nothing(state: State) -> None:
    history = History(state, limit=100)
    await asyncio.gather(*(history.remember(turn(f"q{n}", user="u"), []) for n in range(20)))
    assert sorted(await contents(history)) == sorted(f"q{n}" for n in range(20))


_TURNS = """
import asyncio, sys
from lmos.model import Message, Turn
from lmos.state import History, open_state

async def main(spec, name):
    state = open_state(spec)
    history = History(state, limit=1000)
    for n in range(20):
        said = Message(role="user", content=f"{name}{n}")
        await history.remember(Turn(conversation_id="c", turn_id="t", messages=(said,)), [])
    await state.close()

asyncio.run(main(*sys.argv[1:]))
"""


@states.over(states.SHARED)
async def test_turns_of_two_processes_lose_nothing(place: states.Place) -> None:
    running = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", _TURNS, place.spec, name)
        for name in "ab"
    ]
    assert [await process.wait() for process in running] == [0, 0]
    found = await contents(History(place.state), tenant="", channel="")
    assert sorted(found) == sorted(f"{name}{n}" for name in "ab" for n in range(20))
    assert [c for c in found if c[0] == "a"] == [f"a{n}" for n in range(20)]


@every
async def test_notes_stay_beside_the_conversation_until_they_change(state: State) -> None:
    history = History(state)
    await history.remember(turn("q0"), [], notes={"agent": "billing", "waiting": True})
    await history.remember(turn("q1"), [])
    await history.remember(turn("q2"), [], notes={"waiting": False})
    past = await history.past(turn("q3"))
    assert past.notes == {"agent": "billing", "waiting": False}
    assert [m["content"] for m in past.messages] == ["q0", "q1", "q2"]


async def test_a_past_that_is_no_longer_the_newest_loses_nothing() -> None:
    history = History(MemoryState())
    past = await history.past(turn("first"))
    await history.remember(turn("first"), [], past=past)
    await history.remember(turn("second"), [], past=past)
    assert await contents(history) == ["first", "second"]


@every
async def test_a_conversation_ends_some_time_after_its_last_turn(place: states.Place) -> None:
    history = History(place.state, ttl=100)
    await history.remember(turn("q0"), [])
    await place.elapse(90)
    await history.remember(turn("q1"), [])
    await place.elapse(90)
    assert await contents(history) == ["q0", "q1"]
    await place.elapse(11)
    assert await contents(history) == []


# --- the window -----------------------------------------------------------------------------------


async def test_the_window_is_also_of_characters() -> None:
    history = History(MemoryState(), size=10)
    for text in ("aaaa", "bbbb", "cccc"):
        await history.remember(turn(text), [])
    assert await contents(history) == ["bbbb", "cccc"]
    await history.remember(turn("far too long for it"), [])
    assert await contents(history) == ["far too long for it"]


async def test_the_window_can_count_in_tokens() -> None:
    history = History(MemoryState(), size=4, measure=lambda text: len(text.split()))
    for text in ("one two", "three four", "five six"):
        await history.remember(turn(text), [])
    assert await contents(history) == ["three four", "five six"]


messages = st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.integers(0, 30)))


@given(messages, st.integers(1, 10), st.integers(0, 60))
def test_a_window_holds_what_fits_and_begins_with_the_user(
    given: list[tuple[str, int]], limit: int, size: int
) -> None:
    spoken = [{"role": role, "content": "x" * length} for role, length in given]
    over = Window(limit, size).over(spoken)
    left = spoken[over:]
    assert bool(left) == bool(spoken)
    assert len(left) <= limit
    assert len(left) <= 1 or sum(len(m["content"]) for m in left) <= size
    if over and any(m["role"] == "user" for m in left):
        assert left[0]["role"] == "user"
    if len(spoken) <= limit and sum(len(m["content"]) for m in spoken) <= size:
        assert over == 0


# --- summaries ------------------------------------------------------------------------------------


class Summariser:
    """Counts what it is told, so that tests see that nothing is left out or told twice."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self, messages: Sequence[Message]) -> str:
        self.told.append([m.content for m in messages])
        await self.may_end.wait()
        return "/".join(m.content.rpartition(": ")[2].rstrip(")") for m in messages)


@every
async def test_what_leaves_the_window_lives_on_in_a_summary(state: State) -> None:
    summarise = Summariser()
    history = History(state, limit=4, summarise=summarise)
    for n in range(5):
        await history.remember(turn(f"q{n}"), said(f"a{n}"))
        await history.settled()
    recalled = (await history.recall(turn("now"))).messages
    assert recalled[0].role == "user", "what users said is never told as an instruction"
    assert recalled[0].content.endswith("q0/a0/q1/a1/q2/a2/q3/a3)")
    assert [m.content for m in recalled[1:]] == ["q4", "a4", "now"]
    assert summarise.told[0] == ["q0", "a0", "q1", "a1"]
    assert summarise.told[1][1:] == ["q2", "a2", "q3", "a3"], "only what is new, and the summary"


@every
async def test_turns_while_it_is_summarised_lose_nothing(state: State) -> None:
    summarise = Summariser()
    summarise.may_end.clear()
    history = History(state, limit=4, summarise=summarise)
    for n in range(3):
        await history.remember(turn(f"q{n}"), said(f"a{n}"))
    while not summarise.told:
        await asyncio.sleep(0)
    await history.remember(turn("q3"), said("a3"))
    assert await contents(history) == ["q0", "a0", "q1", "a1", "q2", "a2", "q3", "a3"]
    summarise.may_end.set()
    await history.settled()
    found = await contents(history)
    assert found[0].endswith("q0/a0/q1/a1)")
    assert found[1:] == ["q2", "a2", "q3", "a3"]


async def test_of_two_processes_that_summarise_one_wins() -> None:
    state, told = MemoryState(), Summariser()
    told.may_end.clear()
    first, second = (History(state, limit=4, summarise=told) for _ in range(2))
    for n, history in enumerate((first, first, first, second)):
        await history.remember(turn(f"q{n}"), said(f"a{n}"))
    while len(told.told) < 2:
        await asyncio.sleep(0)
    told.may_end.set()
    await first.settled()
    await second.settled()
    past = await first.past(turn())
    kept = past.summary.split("/") + [m["content"] for m in past.messages]
    assert kept == [f"{who}{n}" for n in range(4) for who in "qa"]


async def test_a_summariser_that_fails_or_hangs_leaves_a_window_of_twice_the_size(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails(messages: Sequence[Message]) -> str:
        raise RuntimeError("no model")

    history = History(MemoryState(), limit=4, summarise=fails)
    for n in range(20):
        await history.remember(turn(f"q{n}"), said(f"a{n}"))
        await history.settled()
    assert len(await contents(history)) == 8
    assert "was not summarised" in caplog.text


async def test_a_conversation_forgotten_while_it_is_summarised_stays_forgotten() -> None:
    state, told = MemoryState(), Summariser()
    told.may_end.clear()
    history = History(state, limit=2, summarise=told)
    for n in range(2):
        await history.remember(turn(f"q{n}"), said(f"a{n}"))
    while not told.told:
        await asyncio.sleep(0)
    for key in [key async for key, _ in state.scan("conversation/")]:
        await state.delete(key)
    await history.remember(turn("new"), said("talk"))
    told.may_end.set()
    await history.settled()
    assert await contents(history) == ["new", "talk"]


async def test_a_message_of_any_kind_survives() -> None:
    history = History(MemoryState())
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "see this",
        "format": "markdown",
        "turnId": "t1",
        "binaryData": [{"mimeType": "image/png", "dataAsBase64": "aGk="}],
    }
    await history.remember(turn("q"), [Message.model_validate(message)])
    assert (await history.recall(turn("x"))).messages[1].wire() == message


async def test_a_model_makes_summaries_of_what_was_said() -> None:
    scripted = ScriptedModel("Ann owes 42.50 EUR.", Refusal(500))
    summarise = summarised_by(scripted.model, words=20)
    messages = [*turn("how much do I owe?").messages, *said("42.50 EUR")]
    assert await summarise(messages) == "Ann owes 42.50 EUR."
    (request,) = scripted.requests
    task, told = (part.content for part in request[0].parts)
    assert "at most 20 words" in str(task)
    assert told == "user: how much do I owe?\nassistant: 42.50 EUR"
    with pytest.raises(errors.ModelFailed, match="made no summary"):
        await summarise(messages)
    with pytest.raises(errors.ModelFailed, match="no language model"):
        await summarised_by("direct")(messages)
