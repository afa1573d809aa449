"""Routings of a control plane of ours, listed once and then watched.

When the watch ends, or is too old to be resumed, everything is listed again; that is a difference
to the store here only where something really changed.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import orjson

from lmos.model import API_GROUP, KINDS, Agent, Channel, ChannelRouting, Resource
from lmos.model.errors import AgentFailed, LmosError
from lmos.protocols import calls, limits
from lmos.runtime.sources.filling import put, remove, replace
from lmos.store import MemoryStore

log = logging.getLogger("lmos.runtime")

GROUP_PATH = f"/apis/{API_GROUP}/v1"
FOLLOWED: tuple[type[Resource], ...] = (Agent, Channel, ChannelRouting)
#: Seconds between attempts, at first and at most.
FIRST, LAST = 0.2, 15.0
#: Seconds of silence after which everything is listed again.
RESYNC = 300.0
#: Bytes of a list, and of one line of a watch.
LIST_LIMIT, LINE_LIMIT = 64 * 1024 * 1024, 4 * 1024 * 1024


class Mirror:
    """Keeps a store as a control plane's is."""

    def __init__(self, url: str, store: MemoryStore, token: str = "") -> None:
        self.store = store
        self._base = url.rstrip("/") + GROUP_PATH
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._who = f"the control plane at {url}"
        self._listed: set[str] = set()
        self.problem = f"{self._who} has not answered yet"

    @property
    def waiting_for(self) -> str:
        """Why there is nothing to go by yet, empty once there is."""
        return self.problem if len(self._listed) < len(FOLLOWED) else ""

    async def run(self) -> None:
        """Follows until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for kind in FOLLOWED:
                tasks.create_task(self._follow(kind), name=f"follow {kind.plural}")

    async def _follow(self, kind: type[Resource]) -> None:
        pause = FIRST
        while True:
            try:
                version = await self._list(kind)
            except LmosError as error:
                if error.message != self.problem:  # said once, not with every attempt
                    log.warning("%s; what it said before stays in force", error.message)
                self.problem = error.message
                await asyncio.sleep(pause)
                pause = min(LAST, pause * 2)
                continue
            pause = FIRST
            with suppress(LmosError):  # whatever it is, the next list tells
                await self._watch(kind, version)
            await asyncio.sleep(FIRST)

    async def _list(self, kind: type[Resource]) -> str:
        url = f"{self._base}/{kind.plural}"
        async with calls.request("GET", url, who=self._who, headers=self._headers) as response:
            body = orjson.loads(await calls.read(response, self._who, LIST_LIMIT))
        items = [limits.parsed(kind, item) for item in body.get("items", ())]
        await replace(self.store, items, [kind])
        self._listed.add(kind.plural)
        return str(body.get("metadata", {}).get("resourceVersion", ""))

    async def _watch(self, kind: type[Resource], version: str) -> None:
        url = f"{self._base}/{kind.plural}?watch=true&resourceVersion={version}"
        async with aclosing(self._changes(url)) as changes:
            async for change in changes:
                if change["type"] == "ERROR":  # the version is no longer kept
                    return
                resource = limits.parsed(KINDS[kind.__name__], change["object"])
                if change["type"] == "DELETED":
                    await remove(self.store, resource.key)
                else:
                    await put(self.store, resource)

    async def _changes(self, url: str) -> AsyncGenerator[dict[str, Any], None]:
        """The lines of the watch. When it is silent for long, nobody may be there any more."""
        rest = b""
        async with calls.request(
            "GET", url, who=self._who, headers=self._headers, silence=RESYNC
        ) as response:
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    yield orjson.loads(line)
                if len(rest) > LINE_LIMIT:
                    raise AgentFailed(f"{self._who} sent a line without end")
