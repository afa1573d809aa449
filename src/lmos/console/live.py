"""The store as the page shows it: read once for all visitors, again whenever it changes."""

import asyncio
from contextlib import aclosing
from types import TracebackType
from typing import Self

from lmos.model import Agent, Channel, ChannelRouting, Store
from lmos.model.base import unique
from lmos.store import Following


class Live:
    """Agents, channels and routings of now. `version` grows with every change."""

    def __init__(self, store: Store) -> None:
        self.version = 0
        self.agents: list[Agent] = []
        self.channels: list[Channel] = []
        self.routings: list[ChannelRouting] = []
        self._store = store
        self._following = Following(store, Agent, Channel, ChannelRouting)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._read()
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def channel_names(self) -> list[str]:
        """The channels that are served, as `tenant/channel`; those with most to offer first."""
        served = [r for r in self.routings if r.spec.capability_groups]
        served.sort(key=lambda r: -sum(len(g.capabilities) for g in r.spec.capability_groups))
        return list(unique(f"{r.tenant}/{r.channel}" for r in served))

    def channels_of(self, agent: str) -> list[str]:
        """The channels that an agent serves."""
        return list(
            unique(
                f"{routing.tenant}/{routing.channel}"
                for routing in self.routings
                if any(group.name == agent for group in routing.spec.capability_groups)
            )
        )

    def routing_of(self, channel: Channel) -> ChannelRouting | None:
        """What a channel was resolved to."""
        wanted = (channel.metadata.namespace, channel.tenant, channel.channel, channel.subset)
        return next((r for r in self.routings if _identity(r) == wanted), None)

    async def _follow(self) -> None:
        async with aclosing(self._following.changes()) as changes:
            async for _ in changes:
                await self._read()

    async def _read(self) -> None:
        agents, _ = await self._store.list(Agent)
        channels, _ = await self._store.list(Channel)
        routings, _ = await self._store.list(ChannelRouting)
        if (agents, channels, routings) != (self.agents, self.channels, self.routings):
            self.agents, self.channels, self.routings = agents, channels, routings
            self.version += 1


def _identity(routing: ChannelRouting) -> tuple[str, ...]:
    return routing.metadata.namespace, routing.tenant, routing.channel, routing.subset
