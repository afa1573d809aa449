"""Which source files of a project have changed, told as they do.

A folder that is moved, renamed or removed is one event of the folder, with none of its files. So
the files are known beforehand, and when a folder comes or goes they are looked through again.
"""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import watchfiles

from lmos.local.project import Project


async def changes(
    project: Project, stop: asyncio.Event | None = None
) -> AsyncGenerator[set[Path], None]:
    """Source files that were added, changed, renamed or removed, in batches, until `stop`."""
    files = Files(project)
    async for batch in watchfiles.awatch(
        project.directory,
        watch_filter=lambda _, path: project.is_source(path) or project.may_be_folder(path),
        stop_event=stop,
    ):
        if found := files.changed({Path(path) for _, path in batch}):
            yield found


class Files:
    """The source files of a project, as they were last seen."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._known = project.sources()

    def changed(self, paths: set[Path]) -> set[Path]:
        """The source files among the paths, and those that came or went with a folder."""
        found = {path for path in paths if self._project.is_source(path)}
        if found == paths:
            self._known |= {path for path in found if path.exists()}
            return found
        before, self._known = self._known, self._project.sources()
        return found | (before ^ self._known)
