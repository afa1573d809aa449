"""What every state guarantees, over each implementation; and conversations kept in it."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lmos.model import Message, State, Turn, errors
from lmos.state import History, MemoryState, SqliteState, open_state


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
async def state(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[State]:
    made = (
        MemoryState(clock) if request.param == "memory" else SqliteState(tmp_path / "s.db", clock)
    )
    yield made
    await made.close()


def turn(text: str, tenant: str = "acme", conversation: str = "c") -> Turn:
    return Turn(
        tenant=tenant,
        channel="web",
        conversation_id=conversation,
        turn_id="t",
        messages=(Message(role="user", content=text),),
    )


async def test_values_come_back_with_versions_from_1(state: State) -> None:
    assert await state.get("a") is None
    assert await state.put("a", {"x": [1, "ü", None]}) == 1
    assert await state.put("a", 2) == 2
    assert await state.get("a") == (2, 2)


async def test_a_write_over_an_old_version_is_refused(state: State) -> None:
    await state.put("a", 1, version=0)
    with pytest.raises(errors.Conflict, match="version 1, not 0"):
        await state.put("a", 2, version=0)
    assert await state.put("a", 2, version=1) == 2


async def test_of_many_writers_of_one_version_one_wins(state: State) -> None:
    results = await asyncio.gather(
        *(state.put("a", n, version=0) for n in range(20)), return_exceptions=True
    )
    assert sum(result == 1 for result in results) == 1
    assert sum(isinstance(result, errors.Conflict) for result in results) == 19


async def test_what_is_stored_cannot_be_changed_from_outside(state: State) -> None:
    value = {"x": [1]}
    await state.put("a", value)
    value["x"].append(2)
    found = await state.get("a")
    assert found
    found[0]["x"].append(3)
    assert await state.get("a") == ({"x": [1]}, 1)


async def test_deleting(state: State) -> None:
    await state.put("a", 1)
    assert await state.delete("a")
    assert not await state.delete("a")
    assert await state.get("a") is None


async def test_values_expire(state: State, clock: Clock) -> None:
    await state.put("a", 1, ttl=10)
    clock.now += 9
    assert await state.get("a") == (1, 1)
    clock.now += 2
    assert await state.get("a") is None
    assert [key async for key, _ in state.scan("a")] == []
    assert await state.put("a", 2, version=0) == 1


async def test_a_scan_is_ordered_and_keeps_to_its_prefix(state: State) -> None:
    for key in ("b/2", "a/1", "b/1", "b", "c/1", *(f"many/{n:04}" for n in range(1_100))):
        await state.put(key, key)
    assert [item async for item in state.scan("b/")] == [("b/1", "b/1"), ("b/2", "b/2")]
    assert len([key async for key, _ in state.scan("many/")]) == 1_100


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_what_has_expired_takes_no_room(kind: str, tmp_path: Path, clock: Clock) -> None:
    state: Any = MemoryState(clock) if kind == "memory" else SqliteState(tmp_path / "s.db", clock)
    for n in range(1_500):
        await state.put(f"old/{n}", n, ttl=10)
    clock.now += 1_000
    for n in range(1_500):
        await state.put(f"new/{n}", n, ttl=10)
    await state.close()
    if kind == "memory":
        kept = len(state._rows)
    else:
        with closing(sqlite3.connect(tmp_path / "s.db")) as file:
            (kept,) = file.execute("select count(*) from state").fetchone()
    assert kept == 1_500


async def test_processes_share_a_file_and_lose_no_write(tmp_path: Path) -> None:
    code = """
import asyncio, sys
from lmos.model import errors
from lmos.state import SqliteState

async def count(state, times):
    while times:
        value, version = await state.get("n") or (0, 0)
        try:
            await state.put("n", value + 1, version=version)
        except errors.Conflict:
            continue
        times -= 1
    await state.close()

asyncio.run(count(SqliteState(sys.argv[1]), 50))
"""
    path = tmp_path / "s.db"
    started = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(path))
        for _ in range(3)
    ]
    assert [await process.wait() for process in started] == [0, 0, 0]
    state = SqliteState(path)
    assert await state.get("n") == (150, 150)
    await state.close()


async def test_two_states_share_a_file(tmp_path: Path) -> None:
    first, second = SqliteState(tmp_path / "s.db"), SqliteState(tmp_path / "s.db")
    try:
        await first.put("a", 1)
        assert await second.get("a") == (1, 1)
        with pytest.raises(errors.Conflict):
            await second.put("a", 2, version=0)
    finally:
        await first.close()
        await second.close()


async def test_a_conversation_is_recalled(state: State) -> None:
    history = History(state, limit=4)
    for n in range(3):
        await history.remember(turn(f"q{n}"), [Message(role="assistant", content=f"a{n}")])
    recalled = await history.recall(turn("q3"))
    assert [m.content for m in recalled.messages] == ["q1", "a1", "q2", "a2", "q3"]


async def test_a_turn_that_brings_its_history_is_left_alone(state: State) -> None:
    history = History(state)
    await history.remember(turn("old"), [])
    whole = turn("x").but(messages=(*turn("mine").messages, *turn("x").messages))
    assert await history.recall(whole) is whole


async def test_nothing_leaks_between_tenants_and_conversations(state: State) -> None:
    history = History(state)
    await history.remember(turn("secret", tenant="acme", conversation="c"), [])
    for other in (
        turn("x", tenant="globex"),
        turn("x", conversation="d"),
        turn("x", tenant="acme/web", conversation="c"),
    ):
        assert (await history.recall(other)).messages == other.messages


async def test_turns_at_once_lose_nothing(state: State) -> None:
    history = History(state, limit=100)
    await asyncio.gather(*(history.remember(turn(f"q{n}"), []) for n in range(4)))
    recalled = await history.recall(turn("last"))
    assert sorted(m.content for m in recalled.history) == ["q0", "q1", "q2", "q3"]


async def test_notes_stay_beside_the_conversation_until_they_change(state: State) -> None:
    history = History(state)
    await history.remember(turn("q0"), [], notes={"agent": "billing", "waiting": True})
    await history.remember(turn("q1"), [])
    await history.remember(turn("q2"), [], notes={"waiting": False})
    past = await history.past(turn("q3"))
    assert past.notes == {"agent": "billing", "waiting": False}
    assert [m["content"] for m in past.messages] == ["q0", "q1", "q2"]


async def test_a_past_that_is_no_longer_the_newest_loses_nothing(state: State) -> None:
    history = History(state)
    past = await history.past(turn("first"))
    await history.remember(turn("first"), [], past=past)
    await history.remember(turn("second"), [], past=past)
    recalled = await history.recall(turn("third"))
    assert [m.content for m in recalled.messages] == ["first", "second", "third"]


async def test_many_first_readers_at_once(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "s.db")
    await state.put("a", 1)
    assert await asyncio.gather(*(state.get("a") for _ in range(20))) == [(1, 1)] * 20
    await state.close()


def test_an_unknown_spec_names_the_known_ones() -> None:
    with pytest.raises(errors.InvalidInput, match="memory, sqlite or sqlite:PATH"):
        open_state("mongo")
