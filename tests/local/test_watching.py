"""Which files are told when files and folders change, with the real watcher on real files."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from lmos.local.project import Project
from lmos.local.watching import changes


class Watched:
    """What is told of a directory, gathered until it is what a test waits for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._told: asyncio.Queue[set[Path]] = asyncio.Queue()

    async def run(self) -> None:
        async for found in changes(Project.at(self.directory)):
            self._told.put_nowait(found)

    async def began(self) -> None:
        """Returns when the watcher watches: nothing else tells."""
        probe = self.directory / "probe.txt"
        while self._told.empty():
            probe.write_text(str(asyncio.get_running_loop().time()))
            await asyncio.sleep(0.05)

    async def tells(self, *names: str) -> None:
        """Exactly these files are told, in however many batches."""
        wanted, found = {self.directory / name for name in names}, set[Path]()
        async with asyncio.timeout(10):
            while not wanted <= found:
                found |= await self._told.get() - {self.directory / "probe.txt"}
        assert found == wanted


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncGenerator[Watched, None]:
    for name in ("billing", "orders"):
        folder = tmp_path / "agents" / name
        folder.mkdir(parents=True)
        (folder / "agent.py").write_text("")
        (folder / "cases.md").write_text("")
    found = Watched(tmp_path)
    task = asyncio.create_task(found.run())
    await found.began()
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_renamed_folder_tells_of_all_its_files(watched: Watched) -> None:
    agents = watched.directory / "agents"
    (agents / "billing").rename(agents / "bills")
    await watched.tells(
        *("agents/billing/agent.py", "agents/billing/cases.md"),
        *("agents/bills/agent.py", "agents/bills/cases.md"),
    )
    (agents / "bills" / "cases.md").write_text("later changes in the new place")
    await watched.tells("agents/bills/cases.md")


async def test_a_folder_moved_in_and_out(watched: Watched) -> None:
    agents, outside = watched.directory / "agents", watched.directory.parent / "outside"
    (agents / "orders").rename(outside)
    await watched.tells("agents/orders/agent.py", "agents/orders/cases.md")
    outside.rename(agents / "again")
    await watched.tells("agents/again/agent.py", "agents/again/cases.md")


async def test_what_is_no_source_is_not_told(watched: Watched) -> None:
    (watched.directory / "data.db").write_text("x")
    (watched.directory / "__pycache__").mkdir()
    (watched.directory / "__pycache__" / "agent.py").write_text("")
    (watched.directory / "empty").mkdir()
    (watched.directory / "last.py").write_text("")
    await watched.tells("last.py")
