"""A second router, or the same over another table, that decides beside some turns.

What it decides is logged and counted, and nobody gets it. It begins when the turn has ended, and
only so many decide at once: what it takes is never the turn's time, and what is too much is left
out and counted.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from lmos.model import Decision, Shadowed, errors
from lmos.router import Router, RoutingTable
from lmos.runtime.decisions.comparing import same
from lmos.runtime.decisions.replay import decided
from lmos.runtime.decisions.trail import Trail

#: The annotation of a Channel that sets its shadow, as `LMOS_SHADOW` does for all channels.
ANNOTATION = "lmos.eclipse/shadow"
#: Shadows that decide at once, and seconds that each may take.
AT_ONCE, PATIENCE = 4, 10.0

#: The table of a subset of the trail's channel; `ChannelNotFound` when there is none.
TableOf = Callable[[Trail, str], RoutingTable]


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """The router that decides beside a share (0 to 1) of the turns, over the table of a subset of
    the channel; the turn's own where none is named.
    """

    router: str
    share: float
    subset: str = ""

    @property
    def name(self) -> str:
        """What the shadow is called in the log and among the figures."""
        return f"{self.router}@{self.subset}" if self.subset else self.router

    @classmethod
    def read(cls, text: str) -> "ShadowSettings | None":
        """From `ROUTER SHARE [SUBSET]`, such as `llm 0.1` or `vector 1 canary`; None from nothing
        and from `off`.
        """
        words = text.split()
        if not words or words == ["off"]:
            return None
        try:
            router, share, *subset = words
            found = cls(router, float(share), *subset)
        except (ValueError, TypeError):
            found = None
        if found is None or not 0 <= found.share <= 1:
            raise errors.InvalidInput(
                f"{text!r} is no shadow; write ROUTER SHARE [SUBSET], such as: llm 0.1"
            )
        return found

    def takes(self, trail: Trail) -> bool:
        """Whether this turn is among the share; the same turn always is, or never."""
        turn = trail.turn
        text = "\0".join((turn.tenant, turn.channel, turn.conversation_id, turn.turn_id))
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) < self.share * 2**64


class Shadows:
    """Decides beside turns, by the settings of their channels. `open_router` gives a router by its
    name; without it there are no shadows.
    """

    def __init__(
        self,
        counts: Counter[tuple[str, str]],
        table_of: TableOf,
        open_router: Callable[[str], Router] | None = None,
        default: ShadowSettings | None = None,
    ) -> None:
        self._counts = counts
        self._table_of = table_of
        self._open = open_router
        self._default = default
        self._routers: dict[str, Router] = {}
        self._running = 0

    def begin(self, trail: Trail, annotations: Mapping[str, str]) -> None:
        """Begins to decide beside the turn, where its channel's setting says so."""
        settings = self._settings(annotations)
        if settings is None or self._open is None or trail.inputs == "off":
            return
        if not settings.takes(trail):
            return
        if self._running >= AT_ONCE:
            self._counts[settings.name, "left out"] += 1
            return
        self._running += 1
        trail.shadow = asyncio.create_task(self._shadowed(trail, settings))

    def _settings(self, annotations: Mapping[str, str]) -> ShadowSettings | None:
        said = annotations.get(ANNOTATION)
        if said is None:
            return self._default
        try:
            return ShadowSettings.read(said)
        except errors.InvalidInput:
            self._counts["unknown", "wrong setting"] += 1
            return None

    async def _shadowed(self, trail: Trail, settings: ShadowSettings) -> Shadowed:
        began = time.perf_counter()
        found = Shadowed(name=settings.name)
        try:
            async with asyncio.timeout(PATIENCE):
                decision = await self._decide(trail, settings)
            found = found.but(decision=decision, same=same(trail.decision, decision))
        except TimeoutError:
            found = found.but(error=f"it took more than {PATIENCE:.0f} s")
        except Exception as error:
            found = found.but(error=f"{type(error).__name__}: {error}")
        finally:
            self._running -= 1
        how = "failed" if found.error else "same" if found.same else "different"
        self._counts[settings.name, how] += 1
        return found.but(seconds=round(time.perf_counter() - began, 6))

    async def _decide(self, trail: Trail, settings: ShadowSettings) -> Decision:
        router = self._router(settings.router)
        subset = settings.subset or trail.turn.subset
        table = self._table_of(trail, subset)
        deadline = datetime.now(UTC) + timedelta(seconds=PATIENCE)
        request = replace(trail.request, deadline=deadline)
        return await decided(request, trail.waiting, router, table)

    def _router(self, name: str) -> Router:
        if name not in self._routers:
            assert self._open is not None
            self._routers[name] = self._open(name)
        return self._routers[name]
