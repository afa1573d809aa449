"""What every state guarantees, over each implementation, on the real servers."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import states
from lmos.model import State, errors
from lmos.state import SqliteState, open_state

every = states.over(states.ALL)
shared = states.over(states.SHARED)


@every
async def test_values_come_back_with_versions_from_1(state: State) -> None:
    assert await state.get("a") is None
    assert await state.put("a", {"x": [1, "ü", None]}) == 1
    assert await state.put("a", 2) == 2
    assert await state.get("a") == (2, 2)


@every
async def test_a_write_over_an_old_version_is_refused(state: State) -> None:
    await state.put("a", 1, version=0)
    with pytest.raises(errors.Conflict, match="version 1, not 0"):
        await state.put("a", 2, version=0)
    with pytest.raises(errors.Conflict, match="version 1, not 7"):
        await state.put("a", 2, version=7)
    assert await state.put("a", 2, version=1) == 2


@every
async def test_a_version_of_what_is_gone_is_refused(state: State) -> None:
    await state.put("a", 1)
    await state.delete("a")
    with pytest.raises(errors.Conflict, match="version 0, not 1"):
        await state.put("a", 2, version=1)
    assert await state.get("a") is None


@every
async def test_of_many_writers_of_one_version_one_wins(state: State) -> None:
    for wanted in (0, 1):
        results = await asyncio.gather(
            *(state.put("a", n, version=wanted) for n in range(20)), return_exceptions=True
        )
        assert sum(result == wanted + 1 for result in results) == 1
        assert sum(isinstance(result, errors.Conflict) for result in results) == 19


@every
async def test_what_is_stored_cannot_be_changed_from_outside(state: State) -> None:
    value = {"x": [1]}
    await state.put("a", value)
    value["x"].append(2)
    found = await state.get("a")
    assert found
    found[0]["x"].append(3)
    assert await state.get("a") == ({"x": [1]}, 1)


@every
@pytest.mark.parametrize("value", [object(), {"x": {1, 2}}, {1: 2}, 2**64, "\ud800"])
async def test_what_is_no_json_data_is_refused(state: State, value: Any) -> None:
    with pytest.raises(errors.InvalidInput, match="the value for a cannot be kept"):
        await state.put("a", value)
    assert await state.get("a") is None


@every
@pytest.mark.parametrize(
    "value", [None, "", 0, [], "\0", "ü\U0010ffff", -1.5, {"": []}, "x" * 2**20]
)
async def test_all_json_data_is_kept(state: State, value: Any) -> None:
    await state.put("a", value)
    assert await state.get("a") == (value, 1)
    assert [item async for item in state.scan("a")] == [("a", value)]


@every
async def test_deleting(state: State) -> None:
    await state.put("a", 1)
    assert await state.delete("a")
    assert not await state.delete("a")
    assert await state.get("a") is None
    assert [item async for item in state.scan("")] == []


@every
async def test_values_expire(place: states.Place) -> None:
    state = place.state
    await state.put("a", 1, ttl=10)
    await place.elapse(9)
    assert await state.get("a") == (1, 1)
    await place.elapse(2)
    assert await state.get("a") is None
    assert [key async for key, _ in state.scan("a")] == []
    assert not await state.delete("a")
    with pytest.raises(errors.Conflict):
        await state.put("a", 2, version=1)
    assert await state.put("a", 2, version=0) == 1


@every
async def test_each_write_says_anew_when_a_value_expires(place: states.Place) -> None:
    state = place.state
    for key, second in (("later", 100), ("never", None)):
        await state.put(key, 1, ttl=10)
        await state.put(key, 2, ttl=second)
    await place.elapse(50)
    assert [key async for key, _ in state.scan("")] == ["later", "never"]
    await place.elapse(51)
    assert [key async for key, _ in state.scan("")] == ["never"]
    assert await state.get("never") == (2, 2)


@every
async def test_a_scan_is_ordered_and_keeps_to_its_prefix(state: State) -> None:
    for key in ("b/2", "a/1", "b/1", "b", "c/1", *(f"many/{n:04}" for n in range(600))):
        await state.put(key, key)
    assert [item async for item in state.scan("b/")] == [("b/1", "b/1"), ("b/2", "b/2")]
    many = [key async for key, _ in state.scan("many/")]
    assert many == [f"many/{n:04}" for n in range(600)]


@every
async def test_a_scan_goes_on_after_a_key(state: State) -> None:
    keys = [f"k/{n:04}" for n in range(1_100)]
    for key in ("a", *keys, "z"):
        await state.put(key, 0)
    for after in (0, 499, 1_098):
        assert [key async for key, _ in state.scan("k/", keys[after])] == keys[after + 1 :]
    assert [key async for key, _ in state.scan("k/", "a")] == keys
    assert [key async for key, _ in state.scan("k/", "k/0000x")] == keys[1:]
    assert [key async for key, _ in state.scan("k/", keys[-1])] == []
    assert [key async for key, _ in state.scan("k/", "y")] == []


@every
async def test_keys_are_ordered_by_code_point_whatever_they_hold(state: State) -> None:
    keys = ["A", "Z", "a", "a b", "a\0b", "a\nb", "a%", "a*", "a[b]", "a\\", "b", "z", "ä", "ß"]
    keys += ["日本", "\ufffd", "\U0001f600", "a" * 1_000]
    for key in reversed(keys):
        await state.put(key, key)
    assert [item async for item in state.scan("")] == [(key, key) for key in sorted(keys)]
    assert [key async for key, _ in state.scan("a[")] == ["a[b]"]


@every
async def test_a_scan_goes_on_while_keys_come_and_go(state: State) -> None:
    for n in range(600):
        await state.put(f"k/{n:04}", n)
    seen = []
    async for key, n in state.scan("k/"):
        seen.append(n)
        await state.delete(key)
        if n < 10:
            await state.put(f"j/{n}", n)
    assert seen == list(range(600))
    assert [key async for key, _ in state.scan("k/")] == []


@every
async def test_what_has_expired_takes_no_room(place: states.Place) -> None:
    state = place.state
    await _many(state, "old")
    await place.elapse(1_000)
    await _many(state, "new")
    assert await place.kept() == 1_500


async def _many(state: State, prefix: str) -> None:
    for begin in range(0, 1_500, 50):
        keys = (f"{prefix}/{n}" for n in range(begin, begin + 50))
        await asyncio.gather(*(state.put(key, key, ttl=10) for key in keys))


@every
@pytest.mark.parametrize("seed", range(3))
async def test_it_does_whatever_is_asked_as_a_dictionary_would(
    place: states.Place, seed: int
) -> None:
    state, choose, model = place.state, random.Random(seed), Model()
    for n in range(150):
        key = choose.choice(["a", "a/", "a/b", "a/c", "ab", "b", "ä/b"])
        match choose.randrange(6):
            case 0 | 1:
                version = choose.choice([None, None, 0, 1, 2, model.version(key)])
                ttl = choose.choice([None, 50, 510])
                expected = model.put(key, n, version, ttl)
                try:
                    found = await state.put(key, n, version=version, ttl=ttl)
                except errors.Conflict:
                    found = 0
                assert found == expected
            case 2:
                assert await state.delete(key) == model.delete(key)
            case 3:
                seconds = choose.choice([20, 40])  # never near a ttl: servers' clocks go on
                await place.elapse(seconds)
                model.elapse(seconds)
            case 4:
                assert [item async for item in state.scan(key)] == model.scan(key)
            case _:
                assert await state.get(key) == model.get(key)


class Model:
    """What a state is to do, in the fewest words."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Any, int, float]] = {}

    def get(self, key: str) -> tuple[Any, int] | None:
        return self.kept[key][:2] if key in self.kept else None

    def version(self, key: str) -> int:
        return self.kept[key][1] if key in self.kept else 0

    def put(self, key: str, value: Any, version: int | None, ttl: float | None) -> int:
        present = self.version(key)
        if version not in (None, present):
            return 0
        self.kept[key] = (value, present + 1, float("inf") if ttl is None else ttl)
        return present + 1

    def delete(self, key: str) -> bool:
        return self.kept.pop(key, None) is not None

    def elapse(self, seconds: float) -> None:
        aged = {k: (v, n, left - seconds) for k, (v, n, left) in self.kept.items()}
        self.kept = {k: kept for k, kept in aged.items() if kept[2] > 0}

    def scan(self, prefix: str) -> list[tuple[str, Any]]:
        return sorted((k, kept[0]) for k, kept in self.kept.items() if k.startswith(prefix))


