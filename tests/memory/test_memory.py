"""What an agent remembers: scopes, terms, changes at once, limits, and that nothing leaks."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_parts import keys, memory
from pydantic import BaseModel

import states
from lmos.arc import Remembering
from lmos.arc.memory import MAX_VALUE, SCOPES, Scope
from lmos.model import State, errors
from lmos.state import MemoryState, SqliteState, open_state

every = states.over(states.ALL)
hours = 3600.0


@every
async def test_a_value_comes_back_in_the_next_turn(state: State) -> None:
    await memory(state).put("plan", {"name": "flex", "gb": 10})
    assert await memory(state).get("plan") == {"name": "flex", "gb": 10}
    assert await memory(state).get("other") is None
    assert await memory(state).get("other", 7) == 7


@every
@pytest.mark.parametrize("scope", SCOPES)
async def test_each_scope_puts_gets_lists_and_deletes(state: State, scope: Scope) -> None:
    kept = memory(state, user="u")
    await kept.put("b", 1, scope=scope)
    await kept.put("a/1 %", [2], scope=scope)
    assert await kept.get("b", scope=scope) == 1
    assert list((await kept.list(scope)).items()) == [("a/1 %", [2]), ("b", 1)]
    assert await kept.delete("b", scope=scope)
    assert not await kept.delete("b", scope=scope)
    await kept.put("a/1 %", None, scope=scope)
    assert await kept.list(scope) == {}


async def test_it_is_looked_for_from_narrow_to_wide() -> None:
    state = MemoryState()
    kept = memory(state, user="u")
    for scope in reversed(SCOPES):
        await kept.put("x", scope, scope=scope)
        assert await kept.get("x") == scope
    for scope in SCOPES:
        assert await kept.get("x") == scope
        await kept.delete("x", scope=scope)
    assert await kept.get("x") is None
    await kept.put("x", "tenant", scope="tenant")
    assert await memory(state, user="").get("x") == "tenant", "a turn of nobody known looks on"


async def test_what_a_user_scope_needs() -> None:
    nobody = memory(MemoryState())
    for call in (nobody.get("x", scope="user"), nobody.put("x", 1, scope="user")):
        with pytest.raises(errors.InvalidInput, match="who the user is"):
            await call


async def test_a_turn_s_values_end_with_it_and_are_stored_nowhere() -> None:
    state = MemoryState()
    kept = memory(state, user="u")
    await kept.put("x", 1, scope="turn")
    assert await kept.get("x") == 1
    assert await memory(state, user="u").get("x") is None
    assert await keys(state) == []


# --- terms ----------------------------------------------------------------------------------------


@every
async def test_short_is_six_hours_and_long_for_good(place: states.Place) -> None:
    kept = memory(place.state, user="u")
    await kept.put("conversation", 1)
    await kept.put("for long", 1, term="long")
    await kept.put("user", 1, scope="user")
    await kept.put("for short", 1, scope="user", term="short")
    await kept.put("tenant", 1, scope="tenant")
    await kept.put("a minute", 1, scope="tenant", ttl=60)
    await place.elapse(61)
    assert await kept.list("tenant") == {"tenant": 1}
    await place.elapse(6 * hours)
    assert await kept.list() == {"for long": 1}
    assert await kept.list("user") == {"user": 1}
    assert await kept.get("for long") == 1, "found without saying for which term it was kept"
    await place.elapse(300 * 24 * hours)
    assert await kept.get("user") == 1


@pytest.mark.parametrize(
    "how", [{"ttl": 0}, {"ttl": -1}, {"ttl": 5, "term": "long"}, {"term": "medium"}]
)
async def test_terms_that_mean_nothing_are_refused(how: Any) -> None:
    with pytest.raises(errors.InvalidInput, match="term"):
        await memory(MemoryState()).put("x", 1, **how)


async def test_a_scope_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(errors.InvalidInput, match="turn, conversation, user, tenant"):
        await memory(MemoryState()).get("x", scope="world")  # type: ignore[arg-type]


# --- apart ----------------------------------------------------------------------------------------

pieces = st.sampled_from(["a", "/", "%", "2F", "é", "\0", "~", "user", "memory"])
ids = st.lists(pieces, max_size=4).map("".join)
wheres = st.fixed_dictionaries(
    {
        "tenant": ids,
        "channel": ids,
        "conversation": ids,
        "user": ids.filter(bool),
        "agent": ids,
        "name": ids,
        "scope": st.sampled_from(["conversation", "user", "tenant"]),
    }
)
COUNTS = {
    "conversation": ("tenant", "channel", "conversation", "agent", "name"),
    "user": ("tenant", "user", "agent", "name"),
    "tenant": ("tenant", "agent", "name"),
}


@given(st.lists(wheres, max_size=8))
def test_nothing_leaks_whatever_names_hold(found: list[dict[str, str]]) -> None:
    async def run() -> None:
        state = MemoryState()
        expected = {}
        for n, where in enumerate(found):
            expected[_identity(where)] = n
            await _memory(state, where).put(where["name"], n, scope=_scope(where))
        for where in found:
            kept = _memory(state, where)
            value = expected[_identity(where)]
            assert await kept.get(where["name"], scope=_scope(where)) == value
            listed = await kept.list(_scope(where))
            mine = _identity(where)[:-1]
            assert listed == {i[-1]: v for i, v in expected.items() if i[:-1] == mine}

    asyncio.run(run())


def _identity(where: dict[str, str]) -> tuple[str, ...]:
    return (where["scope"], *(where[part] for part in COUNTS[where["scope"]]))


def _scope(where: dict[str, str]) -> Any:
    return where["scope"]


def _memory(state: State, where: dict[str, str]) -> Any:
    who = {k: where[k] for k in ("tenant", "channel", "conversation", "user")}
    return memory(state, where["agent"], **who)


@every
@pytest.mark.parametrize("name", ["x" * 5_000, "é" * 3_000, "a\0b", "日本/../%2e", "\U0001f600"])
async def test_ids_of_any_kind_and_length_can_be_kept(state: State, name: str) -> None:
    who = {"tenant": name, "channel": name, "conversation": name, "user": name}
    other = {"tenant": name, "channel": name, "conversation": name + "x", "user": name + "x"}
    for scope in ("conversation", "user"):
        await memory(state, name, **who).put("n", 1, scope=scope)  # type: ignore[arg-type]
        assert await memory(state, name, **who).get("n") == 1
        assert await memory(state, name, **other).get("n") is None
        assert await memory(state, name, **who).delete("n", scope=scope)  # type: ignore[arg-type]


# --- changing -------------------------------------------------------------------------------------


@every
async def test_changes_at_once_lose_nothing(state: State) -> None:
    results = await asyncio.gather(
        *(memory(state, user="u").update("n", lambda n: n + 1, 0, scope="user") for _ in range(30))
    )
    assert sorted(results) == list(range(1, 31))
    assert await memory(state, user="u").get("n") == 30


async def test_the_function_may_be_async_and_may_forget() -> None:
    kept = memory(MemoryState())

    async def more(items: list[int]) -> list[int]:
        await asyncio.sleep(0)
        return [*items, len(items)]

    assert await kept.update("items", more, []) == [0]
    assert await kept.update("items", more, []) == [0, 1]
    assert await kept.update("items", lambda _: None) is None
    assert await kept.get("items") is None
    assert await kept.list() == {}
    assert not await kept.delete("items")
    assert await kept.update("items", more, []) == [0]


async def test_a_default_is_never_changed() -> None:
    default: list[int] = []

    def longer(items: list[int]) -> list[int]:
        items.append(1)
        return items

    for user in ("ann", "bob"):
        found = await memory(MemoryState(), user=user).update("items", longer, default)
        assert found == [1]
    assert default == []


async def test_a_function_that_fails_changes_nothing() -> None:
    kept = memory(MemoryState())
    await kept.put("n", 1)
    with pytest.raises(ZeroDivisionError):
        await kept.update("n", lambda n: n / 0)
    assert await kept.get("n") == 1


async def test_what_is_kept_cannot_be_changed_from_outside() -> None:
    for scope in SCOPES:
        kept, value = memory(MemoryState(), user="u"), [1]
        await kept.put("x", value, scope=scope)
        value.append(2)
        (await kept.get("x")).append(3)
        assert await kept.get("x") == [1]


# --- limits ---------------------------------------------------------------------------------------


async def test_a_value_too_large_is_told_and_what_was_there_stays() -> None:
    kept = memory(MemoryState())
    await kept.put("notes", "short")
    for change in (
        kept.put("notes", "x" * MAX_VALUE),
        kept.update("notes", lambda text: text * MAX_VALUE),
    ):
        with pytest.raises(
            errors.TooLarge, match=r"'notes' would take .* a value may take 1048576"
        ):
            await change
    assert await kept.get("notes") == "short"
    for name in ("x" * 201, "é" * 101):
        with pytest.raises(errors.TooLarge, match=r"name of 20\d bytes"):
            await kept.put(name, 1)
    await kept.put("é" * 100, 1)
    assert await kept.list() == {"notes": "short", "é" * 100: 1}
    with pytest.raises(errors.InvalidInput, match="name"):
        await kept.put("\ud800", 1)


@pytest.mark.parametrize("value", [object(), {1, 2}, {1: 2}, lambda: 0, 2**70, "\ud800"])
async def test_what_is_no_json_data_is_told(value: Any) -> None:
    with pytest.raises(errors.InvalidInput, match="memory 'x' cannot keep this"):
        await memory(MemoryState()).put("x", value)


# --- types ----------------------------------------------------------------------------------------


class Profile(BaseModel):
    plan: str
    visits: int = 0


@dataclass
class Point:
    x: int
    y: int


@every
async def test_values_of_a_type(state: State) -> None:
    profile = memory(state, user="u").model(Profile, "profile", scope="user")
    assert await profile.get() is None
    assert await profile.get(Profile(plan="none")) == Profile(plan="none")
    await profile.put(Profile(plan="flex"), ttl=60)
    assert await profile.get() == Profile(plan="flex")

    def visited(profile: Profile) -> Profile:
        return profile.model_copy(update={"visits": profile.visits + 1})

    assert (await profile.update(visited, Profile(plan=""))).visits == 1
    assert await memory(state, user="u").get("profile") == {"plan": "flex", "visits": 1}
    assert await profile.delete()
    assert await profile.get() is None


async def test_models_and_dataclasses_can_be_put_as_they_are() -> None:
    kept = memory(MemoryState())
    await kept.put("profile", Profile(plan="flex"))
    await kept.put("point", Point(1, 2))
    assert await kept.model(Profile, "profile").get() == Profile(plan="flex")
    assert await kept.model(Point, "point").get() == Point(1, 2)


async def test_what_is_of_another_type_is_told() -> None:
    kept = memory(MemoryState())
    await kept.put("profile", {"plan": 7})
    with pytest.raises(errors.InvalidInput, match=r"memory 'profile' .* the first at plan"):
        await kept.model(Profile, "profile").get()


# --- tracing --------------------------------------------------------------------------------------


async def test_what_happens_is_told_and_what_is_sensitive_is_not_shown() -> None:
    seen: list[Remembering] = []
    state = MemoryState()
    kept = memory(state, observe=seen.append)
    await kept.put("plan", "flex")
    await kept.put("pin", "1234", sensitive=True)
    await memory(state, observe=seen.append).get("pin")
    await kept.update("pin", lambda pin: pin + "5")
    await kept.list()
    await kept.delete("pin")
    assert [(e.action, e.name, e.scope, e.shown) for e in seen] == [
        ("stored", "plan", "conversation", "flex"),
        ("stored", "pin", "conversation", "***"),
        ("read", "pin", "conversation", "***"),
        ("stored", "pin", "conversation", "***"),
        ("read", "pin", "conversation", "***"),
        ("read", "plan", "conversation", "flex"),
        ("deleted", "pin", "conversation", None),
    ]
    assert "1234" not in repr(seen)


@states.over(states.SHARED)
async def test_it_survives_the_process(place: states.Place) -> None:
    await memory(place.state, user="u").put("plan", "flex", scope="user")
    again = open_state(place.spec)
    assert await memory(again, user="u").get("plan") == "flex"
    await again.close()


async def test_a_state_that_cannot_be_used_is_told(tmp_path: Any) -> None:
    state = SqliteState(tmp_path)  # a directory
    with pytest.raises(errors.StateUnavailable, match="cannot be used"):
        await memory(state).get("x")
    await state.close()
