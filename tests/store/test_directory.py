"""A directory of manifests: followed as it changes, and never at a loss over a bad file."""

import asyncio
from pathlib import Path

import pytest

from lmos.model import Agent, AgentSpec, Channel, Key, ObjectMeta, errors
from lmos.store import DirectoryStore, MemoryStore

AGENT = """
apiVersion: lmos.eclipse/v1
kind: Agent
metadata: {name: %s}
spec: {description: "%s"}
"""


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


async def described(store: DirectoryStore) -> dict[str, str]:
    return {a.name: a.spec.description for a in (await store.list(Agent))[0]}


async def test_files_are_read_wherever_they_lie_and_strangers_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", AGENT % ("a", "1") + "---" + AGENT % ("b", "2"))
    write(
        tmp_path / "deep" / "c.json",
        '{"apiVersion":"lmos.eclipse/v1","kind":"Agent","metadata":{"name":"c"},"spec":{"description":"3"}}',
    )
    write(tmp_path / "d.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n")
    write(tmp_path / ".lmos" / "e.yaml", AGENT % ("e", "5"))
    write(tmp_path / "notes.json", '["anything"]')
    async with DirectoryStore(tmp_path) as store:
        assert await described(store) == {"a": "1", "b": "2", "c": "3"}
        assert store.problems == ()


async def test_changes_and_deletions_are_followed(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", AGENT % ("a", "1"))
    async with DirectoryStore(tmp_path) as store:
        write(tmp_path / "a.yaml", AGENT % ("a", "changed"))
        write(tmp_path / "b.yaml", AGENT % ("b", "new"))
        store.load({tmp_path / "a.yaml", tmp_path / "b.yaml"})
        assert await described(store) == {"a": "changed", "b": "new"}
        (tmp_path / "a.yaml").unlink()
        store.load({tmp_path / "a.yaml"})
        assert await described(store) == {"b": "new"}


async def test_the_file_system_is_watched(tmp_path: Path) -> None:
    async with DirectoryStore(tmp_path) as store:
        _, version = await store.list(Agent)
        changes = store.watch(Agent, version)
        waiting = asyncio.ensure_future(anext(aiter(changes)))
        async with asyncio.timeout(20):
            while not waiting.done():  # the watcher may take a moment to be in place
                write(tmp_path / "a.yaml", AGENT % ("a", "1"))
                await asyncio.wait((waiting,), timeout=0.5)
        assert waiting.result().resource.name == "a"


async def test_a_bad_file_is_told_once_and_the_last_good_state_stays(tmp_path: Path) -> None:
    told: list[errors.InvalidManifest] = []
    mended: list[str] = []
    file = tmp_path / "a.yaml"
    write(file, AGENT % ("a", "good"))
    async with DirectoryStore(tmp_path, on_problem=told.append, on_mended=mended.append) as store:
        write(file, AGENT.replace("description", "descripton") % ("a", "bad"))
        store.load({file})
        store.load({file})
        assert await described(store) == {"a": "good"}
        assert [str(p) for p in told] == [
            "a.yaml:5: spec.descripton: is no field here; did you mean description?"
        ]
        assert mended == []
        write(file, AGENT % ("a", "mended"))
        store.load({file})
        store.load({file})
        assert mended == ["a.yaml"]
        assert store.problems == ()
        assert await described(store) == {"a": "mended"}


async def test_others_fields_and_statuses_survive_a_change_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    write(file, AGENT % ("a", "1"))
    async with DirectoryStore(tmp_path) as store:
        found = Agent(metadata=ObjectMeta(name="a"), spec=AgentSpec(version="9"))
        await store.apply(found, "discovery")
        write(file, AGENT % ("a", "2"))
        store.load({file})
        agent = await store.get(Agent, "a")
        assert agent
        assert (agent.spec.description, agent.spec.version) == ("2", "9")


async def test_what_a_file_defines_cannot_be_deleted_past_it(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", AGENT % ("a", "1"))
    async with DirectoryStore(tmp_path) as store:
        with pytest.raises(errors.Forbidden, match=r"a\.yaml:2"):
            await store.delete(Key(kind="Agent", namespace="default", name="a"))


async def test_a_resource_that_stands_twice_names_both_places(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", AGENT % ("a", "first"))
    write(tmp_path / "b.yaml", AGENT % ("a", "second"))
    async with DirectoryStore(tmp_path) as store:
        assert await described(store) == {"a": "first"}
        assert "also in a.yaml:2" in str(store.problems[0])


async def test_an_old_version_is_gone() -> None:
    store = MemoryStore(log_length=2)
    for n in range(5):
        await store.apply(Agent(metadata=ObjectMeta(name=f"a{n}")), "me")
    with pytest.raises(errors.Gone, match="list again"):
        await anext(aiter(store.watch(Agent, "1")))
    assert (await store.list(Channel))[0] == []
