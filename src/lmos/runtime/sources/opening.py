"""A source of routings by the words that name it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lmos.model import Store
from lmos.model.errors import (
    AgentFailed,
    AgentUnavailable,
    InvalidInput,
    InvalidManifest,
    LmosError,
)
from lmos.protocols import calls
from lmos.runtime.routings import Fetch
from lmos.runtime.sources.files import FileStore
from lmos.runtime.sources.operator import Operator
from lmos.runtime.sources.remote import FIRST, GROUP_PATH, LAST, Mirror
from lmos.store import DirectoryStore, MemoryStore

log = logging.getLogger("lmos.runtime")


@dataclass(frozen=True, slots=True)
class Source:
    """A store of routings. `fetch` brings in those that it does not have yet, for a source that
    cannot tell all; `waiting_for` says why it has nothing to go by yet, empty once it has.
    """

    store: Store
    name: str
    fetch: Fetch | None = None
    waiting_for: Callable[[], str] = lambda: ""


@asynccontextmanager
async def open_source(spec: str, *, token: str = "") -> AsyncGenerator[Source, None]:
    """The source at a path or a URL, followed inside the block.

    A path is a directory of manifests, or a file of manifests or of the original's
    `channelRoutings:`. A URL is that of a control plane of ours, asked with `token` where it wants
    one, or of the original's operator; one that is away is waited for, by who asks `waiting_for`.
    `InvalidInput` for a path where nothing is.
    """
    if urlsplit(spec).scheme in ("http", "https"):
        remote = _Remote(spec.rstrip("/"), token)
        async with _running(remote.run()):
            yield Source(remote.store, spec, remote.fetch, lambda: remote.waiting_for)
        return
    async with _local(Path(spec)) as store:
        yield Source(store, spec)


def _local(path: Path) -> DirectoryStore | FileStore:
    if path.is_dir():
        return DirectoryStore(path, on_problem=_problem)
    if path.is_file():
        return FileStore(path)
    raise InvalidInput(f"there is nothing at {path}; name a directory, a file or an http(s) URL")


def _problem(problem: InvalidManifest) -> None:
    log.error("%s; what was there before stays in force", problem)


class _Remote:
    """What is at a URL, once it is known which of the two it is."""

    def __init__(self, url: str, token: str) -> None:
        self.store = MemoryStore()
        self._url, self._token = url, token
        self._who = f"what is at {url}"
        self._problem = f"{self._who} has not answered yet"
        self._mirror: Mirror | None = None
        self._operator: Operator | None = None

    @property
    def waiting_for(self) -> str:
        """Why there is nothing to go by yet."""
        if self._operator:
            return ""
        return self._mirror.waiting_for if self._mirror else self._problem

    async def fetch(self, tenant: str, channel: str, subset: str) -> bool:
        """Asks the original's operator; a control plane of ours has told all there is."""
        if self._operator:
            return await self._operator.fetch(tenant, channel, subset)
        if why := self.waiting_for:
            raise AgentUnavailable(why)
        return False

    async def run(self) -> None:
        """Finds out, then follows until it is cancelled."""
        if await self._is_ours():
            self._mirror = Mirror(self._url, self.store, self._token)
            await self._mirror.run()
        else:
            self._operator = Operator(self._url, self.store)
            await self._operator.run()

    async def _is_ours(self) -> bool:
        """Whether a control plane of ours answers there, and not the original's operator."""
        pause = FIRST
        while True:
            try:
                async with asyncio.timeout(calls.DOCUMENT_TIME), self._probe():
                    return True
            except (LmosError, TimeoutError) as error:
                status = error.details.get("status") if isinstance(error, AgentFailed) else None
                if status == 404:
                    return False
                self._tell(_why(error, status, self._who))
            await asyncio.sleep(pause)
            pause = min(LAST, pause * 2)

    def _probe(self) -> AbstractAsyncContextManager[Any]:
        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        url = f"{self._url}{GROUP_PATH}/channels"
        return calls.request("GET", url, who=self._who, headers=headers)

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s; it is asked again", problem)
        self._problem = problem


def _why(error: Exception, status: int | None, who: str) -> str:
    if status in (401, 403):
        return f"{who} lets only operators in; give it an operator's key in LMOS_ROUTINGS_TOKEN"
    return str(error) or f"{who} takes too long"


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None, None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
