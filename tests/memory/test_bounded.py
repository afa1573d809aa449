"""A state in memory that does not grow without end."""

import tracemalloc

from lmos.state import MemoryState


async def test_what_is_to_expire_goes_early_where_there_is_too_much() -> None:
    state = MemoryState(most=3)
    await state.put("tenant/acme/shared", "for good")
    for number in range(5):
        await state.put(f"conversation/{number}", number, ttl=3600)
        await state.put("conversation/0", "written again and again", ttl=3600)
    found = [key async for key, _ in state.scan("")]
    assert found == ["conversation/0", "conversation/3", "conversation/4", "tenant/acme/shared"]


async def test_only_what_is_below_the_prefix_is_found() -> None:
    state = MemoryState()
    for key in ("a/b", "a/c", "a", "ab/c", "b/a"):
        await state.put(key, key)
    assert [key async for key, _ in state.scan("a/")] == ["a/b", "a/c"]
    assert [key async for key, _ in state.scan("a")] == ["a", "a/b", "a/c", "ab/c"]
    await state.delete("a/b")
    assert [key async for key, _ in state.scan("a/")] == ["a/c"]


async def test_a_value_takes_little_more_than_its_size() -> None:
    state = MemoryState()
    value = {"text": ["word " * 20] * 15}  # 1.6 kB
    tracemalloc.start()
    try:
        for number in range(200):
            await state.put(f"a/{number}", value)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 200 * 2_200
