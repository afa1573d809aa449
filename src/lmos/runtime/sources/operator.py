"""Routings of the original's operator, which can be asked for one channel but not for all.

A channel is asked for when its first turn comes; from then on it is looked at every few seconds,
with the ETag that it had where the operator gives one. A channel that is not there is not asked for
again at once, so that nobody can make the operator busy with names.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import quote

import orjson
from pydantic import ValidationError

from lmos.model import STABLE, ChannelRouting
from lmos.model.errors import AgentFailed, LmosError
from lmos.protocols import calls, limits
from lmos.runtime.sources.files import routing_of
from lmos.runtime.sources.filling import put, remove
from lmos.store import MemoryStore

log = logging.getLogger("lmos.runtime")

#: Seconds between looks, and for which a channel that is not there is taken not to be.
EVERY, ABSENT = 10.0, 5.0
#: Channels followed, and channels remembered not to be there.
FOLLOWED, MISSED = 5_000, 5_000
SIZE = 16 * 1024 * 1024

Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Known:
    """A channel's routing as it was seen last, and its ETag."""

    routing: ChannelRouting
    tag: str = ""


class Operator:
    """Brings routings into a store as they are asked for."""

    def __init__(
        self,
        url: str,
        store: MemoryStore,
        *,
        namespace: str = "",
        every: float = EVERY,
        absent: float = ABSENT,
    ) -> None:
        self.store = store
        self._base = url.rstrip("/")
        self._who = f"the operator at {url}"
        self._namespace = namespace
        self._every = every
        self._absent = absent
        self._known: OrderedDict[Place, _Known] = OrderedDict()
        self._missed: OrderedDict[Place, float] = OrderedDict()
        self._asking: dict[Place, asyncio.Task[bool]] = {}

    async def fetch(self, tenant: str, channel: str, subset: str) -> bool:
        """Whether the channel has a routing, which is then in the store. An operator that cannot be
        asked is an error, not a channel that is missing.
        """
        place = (tenant, channel, subset)
        if place in self._known:
            return True
        if time.monotonic() - self._missed.get(place, float("-inf")) < self._absent:
            return False
        if place not in self._asking:  # several turns ask once
            task = self._asking[place] = asyncio.create_task(self._look(place))
            task.add_done_callback(lambda _: self._asking.pop(place))
        return await asyncio.shield(self._asking[place])

    async def run(self) -> None:
        """Looks again at what is known until it is cancelled."""
        while True:
            await asyncio.sleep(self._every)
            for place in list(self._known):
                try:
                    await self._look(place)
                except LmosError as error:
                    log.warning("%s; what it said before stays in force", error.message)

    async def _look(self, place: Place) -> bool:
        known = self._known.get(place)
        try:
            found = await self._get(place, known)
        except AgentFailed as error:
            if error.details.get("status") != 404:
                raise
            await self._gone(place)
            return False
        if found is not None:
            routing, tag = found
            await put(self.store, routing)
            self._known[place] = _Known(routing, tag)
            if len(self._known) > FOLLOWED:
                _, oldest = self._known.popitem(last=False)
                await remove(self.store, oldest.routing.key)
        return True

    async def _get(self, place: Place, known: _Known | None) -> tuple[ChannelRouting, str] | None:
        """The routing with its tag; None where it is what is known."""
        tenant, channel, subset = place
        url = f"{self._base}/apis/v1/tenants/{quote(tenant, '')}/channels/{quote(channel, '')}"
        headers = {"x-subset": subset, "accept": "application/json"}
        headers |= {"x-namespace": self._namespace} if self._namespace else {}
        headers |= {"if-none-match": known.tag} if known and known.tag else {}
        try:
            async with calls.request(
                "GET", url + "/routing", who=self._who, headers=headers, silence=10
            ) as response:
                body = await calls.read(response, self._who, SIZE)
                return self._routing(body, place), response.headers.get("etag", "")
        except AgentFailed as error:
            if known and error.details.get("status") == 304:
                return None
            raise

    def _routing(self, body: bytes, place: Place) -> ChannelRouting:
        """What was answered, under the place that was asked for: an operator's label of the subset
        may be missing.
        """
        tenant, channel, subset = place
        try:
            found = routing_of(orjson.loads(body), f"{tenant}-{channel}-{subset}")
        except (orjson.JSONDecodeError, AttributeError) as error:
            raise AgentFailed(f"{self._who} sent a routing that cannot be read: {error}") from None
        except ValidationError as error:
            text = limits.invalid(error).message
            raise AgentFailed(f"{self._who} sent a routing that cannot be used: {text}") from None
        labels = {**found.metadata.labels, "tenant": tenant, "channel": channel, "subset": subset}
        name = f"{tenant}.{channel}.{subset or STABLE}"
        return found.but(metadata=found.metadata.but(name=name, labels=labels))

    async def _gone(self, place: Place) -> None:
        known = self._known.pop(place, None)
        if known is not None:
            await remove(self.store, known.routing.key)
        self._missed[place] = time.monotonic()
        if len(self._missed) > MISSED:
            self._missed.popitem(last=False)