_COUNT = """
import asyncio, sys
from lmos.model import errors
from lmos.state import open_state

async def count(state, times):
    while times:
        value, version = await state.get("n") or (0, 0)
        try:
            await state.put("n", value + 1, version=version)
        except errors.Conflict:
            continue
        times -= 1
    await state.close()

asyncio.run(count(open_state(sys.argv[1]), int(sys.argv[2])))
"""


@shared
async def test_processes_share_a_state_and_lose_no_write(place: states.Place) -> None:
    started = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", _COUNT, place.spec, "40")
        for _ in range(3)
    ]
    assert [await process.wait() for process in started] == [0, 0, 0]
    assert await place.state.get("n") == (120, 120)


@shared
async def test_two_states_share_what_is_kept(place: states.Place) -> None:
    other = open_state(place.spec)
    try:
        await place.state.put("a", 1)
        assert await other.get("a") == (1, 1)
        with pytest.raises(errors.Conflict):
            await other.put("a", 2, version=0)
    finally:
        await other.close()


@shared
async def test_many_first_users_at_once(place: states.Place) -> None:
    await place.state.put("a", 1)
    fresh = open_state(place.spec)
    try:
        assert await asyncio.gather(*(fresh.get("a") for _ in range(50))) == [(1, 1)] * 50
    finally:
        await fresh.close()


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_bytes(b"something else altogether" * 1_000)
    state = SqliteState(tmp_path / "s.db")
    with pytest.raises(errors.StateUnavailable, match=r"s\.db.*not a database"):
        await state.get("a")
    await state.close()


@pytest.mark.parametrize("spec", ["mongo", "memory:x", "redis:x", "postgresql", "mysql://u:pw@h/d"])
def test_an_unknown_spec_names_the_known_ones(spec: str) -> None:
    with pytest.raises(errors.InvalidInput, match="memory, sqlite or sqlite:PATH") as raised:
        open_state(spec)
    assert "pw" not in str(raised.value)


@pytest.mark.parametrize("spec", ["redis://h:port/0", "postgresql://h:port/d"])
async def test_an_address_that_is_none_is_told_without_its_password(spec: str) -> None:
    with pytest.raises(errors.InvalidInput, match="is no address") as raised:
        await open_state(spec.replace("//", "//me:secret@")).get("a")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(("library", "spec"), [("redis", "redis://h"), ("asyncpg", "postgres://h")])
def test_a_missing_client_names_its_extra(library: str, spec: str) -> None:
    code = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from lmos.model import errors; from lmos.state import open_state\n"
        f"try: open_state({spec!r})\nexcept errors.MissingExtra as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'lmos[" in ran.stdout


def test_the_clients_are_loaded_only_when_they_are_used() -> None:
    code = "import sys, lmos.state; print('redis' in sys.modules, 'asyncpg' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False"]
