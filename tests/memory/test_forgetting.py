"""Forgetting a user deletes all of the user's data, and nothing of anybody else's."""

import asyncio
import random
import time

import pytest
from memory_parts import keys, memory, said, turn

import states
from lmos.model import State, errors
from lmos.state import Forgotten, History, MemoryState, forget_user

every = states.over(states.ALL)


@every
async def test_all_of_a_user_goes_and_nothing_else(state: State) -> None:
    await filled(state, "ann")
    mine = set(await keys(state))
    await filled(state, "bob")
    await filled(state, "ann", tenant="globex")
    await filled(state, "ann/conversations")
    await History(state).remember(turn("nobody", conversation="n"), said("hi"))
    await memory(state).put("for all", 1, scope="tenant")
    others = set(await keys(state)) - mine
    found = await forget_user(state, "acme", "ann")
    assert found == Forgotten(conversations=3, histories=6, values=5)
    assert set(await keys(state)) == others
    assert await forget_user(state, "acme", "ann") == Forgotten()


async def filled(state: State, user: str, tenant: str = "acme") -> None:
    for n in range(3):
        who = {"tenant": tenant, "conversation": f"{user}:{n}/%", "user": user}
        for owner in ("", "billing"):
            await History(state, owner=owner).remember(turn("hello", **who), said("hi"))
        await memory(state, **who).put("step", n)
    await memory(state, tenant=tenant, user=user).put("plan", "flex", scope="user")
    await memory(state, "orders", tenant=tenant, user=user).put("cart", [], scope="user")


@every
async def test_a_conversation_that_a_user_joined_later_goes_whole(state: State) -> None:
    history = History(state)
    await memory(state).put("step", 1)
    await history.remember(turn("who am I"), said("say"))
    await history.remember(turn("I am ann", user="ann"), said("hi"))
    await history.remember(turn("and bob", user="bob"), said("hi"))
    assert await forget_user(state, "acme", "ann") == Forgotten(1, 1, 1)
    assert [key for key in await keys(state) if "conversation/" in key[:13]] == []
    assert await forget_user(state, "acme", "bob") == Forgotten(1, 0, 0)
    assert await keys(state) == []


@every
async def test_the_index_lives_as_long_as_what_it_leads_to(
    place: states.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, began, days = 24 * 3600.0, time.time(), 0
    monkeypatch.setattr("lmos.state.users.time", lambda: began + days * day)
    history = History(place.state, ttl=30 * day)
    await history.remember(turn("hello", user="ann"), [])
    for _ in range(6):  # a turn now and then keeps the conversation
        await place.elapse(29 * day)
        days += 29
        assert len(await keys(place.state)) == 2
        await history.remember(turn("hello", user="ann"), [])
    await place.elapse(29 * day)
    assert await forget_user(place.state, "acme", "ann") == Forgotten(1, 1, 0)
    assert await keys(place.state) == []


@every
async def test_a_user_who_talked_leaves_nothing_once_all_has_expired(
    place: states.Place,
) -> None:
    await History(place.state, ttl=60).remember(turn("hello", user="ann"), [])
    await place.elapse(2 * 3600.0)
    assert await keys(place.state) == []


@every
async def test_what_is_kept_for_good_is_found_for_good(place: states.Place) -> None:
    state = place.state
    await History(state, ttl=60).remember(turn(user="ann"), [])
    await memory(state, user="ann").put("fact", 1, term="long")
    await memory(state, user="ann").put("step", 1)
    await place.elapse(10 * 365 * 24 * 3600.0)
    assert await forget_user(state, "acme", "ann") == Forgotten(1, 0, 1)
    assert await keys(state) == []


@every
async def test_a_deletion_that_was_broken_off_is_finished(state: State) -> None:
    await filled(state, "ann")

    class BreaksOff:
        """The state, until so many deletions are done."""

        def __init__(self, left: int) -> None:
            self.left = left
            self.get, self.put, self.scan = state.get, state.put, state.scan

        async def delete(self, key: str) -> bool:
            self.left -= 1
            if self.left < 0:
                raise errors.StateUnavailable("gone")
            return await state.delete(key)

    for left in (0, 1, 2, 3, 4):
        with pytest.raises(errors.StateUnavailable):
            await forget_user(BreaksOff(left), "acme", "ann")  # type: ignore[arg-type]
    await forget_user(state, "acme", "ann")
    assert await keys(state) == []


@every
async def test_a_turn_that_runs_meanwhile_brings_nothing_back(state: State) -> None:
    history = History(state)
    await history.remember(turn("a secret", user="ann"), said("noted"))
    past = await history.past(turn("next", user="ann"))
    running = past.before(turn("next", user="ann"))
    await forget_user(state, "acme", "ann")
    await history.remember(running, said("done"), past=past)
    kept = await history.past(turn())
    assert [m["content"] for m in kept.messages] == ["next", "done"]
    assert await forget_user(state, "acme", "ann") == Forgotten(1, 1, 0)
    assert await keys(state) == []


@every
async def test_whatever_is_written_while_it_is_forgotten_can_be_forgotten(state: State) -> None:
    choose = random.Random(7)

    async def talk(n: int) -> None:
        who = {"conversation": f"c{n % 3}", "user": "ann"}
        await asyncio.sleep(choose.random() / 100)
        await History(state).remember(turn("hello", **who), said("hi"))
        await memory(state, **who).put("step", n)

    async def forget() -> None:
        await asyncio.sleep(choose.random() / 100)
        await forget_user(state, "acme", "ann")

    for _ in range(5):
        await asyncio.gather(*(talk(n) for n in range(12)), *(forget() for _ in range(3)))
        await forget_user(state, "acme", "ann")
        assert await keys(state) == []


async def test_it_reads_nothing_of_others() -> None:
    state = MemoryState()
    for n in range(50):
        await filled(state, f"user{n}")
    read: list[str] = []

    class Watched:
        def __init__(self) -> None:
            self.get, self.put, self.delete = state.get, state.put, state.delete

        def scan(self, prefix: str) -> object:
            read.append(prefix)
            return state.scan(prefix)

    await forget_user(Watched(), "acme", "user7")  # type: ignore[arg-type]
    assert len(read) == 5
    assert all("user7" in prefix for prefix in read)


async def test_nobody_cannot_be_forgotten() -> None:
    with pytest.raises(errors.InvalidInput, match="id is empty"):
        await forget_user(MemoryState(), "acme", "")
