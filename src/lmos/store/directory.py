"""A directory of manifests as a store.

What the files say is applied by the owner `manifest`. What others apply, and every status, lives
beside it in memory: the user's files are never written. A file that becomes invalid is reported
with its line, and what it said last stays in force until it can be read again.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lmos.model import Key, errors
from lmos.model.errors import InvalidManifest
from lmos.store.manifests import Manifest, is_manifest_file, manifest_files, read_file, repeated
from lmos.store.memory import MemoryStore

if TYPE_CHECKING:
    import watchfiles

OWNER = "manifest"


class DirectoryStore(MemoryStore):
    """A `Store` over a directory's manifests, read on entering and watched until leaving."""

    def __init__(
        self,
        directory: Path,
        *,
        on_problem: Callable[[InvalidManifest], None] | None = None,
        on_mended: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self._directory = directory.resolve()
        self._on_problem = on_problem or (lambda _: None)
        self._on_mended = on_mended or (lambda _: None)
        self._good: dict[Path, tuple[Manifest, ...]] = {}
        self._bad: dict[Path, tuple[InvalidManifest, ...]] = {}
        self._homes: dict[Key, Manifest] = {}
        self._told: set[str] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    @property
    def problems(self) -> tuple[InvalidManifest, ...]:
        """What is wrong with the files as they are now."""
        return (*(p for file in sorted(self._bad) for p in self._bad[file]), *self._repeats())

    async def __aenter__(self) -> Self:
        self.load(set(manifest_files(self._directory)))
        self._watcher = asyncio.create_task(self._watch(), name=f"watch {self._directory}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._watcher:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)

    def load(self, files: set[Path]) -> None:
        """Reads these files again, those that are gone included, and makes the store follow."""
        broken = set(self._bad)
        for file in sorted(files):
            self._read(file)
        self._follow()
        for problem in self.problems:
            if str(problem) not in self._told:
                self._on_problem(problem)
        self._told = {str(problem) for problem in self.problems}
        for file in sorted(broken - self._bad.keys()):
            if file in self._good:
                self._on_mended(str(file.relative_to(self._directory)))

    # --- inside -----------------------------------------------------------------------------------

    async def _watch(self) -> None:
        import watchfiles  # only who follows a directory needs it

        async for changes in watchfiles.awatch(
            self._directory, stop_event=self._stop, watch_filter=self._counts, step=20, debounce=200
        ):
            self.load({Path(path) for _, path in changes})

    def _counts(self, _: "watchfiles.Change", path: str) -> bool:
        return is_manifest_file(Path(path), self._directory)

    def _read(self, file: Path) -> None:
        if not file.is_file():
            self._good.pop(file, None)
            self._bad.pop(file, None)
            return
        found = read_file(file, str(file.relative_to(self._directory)))
        if found.problems:
            self._bad[file] = found.problems
            broken = {m.resource.key: m for m in self._good.get(file, ())}
            broken.update({m.resource.key: m for m in found.manifests})
            self._good[file] = tuple(broken.values())
        else:
            self._bad.pop(file, None)
            self._good[file] = found.manifests

    def _follow(self) -> None:
        """Applies what the files say now; of a resource that stands twice the first file counts."""
        homes: dict[Key, Manifest] = {}
        for file in sorted(self._good):
            for manifest in self._good[file]:
                homes.setdefault(manifest.resource.key, manifest)
        gone, self._homes = self._homes.keys() - homes.keys(), homes
        for key in gone:
            if key in self._entries:
                self._remove(key)
        for manifest in homes.values():
            self._take(manifest.resource, OWNER)

    def _repeats(self) -> list[InvalidManifest]:
        return list(repeated(m for file in sorted(self._good) for m in self._good[file]))

    def _guard(self, key: Key) -> None:
        if key in self._homes:
            home = self._homes[key]
            raise errors.Forbidden(
                f"{key} is defined in {home.file}:{home.line}; remove it from that file"
            )
