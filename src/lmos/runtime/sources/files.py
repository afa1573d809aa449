"""Routings in a file: manifests, or the original's list of them, followed while it changes."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from pydantic import ValidationError

from lmos.model import KINDS, ChannelRouting, Resource
from lmos.model.errors import InvalidInput
from lmos.protocols import limits
from lmos.runtime.sources.filling import replace
from lmos.store import MemoryStore
from lmos.store.manifests import MAX_BYTES, read_text

log = logging.getLogger("lmos.runtime")

#: The list of the original's file.
LIST = "channelRoutings"


class FileStore(MemoryStore):
    """A `Store` of what a file says, read on entering and watched until leaving. `InvalidInput`
    says what is wrong with the file on entering; later what it said before stays.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self._stop = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.load()
        self._watcher = asyncio.create_task(self._watch(), name=f"watch {self._file}")
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

    async def load(self) -> None:
        """Takes over what the file says now."""
        await replace(self, read(self._file), KINDS.values())

    async def _watch(self) -> None:
        import watchfiles  # only who follows a file needs it

        # the directory: files that are mounted are replaced, not written
        folder = self._file.resolve().parent
        watched = {self._file.parent.absolute(), folder}
        async for _ in watchfiles.awatch(*watched, stop_event=self._stop, step=20, debounce=200):
            try:
                await self.load()
            except InvalidInput as error:
                log.error("%s; what was there before stays in force", error)


def read(file: Path) -> list[Resource]:
    """What the file says: manifests, or routings as the original lists them."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}") from None
    if len(text) > MAX_BYTES:
        raise InvalidInput(f"{file} is larger than {MAX_BYTES // 1024} KiB")
    listed = _listed(text, file)
    if listed is not None:
        return list(_routings(listed, file))
    found = read_text(text, str(file))
    if found.problems:
        raise found.problems[0]
    if not found.manifests and text.strip():
        raise InvalidInput(f"{file} has neither manifests of lmos.eclipse/v1 nor {LIST}:")
    return [manifest.resource for manifest in found.manifests]


def _listed(text: str, file: Path) -> list[Any] | None:
    """The original's list, or None where the file is of another kind."""
    try:
        top = yaml.compose(text) if f"{LIST}:" in text else None
    except yaml.YAMLError:
        return None  # several documents, or none: manifests, with errors of their own
    if not isinstance(top, yaml.MappingNode) or LIST not in {k.value for k, _ in top.value}:
        return None
    listed = yaml.safe_load(text)[LIST]
    if not isinstance(listed, list):
        raise InvalidInput(f"{file}: {LIST} must be a list")
    return listed


def _routings(listed: list[Any], file: Path) -> Iterator[ChannelRouting]:
    for number, item in enumerate(listed):
        where = f"{file}: {LIST}[{number}]"
        if not isinstance(item, dict):
            raise InvalidInput(f"{where} must be a mapping with metadata and spec")
        try:
            yield routing_of(item, f"routing-{number}")
        except ValidationError as error:
            raise InvalidInput(f"{where}: {limits.invalid(error).message}") from None


def routing_of(data: dict[str, Any], name: str = "") -> ChannelRouting:
    """A routing of the original's, which may lack apiVersion, kind and name, and may have more
    metadata than matters here.
    """
    given = data.get("metadata") or {}
    labels = {k: v for k, v in (given.get("labels") or {}).items() if v is not None}
    metadata = {
        "name": given.get("name") or name,
        "namespace": given.get("namespace") or "default",
        "labels": labels,
    }
    return ChannelRouting.model_validate({"metadata": metadata, "spec": data.get("spec") or {}})
