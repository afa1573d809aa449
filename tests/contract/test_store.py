"""What every store guarantees, over each implementation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from lmos.model import (
    Agent,
    AgentSpec,
    AgentStatus,
    Capability,
    Change,
    Channel,
    ChannelSpec,
    Condition,
    Key,
    ObjectMeta,
    RequiredCapability,
    Store,
    errors,
)
from lmos.store import DirectoryStore, MemoryStore


@pytest.fixture(params=["memory", "directory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore(log_length=50)
        return
    async with DirectoryStore(tmp_path) as directory:
        yield directory


def agent(name: str = "a", **spec: object) -> Agent:
    return Agent(metadata=ObjectMeta(name=name), spec=AgentSpec(**spec))  # type: ignore[arg-type]


def labelled(name: str, **labels: str) -> Agent:
    return Agent(metadata=ObjectMeta(name=name, labels=labels))


KEY = Key(kind="Agent", namespace="default", name="a")


async def take(store: Store, version: str, count: int) -> list[Change]:
    """The next changes of Agents after a version."""
    found: list[Change] = []
    async with asyncio.timeout(5), aclosing(store.watch(Agent, version)) as changes:  # type: ignore[type-var]
        async for change in changes:
            found.append(change)
            if len(found) == count:
                return found
    raise AssertionError("the watch ended")


async def test_what_is_applied_is_found(store: Store) -> None:
    made = await store.apply(agent(description="bills"), "me")
    assert await store.get(Agent, "a") == made
    assert (await store.list(Agent))[0] == [made]
    assert made.metadata.generation == 1
    assert made.metadata.uid
    assert made.metadata.resource_version


async def test_what_is_not_there_is_none_or_not_found(store: Store) -> None:
    assert await store.get(Agent, "a") is None
    with pytest.raises(errors.NotFound, match="Agent default/a"):
        await store.delete(KEY)
    with pytest.raises(errors.NotFound):
        await store.patch_status(agent())


async def test_lists_are_by_name_kind_and_label(store: Store) -> None:
    for name, team in (("c", "x"), ("a", "x"), ("b", "y")):
        await store.apply(labelled(name, team=team), "me")
    spec = ChannelSpec(required_capabilities=(RequiredCapability(name="n", version="1"),))
    await store.apply(Channel(metadata=ObjectMeta(name="z"), spec=spec), "me")
    assert [a.name for a in (await store.list(Agent))[0]] == ["a", "b", "c"]
    assert [a.name for a in (await store.list(Agent, {"team": "x"}))[0]] == ["a", "c"]


async def test_owners_keep_to_their_own_fields(store: Store) -> None:
    await store.apply(agent(description="by hand"), "human")
    await store.apply(agent(url="http://x"), "discovery")
    merged = await store.get(Agent, "a")
    assert merged
    assert (merged.spec.description, merged.spec.url) == ("by hand", "http://x")
    await store.apply(agent(description="again"), "human")
    merged = await store.get(Agent, "a")
    assert merged
    assert (merged.spec.description, merged.spec.url) == ("again", "http://x")


async def test_a_field_left_out_is_taken_back_unless_another_holds_it(store: Store) -> None:
    await store.apply(agent(description="d", version="1"), "me")
    await store.apply(agent(version="1"), "other")
    await store.apply(agent(), "me")
    left = await store.get(Agent, "a")
    assert left
    assert (left.spec.description, left.spec.version) == ("", "1")


async def test_another_owners_field_is_a_conflict_unless_forced(store: Store) -> None:
    await store.apply(agent(description="mine"), "me")
    with pytest.raises(errors.Conflict, match=r"spec\.description.*'me'") as caught:
        await store.apply(agent(description="yours"), "you")
    assert caught.value.details == {"field": "spec.description", "owner": "me"}
    assert (await store.get(Agent, "a")).spec.description == "mine"  # type: ignore[union-attr]
    await store.apply(agent(description="mine"), "you")  # the same value is shared
    await store.apply(agent(description="yours"), "you", force=True)
    assert (await store.get(Agent, "a")).spec.description == "yours"  # type: ignore[union-attr]


async def test_lists_belong_to_one_owner_as_a_whole(store: Store) -> None:
    offers = (Capability(name="n", version="1.0.0"),)
    await store.apply(agent(provided_capabilities=offers), "me")
    more = (*offers, Capability(name="m", version="1.0.0"))
    with pytest.raises(errors.Conflict):
        await store.apply(agent(provided_capabilities=more), "you")


async def test_applying_the_same_again_changes_nothing(store: Store) -> None:
    first = await store.apply(agent(description="d"), "me")
    _, version = await store.list(Agent)
    assert await store.apply(agent(description="d"), "me") == first
    assert (await store.list(Agent))[1] == version


async def test_generation_counts_changes_of_the_spec_alone(store: Store) -> None:
    made = await store.apply(agent(description="1"), "me")
    status = AgentStatus(conditions=(Condition(type="Ready", status="True"),))
    await store.patch_status(made.but(status=status))
    relabelled = made.but(metadata=ObjectMeta(name="a", labels={"x": "y"}))
    after = await store.apply(Agent(metadata=relabelled.metadata, spec=agent(description="1").spec), "me")  # fmt: skip  # noqa: E501
    assert after.metadata.generation == 1
    assert after.status == status
    assert (await store.apply(agent(description="2"), "me")).metadata.generation == 2


async def test_a_status_is_replaced_and_the_spec_stays(store: Store) -> None:
    made = await store.apply(agent(description="d"), "me")
    ready = AgentStatus(conditions=(Condition(type="Ready", status="True"),))
    await store.patch_status(made.but(status=ready, spec=AgentSpec(description="sneaked in")))
    found = await store.get(Agent, "a")
    assert found
    assert found.status.is_true("Ready")
    assert found.spec.description == "d"


async def test_deleting_takes_what_is_owned_along(store: Store) -> None:
    parent = await store.apply(agent("parent"), "me")
    ref = {"kind": "Agent", "name": "parent", "uid": parent.metadata.uid}
    child = Agent(metadata=ObjectMeta(name="child", owner_references=(ref,)))
    await store.apply(child, "me")
    await store.delete(parent.key)
    assert (await store.list(Agent))[0] == []


async def test_a_watch_tells_every_change_in_order(store: Store) -> None:
    _, version = await store.list(Agent)
    await store.apply(agent(description="1"), "me")
    await store.apply(agent(description="2"), "me")
    await store.delete(KEY)
    changes = await take(store, version, 3)
    assert [c.type for c in changes] == ["added", "modified", "deleted"]
    assert [int(c.version) for c in changes] == sorted(int(c.version) for c in changes)
    assert [c.type for c in await take(store, changes[0].version, 2)] == ["modified", "deleted"]


async def test_a_watch_waits_for_what_comes(store: Store) -> None:
    _, version = await store.list(Agent)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(take(store, version, 1))
        await asyncio.sleep(0)
        await store.apply(agent(), "me")
    assert waiting.result()[0].resource.name == "a"
